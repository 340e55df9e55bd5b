package server

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/digest"
)

// Pruned is what a prune did, or would do.
type Pruned struct {
	Dropped []catalog.Gone // versions that indexes name no more
	Removed int            // files that are gone
	Freed   int64          // bytes of them
	Waiting int            // versions whose files stay until the grace period is over
}

// Prune lets versions go by a policy and by their own dates, and removes the files of those
// that were let go longer ago than a grace period. A dry run changes nothing.
//
// First the indexes stop naming a version, then its files go, then what is known of it.
func (p *Publisher) Prune(ctx context.Context, policy catalog.Policy, grace time.Duration, dry bool) (Pruned, error) {
	var out Pruned
	if _, far := p.Place.(*Remote); far {
		grace = max(grace, Grace) // so it does, whoever asks
	}
	drop := func(c catalog.Catalog) (catalog.Catalog, error) {
		if c.Serial == 0 {
			return c, noTree(p.Place)
		}
		if policy.Only != "" && !knows(c, policy.Only) {
			return c, c.NotFound(policy.Only)
		}
		next, gone := c.Drop(policy, p.now())
		if out.Dropped = gone; len(gone) == 0 {
			return c, errUnchanged
		}
		return next, nil
	}
	clear := func(c catalog.Catalog) (catalog.Catalog, error) {
		var kept, done []catalog.Retired
		for _, r := range c.Retired {
			if p.now().Sub(r.Since) >= grace {
				done = append(done, r)
			} else {
				kept = append(kept, r)
			}
		}
		out.Waiting = len(kept)
		c.Retired = kept
		var err error
		if far, ok := p.Place.(*Remote); ok {
			out.Removed, out.Freed, err = far.Sweep(grace, dry)
		} else {
			out.Removed, out.Freed, err = remove(ctx, p.Place, c, done, p.now().Add(-grace), dry)
		}
		if err == nil && len(done) == 0 {
			err = errUnchanged
		}
		return c, err
	}
	if dry {
		c, err := p.load()
		if err == nil {
			c, err = drop(c)
		}
		if err == nil || errors.Is(err, errUnchanged) {
			_, err = clear(c)
		}
		if errors.Is(err, errUnchanged) {
			err = nil
		}
		return out, err
	}
	for _, step := range []func(catalog.Catalog) (catalog.Catalog, error){drop, clear} {
		if _, err := p.change(ctx, step); err != nil {
			return out, err
		}
	}
	return out, nil
}

// knows says whether a catalog has an image, or had it until lately.
func knows(c catalog.Catalog, name string) bool {
	return slices.ContainsFunc(c.Images, func(i catalog.Image) bool { return i.Name == name }) ||
		slices.ContainsFunc(c.Retired, func(r catalog.Retired) bool { return path.Base(path.Dir(r.Dir)) == name })
}

// remove removes the directories of versions, and the blobs that a catalog does not
// name and that were of no use since a time: a publisher may have uploaded
// them and not named yet. It says how many blobs went, and their bytes.
func remove(ctx context.Context, place Place, c catalog.Catalog, done []catalog.Retired, since time.Time, dry bool) (removed int, freed int64, err error) {
	dirs := map[string]bool{}
	for _, i := range c.Images {
		for _, v := range i.Versions {
			dirs[v.Dir(i)] = true
		}
	}
	for _, r := range c.Retired {
		dirs[r.Dir] = true
	}
	for _, r := range done {
		if !dry && !dirs[r.Dir] {
			if err := place.Remove(r.Dir); err != nil {
				return 0, 0, err
			}
		}
	}
	keep := c.Blobs()
	var gone []string
	err = place.Walk("blobs", func(name string, size int64, used time.Time) error {
		d, ok := blobName(name)
		if !ok {
			return nil // nobody's, and none of ours to judge
		}
		if _, ok := keep[d]; ok || used.After(since) {
			return ctx.Err()
		}
		gone = append(gone, name)
		freed += size
		return ctx.Err()
	})
	if err != nil {
		return 0, 0, err
	}
	// And directories of versions that no catalog names: of a publisher that was killed.
	orphans := map[string]bool{}
	err = place.Walk("images", func(name string, _ int64, used time.Time) error {
		dir := path.Dir(name)
		if !dirs[dir] && strings.Count(dir, "/") == 5 && !used.After(since) {
			orphans[dir] = true
		}
		return ctx.Err()
	})
	if err != nil || dry {
		return len(gone), freed, err
	}
	for dir := range orphans {
		if err := place.Remove(dir); err != nil {
			return 0, 0, err
		}
	}
	for _, name := range gone {
		if err := place.Remove(name); err != nil {
			return 0, 0, err
		}
	}
	return len(gone), freed, nil
}

// blobName is the digest that a blob's path names.
func blobName(name string) (digest.Digest, bool) {
	d, err := digest.Parse(path.Base(name))
	return d, err == nil && catalog.BlobPath(d) == name
}
