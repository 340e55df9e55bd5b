package plan

import (
	"path"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// A part of a tree that becomes a layer.
type part struct {
	about string
	tree  tree.Tree
}

// A baser is a distribution that knows which of a tree's packages every image has.
type baser interface {
	Base(read func(path string) ([]byte, error)) (map[string]bool, error)
}

// layers cuts the tree so that images share what they have in common: the packages
// of every image lowest, then all others, then what the definition and the
// packages' scripts made. A layer is the same in all images whose packages are.
func (w *worker) layers() ([]part, error) {
	for e := range w.tree.All() {
		if strings.HasPrefix(path.Base(e.Path), ".wh.") {
			return nil, fault.Newf(fault.Definition, "/%s would be taken for a mark of something removed (OCI image specification, layer)", e.Path).WithHint("call it something else")
		}
	}
	base := map[string]bool{}
	if d, ok := w.Distro.(baser); ok {
		// Without the installer's records, packages are a layer of their own.
		if names, err := d.Base(func(path string) ([]byte, error) { return w.read(w.tree, path) }); err == nil {
			base = names
		} else if !missing(err) {
			return nil, err
		}
	}
	return cut(w.tree, func(owner string) int {
		name, ok := strings.CutPrefix(owner, "deb:")
		switch {
		case !ok:
			return 2
		case base[name]:
			return 0
		}
		return 1
	})
}

// cut makes layers of a tree, lowest first, without empty ones. The uppermost has
// all directories as they are. Those below have directories for what they hold,
// without a time: that is of everything in it, so it would differ.
func cut(t tree.Tree, level func(owner string) int) ([]part, error) {
	about := []string{"base packages", "packages", "what was set up"}
	last := len(about) - 1
	of := map[string]int{} // of files, by path; a file's several names are together
	for e := range t.All() {
		switch e.Kind {
		case tree.Dir:
		case tree.Hardlink:
			of[e.Link] = max(of[e.Link], level(e.Owner))
		default:
			of[e.Path] = max(of[e.Path], level(e.Owner))
		}
	}
	entries := make([][]tree.Entry, len(about))
	dirs := make([]map[string]bool, len(about))
	for i := range dirs {
		dirs[i] = map[string]bool{}
	}
	for e := range t.All() {
		if e.Kind == tree.Dir {
			entries[last] = append(entries[last], e)
			continue
		}
		first := e.Path
		if e.Kind == tree.Hardlink {
			first = e.Link
		}
		l := of[first]
		entries[l] = append(entries[l], e)
		for p := tree.Parent(e.Path); l < last && !dirs[l][p]; p = tree.Parent(p) {
			dirs[l][p] = true
			d, _ := t.Lookup(p)
			d.Mtime = tree.Time{}
			entries[l] = append(entries[l], d)
		}
	}
	var out []part
	for i, list := range entries {
		if len(list) == 0 {
			continue
		}
		layer, err := tree.New(list)
		if err != nil {
			return nil, err
		}
		out = append(out, part{about[i], layer})
	}
	return out, nil
}
