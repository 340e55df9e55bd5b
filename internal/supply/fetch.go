package supply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/store"
)

// Fetch brings packages into the store and no further.
func (s *Supply) Fetch(ctx context.Context, refs []distro.Ref, m Meter) error {
	return s.fetch(ctx, refs, nil, make(chan int, len(refs)), m)
}

// fetch sends the place of each package to ready once the store has it. What it
// brought is durable when it returns. It begins only if there is room for that, and
// for what will be unpacked.
func (s *Supply) fetch(ctx context.Context, refs, unpacked []distro.Ref, ready chan<- int, m Meter) error {
	// One lock may name a package in several sets.
	places := map[digest.Digest][]int{}
	var there []int
	var missing []distro.Ref
	for i, ref := range refs {
		if s.Store.Has(ref.SHA256, ref.Size) {
			there = append(there, i)
			continue
		}
		if places[ref.SHA256] == nil {
			missing = append(missing, ref)
		}
		places[ref.SHA256] = append(places[ref.SHA256], i)
	}
	if len(missing) > 0 && s.Mirrors == nil && s.Elsewhere == nil {
		return offline(missing)
	}
	if err := s.room(missing, unpacked); err != nil {
		return err
	}
	for _, i := range there {
		ready <- i
	}
	if len(missing) == 0 {
		return nil
	}
	if s.Elsewhere != nil {
		rest, err := s.fetchElsewhere(ctx, missing, m)
		if err != nil {
			return err
		}
		for _, ref := range missing {
			if !slices.Contains(rest, ref) {
				for _, i := range places[ref.SHA256] {
					ready <- i
				}
			}
		}
		switch missing = rest; {
		case len(missing) == 0:
			return s.Store.Flush()
		case s.Mirrors == nil:
			return errors.Join(s.Store.Flush(), offline(missing))
		}
	}
	var jobs []fetch.Job
	for _, ref := range missing {
		jobs = append(jobs, s.job(ref, m, func() {
			for _, i := range places[ref.SHA256] {
				ready <- i
			}
		}))
	}
	if err := s.Client.Many(ctx, jobs); err != nil {
		return err
	}
	return s.Store.Flush()
}

// fetchElsewhere brings what is elsewhere than on a mirror, some at a time, and gives the rest.
func (s *Supply) fetchElsewhere(ctx context.Context, missing []distro.Ref, m Meter) (rest []distro.Ref, err error) {
	there := make([]bool, len(missing))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, ref := range missing {
		g.Go(func() error {
			f, err := s.Elsewhere(ctx, ref)
			if err != nil || f == nil {
				return err
			}
			defer f.Close()
			p, err := s.Store.Create()
			if err != nil {
				return err
			}
			defer p.Discard()
			if _, err := io.Copy(&counted{Pending: p, tell: m.Fetched}, f); err != nil {
				return fmt.Errorf("package %s %s: %w", ref.Name, ref.Version, err)
			}
			there[i] = true
			return p.Commit(ref.SHA256)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, ref := range missing {
		if !there[i] {
			rest = append(rest, ref)
		}
	}
	return rest, nil
}

func offline(missing []distro.Ref) error {
	first := missing[0]
	e := fault.Newf(fault.Unreachable, "package %s %s is not in the store, and this build is offline", first.Name, first.Version)
	if n := len(missing) - 1; n > 0 {
		e = fault.Newf(fault.Unreachable, "package %s %s and %d more are not in the store, and this build is offline", first.Name, first.Version, n)
	}
	return e.WithHint("run the build once without --offline, or bring the packages with 'ingot store export' and 'ingot store import'")
}

// job fetches one package and calls done when the store has it.
func (s *Supply) job(ref distro.Ref, m Meter, done func()) fetch.Job {
	var urls []string
	for _, root := range s.Mirrors(ref.Archive) {
		urls = append(urls, strings.TrimSuffix(root, "/")+(&url.URL{Path: "/" + ref.Location}).EscapedPath())
	}
	var pending *store.Pending
	return fetch.Job{
		Want: fetch.Want{Name: ref.Location, URLs: urls, Size: ref.Size, SHA256: ref.SHA256},
		To: func() (fetch.Sink, error) {
			p, err := s.Store.Create()
			pending = p
			return &counted{Pending: p, tell: m.Fetched}, err
		},
		Done: func(_ fetch.Got, err error) error {
			if err != nil {
				pending.Discard()
				return nil //nolint:nilerr // Many gives it to its caller
			}
			if err := pending.Commit(ref.SHA256); err != nil {
				return err
			}
			done()
			return nil
		},
	}
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
