package ext4

import (
	"encoding/binary"
)

// What a group descriptor says of tables that need not be read.
const (
	inodesUnused = 0x1 // the inode bitmap is not written
	blocksUnused = 0x2 // the block bitmap is not written
	tableZeroed  = 0x4 // the kernel need not zero the table: see FS.WriteTo
)

// usedInodes is how many inodes of a group are in use: its first ones.
func (fs *FS) usedInodes(group int) int {
	per := fs.geo.inodesPerGroup
	return max(0, min(int(fs.inodes.last)-group*per, per))
}

// groupFlags says which bitmaps of a group the kernel can make itself. A block
// bitmap it can where nothing but the group's own superblock lies; e2fsck wants
// the last group's nevertheless.
func (fs *FS) groupFlags(group int) int {
	if fs.sum.none { // no checksum would guard the flags
		return 0
	}
	flags := tableZeroed
	if fs.o.Noise {
		flags = 0
	}
	if fs.usedInodes(group) == 0 {
		flags |= inodesUnused
	}
	first, _ := fs.geo.leader(group)
	if group != first && group != fs.geo.groups-1 && fs.usedBlocks(group) == fs.geo.superBlocks(group) {
		flags |= blocksUnused
	}
	return flags
}

// encodeDescriptors makes the table of group descriptors, in whole blocks.
func (fs *FS) encodeDescriptors() []byte {
	g := &fs.geo
	table := make([]byte, g.descBlocks*blockSize)
	dirs := make([]int, g.groups)
	for _, d := range fs.inodes.dirs {
		dirs[int(d.ino-1)/g.inodesPerGroup]++
	}
	bitmap := make([]byte, blockSize)
	le := binary.LittleEndian
	for group := range g.groups {
		b := table[group*g.descSize:][:g.descSize]
		split := func(lo, hi int, v int64) {
			le.PutUint32(b[lo:], uint32(v))
			if g.descSize == descSize64 {
				le.PutUint32(b[hi:], uint32(v>>32))
			}
		}
		halves := func(lo, hi int, v int64) {
			le.PutUint16(b[lo:], uint16(v))
			if g.descSize == descSize64 {
				le.PutUint16(b[hi:], uint16(v>>16))
			}
		}
		split(0x0, 0x20, g.blockBitmap(group))
		split(0x4, 0x24, g.inodeBitmap(group))
		split(0x8, 0x28, g.inodeTable(group))
		freeInodes := int64(g.inodesPerGroup - fs.usedInodes(group))
		halves(0xc, 0x2c, g.groupBlocks(group)-fs.usedBlocks(group))
		halves(0xe, 0x2e, freeInodes)
		halves(0x10, 0x30, int64(dirs[group]))
		if fs.sum.none {
			continue
		}
		halves(0x1c, 0x32, freeInodes) // all free ones are behind the used ones
		flags := fs.groupFlags(group)
		le.PutUint16(b[0x12:], uint16(flags))
		if flags&blocksUnused == 0 {
			fs.encodeBlockBitmap(group, bitmap)
			halves(0x18, 0x38, int64(fs.sum.add(bitmap).value()))
		}
		if flags&inodesUnused == 0 {
			fs.encodeInodeBitmap(group, bitmap)
			halves(0x1a, 0x3a, int64(fs.sum.add(bitmap[:g.inodesPerGroup/8]).value()))
		}
		le.PutUint16(b[0x1e:], uint16(fs.sum.add32(uint32(group)).add(b).value()))
	}
	return table
}

// encodeBlockBitmap marks the blocks in use, and those behind the filesystem's end.
func (fs *FS) encodeBlockBitmap(group int, out []byte) {
	clear(out)
	setBits(out, 0, int(fs.usedBlocks(group)))
	setBits(out, int(fs.geo.groupBlocks(group)), 8*blockSize)
}

// encodeInodeBitmap marks the inodes in use, and the bits that stand for none.
func (fs *FS) encodeInodeBitmap(group int, out []byte) {
	clear(out)
	setBits(out, 0, fs.usedInodes(group))
	setBits(out, fs.geo.inodesPerGroup, 8*blockSize)
}

func setBits(b []byte, from, to int) {
	for ; from < to && from%8 != 0; from++ {
		b[from/8] |= 1 << (from % 8)
	}
	for ; from+8 <= to; from += 8 {
		b[from/8] = 0xff
	}
	for ; from < to; from++ {
		b[from/8] |= 1 << (from % 8)
	}
}
