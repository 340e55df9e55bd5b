// Package supply brings locked packages: from a mirror into the store, as they
// were signed, and from the store into the cache, as trees. Many are fetched at
// a time while others are unpacked, one a core.
package supply

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"ingot/internal/cache"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/store"
	"ingot/internal/tree"
)

// A Supply is where packages come from.
type Supply struct {
	Store  *store.Store
	Cache  *cache.Cache
	Client *fetch.Client
	Distro distro.Distro
	// Mirrors gives the roots of an archive, best first; nil is offline.
	Mirrors func(archive string) []string
}

// A Meter hears what goes on; all of its functions may be called at once from
// many goroutines, and any may be nil.
type Meter struct {
	Fetched  func(bytes int64) // more bytes have come from a mirror
	Unpacked func(ref distro.Ref, cached bool)
}

// packName is the cache's name of a package's contents, and treeName of the rest.
func packName(ref distro.Ref) string { return "packages/" + ref.SHA256.String() + ".pack" }
func treeName(ref distro.Ref) string { return "packages/" + ref.SHA256.String() + ".tree" }

// Missing gives the packages that the store does not have yet.
func (s *Supply) Missing(refs []distro.Ref) []distro.Ref {
	var out []distro.Ref
	for _, r := range refs {
		if !s.Store.Has(r.SHA256, r.Size) {
			out = append(out, r)
		}
	}
	return out
}

// Unpacked gives packages as trees, in the order of refs. What the store lacks is
// fetched and verified; what the cache lacks is unpacked.
func (s *Supply) Unpacked(ctx context.Context, refs []distro.Ref, m Meter) ([]distro.Unpacked, error) {
	out := make([]distro.Unpacked, len(refs))
	g, inner := errgroup.WithContext(ctx)
	// Fetching must not wait for unpacking: the queue holds all.
	ready := make(chan int, len(refs))
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for i := range ready {
				u, cached, err := s.unpack(inner, refs[i])
				if err != nil {
					return err
				}
				out[i] = u
				if m.Unpacked != nil {
					m.Unpacked(refs[i], cached)
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(ready)
		return s.fetch(inner, refs, ready, m)
	})
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return out, nil
}

// Fetch brings packages into the store and no further.
func (s *Supply) Fetch(ctx context.Context, refs []distro.Ref, m Meter) error {
	return s.fetch(ctx, refs, make(chan int, len(refs)), m)
}

// fetch sends the place of each package to ready once the store has it.
func (s *Supply) fetch(ctx context.Context, refs []distro.Ref, ready chan<- int, m Meter) error {
	var jobs []fetch.Job
	for i, ref := range refs {
		if s.Store.Has(ref.SHA256, ref.Size) {
			ready <- i
			continue
		}
		if s.Mirrors == nil {
			return fault.Newf(fault.Unreachable, "package %s %s is not in the store, and this build is offline", ref.Name, ref.Version).
				WithHint("run the build once without --offline, or bring the store with 'ingot store import'")
		}
		var urls []string
		for _, root := range s.Mirrors(ref.Archive) {
			urls = append(urls, strings.TrimSuffix(root, "/")+"/"+ref.Location)
		}
		var pending *store.Pending
		jobs = append(jobs, fetch.Job{
			Want: fetch.Want{Name: ref.Location, URLs: urls, Size: ref.Size, SHA256: ref.SHA256},
			To: func() (fetch.Sink, error) {
				p, err := s.Store.Create()
				pending = p
				return &counted{Pending: p, tell: m.Fetched}, err
			},
			Done: func(_ fetch.Got, err error) error {
				if err != nil {
					pending.Discard()
					return nil
				}
				if err := pending.Commit(ref.SHA256); err != nil {
					return err
				}
				ready <- i
				return nil
			},
		})
	}
	return s.Client.Many(ctx, jobs)
}

// counted tells of bytes as they come.
type counted struct {
	*store.Pending
	tell func(int64)
	n    int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Pending.Write(b)
	if c.n += int64(n); c.tell != nil {
		c.tell(int64(n))
	}
	return n, err
}

// Reset forgets what has come, for a transfer that begins again.
func (c *counted) Reset() error {
	if c.tell != nil {
		c.tell(-c.n)
	}
	c.n = 0
	return c.Restart()
}

// form is how the cache keeps an unpacked package, beside its pack.
type form struct {
	Entries []byte
	Order   []string
	Control map[string]distro.ControlFile
}

// unpack gives one package of the store as a tree.
func (s *Supply) unpack(ctx context.Context, ref distro.Ref) (u distro.Unpacked, cached bool, err error) {
	u, err = s.cached(ref)
	if err == nil {
		return u, true, nil
	}
	if !errors.Is(err, cache.ErrMissing) {
		return u, false, err
	}
	// Whoever put the blob there may have been another machine, years ago.
	if err := s.Store.Verify(ref.SHA256); err != nil {
		return u, false, fmt.Errorf("package %s %s: %w", ref.Name, ref.Version, err)
	}
	f, err := s.Store.Open(ref.SHA256)
	if err != nil {
		return u, false, err
	}
	defer func() { _ = f.Close() }()
	pack, err := s.Cache.Create(packName(ref))
	if err != nil {
		return u, false, err
	}
	defer pack.Discard()
	if u, err = s.Distro.Unpack(ctx, ref, f, pack); err != nil {
		return u, false, err
	}
	if err := pack.Commit(); err != nil {
		return u, false, err
	}
	entries := make([]tree.Entry, 0, u.Tree.Len())
	for e := range u.Tree.All() {
		entries = append(entries, e)
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(form{tree.AppendEntries(nil, entries), u.Order, u.Control}); err != nil {
		return u, false, fmt.Errorf("cannot encode package %s: %w", ref.Name, err)
	}
	return u, false, s.Cache.Put(treeName(ref), b.Bytes())
}

func (s *Supply) cached(ref distro.Ref) (distro.Unpacked, error) {
	u := distro.Unpacked{Ref: ref}
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
