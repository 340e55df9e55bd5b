package ext4

import (
	"encoding/binary"
)

// The features; each name is what dumpe2fs prints.
const (
	compatFeatures = 0x4 | // has_journal
		0x8 | // ext_attr
		0x10 | // resize_inode
		0x20 // dir_index
	incompatFeatures = 0x2 | // filetype
		0x40 | // extent
		0x80 | // 64bit
		0x200 // flex_bg
	readOnlyFeatures = 0x1 | // sparse_super
		0x2 | // large_file
		0x8 | // huge_file
		0x20 | // dir_nlink
		0x40 | // extra_isize
		0x400 // metadata_csum
)

// The features of ext2; ext3 has a journal too.
const (
	compatExt2   = compatFeatures &^ hasJournal
	incompatExt2 = 0x2       // filetype
	readOnlyExt2 = 0x1 | 0x2 // sparse_super, large_file
	hasJournal   = 0x4
)

const superSize = 1024

// features are those of a generation.
func (g Generation) features() (compat, incompat, readOnly int64) {
	switch g {
	case Ext3:
		return compatExt2 | hasJournal, incompatExt2, readOnlyExt2
	case Ext2:
		return compatExt2, incompatExt2, readOnlyExt2
	case Ext4:
	}
	return compatFeatures, incompatFeatures, readOnlyFeatures
}

// encodeSuper makes the superblock of group 0.
func (fs *FS) encodeSuper() []byte {
	b := make([]byte, superSize)
	g := &fs.geo
	le := binary.LittleEndian
	put16 := func(at int, v int) { le.PutUint16(b[at:], uint16(v)) }
	put32 := func(at int, v int64) { le.PutUint32(b[at:], uint32(v)) }
	split := func(lo, hi int, v int64) { put32(lo, v); put32(hi, v>>32) }
	// Times have 32 bits, and 8 more elsewhere.
	at := func(lo, hi int, sec int64) { put32(lo, sec); b[hi] = byte(sec >> 32) }

	inodes, freeInodes := fs.Inodes()
	put32(0x0, inodes)
	split(0x4, 0x150, g.blocks)
	split(0x8, 0x154, fs.reservedBlocks(g.blocks))
	split(0xc, 0x158, fs.free)
	put32(0x10, freeInodes)
	put32(0x18, 2) // block size: 1024 << 2
	put32(0x1c, 2) // cluster size: the same
	put32(0x20, blocksPerGroup)
	put32(0x24, blocksPerGroup)
	put32(0x28, int64(g.inodesPerGroup))
	at(0x30, 0x274, fs.o.Epoch) // written
	put16(0x36, 0xffff)         // no check after so many mounts
	put16(0x38, 0xef53)
	put16(0x3a, 1)              // clean
	put16(0x3c, 1)              // on errors go on
	at(0x40, 0x277, fs.o.Epoch) // checked
	put32(0x4c, 1)              // revision with these fields:
	put32(0x54, firstIno)
	put16(0x58, inodeSize)
	compat, incompat, readOnly := fs.o.Generation.features()
	put32(0x5c, compat)
	put32(0x60, incompat)
	put32(0x64, readOnly)
	copy(b[0x68:], fs.o.UUID[:])
	copy(b[0x78:0x88], fs.o.Label)
	put16(0xce, g.reserved)
	copy(b[0xec:], fs.o.HashSeed[:])
	b[0xfc] = halfMD4
	if g.journal > 0 {
		put32(0xe0, journalIno)
		b[0xfd] = 1 // the journal's i_block is kept here too:
		fs.journal.encodeMap(fs.o.Generation, b[0x10c:0x10c+60])
		split(0x10c+64, 0x10c+60, fs.journal.size)
	}
	put32(0x100, 0x4|0x8)        // mount with user_xattr and acl
	at(0x108, 0x276, fs.o.Epoch) // made
	put16(0x15c, extraSize)
	put16(0x15e, extraSize)
	put32(0x160, 1) // names are hashed as signed characters
	if !fs.sum.none {
		put16(0xfe, descSize64)
		b[0x174] = byte(g.flexLog)
		b[0x175] = 1 // checksums are CRC-32C
	}
	put32(0x248, g.overhead()+fs.journal.ownBlocks()-int64(len(fs.journal.index)))
	fs.sumSuper(b)
	return b
}

func (fs *FS) sumSuper(b []byte) {
	sum := checksum{0xffffffff, fs.sum.none}
	binary.LittleEndian.PutUint32(b[0x3fc:], sum.add(b[:0x3fc]).value())
}

// encodeSuperBlock writes the block with a group's superblock. In group 0 it
// stands behind room for a boot sector.
func (fs *FS) encodeSuperBlock(group int, out []byte) {
	clear(out)
	if group == 0 {
		copy(out, fs.boot)
		copy(out[BootSize:], fs.super)
		return
	}
	copy(out, fs.super)
	binary.LittleEndian.PutUint16(out[0x5a:], uint16(group))
	fs.sumSuper(out[:superSize])
}
