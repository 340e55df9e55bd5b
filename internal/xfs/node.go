package xfs

import (
	"fmt"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// reservedInodes are the root directory and two files that stand for a real-time
// device's maps, which are there without such a device.
const reservedInodes = 3

// maxLink is how long a symlink's target may be: xfs_repair takes no longer one, the
// kernel one more.
const maxLink = 1023

// maxInodes keeps their numbers within 32 bits, as short directories hold them.
const maxInodes = 1 << 28

// noID is the number that the kernel gives to nobody.
const noID = 1<<32 - 1

// An extent is a part of an inode's content: its first block in the file, and
// its place on the disk.
type extent struct {
	file int64
	run
}

// A node is one inode: what the tree says of it and where its blocks are.
type node struct {
	ino   uint64
	path  string
	kind  tree.Kind
	mode  uint16 // permission bits
	uid   uint32
	gid   uint32
	mtime tree.Time
	links uint32
	size  int64
	link  string // symlink
	major uint32
	minor uint32
	flags uint16

	pack   string // file
	offset int64  // in the pack

	attrs *attrSet
	dir   *directory
	local bool // content lies in the inode
	fork  fork

	data     []extent
	attrRuns []run
}

// A fork says how the room behind an inode's head is divided.
type fork struct {
	data int  // bytes for content, or what says where it is
	attr int  // bytes for attributes
	out  bool // attributes lie in blocks
}

// The room in an inode, and what the kernel keeps for either part so that it can
// become a tree's root.
const (
	inodeHead   = 176
	forkSpace   = inodeSize - inodeHead
	extentSize  = 16
	minDataFork = 56
	minAttrFork = 40
	devFork     = 8
)

// localSize is how many bytes a node's content takes in its inode, at least.
func (n *node) localSize() int {
	switch {
	case n.dir != nil && n.local:
		return n.dir.shortSize()
	case n.kind == tree.Symlink && n.local:
		return len(n.link)
	}
	return 0
}

// split divides the inode for content of so many extents.
func (n *node) split(extents int) fork {
	if n.attrs == nil {
		return fork{data: forkSpace}
	}
	data := max(minDataFork, round8(max(n.localSize(), extents*extentSize)))
	if n.kind == tree.Char || n.kind == tree.Block || n.kind == tree.Fifo {
		attr := forkSpace - devFork
		return fork{devFork, attr, !n.attrs.fits(attr)}
	}
	f := fork{attr: minAttrFork, out: true}
	if n.attrs.fits(forkSpace - data) {
		f = fork{attr: max(minAttrFork, round8(n.attrs.shortSize()))}
	}
	f.data = forkSpace - f.attr
	return f
}

// place decides whether content lies in the inode: where there is room for it
// beside the attributes, or else beside the note of where these are.
func (n *node) settle() {
	var size int
	switch {
	case n.dir != nil:
		size = n.dir.shortSize()
	case n.kind == tree.Symlink:
		size = len(n.link)
	default:
		return
	}
	room := forkSpace
	if n.attrs != nil {
		room -= minAttrFork
		if n.attrs.fits(forkSpace - minDataFork) { // these are read more often
			room = forkSpace - max(minAttrFork, round8(n.attrs.shortSize()))
		}
	}
	n.local = size <= room
}

// A part is a run of blocks of a file.
type part struct{ at, n int64 }

// parts is what a node's content takes.
func (n *node) parts() []part {
	switch {
	case n.local:
	case n.dir != nil:
		return n.dir.parts()
	case n.kind == tree.Symlink:
		return []part{{0, 1}}
	case n.kind == tree.File && n.size > 0:
		return []part{{0, ceilDiv(n.size, blockSize)}}
	}
	return nil
}

// An inodeSet is all inodes of a tree.
type inodeSet struct {
	all    []*node // by number
	dirs   []*node // the root first, then by path
	links  []*node // symlinks too long for their inode
	files  []*node // with content, by path
	others []*node
}

func (s *inodeSet) count() int64 { return int64(len(s.all)) }

// newInodeSet numbers the entries of a tree by path and makes its directories.
func newInodeSet(t tree.Tree, o *Options) (inodeSet, error) {
	epoch := tree.Time{Sec: o.Epoch}
	root := &node{kind: tree.Dir, mode: 0o755, mtime: epoch}
	root.dir = newDirectory(root)
	bitmap := &node{kind: tree.File, links: 1, mtime: epoch, flags: newBitmapFlag}
	summary := &node{kind: tree.File, links: 1, mtime: epoch}
	s := inodeSet{all: []*node{root, bitmap, summary}, dirs: []*node{root}, others: []*node{bitmap, summary}}
	dirs := map[string]*node{"": root}
	firsts := map[string]*node{} // files that have hard links
	for e := range t.All() {
		if e.Kind == tree.Hardlink {
			firsts[e.Link] = nil
		}
	}
	for e := range t.All() {
		if e.Kind == tree.Hardlink {
			n := firsts[e.Link]
			if n == nil {
				return s, fmt.Errorf("xfs: hard link /%s leads to /%s, which is no file", e.Path, e.Link)
			}
			n.links++
			dirs[tree.Parent(e.Path)].dir.add(base(e.Path), n)
			continue
		}
		n := root
		if e.Path != "" {
			if n = new(node); len(s.all) == maxInodes {
				return s, fault.Newf(fault.Preflight, "xfs: more than %d files", maxInodes)
			}
			s.all = append(s.all, n)
		}
		if err := n.fill(&e); err != nil {
			return s, fmt.Errorf("xfs: /%s: %w", e.Path, err)
		}
		if e.Path == "" {
			continue
		}
		parent := dirs[tree.Parent(e.Path)]
		if parent == nil { // a tree of entries with a root that is none
			return s, fmt.Errorf("xfs: /%s has no parent directory", e.Path)
		}
		parent.dir.add(base(e.Path), n)
		if n.kind == tree.Dir {
			n.dir = newDirectory(parent)
			dirs[e.Path] = n
			s.dirs = append(s.dirs, n)
		}
		if _, ok := firsts[e.Path]; ok {
			firsts[e.Path] = n
		}
	}
	for _, n := range s.all[reservedInodes:] {
		switch n.settle(); {
		case n.dir != nil:
		case n.kind == tree.Symlink && !n.local:
			s.links = append(s.links, n)
		case n.kind == tree.File && n.size > 0:
			s.files = append(s.files, n)
		default:
			s.others = append(s.others, n)
		}
	}
	root.settle()
	for _, d := range s.dirs {
		d.links = 2 + d.dir.subdirs
		d.dir.arrange(d.local)
		d.size = d.dir.size()
	}
	return s, nil
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// fill takes what an entry says, if XFS can hold it.
func (n *node) fill(e *tree.Entry) error {
	switch {
	case n.dir != nil && e.Kind != tree.Dir:
		return fmt.Errorf("is a %s, not a directory", e.Kind)
	case e.Mode > 0o7777:
		return fmt.Errorf("mode %#o is not from 0 to 07777", e.Mode)
	case e.UID == noID || e.GID == noID:
		return fmt.Errorf("owner %d:%d is none", e.UID, e.GID)
	case e.Mtime.Nsec < 0 || e.Mtime.Nsec > 999_999_999:
		return fmt.Errorf("modification time has %d nanoseconds", e.Mtime.Nsec)
	}
	n.path, n.kind, n.mode, n.uid, n.gid, n.mtime, n.links = e.Path, e.Kind, uint16(e.Mode), e.UID, e.GID, e.Mtime, 1
	switch e.Kind {
	case tree.Dir, tree.Fifo:
	case tree.File:
		n.size, n.pack, n.offset = e.Content.Size, e.Content.Pack, e.Content.Offset
		if n.size < 0 || n.size > tree.MaxFile || n.offset < 0 {
			return fmt.Errorf("content of %d bytes at %d is not from 0 to %d bytes", n.size, n.offset, int64(tree.MaxFile))
		}
	case tree.Symlink:
		n.link, n.size = e.Link, int64(len(e.Link))
		if n.size == 0 || n.size > maxLink || strings.IndexByte(e.Link, 0) >= 0 {
			return fault.Newf(fault.Preflight, "target of %d bytes is empty, longer than %d or has a NUL byte", n.size, maxLink)
		}
	case tree.Char, tree.Block:
		n.major, n.minor = e.Major, e.Minor
		if n.major >= 1<<9 || n.minor >= 1<<18 {
			return fault.Newf(fault.Preflight, "device number %d:%d is larger than 511:262143", n.major, n.minor)
		}
	case tree.Hardlink:
		return fmt.Errorf("is a %s", e.Kind)
	default:
		return fmt.Errorf("is of unknown %s", e.Kind)
	}
	var err error
	n.attrs, err = newAttrSet(e.Xattrs)
	return err
}

func round8(n int) int { return (n + 7) &^ 7 }
