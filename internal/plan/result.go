package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ingot/internal/cache"
	"ingot/internal/digest"
	"ingot/internal/tree"
)

// deltaName is the cache's name of a step's result: the name of its pack, the key of the
// first step that it holds the work of, and the delta, with a NUL between them.
func deltaName(key digest.Digest) string { return "steps/" + key.String() }

// packName is the cache's name of a pack, the contents that are new in a result: by
// what it holds, since two builds of one step at once need not make the same, and each
// goes on reading its own.
func packName(content digest.Digest) string { return "steps/" + content.String() + ".pack" }

// fillingName is what entries call a step's pack while it is being filled.
func fillingName(key digest.Digest) string { return "steps/" + key.String() + ".filling" }

// passed stands for the result of a light step that was not kept: a later step's holds
// what it did.
const passed = "passed"

var errPassed = errors.New("the result is part of a later one")

// stored gives a step's result as it lies in the cache.
func (r *Runner) stored(s Step) (pack, first, delta string, err error) {
	data, err := r.Supply.Cache.Get(deltaName(s.Key))
	if err != nil {
		return "", "", "", err
	}
	pack, delta, _ = strings.Cut(string(data), "\x00")
	first, delta, _ = strings.Cut(delta, "\x00")
	return pack, first, delta, nil
}

// known says whether the cache has a step's result.
func (r *Runner) known(s Step) bool {
	pack, _, _, err := r.stored(s)
	return err == nil && (pack == passed || r.Supply.Cache.Has(pack))
}

// passed says whether a step's result was left to a later one's.
func (r *Runner) passed(s Step) bool {
	pack, _, _, err := r.stored(s)
	return err == nil && pack == passed
}

// follows says whether a result that was kept holds the work of all steps from the first
// one on. Two runs keep other ones of the light steps, and a run that was broken off leaves some of its
// own beside those of an earlier run: they do not fit together.
func (r *Runner) follows(s, first Step) bool {
	_, from, _, err := r.stored(s)
	return err == nil && from == first.Key.String()
}

// result gives the delta of a step that ran before, behind one that begins with the step
// first.
func (r *Runner) result(s, first Step) (tree.Delta, error) {
	pack, from, data, err := r.stored(s)
	if err != nil {
		return tree.Delta{}, err
	}
	if pack == passed {
		return tree.Delta{}, errPassed
	}
	if from != first.Key.String() {
		return tree.Delta{}, cache.ErrMissing
	}
	f, err := r.Supply.Cache.Open(pack)
	if err != nil {
		return tree.Delta{}, err
	}
	_ = f.Close()
	set, rest, err := tree.DecodeEntries(data)
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

// keep puts a step's result into the cache: what changed since before. The pack gets
// the name that it keeps, and so do the entries that point into it.
func (w *worker) keep(s Step, before tree.Tree) error {
	filling := w.pack.Name()
	name := packName(w.pack.Digest())
	w.pack.Rename(name)
	if err := w.pack.Commit(); err != nil {
		return err
	}
	// The sandbox goes on to call the packs of all steps as they were when they were filled.
	if w.packs == nil {
		w.packs = map[string]string{}
	}
	w.packs[filling] = name
	w.tree = w.tree.InPacks(w.packs)
	if w.downs != nil {
		used, err := json.Marshal(w.downs.take())
		if err == nil {
			err = w.Supply.Cache.Put(usedName(s.Key), used)
		}
		if err != nil {
			return err
		}
	}
	d := tree.Diff(before, w.tree)
	data := tree.AppendEntries([]byte(name+"\x00"+w.first.String()+"\x00"), d.Set)
	data = append(data, strings.Join(d.Remove, "\x00")...)
	w.first = digest.Digest{}
	return w.Supply.Cache.Put(deltaName(s.Key), data)
}

// usedName is the cache's name of the downloads that a step used, and those before it
// whose results are in its.
func usedName(key digest.Digest) string { return deltaName(key) + ".downloads" }

// recall notes the downloads of a step whose result is known. It says no where the lock
// has others, or none.
func (d *downloads) recallStep(s Step) (bool, error) {
	if d == nil {
		return true, nil
	}
	data, err := d.runner.Supply.Cache.Get(usedName(s.Key))
	if err != nil {
		return false, err
	}
	var used use
	if err := json.Unmarshal(data, &used); err != nil {
		return false, fmt.Errorf("%w: %w", cache.ErrMissing, err)
	}
	return d.recall(used), nil
}

// recallAll notes the downloads of all steps of a chain, as far as the cache still knows,
// and says whether they are the lock's: what was made of others is to be made again.
func (d *downloads) recallAll(c Chain) bool {
	if d == nil {
		return true
	}
	same := true
	for _, s := range c.Steps {
		if one, err := d.recallStep(s); err == nil && !one {
			same = false
		}
	}
	return same
}

// lightFor is how long light steps may go on without any result kept, or as long as
// keeping the last few took: to run them again costs no more than to keep each of them
// would.
const (
	lightFor  = 700 * time.Millisecond
	lightCost = 3
)

// perform runs a step and keeps what it did. Of light steps that follow each other only
// one now and then is captured: the result of that one is what all of them did.
func (w *worker) perform(ctx context.Context, s Step, keep bool) error {
	if w.first == (digest.Digest{}) {
		w.first = s.Key
	}
	if s.light {
		if err := s.work(ctx, w); err != nil {
			return err
		}
		if w.lightSince.IsZero() {
			w.lightSince = w.started
		}
		if !keep && time.Since(w.lightSince) < max(lightFor, lightCost*w.lightTook) {
			return w.Supply.Cache.Put(deltaName(s.Key), []byte(passed+"\x00"))
		}
		if err := w.keepMounts(ctx); err != nil {
			return err
		}
		start := time.Now()
		defer func() { w.lightSince, w.lightTook = time.Now(), time.Since(start) }()
	}

	pack, err := w.Supply.Cache.Create(fillingName(s.Key))
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
		if !s.light {
			if err := s.work(ctx, w); err != nil {
				return err
			}
		}
		box, err := w.Box(ctx)
		if err != nil {
			return err
		}
		if w.tree, _, err = box.Capture(ctx, pack.File.File, pack.Name(), "step:"+s.Name, w.plan.Lock.Epoch); err != nil {
			return err
		}
		if err := pack.Filled(); err != nil {
			return err
		}
	}
	return w.keep(s, before)
}
