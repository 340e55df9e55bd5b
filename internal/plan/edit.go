package plan

import (
	"errors"
	"io"
	"io/fs"

	"ingot/internal/digest"
	"ingot/internal/tree"
)

// An edit changes a tree as a value: what a data step does. Paths are canonical,
// without symbolic links in their parents.
type edit struct {
	*worker
	step Step
	tree tree.Tree
}

// entry fills in what all new entries of a step have in common.
func (e *edit) entry(path string, kind tree.Kind, mode uint32) tree.Entry {
	return tree.Entry{Path: path, Kind: kind, Mode: mode, Mtime: tree.Time{Sec: e.plan.Lock.Epoch}, Owner: "step:" + e.step.Name}
}

// file is a new regular file of root's.
func (e *edit) file(path string, mode uint32, data []byte) (tree.Entry, error) {
	n := e.entry(path, tree.File, mode)
	n.Content = tree.Content{Digest: digest.Of(data), Size: int64(len(data))}
	if len(data) > 0 {
		n.Content.Pack, n.Content.Offset = e.pack.Name(), e.pack.Size()
		if _, err := e.pack.Write(data); err != nil {
			return n, err
		}
	}
	return n, nil
}

// apply changes the tree. Directories that are there keep their metadata, and
// parents that are not are made.
func (e *edit) apply(set []tree.Entry, remove ...string) error {
	d := tree.Delta{Remove: remove}
	made := map[string]bool{}
	for _, n := range set {
		if old, ok := e.tree.Lookup(n.Path); ok && old.Kind == tree.Dir && n.Kind == tree.Dir || made[n.Path] {
			continue
		}
		for p := tree.Parent(n.Path); p != ""; p = tree.Parent(p) {
			if _, ok := e.tree.Lookup(p); !ok && !made[p] {
				made[p] = true
				d.Set = append(d.Set, e.entry(p, tree.Dir, 0o755))
			}
		}
		made[n.Path] = true
		d.Set = append(d.Set, n)
	}
	t, err := e.tree.Apply(d)
	if err == nil {
		e.tree = t
	}
	return err
}

// read gives a file of the tree; one that is not there is fs.ErrNotExist.
func (w *worker) read(t tree.Tree, path string) ([]byte, error) {
	n, ok := t.Lookup(path)
	for range 8 {
		if !ok || n.Kind != tree.Hardlink {
			break
		}
		n, ok = t.Lookup(n.Link)
	}
	if !ok || n.Kind != tree.File {
		return nil, fs.ErrNotExist
	}
	r, err := w.reader.Content(n.Content)
	if err != nil {
		return nil, err
	}
	data := make([]byte, n.Content.Size)
	if _, err := r.ReadAt(data, 0); err != nil && (n.Content.Size > 0 || !errors.Is(err, io.EOF)) {
		return nil, err
	}
	return data, nil
}
