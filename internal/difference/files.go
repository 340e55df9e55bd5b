package difference

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"ingot/internal/repository"
)

// treeChange is what changed in one set.
type treeChange struct {
	set   string
	files []File
	sizes []Size
}

// trees compares the files of the sets that both have.
func (r *Report) trees(ctx context.Context, before, after *repository.Group, known [2]packages, o Options) error {
	old := map[string]repository.Tree{}
	for _, t := range before.Content.Trees {
		if o.Takes == nil || o.Takes(t) {
			old[setName(t)] = t
		}
	}
	type pair struct{ a, b repository.Tree }
	var pairs []pair
	for _, t := range after.Content.Trees {
		if o.Takes != nil && !o.Takes(t) {
			continue
		}
		a, ok := old[setName(t)]
		delete(old, setName(t))
		out := Tree{Name: setName(t), Action: "same", OldFiles: a.Count, NewFiles: t.Count, OldBytes: a.Bytes, NewBytes: t.Bytes}
		switch {
		case !ok:
			out.Action = "added"
		case a.Files != t.Files:
			out.Action = "changed"
			pairs = append(pairs, pair{a, t})
		}
		r.Trees = append(r.Trees, out)
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		r.Trees = append(r.Trees, Tree{Name: name, Action: "removed", OldFiles: old[name].Count, OldBytes: old[name].Bytes})
	}
	changes := make([]treeChange, len(pairs))
	pool := sync.Pool{New: func() any { return new([4]bytes.Buffer) }} // lists have megabytes each
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, p := range pairs {
		g.Go(func() error {
			buffers := pool.Get().(*[4]bytes.Buffer) //nolint:forcetypeassert // the pool has no others
			defer pool.Put(buffers)
			var texts [4][]byte
			for j, from := range []struct {
				g *repository.Group
				b repository.Blob
			}{{before, p.a.Files}, {before, p.a.Owners}, {after, p.b.Files}, {after, p.b.Owners}} {
				if err := from.g.ReadInto(ctx, from.b, &buffers[j]); err != nil {
					return err
				}
				texts[j] = buffers[j].Bytes()
			}
			var err error
			changes[i], err = compare(setName(p.b), texts)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.gather(changes, known)
	return nil
}

// An owned is how many bytes an owner's files have.
type owned struct {
	Size
	same [][2]int // parts of the old list whose lines the new one has too, with that owner
}

// compare goes through two lists of files side by side; both are sorted by path. Most lines are the same
// in both: nothing of them is read but where they end, unless something else of their owner
// differs, whose size is then to be told.
func compare(set string, texts [4][]byte) (treeChange, error) {
	out := treeChange{set: set}
	owners := map[string]*owned{}
	of := func(owner []byte) *owned {
		o := owners[string(owner)]
		if o == nil {
			o = &owned{Size: Size{Set: set, Owner: string(owner)}}
			owners[o.Owner] = o
		}
		return o
	}
	a, b := side{Lines: repository.NewLines(texts[0], texts[1])}, side{Lines: repository.NewLines(texts[2], texts[3])}
	if err := errors.Join(a.next(), b.next()); err != nil {
		return out, err
	}
	var last *owned // of the line before
	for a.there || b.there {
		if a.there && b.there && bytes.Equal(a.Line, b.Line) && bytes.Equal(a.Owner, b.Owner) {
			if last == nil || last.Owner != string(a.Owner) {
				last = of(a.Owner)
			}
			end := a.At + len(a.Line) + 1
			if n := len(last.same); n > 0 && last.same[n-1][1] == a.At {
				last.same[n-1][1] = end
			} else {
				last.same = append(last.same, [2]int{a.At, end})
			}
			if err := a.next(); err != nil {
				return out, err
			}
			if err := b.next(); err != nil {
				return out, err
			}
			continue
		}
		old, err := a.file()
		if err != nil {
			return out, err
		}
		now, err := b.file()
		if err != nil {
			return out, err
		}
		c := strings.Compare(old.Path, now.Path)
		switch {
		case !b.there || a.there && c < 0:
			out.files = append(out.files, File{Action: "removed", Path: old.Path, Owner: old.Owner, OldSize: old.Size()})
			of(a.Owner).Old += old.Size()
			err = a.next()
		case !a.there || c > 0:
			out.files = append(out.files, File{Action: "added", Path: now.Path, Owner: now.Owner, NewSize: now.Size()})
			of(b.Owner).New += now.Size()
			err = b.next()
		default:
			if old.Line != now.Line {
				out.files = append(out.files, File{Action: "changed", Path: now.Path, Owner: now.Owner, OldSize: old.Size(), NewSize: now.Size()})
			}
			of(a.Owner).Old += old.Size()
			of(b.Owner).New += now.Size()
			if err = a.next(); err == nil {
				err = b.next()
			}
		}
		if err != nil {
			return out, err
		}
	}
	for _, owner := range slices.Sorted(maps.Keys(owners)) {
		o := owners[owner]
		if o.Old == o.New {
			continue
		}
		for _, part := range o.same {
			n := repository.SizeOf(texts[0][part[0]:min(part[1], len(texts[0]))])
			o.Old, o.New = o.Old+n, o.New+n
		}
		out.sizes = append(out.sizes, o.Size)
	}
	return out, nil
}

// A side is one of two lists, and whether there is a line left.
type side struct {
	*repository.Lines
	there bool
	read  *repository.File // the line, once it is read
}

func (s *side) next() (err error) {
	s.there, err = s.Next()
	s.read = nil
	return err
}

// file is the line; there may be none.
func (s *side) file() (repository.File, error) {
	if !s.there {
		return repository.File{}, nil
	}
	if s.read == nil {
		f, err := s.File()
		if err != nil {
			return f, err
		}
		s.read = &f
	}
	return *s.read, nil
}

// gather says what changed alike in several sets once, and which files configure.
func (r *Report) gather(changes []treeChange, known [2]packages) {
	config := map[string]bool{}
	for _, k := range known {
		for _, p := range k.by {
			for _, c := range p.Conffiles {
				config[c] = true
			}
		}
	}
	type key struct {
		action, path string
		old, new     int64
	}
	at := map[key]int{}
	for _, c := range changes {
		for _, f := range c.files {
			k := key{f.Action, f.Path, f.OldSize, f.NewSize}
			j, ok := at[k]
			if !ok {
				j, at[k] = len(r.Files), len(r.Files)
				f.Config = config[f.Path] || strings.HasPrefix(f.Path, "/etc/")
				r.Files = append(r.Files, f)
			}
			r.Files[j].Sets = append(r.Files[j].Sets, c.set)
		}
		r.Sizes = append(r.Sizes, c.sizes...)
	}
	shared := 0
	for _, t := range r.Trees {
		if t.Action == "same" || t.Action == "changed" {
			shared++
		}
	}
	for i := range r.Files {
		if len(r.Files[i].Sets) == shared {
			r.Files[i].Sets = nil
		}
	}
	slices.SortStableFunc(r.Files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortStableFunc(r.Sizes, func(a, b Size) int {
		return cmp.Or(cmp.Compare(a.Set, b.Set), cmp.Compare(abs(b.New-b.Old), abs(a.New-a.Old)), cmp.Compare(a.Owner, b.Owner))
	})
}

func abs(n int64) int64 { return max(n, -n) }
