package btrfs

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// noID is the number that the kernel gives to nobody.
const noID = 1<<32 - 1

const (
	firstInode = 256 // the root directory of a subvolume
	firstIndex = 2   // of names in a directory
	maxLinks   = 65535
	// maxInline is how large files lie in their tree: the kernel's own choice.
	maxInline  = 2048
	maxSymlink = 4095
	// maxExtent is how much of a file lies in one extent.
	maxExtent = 128 * mib
)

// A volume is a subvolume: the top of the filesystem, or a directory that is one.
type volume struct {
	id     uint64
	path   string  // "" is the top
	in     *volume // nil of the top
	name   string
	dir    *node // the directory in the volume above that has it
	index  uint64
	inodes []*node // by number, the root first
	tree   *btree
}

// An extent is a part of a file, and where it lies.
type extent struct {
	n    *node
	off  int64 // in the file
	at   int64 // logical; 0 until it is placed
	size int64 // whole blocks
}

// A name is an entry of a directory.
type name struct {
	text  string
	index uint64
	n     *node   // an inode of the same volume
	sub   *volume // or a subvolume
}

// A ref says in which directory an inode has a name.
type ref struct {
	dir   *node
	index uint64
	text  string
}

// A node is one inode: what the tree says of it and where its blocks are.
type node struct {
	vol   *volume
	ino   uint64
	entry tree.Entry
	links uint32
	refs  []ref
	names []name // of a directory
	data  []*extent

	attrs   [][]tree.Xattr // groups of one hash, in the order of the hash
	hashed  [][]name       // so
	grouped [][]ref        // by directory
	far     [][]ref        // references that have no room beside others: by hash
}

func (n *node) inline() bool {
	return n.entry.Kind == tree.Symlink || n.entry.Kind == tree.File && n.entry.Content.Size > 0 && n.entry.Content.Size <= maxInline
}

// bytes is what the inode's content takes: what it has in the tree, or whole blocks.
func (n *node) bytes() int64 {
	switch {
	case n.inline():
		return n.size()
	case n.entry.Kind == tree.File:
		return roundUp(n.entry.Content.Size, blockSize)
	}
	return 0
}

func (n *node) size() int64 {
	switch n.entry.Kind {
	case tree.File:
		return n.entry.Content.Size
	case tree.Symlink:
		return int64(len(n.entry.Link))
	case tree.Dir:
		size := 0
		for _, e := range n.names {
			size += 2 * len(e.text) // as each is there twice
		}
		return int64(size)
	default:
		return 0
	}
}

// newVolumes numbers the entries of a tree by path, in each subvolume from the start.
func newVolumes(t tree.Tree, o *Options) ([]*volume, error) {
	b := builder{o: o, dirs: map[string]*node{}, firsts: map[string]*node{}}
	for e := range t.All() {
		if e.Kind == tree.Hardlink {
			b.firsts[e.Link] = nil
		}
	}
	root := tree.Entry{Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: o.Epoch}}
	top, ok := t.Lookup("")
	if !ok {
		top = root
	}
	if err := b.add(top); err != nil {
		return nil, err
	}
	left := slices.Clone(o.Subvolumes)
	slices.Sort(left)
	// made adds subvolumes that the tree does not have, before a path.
	made := func(before string, all bool) error {
		for len(left) > 0 && (all || left[0] <= before) {
			s := left[0]
			left = left[1:]
			if s == before && !all {
				continue
			}
			if _, ok := t.Lookup(s); ok {
				continue
			}
			e := root
			e.Path = s
			if err := b.add(e); err != nil {
				return err
			}
		}
		return nil
	}
	for e := range t.All() {
		if e.Path == "" {
			continue
		}
		if err := made(e.Path, false); err != nil {
			return nil, err
		}
		if err := b.add(e); err != nil {
			return nil, err
		}
	}
	if err := made("", true); err != nil {
		return nil, err
	}
	for _, v := range b.volumes {
		for _, n := range v.inodes {
			if err := n.group(); err != nil {
				return nil, fmt.Errorf("btrfs: /%s: %w", n.entry.Path, err)
			}
		}
	}
	return b.volumes, nil
}

// A builder makes volumes of entries.
type builder struct {
	o       *Options
	volumes []*volume
	dirs    map[string]*node
	firsts  map[string]*node // files that have hard links
}

func (b *builder) add(e tree.Entry) error {
	parent := b.dirs[tree.Parent(e.Path)]
	if e.Path != "" && parent == nil {
		return fmt.Errorf("btrfs: /%s has no parent directory", e.Path)
	}
	if e.Kind == tree.Hardlink {
		n := b.firsts[e.Link]
		if n == nil {
			return fmt.Errorf("btrfs: hard link /%s leads to /%s, which is no file", e.Path, e.Link)
		}
		if n.vol != parent.vol {
			return fmt.Errorf("btrfs: hard link /%s leads to /%s, in another subvolume", e.Path, e.Link)
		}
		return parent.enter(path.Base(e.Path), n)
	}
	n := &node{entry: e}
	if err := n.check(); err != nil {
		return fmt.Errorf("btrfs: /%s: %w", e.Path, err)
	}
	switch {
	case e.Path == "" || slices.Contains(b.o.Subvolumes, e.Path):
		if e.Kind != tree.Dir {
			return fmt.Errorf("btrfs: /%s is to be a subvolume and is a %s", e.Path, e.Kind)
		}
		v := &volume{id: topID, path: e.Path}
		if e.Path != "" {
			v.id, v.in, v.name, v.dir = firstSubvolume+uint64(len(b.volumes))-1, parent.vol, path.Base(e.Path), parent
			v.index = firstIndex + uint64(len(parent.names))
			parent.names = append(parent.names, name{text: v.name, index: v.index, sub: v})
		}
		n.links = 1
		b.volumes = append(b.volumes, v)
		n.join(v)
		n.refs = []ref{{n, 0, ".."}}
	default:
		n.join(parent.vol)
		if err := parent.enter(path.Base(e.Path), n); err != nil {
			return err
		}
	}
	if e.Kind == tree.Dir {
		b.dirs[e.Path] = n
	}
	if _, ok := b.firsts[e.Path]; ok {
		b.firsts[e.Path] = n
	}
	return nil
}

