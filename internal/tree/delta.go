package tree

import (
	"slices"
	"sort"
)

// A Delta is what a step does to a tree: entries that it adds or replaces and
// paths that it removes. Both are sorted by path. Removing a directory names
// every path below it too.
type Delta struct {
	Set    []Entry
	Remove []string
}

// Apply gives the tree after the delta. It fails when the result would not be a
// tree, such as a file below nothing.
func (t Tree) Apply(d Delta) (Tree, error) {
	out := make([]Entry, 0, len(t.entries)+len(d.Set))
	gone := make(map[string]bool, len(d.Remove))
	for _, p := range d.Remove {
		gone[p] = true
	}
	set := slices.Clone(d.Set)
	sort.SliceStable(set, func(i, j int) bool { return set[i].Path < set[j].Path })
	j := 0
	for i := range t.entries {
		e := &t.entries[i]
		for j < len(set) && set[j].Path < e.Path {
			out = append(out, set[j])
			j++
		}
		if j < len(set) && set[j].Path == e.Path {
			out = append(out, set[j])
			j++
			continue
		}
		if !gone[e.Path] {
			out = append(out, *e)
		}
	}
	out = append(out, set[j:]...)
	n := Tree{out}
	return n, n.check()
}

// Diff is the delta that leads from one tree to another. Where bytes lie and who
// owns an entry do not count as a difference.
func Diff(from, to Tree) Delta {
	var d Delta
	i, j := 0, 0
	for i < len(from.entries) || j < len(to.entries) {
		switch {
		case j == len(to.entries) || i < len(from.entries) && from.entries[i].Path < to.entries[j].Path:
			d.Remove = append(d.Remove, from.entries[i].Path)
			i++
		case i == len(from.entries) || from.entries[i].Path > to.entries[j].Path:
			d.Set = append(d.Set, to.entries[j])
			j++
		default:
			if !from.entries[i].Same(to.entries[j]) {
				d.Set = append(d.Set, to.entries[j])
			}
			i++
			j++
		}
	}
	return d
}

// Same says whether two entries are the same file to a reader of the image.
func (e Entry) Same(o Entry) bool {
	return e.Path == o.Path && e.Kind == o.Kind && e.Mode == o.Mode && e.UID == o.UID && e.GID == o.GID &&
		e.Mtime == o.Mtime && e.Link == o.Link && e.Major == o.Major && e.Minor == o.Minor &&
		e.Content.Digest == o.Content.Digest && e.Content.Size == o.Content.Size && slices.Equal(e.Xattrs, o.Xattrs)
}
