package server

import (
	"bytes"
	"context"
	"slices"

	"ingot/internal/catalog"
	"ingot/internal/fault"
	"ingot/internal/sign"
)

// Rotate changes the key that signs the tree. The old one says that the new one
// follows it, so clients that trust the old one go on.
func (p *Publisher) Rotate(ctx context.Context, next *sign.Key) error {
	old := p.Key
	defer func() { p.Key = old }()
	_, err := p.change(ctx, func(c catalog.Catalog) (catalog.Catalog, error) {
		if c.Serial == 0 {
			return c, noTree(p.Place)
		}
		if old.Fingerprint() == next.Fingerprint() {
			return c, fault.Newf(fault.Usage, "the tree is signed by key %s already", next.Fingerprint())
		}
		document, err := catalog.Rotate(old, next, p.now())
		if err != nil {
			return c, err
		}
		c.Rotations = append(slices.Clone(c.Rotations), document)
		p.Key = next
		return c, p.resign(ctx, c)
	})
	return err
}

// resign signs the files of versions anew that another key has signed.
func (p *Publisher) resign(ctx context.Context, c catalog.Catalog) error {
	ring, err := p.Key.Keyring()
	if err != nil {
		return err
	}
	for _, i := range c.Images {
		for _, v := range i.Versions {
			dir := v.Dir(i) + "/"
			sums, err := p.Place.Read(dir+"SHA256SUMS", maxPaper)
			if err != nil {
				return err
			}
			asc, err := p.Place.Read(dir+"SHA256SUMS.asc", 1<<20)
			if err != nil {
				return err
			}
			if _, err := ring.Detached("SHA256SUMS", sums, asc, p.now()); err == nil {
				continue
			}
			u := upload{signatures: map[string][]byte{}}
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
			if asc, err = p.Key.Detach(bytes.NewReader(sums), p.now()); err != nil {
				return err
			}
			if err := p.put(dir+"SHA256SUMS.asc", asc); err != nil {
				return err
			}
		}
	}
	return nil
}