// join gives the node a number.
func (n *node) join(v *volume) {
	n.vol, n.ino = v, firstInode+uint64(len(v.inodes))
	v.inodes = append(v.inodes, n)
}

// enter gives an inode a name in the directory.
func (n *node) enter(text string, to *node) error {
	if to.links == maxLinks {
		return fault.Newf(fault.Preflight, "btrfs: /%s has more than %d names", to.entry.Path, maxLinks)
	}
	to.links++
	index := firstIndex + uint64(len(n.names))
	n.names = append(n.names, name{text: text, index: index, n: to})
	to.refs = append(to.refs, ref{n, index, text})
	return nil
}

// check says what Btrfs cannot hold.
func (n *node) check() error {
	e := &n.entry
	switch {
	case e.Mode > 0o7777:
		return fmt.Errorf("mode %#o is not from 0 to 07777", e.Mode)
	case e.UID == noID || e.GID == noID:
		return fmt.Errorf("owner %d:%d is none", e.UID, e.GID)
	case e.Mtime.Nsec < 0 || e.Mtime.Nsec > 999_999_999:
		return fmt.Errorf("modification time has %d nanoseconds", e.Mtime.Nsec)
	}
	switch e.Kind {
	case tree.Dir, tree.Fifo:
	case tree.File:
		if e.Content.Size < 0 || e.Content.Size > tree.MaxFile || e.Content.Offset < 0 {
			return fmt.Errorf("content of %d bytes at %d is not from 0 to %d bytes", e.Content.Size, e.Content.Offset, int64(tree.MaxFile))
		}
	case tree.Symlink:
		if e.Link == "" || len(e.Link) > maxSymlink || strings.IndexByte(e.Link, 0) >= 0 {
			return fault.Newf(fault.Preflight, "target of %d bytes is empty, longer than %d or has a NUL byte", len(e.Link), maxSymlink)
		}
	case tree.Char, tree.Block:
		if e.Major >= 1<<12 || e.Minor >= 1<<20 {
			return fault.Newf(fault.Preflight, "device number %d:%d is larger than 4095:1048575", e.Major, e.Minor)
		}
	case tree.Hardlink:
		return fmt.Errorf("is a %s", e.Kind)
	default:
		return fmt.Errorf("is of unknown %s", e.Kind)
	}
	return nil
}

// group puts names, attributes and references of one key together.
func (n *node) group() error {
	n.hashed = byHash(n.names, func(e name) uint64 { return nameHash(e.text) })
	n.attrs = byHash(n.entry.Xattrs, func(x tree.Xattr) uint64 { return nameHash(x.Name) })
	for _, group := range n.hashed {
		size := 0
		for _, e := range group {
			size += dirItemSize + len(e.text)
		}
		if size > maxItem {
			return fmt.Errorf("%d names of one hash have no room", len(group))
		}
	}
	for _, group := range n.attrs {
		size := 0
		for _, x := range group {
			size += dirItemSize + len(x.Name) + len(x.Value)
			if x.Name == "" || len(x.Name) > 255 {
				return fmt.Errorf("attribute %q has a name of %d bytes, not from 1 to 255", x.Name, len(x.Name))
			}
		}
		if size > maxItem {
			return fault.Newf(fault.Preflight, "attribute %s of %d bytes has no room: %d at most", group[0].Name, len(group[0].Value), maxItem-dirItemSize-len(group[0].Name))
		}
	}
	return n.groupRefs()
}

// groupRefs puts references by directory, and those without room by their hashes.
func (n *node) groupRefs() error {
	byDir := map[uint64][]ref{}
	size := map[uint64]int{}
	var order []uint64
	var far []ref
	for _, r := range n.refs {
		d := r.dir.ino
		if size[d]+refSize+len(r.text) > maxItem {
			far = append(far, r)
			continue
		}
		if size[d] == 0 {
			order = append(order, d)
		}
		size[d] += refSize + len(r.text)
		byDir[d] = append(byDir[d], r)
	}
	slices.Sort(order)
	for _, d := range order {
		n.grouped = append(n.grouped, byDir[d])
	}
	n.far = byHash(far, func(r ref) uint64 { return refHash(r.dir.ino, r.text) })
	for _, group := range n.far {
		if len(group) > maxItem/(farRefSize+255) {
			return fmt.Errorf("%d names of one hash have no room", len(group))
		}
	}
	return nil
}

// byHash groups a list by hashes, in their order; within one, the order stays.
func byHash[T any](list []T, hash func(T) uint64) [][]T {
	type hashed struct {
		h uint64
		v T
	}
	all := make([]hashed, len(list))
	for i, v := range list {
		all[i] = hashed{hash(v), v}
	}
	slices.SortStableFunc(all, func(a, b hashed) int {
		switch {
		case a.h < b.h:
			return -1
		case a.h > b.h:
			return 1
		}
		return 0
	})
	var out [][]T
	for i, v := range all {
		if i == 0 || all[i-1].h != v.h {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], v.v)
	}
	return out
}
