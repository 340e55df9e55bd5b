package repository

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/group"
	"ingot/internal/place"
)

// Remove takes versions out of the index of a group. Their blobs stay until
// [Repository.Collect].
func (r *Repository) Remove(ctx context.Context, name string, versions []group.Version) error {
	err := r.change(ctx, name, func(x *Index) (bool, error) {
		var kept []Record
		for _, rec := range x.Records {
			gone := false
			for _, v := range versions {
				gone = gone || v.Equal(rec.Version)
			}
			if !gone {
				kept = append(kept, rec)
			}
		}
		changed := len(kept) < len(x.Records)
		x.Records = kept
		return changed, nil
	})
	if err != nil {
		return err
	}
	return r.forget(name, versions)
}

// Old are the versions of each branch but the newest some of it, and, unless before is zero,
// of these only those from before a time.
func (x *Index) Old(keep int, before time.Time) []Record {
	var out []Record
	seen := map[string]bool{}
	for _, r := range x.Records {
		branch := r.Version.Branch()
		if name := branch.Freeze(); !seen[name] {
			seen[name] = true
			on := x.on(branch)
			out = append(out, on[:max(0, len(on)-keep)]...)
		}
	}
	if before.IsZero() {
		return out
	}
	return slices.DeleteFunc(out, func(r Record) bool {
		rev, _ := r.Version.Revision()
		return rev.Time >= before.UnixMilli()
	})
}

// A Collection says what was removed, and what is kept.
type Collection struct {
	Removed, Kept int   // blobs
	Groups        int   // whose versions need what is kept
	Versions      int   //
	Size          int64 // bytes of what is kept
}

// Collect removes the blobs that no version names. Nobody writes meanwhile: who wants to is
// told so, and where somebody writes it is refused. Force goes over notes of the dead. A dry
// run removes nothing.
func (r *Repository) Collect(ctx context.Context, dry, force bool) (Collection, error) {
	var c Collection
	if err := r.check(ctx, false); err != nil {
		return c, err
	}
	if !dry {
		done, err := r.collecting(ctx, force)
		if err != nil {
			return c, err
		}
		defer done()
	}
	names, err := r.Names(ctx)
	if err != nil {
		return c, err
	}
	needed := map[digest.Digest]int64{}
	for _, name := range names {
		x, _, err := r.index(ctx, name)
		if err != nil {
			return c, err
		}
		c.Groups++
		for _, rec := range x.Records {
			c.Versions++
			// Whoever signed it: what it names must stay.
			g, err := (&Repository{Place: r.Place, Now: r.Now}).Load(ctx, name, rec)
			if err != nil {
				return c, err
			}
			needed[rec.Statement.SHA256], needed[g.Statement.Content.SHA256] = rec.Statement.Size, g.Statement.Content.Size
			for _, b := range g.Content.all() {
				needed[b.SHA256] = b.Size
			}
		}
	}
	blobs, err := r.Place.List(ctx, "blobs/")
	if err != nil {
		return c, err
	}
	for _, o := range blobs {
		d, err := digest.Parse(o[strings.LastIndexByte(o, '/')+1:])
		if err != nil || (Blob{SHA256: d}).object() != o {
			continue // nobody's
		}
		if size, ok := needed[d]; ok {
			c.Kept++
			c.Size += size
			continue
		}
		if !dry {
			if err := r.Place.Remove(ctx, o); err != nil {
				return c, err
			}
		}
		c.Removed++
	}
	return c, nil
}

// collecting notes that somebody collects. It comes before the look for writers, and
// their note before their look for collectors: one of two sees the other.
func (r *Repository) collecting(ctx context.Context, force bool) (done func(), err error) {
	busy, err := r.noted(ctx, collecting)
	if err != nil {
		return nil, err
	}
	if busy && !force {
		return nil, fault.Newf(fault.Busy, "somebody else collects in %s", r.Place).WithHint("after a crash: --force")
	}
	if busy || force {
		if err := r.Place.Remove(ctx, collecting); err != nil {
			return nil, err
		}
	}
	if _, old, err := place.Read(ctx, r.Place, collecting, 100); err == nil {
		_, err = r.Place.Put(ctx, collecting, place.Text(r.note()), place.Was(old.Mark))
		if err != nil {
			return nil, r.lost(err)
		}
	} else if _, err := r.Place.Put(ctx, collecting, place.Text(r.note()), place.New); err != nil {
		return nil, r.lost(err)
	}
	done = func() { _ = r.Place.Remove(context.WithoutCancel(ctx), collecting) }
	notes, err := r.Place.List(ctx, "writing/")
	for _, n := range notes {
		var busy bool
		if busy, err = r.noted(ctx, n); err != nil {
			break
		}
		if busy && !force {
			err = fault.Newf(fault.Busy, "somebody writes to %s", r.Place).WithHint("try again when he is done; after a crash: --force")
			break
		}
		if err = r.Place.Remove(ctx, n); err != nil {
			break
		}
	}
	if err != nil {
		done()
		return nil, err
	}
	return done, nil
}

func (r *Repository) lost(err error) error {
	if errors.Is(err, place.ErrChanged) {
		return fault.Newf(fault.Busy, "somebody else collects in %s", r.Place)
	}
	return err
}
