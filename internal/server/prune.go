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
	drop := func(c catalog.Catalog) (catalog.Catalog, error) {
		if c.Serial == 0 {
			return c, noTree(p.Place)
		}
		if policy.Only != "" && !has(c, policy.Only) {
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
		err := p.remove(ctx, c, done, grace, dry, &out)
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

// has says whether a catalog knows an image, or did until lately.
func has(c catalog.Catalog, name string) bool {
	return slices.ContainsFunc(c.Images, func(i catalog.Image) bool { return i.Name == name }) ||
		slices.ContainsFunc(c.Retired, func(r catalog.Retired) bool { return path.Base(path.Dir(r.Dir)) == name })
}

// remove removes the directories of versions, and the blobs that a catalog does not
// name and that were of no use for the grace period: a publisher may have uploaded
// them and not named yet.
func (p *Publisher) remove(ctx context.Context, c catalog.Catalog, done []catalog.Retired, grace time.Duration, dry bool, out *Pruned) error {
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
			if err := p.Place.Remove(r.Dir); err != nil {
				return err
			}
		}
	}
	keep := c.Blobs()
	var gone []string
	err := p.Place.Walk("blobs", func(name string, size int64, used time.Time) error {
		d, ok := blobName(name)
		if !ok {
			return nil // nobody's, and none of ours to judge
		}
		if _, ok := keep[d]; ok || p.now().Sub(used) < grace {
			return ctx.Err()
		}
		gone = append(gone, name)
		out.Freed += size
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	// And directories of versions that no catalog names: of a publisher that was killed.
	orphans := map[string]bool{}
	err = p.Place.Walk("images", func(name string, _ int64, used time.Time) error {
		dir := path.Dir(name)
		if !dirs[dir] && strings.Count(dir, "/") == 5 && p.now().Sub(used) >= grace {
			orphans[dir] = true
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	out.Removed = len(gone)
	if dry {
		return nil
	}
	for dir := range orphans {
		if err := p.Place.Remove(dir); err != nil {
			return err
		}
	}
	for _, name := range gone {
		if err := p.Place.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// blobName is the digest that a blob's path names.
func blobName(name string) (digest.Digest, bool) {
	d, err := digest.Parse(path.Base(name))
	return d, err == nil && catalog.BlobPath(d) == name
}
