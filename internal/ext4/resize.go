package ext4

import (
	"encoding/binary"

	"ingot/internal/tree"
)

// The resize inode owns the blocks reserved for more group descriptors, in all
// copies. Its doubly indirect block points to those of group 0, each at the
// index that is its place in the descriptor table; each of those is an indirect
// block that points to its copies in the other groups.

func newResizeInode(o *Options) *node {
	return &node{
		ino: resizeIno, kind: tree.File, mode: 0o600, links: 1, mtime: tree.Time{Sec: o.Epoch},
		size: (12 + addrsInBlock + addrsInBlock*addrsInBlock) * blockSize, // all that doubly indirect blocks reach
	}
}

// copies is the groups besides the first that begin with a superblock.
func (g *geometry) copies() []int {
	var out []int
	for group := 1; group < g.groups; group++ {
		if hasSuper(group) {
			out = append(out, group)
		}
	}
	return out
}

// reservedBlocks is how many blocks are reserved, in all copies.
func (g *geometry) reservedBlocks() int64 {
	return int64(g.reserved) * int64(1+len(g.copies()))
}

// encodeResizeTop writes the doubly indirect block.
func (fs *FS) encodeResizeTop(out []byte) {
	clear(out)
	for i := range fs.geo.reserved {
		at := fs.geo.descBlocks + i
		binary.LittleEndian.PutUint32(out[4*at:], uint32(1+at))
	}
}

// encodeReserved writes one block of group 0 that is reserved for descriptors.
func (fs *FS) encodeReserved(block int64, out []byte) {
	clear(out)
	for i, group := range fs.geo.copies() {
		binary.LittleEndian.PutUint32(out[4*i:], uint32(fs.geo.start(group)+block))
	}
}
