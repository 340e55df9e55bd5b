package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
)

// A Differ makes deltas.
type Differ interface {
	// Delta gives a file, which its caller closes, in VCDIFF (RFC 3284) that makes target out of
	// base, or nil if that takes nearly as many bytes as target itself. Both are read from the start.
	Delta(ctx context.Context, base, target *os.File) (*os.File, error)
	// Spool gives a file without a name.
	Spool() (*os.File, error)
}

// deltas puts a delta beside each root file system that Incus and LXD refresh by one: from that
// which the channel points to until now.
func (p *Publisher) deltas(ctx context.Context, w Wish, ups []upload) error {
	c, err := p.load()
	if err != nil {
		return err
	}
	for n := range ups {
		i, _ := c.Image(ups[n].name, ups[n].arch)
		base, ok := i.Channel(w.Channel)
		if !ok || base.Lock == ups[n].version.Lock {
			continue
		}
		for k := range ups[n].version.Artifacts {
			a := &ups[n].version.Artifacts[k]
			old, ok := base.Artifact(a.Format)
			// Of a single file Incus and LXD know no deltas, and of machines' disks only LXD's
			// newest would take one.
			if !ok || a.Format != "incus" || len(a.Files) != 2 || len(old.Files) != 2 || old.Files[0].SHA256 == a.Files[0].SHA256 {
				continue
			}
			if err := p.delta(ctx, w.Differ, a, &ups[n], base.Version, old.Files[0]); err != nil {
				return fmt.Errorf("cannot make a delta of %s from version %s: %w", a.Files[0].Name, base.Version, err)
			}
		}
	}
	return nil
}

// delta adds one to an artifact.
func (p *Publisher) delta(ctx context.Context, d Differ, a *catalog.Artifact, u *upload, version string, old catalog.File) error {
	base, err := p.local(ctx, d, u, old)
	if fault.CodeOf(err) == fault.Verification {
		return nil //nolint:nilerr // a delta of something else is none; 'server verify' tells of the damage
	}
	if err != nil {
		return err
	}
	defer func() { _ = base.Close() }()
	target, err := p.local(ctx, d, u, a.Files[0])
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	f, err := d.Delta(ctx, base, target)
	if err != nil || f == nil {
		return err
	}
	defer func() { _ = f.Close() }()
	made := catalog.Delta{File: catalog.File{Name: "delta-" + version + ".vcdiff"}, Base: version}
	if made.SHA256, made.Size, err = digest.Reader(f); err != nil {
		return err
	}
	a.Deltas = append(a.Deltas, made)
	return p.copy(ctx, f, filepath.Base(made.Name), made.File, func(int64) {})
}

// local is a blob, held to its digest, as a file of this machine.
func (p *Publisher) local(ctx context.Context, d Differ, u *upload, f catalog.File) (*os.File, error) {
	r, err := p.open(ctx, f, u, func(int64) {})
	if err != nil {
		return nil, err
	}
	file, here := r.Closer.(*os.File)
	to := io.Discard
	if !here {
		defer func() { _ = r.Close() }()
		if file, err = d.Spool(); err != nil {
			return nil, err
		}
		to = file
	}
	if _, err = io.Copy(to, r); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
