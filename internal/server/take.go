package server

import (
	"context"
	"path/filepath"
	"slices"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/input"
)

// Incoming is a version of an image that was on another server.
type Incoming struct {
	Image    catalog.Image // of which Name, Arch and Variant count
	Channels []string      // that point to it from now on
	Version  catalog.Version
	Dir      string // where its files lie, by their names
}

// Has says whether the tree has a version already, with artifacts of the same formats and in
// the same channels.
func (p *Publisher) Has(image catalog.Image, channels []string, v catalog.Version) (bool, error) {
	c, err := p.load()
	if err != nil {
		return false, err
	}
	i, ok := c.Image(image.Name, image.Arch)
	if !ok {
		return false, nil
	}
	there, ok := i.Version(v.Version)
	if !ok {
		return false, nil
	}
	for _, a := range v.Artifacts {
		if _, ok := there.Artifact(a.Format); !ok {
			return false, nil
		}
	}
	for _, k := range channels {
		if now, ok := i.Channel(k); !ok || now.Version != v.Version {
			return false, nil
		}
	}
	return true, nil
}

// Take puts a version of another server's into the tree, signed anew.
func (p *Publisher) Take(ctx context.Context, in Incoming) (Published, error) {
	var out Published
	c, err := p.load()
	if err == nil {
		_, err = p.timely(c.Created)
	}
	if err != nil {
		return out, err
	}
	v := in.Version
	u := newUpload(in.Image.Name, in.Image.Arch, v)
	v.Artifacts = slices.Clone(v.Artifacts)
	quiet := func(int64) {}
	for n := range v.Artifacts {
		a := &v.Artifacts[n]
		a.Deltas = nil // their bases may not come along
		for _, f := range a.All() {
			u.here[f.SHA256] = filepath.Join(in.Dir, f.Name)
			if err := p.bring(ctx, u.here[f.SHA256], f); err != nil {
				return out, err
			}
		}
		a.Disk = nil
		if err := p.disk(ctx, a, &u, quiet); err != nil {
			return out, err
		}
		if err := p.sign(ctx, *a, &u, quiet); err != nil {
			return out, err
		}
		said := a.Fingerprint
		a.Fingerprint = digest.Digest{}
		if err := p.fingerprint(ctx, a, &u, quiet); err != nil {
			return out, err
		}
		if !said.IsZero() && said != a.Fingerprint {
			return out, fault.Newf(fault.Verification, "%s of %s has the fingerprint %s, and its server says %s", a.Files[0].Name, v.Version, a.Fingerprint, said).
				WithHint("the files there are of two versions: try again later")
		}
	}
	_, err = p.change(ctx, func(c catalog.Catalog) (catalog.Catalog, error) {
		c, done := c.Take(in.Image, in.Channels, v)
		out = Published{in.Image.Name, in.Image.Arch, done.Version, done.New, done.Joined}
		if err := p.name(done, u); err != nil {
			return c, err
		}
		if !done.New && !done.Joined {
			return c, errUnchanged
		}
		return c, nil
	})
	return out, err
}

// bring puts a file into the tree by its digest.
func (p *Publisher) bring(ctx context.Context, from string, want catalog.File) error {
	quiet := func(int64) {}
	if ok, err := p.has(ctx, want, quiet); ok || err != nil {
		return err
	}
	f, err := input.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return p.copy(ctx, f, from, want, quiet)
}
