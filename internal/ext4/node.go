package ext4

import (
	"fmt"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// Inode numbers with a meaning of their own.
const (
	badBlocksIno = 1
	rootIno      = 2
	resizeIno    = 7
	journalIno   = 8
	lostFoundIno = 11
	firstIno     = 11 // the first that is not reserved
)

const lostFound = "lost+found"

// lostFoundBlocks is how large mke2fs makes lost+found, so that fsck need not
// find blocks for it when there are none.
const lostFoundBlocks = 4

// maxLinks is how many names a file may have; a directory with more claims 1.
const maxLinks = 65000

// A node is one inode: what the tree says of it and where its blocks are.
type node struct {
	ino   uint32
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

	pack   string // file
	offset int64  // in the pack

	inline []byte     // attributes stored in the inode
	attrs  *attrBlock // attributes stored in a block
	dir    *directory

	runs  []run   // content
	index []int64 // blocks of the extent tree, in the order of encodeIndex
	// reserved is how many reserved descriptor blocks the resize inode has.
	reserved int64
}

// noID is the number that the kernel gives to nobody: it would open such a file
// to no one, not even root.
const noID = 1<<32 - 1

// fastSymlink is how long a target may be to fit into the inode.
const fastSymlink = 59

// contentBlocks is how many blocks a node's content takes.
func (n *node) contentBlocks() int64 {
	switch n.kind {
	case tree.Dir, tree.File:
		return ceilDiv(n.size, blockSize)
	case tree.Symlink:
		if n.size > fastSymlink {
			return 1
		}
	case tree.Hardlink, tree.Char, tree.Block, tree.Fifo:
	}
	return 0
}

// An inodeSet is all inodes of a tree.
type inodeSet struct {
	dirs   []*node // the root first, then lost+found, then by path
	links  []*node // symlinks too long for their inode
	files  []*node // with content, by path
	blocks []*attrBlock
	all    []*node // by number: all[0] has firstIno
	last   uint32  // the highest number in use
}

// byNumber is the node with an inode number, or nil for a reserved one but the root.
func (s *inodeSet) byNumber(ino uint32) *node {
	switch {
	case ino == rootIno:
		return s.dirs[0]
	case ino >= firstIno && ino <= s.last:
		return s.all[ino-firstIno]
	}
	return nil
}

// newInodeSet numbers the entries of a tree by path and makes its directories.
func newInodeSet(t tree.Tree, o *Options) (inodeSet, error) {
	epoch := tree.Time{Sec: o.Epoch}
	root := &node{ino: rootIno, kind: tree.Dir, mode: 0o755, mtime: epoch, dir: newDirectory(rootIno)}
	lost := &node{ino: lostFoundIno, kind: tree.Dir, mode: 0o700, mtime: epoch, dir: newDirectory(rootIno)}
	s := inodeSet{dirs: []*node{root, lost}, all: []*node{lost}, last: lostFoundIno}
	byPath := map[string]*node{"": root, lostFound: lost}
	firsts := map[string]*node{} // files that have hard links
	for e := range t.All() {
		if e.Kind == tree.Hardlink {
			firsts[e.Link] = nil
		}
	}
	var attrs attrSet
	root.dir.add(lostFound, lost)
	for e := range t.All() {
		var n *node
		switch {
		case e.Kind == tree.Hardlink:
			n = firsts[e.Link]
			if n == nil {
				return s, fmt.Errorf("ext4: hard link /%s leads to /%s, which is no file", e.Path, e.Link)
			}
			if n.links++; n.links > maxLinks {
				return s, fault.Newf(fault.Preflight, "ext4: /%s has more than %d names", e.Link, maxLinks)
			}
			byPath[tree.Parent(e.Path)].dir.add(base(e.Path), n)
			continue
		case e.Path == "":
			n = root
		case e.Path == lostFound:
			n = lost
		default:
			if s.last == 1<<31 {
				return s, fault.Newf(fault.Preflight, "ext4: more than %d files", 1<<31)
			}
			s.last++
			n = &node{ino: s.last}
			s.all = append(s.all, n)
		}
		if err := n.fill(&e); err != nil {
			return s, fmt.Errorf("ext4: /%s: %w", e.Path, err)
		}
		var err error
		if n.inline, n.attrs, err = attrs.add(e.Xattrs); err != nil {
			return s, fmt.Errorf("ext4: /%s: %w", e.Path, err)
		}
		if e.Path == "" || e.Path == lostFound {
			continue
		}
		parent := byPath[tree.Parent(e.Path)]
		if parent == nil { // a tree of entries with a root that is none
			return s, fmt.Errorf("ext4: /%s has no parent directory", e.Path)
		}
		parent.dir.add(base(e.Path), n)
		switch n.kind {
		case tree.Dir:
			n.dir = newDirectory(parent.ino)
			byPath[e.Path] = n
			s.dirs = append(s.dirs, n)
		case tree.Symlink:
			if n.size > fastSymlink {
				s.links = append(s.links, n)
			}
		case tree.File:
			if n.size > 0 {
				s.files = append(s.files, n)
			}
			if o.Generation != Ext4 && n.contentBlocks() > maxMapped {
				return s, fault.Newf(fault.Preflight, "%s: /%s has %d bytes, more than %d", o.Generation, e.Path, n.size, int64(maxMapped*blockSize))
			}
		case tree.Hardlink, tree.Char, tree.Block, tree.Fifo:
		}
		if _, ok := firsts[e.Path]; ok {
			firsts[e.Path] = n
		}
	}
	s.blocks = attrs.blocks
	h, tail := newNameHash(o.HashSeed), newChecksum(o).tail()
	for _, d := range s.dirs {
		blocks, err := d.dir.arrange(h, tail)
		if err != nil {
			return s, err
		}
		if d == lost {
			blocks = max(blocks, lostFoundBlocks)
		}
		d.size = blocks * blockSize
		d.links = 2 + d.dir.subdirs
		if d.links > maxLinks && o.Generation != Ext4 {
			return s, fault.Newf(fault.Preflight, "%s: a directory has more than %d others", o.Generation, maxLinks-2)
		}
		if d.links > maxLinks {
			d.links = 1
		}
	}
	return s, nil
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// fill takes what an entry says, if ext4 can hold it.
func (n *node) fill(e *tree.Entry) error {
	if n.dir != nil && e.Kind != tree.Dir {
		return fmt.Errorf("is a %s, not a directory", e.Kind)
	}
	if e.Mode > 0o7777 {
		return fmt.Errorf("mode %#o is not from 0 to 07777", e.Mode)
	}
	if e.UID == noID || e.GID == noID {
		return fmt.Errorf("owner %d:%d is none", e.UID, e.GID)
	}
	if e.Mtime.Nsec < 0 || e.Mtime.Nsec > 999_999_999 {
		return fmt.Errorf("modification time has %d nanoseconds", e.Mtime.Nsec)
	}
	n.kind, n.mode, n.uid, n.gid, n.mtime, n.links = e.Kind, uint16(e.Mode), e.UID, e.GID, e.Mtime, 1
	switch e.Kind {
	case tree.Dir, tree.Fifo:
	case tree.File:
		n.size, n.pack, n.offset = e.Content.Size, e.Content.Pack, e.Content.Offset
		if n.size < 0 || n.size > MaxSize || n.offset < 0 {
			return fmt.Errorf("content of %d bytes at %d is not from 0 to %d bytes", n.size, n.offset, int64(MaxSize))
		}
	case tree.Symlink:
		n.link, n.size = e.Link, int64(len(e.Link))
		if n.size == 0 || n.size >= blockSize || strings.IndexByte(e.Link, 0) >= 0 {
			return fault.Newf(fault.Preflight, "target of %d bytes is empty, longer than %d or has a NUL byte", n.size, blockSize-1)
		}
	case tree.Char, tree.Block:
		n.major, n.minor = e.Major, e.Minor
		if n.major >= 1<<12 || n.minor >= 1<<20 {
			return fault.Newf(fault.Preflight, "device number %d:%d is larger than 4095:1048575", n.major, n.minor)
		}
	case tree.Hardlink:
		return fmt.Errorf("is a %s", e.Kind)
	default:
		return fmt.Errorf("is of unknown %s", e.Kind)
	}
	return nil
}
