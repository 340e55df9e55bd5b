package supply

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"ingot/internal/cache"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

// form is how the cache keeps an unpacked package, beside its pack.
type form struct {
	Entries []byte
	Order   []string
	Control map[string]distro.ControlFile
}

// inspect gives what a package of the store says of itself.
func (s *Supply) inspect(ctx context.Context, ref distro.Ref) (distro.Package, error) {
	f, err := s.open(ctx, ref)
	if err != nil {
		return distro.Package{}, fmt.Errorf("package %s %s: %w", ref.Name, ref.Version, err)
	}
	defer func() { _ = f.Close() }()
	return s.Distro.Inspect(ctx, ref, f)
}

// unpack gives one package of the store as a tree, and the cache too.
func (s *Supply) unpack(ctx context.Context, p distro.Package) (u distro.Unpacked, err error) {
	ref := p.Ref
	f, err := s.open(ctx, ref)
	if err != nil {
		return u, fmt.Errorf("package %s %s: %w", ref.Name, ref.Version, err)
	}
	defer func() { _ = f.Close() }()
	pack, err := s.Cache.Create(packName(ref))
	if err != nil {
		return u, err
	}
	defer pack.Discard()
	if u, err = s.Distro.Unpack(ctx, p, f, pack); err != nil {
		if full := pack.Err(); full != nil { // and not the package's fault
			return u, full
		}
		return u, err
	}
	if err := pack.Commit(); err != nil {
		return u, err
	}
	entries := make([]tree.Entry, 0, u.Tree.Len())
	for e := range u.Tree.All() {
		entries = append(entries, e)
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(form{tree.AppendEntries(nil, entries), u.Order, u.Control}); err != nil {
		return u, fmt.Errorf("cannot encode package %s: %w", ref.Name, err)
	}
	return u, s.Cache.Put(treeName(ref), b.Bytes())
}

// open opens a package of the store, verified: whoever put it there may have been
// another machine, years ago. One that turns out to be damaged is fetched again.
func (s *Supply) open(ctx context.Context, ref distro.Ref) (*os.File, error) {
	f, err := s.Store.OpenVerified(ref.SHA256)
	if fault.CodeOf(err) != fault.Verification && !errors.Is(err, fs.ErrNotExist) || s.Mirrors == nil {
		return f, err
	}
	if again := s.Fetch(ctx, []distro.Ref{ref}, Meter{}); again != nil {
		return nil, fmt.Errorf("%w; it could not be fetched anew: %w", err, again)
	}
	return s.Store.OpenVerified(ref.SHA256)
}

// cached gives a package as the cache has it, or cache.ErrMissing.
func (s *Supply) cached(ref distro.Ref) (distro.Unpacked, error) {
	u := distro.Unpacked{Package: distro.Package{Ref: ref}}
	data, err := s.Cache.Get(treeName(ref))
	if err != nil {
		return u, err
	}
	if pack, err := s.Cache.Open(packName(ref)); err != nil {
		return u, err
	} else if err := pack.Close(); err != nil {
		return u, err
	}
	var f form
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&f); err != nil {
		return u, fmt.Errorf("%w: %w", cache.ErrMissing, err)
	}
	entries, _, err := tree.DecodeEntries(string(f.Entries))
	if err != nil {
		return u, fmt.Errorf("%w: %w", cache.ErrMissing, err)
	}
	u.Order, u.Control = f.Order, f.Control
	u.Tree, err = tree.New(entries)
	return u, err
}
