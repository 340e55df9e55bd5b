package plan

import (
	"context"
	"fmt"
	"strings"

	"ingot/internal/cache"
	"ingot/internal/digest"
	"ingot/internal/tree"
)

// The cache's names of a step's result: the delta, and the pack with the contents
// that are new in it.
func deltaName(key digest.Digest) string { return "steps/" + key.String() + ".delta" }
func packName(key digest.Digest) string  { return "steps/" + key.String() + ".pack" }

// known says whether the cache has a step's result.
func (r *Runner) known(s Step) bool {
	return r.Supply.Cache.Has(deltaName(s.Key)) && r.Supply.Cache.Has(packName(s.Key))
}

// result gives the delta of a step that ran before.
func (r *Runner) result(s Step) (tree.Delta, error) {
	data, err := r.Supply.Cache.Get(deltaName(s.Key))
	if err != nil {
		return tree.Delta{}, err
	}
	f, err := r.Supply.Cache.Open(packName(s.Key))
	if err != nil {
		return tree.Delta{}, err
	}
	_ = f.Close()
	set, rest, err := tree.DecodeEntries(string(data))
	if err != nil {
		return tree.Delta{}, fmt.Errorf("%w: %w", cache.ErrMissing, err)
	}
	d := tree.Delta{Set: set}
	for path := range strings.SplitSeq(rest, "\x00") {
		if path != "" {
			d.Remove = append(d.Remove, path)
		}
	}
	return d, nil
}

// keep puts a step's result into the cache.
func (r *Runner) keep(s Step, d tree.Delta, pack *cache.Pending) error {
	if err := pack.Commit(); err != nil {
		return err
	}
	data := tree.AppendEntries(nil, d.Set)
	data = append(data, strings.Join(d.Remove, "\x00")...)
	return r.Supply.Cache.Put(deltaName(s.Key), data)
}

// perform runs a step and keeps what it did.
func (w *worker) perform(ctx context.Context, s Step) error {
	pack, err := w.Supply.Cache.Create(packName(s.Key))
	if err != nil {
		return err
	}
	defer pack.Discard()
	w.pack = pack
	before := w.tree
	if s.data != nil {
		e := &edit{worker: w, step: s, tree: w.tree}
		if err := s.data(e); err != nil {
			return err
		}
		// The sandbox, if there is one, does not have this.
		w.dropBox()
		w.tree = e.tree
	} else {
		if err := s.work(ctx, w); err != nil {
			return err
		}
		box, err := w.Box(ctx)
		if err != nil {
			return err
		}
		if w.tree, _, err = box.Capture(ctx, pack.File.File, packName(s.Key), "step:"+s.Name, w.plan.Lock.Epoch); err != nil {
			return err
		}
		if err := pack.Filled(); err != nil {
			return err
		}
	}
	return w.keep(s, tree.Diff(before, w.tree), pack)
}
