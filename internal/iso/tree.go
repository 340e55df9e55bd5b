package iso

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"ingot/internal/fault"
)

// A node is a file or a directory.
type node struct {
	name     string
	file     *File // nil: a directory
	children []*node
	up       *node
	serial   uint32 // Rock Ridge's
	most     int64  // bytes that a file may have
	size     int64  // and has, once it is written
	at       int64  // block of its first byte
}

// The most that the format can say.
const (
	maxDepth = 8   // directories, the root among them (ECMA-119, 6.8.2.1)
	maxName  = 128 // bytes of a name that fit into a record with all else
)

func newTree(files []File) (*node, error) {
	root := &node{}
	root.up = root
	for i := range files {
		f := &files[i]
		if err := root.add(f); err != nil {
			return nil, err
		}
	}
	return root, nil
}

func (n *node) add(f *File) error {
	parts := strings.Split(f.Path, "/")
	if len(parts) > maxDepth {
		return fault.Newf(fault.Preflight, "%s lies below more than %d directories", f.Path, maxDepth-1)
	}
	for i, p := range parts {
		switch {
		case p == "" || p == "." || p == ".." || strings.ContainsRune(p, 0) || !utf8.ValidString(p):
			return fmt.Errorf("path %q is none of an image", f.Path)
		case len(p) > maxName:
			return fault.Newf(fault.Preflight, "%s: a name of %d bytes is longer than %d", f.Path, len(p), maxName)
		}
		next := n.child(p)
		last := i == len(parts)-1
		switch {
		case next == nil:
			next = &node{name: p, up: n}
			n.children = append(n.children, next)
			if last {
				next.file = f
			}
		case last || next.file != nil:
			return fmt.Errorf("path %s is taken twice", f.Path)
		}
		n = next
	}
	n.most = f.Most
	if f.Write == nil && f.Data != nil {
		n.most = int64(len(f.Data))
	}
	if n.size = n.most; n.most < 0 {
		return fmt.Errorf("%s has a negative size", f.Path)
	}
	return nil
}

func (n *node) child(name string) *node {
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (n *node) find(path string) *node {
	for p := range strings.SplitSeq(path, "/") {
		if n = n.child(p); n == nil {
			return nil
		}
	}
	return n
}

// collect brings directories and files into their orders, whatever order they came
// in.
func (im *Image) collect() {
	im.dirs = []*node{im.root}
	for i := 0; i < len(im.dirs); i++ {
		d := im.dirs[i]
		slices.SortFunc(d.children, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
		for _, c := range d.children {
			if c.file == nil {
				im.dirs = append(im.dirs, c)
			}
		}
	}
	var unknown []*node
	var walk func(*node)
	walk = func(d *node) {
		for _, c := range d.children {
			switch {
			case c.file == nil:
				walk(c)
			case c.file.Write != nil:
				unknown = append(unknown, c)
			default:
				im.files = append(im.files, c)
			}
		}
	}
	walk(im.root)
	im.files = append(im.files, unknown...)
	for i, n := range slices.Concat(im.dirs, im.files) {
		n.serial = uint32(i + 1)
	}
}

// extents are the pieces that so many bytes lie in.
func extents(size int64) int64 { return max(1, (size+maxExtent-1)/maxExtent) }
