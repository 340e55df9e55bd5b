package server

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/sign"
)

// Rotate changes the key that signs the tree. The old one says that the new one
// follows it, so clients that trust the old one go on.
func (p *Publisher) Rotate(ctx context.Context, next *sign.Key) error {
	old := p.Key
	defer func() { p.Key, p.digest = old, digest.Digest{} }()
	_, err := p.change(ctx, func(c catalog.Catalog) (catalog.Catalog, error) {
		if c.Serial == 0 {
			return c, noTree(p.Place)
		}
		if old.Fingerprint() == next.Fingerprint() {
			return c, fault.Newf(fault.Usage, "the tree is signed by key %s already", next.Fingerprint())
		}
		document, err := catalog.Rotate(c.Tree, old, next, p.now())
		if err != nil {
			return c, err
		}
		c.Rotations = append(slices.Clone(c.Rotations), document)
		p.Key = next
		return c, p.resign(ctx, c)
	})
	return err
}

// resign signs the files of versions anew that another key has signed: what the catalog says
// of them, and blobs that are what it says. Who can write to the tree gets nothing else signed.
func (p *Publisher) resign(ctx context.Context, c catalog.Catalog) error {
	ring, err := p.Key.Keyring()
	if err != nil {
		return err
	}
	for _, i := range c.Images {
		for _, v := range i.Versions {
			dir := v.Dir(i) + "/"
			good, err := p.signed(dir, v, ring)
			if err != nil {
				return err
			}
			if good {
				continue
			}
			u := newUpload(i.Name, i.Arch, v)
			for _, a := range v.Artifacts {
				if err := p.sign(ctx, a, &u, func(int64) {}); err != nil {
					return err
				}
			}
			for name, asc := range u.signatures {
				if err := p.put(dir+name, asc); err != nil {
					return err
				}
			}
			// Last: by it one sees that all are signed anew.
			if err := p.checksums(dir, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// signed says whether the checksums beside a version's files are those of the catalog, with a
// good signature.
func (p *Publisher) signed(dir string, v catalog.Version, ring *sign.Keyring) (bool, error) {
	var parts [2][]byte
	for n, name := range []string{"SHA256SUMS", "SHA256SUMS.asc"} {
		var err error
		if parts[n], err = p.Place.Read(dir+name, maxPaper); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	if !bytes.Equal(parts[0], sums(v)) {
		return false, nil
	}
	_, err := ring.Detached("SHA256SUMS", parts[0], parts[1], p.now())
	return err == nil, nil
}
