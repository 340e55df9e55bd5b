package ext4

import (
	"encoding/binary"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// Sizes of what a directory block holds.
const (
	direntHead = 8  // inode number, record length, name length, file type
	dirTail    = 12 // the false entry at a block's end that holds its checksum
	dotSpace   = 24 // "." and ".."
)

// A dirent is a name in a directory.
type dirent struct {
	name string
	ino  uint32
	hash uint32
	less uint32 // the minor hash, which orders names of one hash
	kind uint8
}

func (e *dirent) space() int { return direntHead + (len(e.name)+3)&^3 }

// A directory is the names in it: in one block by name, in more in a tree by hash.
type directory struct {
	parent  uint32
	subdirs uint32
	entries []dirent
	tree    *hashTree // nil if all fits into one block
}

func newDirectory(parent uint32) *directory { return &directory{parent: parent} }

func (d *directory) add(name string, n *node) {
	if n.kind == tree.Dir {
		d.subdirs++
	}
	d.entries = append(d.entries, dirent{name: name, ino: n.ino, kind: fileType(n.kind)})
}

// fileType is a directory entry's code for a kind.
func fileType(k tree.Kind) uint8 {
	switch k {
	case tree.File:
		return 1
	case tree.Dir:
		return 2
	case tree.Char:
		return 3
	case tree.Block:
		return 4
	case tree.Fifo:
		return 5
	case tree.Symlink:
		return 7
	case tree.Hardlink: // the node's kind is its first entry's
	}
	return 0
}

// arrange decides which block holds which name, and says how many blocks there are. Each
// has a tail.
func (d *directory) arrange(h nameHash, tail int) (blocks int64, err error) {
	space := dotSpace
	for i := range d.entries {
		if len(d.entries[i].name) > 255 {
			return 0, fault.Newf(fault.Preflight, "ext4: name %q is longer than 255 bytes", d.entries[i].name)
		}
		space += d.entries[i].space()
	}
	if space <= blockSize-tail {
		return 1, nil
	}
	if d.tree, err = newHashTree(d.entries, h, tail); err != nil {
		return 0, err
	}
	return d.tree.blocks(), nil
}

// encode makes one block of a directory; sum is the state of its inode.
func (d *directory) encode(ino uint32, block int64, sum checksum, out []byte) {
	clear(out)
	switch {
	case d.tree != nil:
		d.tree.encode(d, ino, block, sum, out)
		return
	case block == 0:
		at := putDirent(out, 0, &dirent{name: ".", ino: ino, kind: 2})
		at = putDirent(out, at, &dirent{name: "..", ino: d.parent, kind: 2})
		putDirents(out[:blockSize-sum.tail()], at, d.entries)
	default:
		putDirents(out[:blockSize-sum.tail()], 0, nil) // lost+found has empty blocks
	}
	endDirBlock(out, sum)
}

// putDirent writes an entry and gives the place behind it.
func putDirent(out []byte, at int, e *dirent) int {
	le := binary.LittleEndian
	le.PutUint32(out[at:], e.ino)
	le.PutUint16(out[at+4:], uint16(e.space()))
	out[at+6] = uint8(len(e.name))
	out[at+7] = e.kind
	copy(out[at+direntHead:], e.name)
	return at + e.space()
}

// putDirents writes entries into a block without its tail; the last one takes what is left.
func putDirents(out []byte, at int, entries []dirent) {
	last := max(at-dotSpace/2, 0) // ".." or the block's beginning
	for i := range entries {
		last = at
		at = putDirent(out, at, &entries[i])
	}
	binary.LittleEndian.PutUint16(out[last+4:], uint16(len(out)-last))
}

// endDirBlock writes the tail of a block of names.
func endDirBlock(out []byte, sum checksum) {
	if sum.none {
		return
	}
	const space = blockSize - dirTail
	le := binary.LittleEndian
	le.PutUint16(out[space+4:], dirTail)
	out[space+7] = 0xde
	le.PutUint32(out[space+8:], sum.add(out[:space]).value())
}
