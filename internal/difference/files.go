package difference

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

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
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, p := range pairs {
		g.Go(func() error {
			var texts [4][]byte
			for j, from := range []struct {
				g *repository.Group
				b repository.Blob
			}{{before, p.a.Files}, {before, p.a.Owners}, {after, p.b.Files}, {after, p.b.Owners}} {
				var err error
				if texts[j], err = from.g.Read(ctx, from.b); err != nil {
					return err
				}
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

// compare goes through two lists of files side by side; both are sorted by path.
func compare(set string, texts [4][]byte) (treeChange, error) {
	out := treeChange{set: set}
	sizes := map[string]*Size{}
	size := func(owner string) *Size {
		s := sizes[owner]
		if s == nil {
			s = &Size{Set: set, Owner: owner}
			sizes[owner] = s
		}
		return s
	}
	nextA, stopA := iter.Pull2(repository.Files(texts[0], texts[1]))
	defer stopA()
	nextB, stopB := iter.Pull2(repository.Files(texts[2], texts[3]))
	defer stopB()
	a, err, okA := nextA()
	if err != nil {
		return out, err
	}
	b, err, okB := nextB()
	if err != nil {
		return out, err
	}
	for okA || okB {
		c := strings.Compare(a.Path, b.Path)
		switch {
		case !okB || okA && c < 0:
			out.files = append(out.files, File{Action: "removed", Path: a.Path, Owner: a.Owner, OldSize: a.Size()})
			size(a.Owner).Old += a.Size()
			a, err, okA = nextA()
		case !okA || c > 0:
			out.files = append(out.files, File{Action: "added", Path: b.Path, Owner: b.Owner, NewSize: b.Size()})
			size(b.Owner).New += b.Size()
			b, err, okB = nextB()
		default:
			if a.Line != b.Line {
				out.files = append(out.files, File{Action: "changed", Path: b.Path, Owner: b.Owner, OldSize: a.Size(), NewSize: b.Size()})
			}
			if a.Kind == "file" {
				size(a.Owner).Old += a.Size()
			}
			if b.Kind == "file" {
				size(b.Owner).New += b.Size()
			}
			if a, err, okA = nextA(); err != nil {
				return out, err
			}
			b, err, okB = nextB()
		}
		if err != nil {
			return out, err
		}
	}
	for _, owner := range slices.Sorted(maps.Keys(sizes)) {
		if s := sizes[owner]; s.Old != s.New {
			out.sizes = append(out.sizes, *s)
		}
	}
	return out, nil
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
