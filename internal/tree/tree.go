package tree

import (
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"
)

// A Tree is a root filesystem as data: immutable, sorted by path, every path
// once, every parent present and a directory. The zero Tree is empty.
type Tree struct {
	entries []Entry
}

// New makes a tree of entries in any order. It adds nothing: a missing parent,
// a path twice or a hard link to nothing is an error.
func New(entries []Entry) (Tree, error) {
	s := slices.Clone(entries)
	sort.Slice(s, func(i, j int) bool { return s[i].Path < s[j].Path })
	t := Tree{s}
	return t, t.check()
}

func (t Tree) check() error {
	var stack []string // the directories from the root to the entry before
	for i := range t.entries {
		e := &t.entries[i]
		if err := CheckPath(e.Path); err != nil {
			return err
		}
		if i > 0 && t.entries[i-1].Path == e.Path {
			return fmt.Errorf("tree has %q twice", "/"+e.Path)
		}
		if e.Path != "" {
			parent := Parent(e.Path)
			for len(stack) > 0 && stack[len(stack)-1] != parent && !isUnder(parent, stack[len(stack)-1]) {
				stack = stack[:len(stack)-1]
			}
			if len(stack) == 0 || stack[len(stack)-1] != parent {
				if p, ok := t.Lookup(parent); !ok {
					return fmt.Errorf("tree has %q without its parent directory", "/"+e.Path)
				} else if p.Kind != Dir {
					return fmt.Errorf("tree has %q below %q, which is a %s", "/"+e.Path, "/"+parent, p.Kind)
				}
			}
		}
		switch e.Kind {
		case Dir:
			stack = append(stack, e.Path)
		case Hardlink:
			if first, ok := t.Lookup(e.Link); !ok || first.Kind == Hardlink || first.Kind == Dir || e.Link >= e.Path {
				return fmt.Errorf("hard link %q does not lead to an earlier file %q", "/"+e.Path, "/"+e.Link)
			}
		case File, Symlink, Char, Block, Fifo:
		default:
			return fmt.Errorf("tree has %q of unknown %s", "/"+e.Path, e.Kind)
		}
	}
	return nil
}

func isUnder(path, dir string) bool {
	return dir == "" || len(path) > len(dir) && path[len(dir)] == '/' && strings.HasPrefix(path, dir)
}

// Len is how many entries the tree has.
func (t Tree) Len() int { return len(t.entries) }

// All gives the entries in order, parents before children.
func (t Tree) All() iter.Seq[Entry] { return slices.Values(t.entries) }

// Entries is a copy of all entries, in order.
func (t Tree) Entries() []Entry { return slices.Clone(t.entries) }

// InPacks is the tree with packs called by other names, as far as these say.
func (t Tree) InPacks(names map[string]string) Tree {
	out := t.Entries()
	for i := range out {
		if name, ok := names[out[i].Content.Pack]; ok {
			out[i].Content.Pack = name
		}
	}
	return Tree{out}
}

// Lookup finds the entry at a path.
func (t Tree) Lookup(path string) (Entry, bool) {
	i, ok := t.find(path)
	if !ok {
		return Entry{}, false
	}
	return t.entries[i], true
}

func (t Tree) find(path string) (int, bool) {
	i := sort.Search(len(t.entries), func(i int) bool { return t.entries[i].Path >= path })
	return i, i < len(t.entries) && t.entries[i].Path == path
}

// Size is the sum of all file contents, in bytes; hard links count once.
func (t Tree) Size() int64 {
	var n int64
	for i := range t.entries {
		n += t.entries[i].Content.Size
	}
	return n
}
