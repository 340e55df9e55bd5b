package xfs

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// Features; each name is what xfs_info prints.
const (
	version = 5 | 0x20 | // nlink of 32 bits
		0x80 | // aligned inodes
		0x400 | // log of version 2
		0x1000 | 0x2000 | // unwritten extents, directories of version 2
		0x8000 // more features
	versionAttr   = 0x10
	versionSector = 0x800
	features2     = 0x2 | // lazy-count
		0x8 | // attr=2
		0x80 | // projid32bit
		0x100 // crc
	readOnlyFeatures = 0x1 | // finobt
		0x4 | // reflink
		0x8 // inobtcount
	incompatFeatures = 0x1 | // ftype
		0x2 | // sparse
		0x8 // bigtime
)

// encodeSuper makes the superblock, one sector. All groups have the same.
func (fs *FS) encodeSuper() []byte {
	b := make([]byte, fs.o.SectorSize)
	g := &fs.geo
	be := binary.BigEndian
	copy(b, "XFSB")
	be.PutUint32(b[4:], blockSize)
	be.PutUint64(b[8:], uint64(g.blocks))
	copy(b[32:], fs.o.UUID[:])
	be.PutUint64(b[48:], g.block(g.start(g.logGroup())+g.logStart()))
	root := fs.inodes.all[0].ino
	be.PutUint64(b[56:], root)
	be.PutUint64(b[64:], root+1) // the bitmap and the summary of a real-time device
	be.PutUint64(b[72:], root+2)
	be.PutUint32(b[80:], 1) // its extents
	be.PutUint32(b[84:], uint32(g.groupBlocks))
	be.PutUint32(b[88:], uint32(g.groups))
	be.PutUint32(b[96:], uint32(g.log))
	v := uint16(version)
	if fs.inodes.attributes() {
		v |= versionAttr
	}
	if fs.o.SectorSize > 512 {
		v |= versionSector
	}
	be.PutUint16(b[100:], v)
	be.PutUint16(b[102:], uint16(fs.o.SectorSize))
	be.PutUint16(b[104:], inodeSize)
	be.PutUint16(b[106:], inodesInBlock)
	copy(b[108:120], fs.o.Label)
	b[120] = 12 // logarithms: of blocks, sectors, inodes, inodes in a block, blocks in a group
	b[121] = 9
	b[122] = 9
	b[123] = 3
	b[124] = byte(g.groupLog)
	var inodes, used int64
	for i := range fs.groups {
		inodes += fs.groups[i].count()
		used += fs.groups[i].used
	}
	b[127] = g.inodePercent(inodes)
	be.PutUint64(b[128:], uint64(inodes))
	be.PutUint64(b[136:], uint64(inodes-used))
	be.PutUint64(b[144:], uint64(fs.free))
	be.PutUint32(b[180:], chunkBlocks) // alignment of inodes
	be.PutUint32(b[196:], 1)           // the log's stripe
	if fs.o.SectorSize > 512 {
		b[121], b[193] = 12, 12
		be.PutUint16(b[194:], uint16(fs.o.SectorSize))
		be.PutUint32(b[196:], uint32(fs.o.SectorSize))
	}
	be.PutUint32(b[200:], features2)
	be.PutUint32(b[204:], features2) // where some systems look for it
	be.PutUint32(b[212:], readOnlyFeatures)
	be.PutUint32(b[216:], incompatFeatures)
	be.PutUint32(b[228:], chunkBlocks/2) // alignment of sparse inodes
	putSum(b, 224)
	return b
}

// inodePercent is how many percent of all blocks may be inodes: what mkfs.xfs says,
// or twice what there are.
func (g *geometry) inodePercent(inodes int64) byte {
	percent := int64(25)
	if g.blocks >= 1<<40/blockSize {
		percent = 5
	}
	return byte(min(max(percent, ceilDiv(2*inodes/inodesInBlock*100, g.blocks)), 100))
}

// encodeHead writes a block of a group's start: its four sectors, the roots of
// its trees.
func (fs *FS) encodeHead(group int, block int64, out []byte) {
	clear(out)
	g := &fs.geo
	if block >= g.head {
		fs.encodeRoot(group, treeKind(block-g.head), out)
		return
	}
	size := fs.o.SectorSize
	for i := range blockSize / size {
		sector := out[i*size : (i+1)*size]
		switch int(block)*blockSize/size + i {
		case 0:
			copy(sector, fs.super)
		case 1:
			fs.encodeFreeHead(group, sector)
		case 2:
			fs.encodeInodeHead(group, sector)
		case 3:
			fs.encodeFreeList(group, sector)
		}
	}
}

// encodeFreeHead writes a group's sector about free space.
func (fs *FS) encodeFreeHead(group int, b []byte) {
	g := &fs.geo
	var free, longest int64
	for _, r := range fs.groups[group].free {
		free += r.n
		longest = max(longest, r.n)
	}
	be := binary.BigEndian
	fs.putGroup(b, "XAGF", group)
	be.PutUint32(b[16:], uint32(g.root(freeByPlace)))
	be.PutUint32(b[20:], uint32(g.root(freeBySize)))
	be.PutUint32(b[28:], 1) // levels
	be.PutUint32(b[32:], 1)
	be.PutUint32(b[40:], 1) // the free list is a ring: first, last, count
	be.PutUint32(b[44:], freeList)
	be.PutUint32(b[48:], freeList)
	be.PutUint32(b[52:], uint32(free))
	be.PutUint32(b[56:], uint32(longest))
	copy(b[64:], fs.o.UUID[:])
	be.PutUint32(b[84:], 1) // blocks of the tree of shared blocks
	be.PutUint32(b[88:], uint32(g.root(shared)))
	be.PutUint32(b[92:], 1)
	putSum(b, 216)
}

// encodeInodeHead writes a group's sector about inodes.
func (fs *FS) encodeInodeHead(group int, b []byte) {
	gr := &fs.groups[group]
	be := binary.BigEndian
	fs.putGroup(b, "XAGI", group)
	be.PutUint32(b[16:], uint32(gr.count()))
	be.PutUint32(b[20:], uint32(fs.geo.root(inodes)))
	be.PutUint32(b[24:], uint32(gr.tree.height()))
	be.PutUint32(b[28:], uint32(gr.count()-gr.used))
	be.PutUint32(b[32:], nullInode) // the newest chunk
	if gr.inodes.n > 0 {
		be.PutUint32(b[32:], uint32((gr.inodes.end()-chunkBlocks)*inodesInBlock))
	}
	for at := 36; at < 296; at += 4 { // a directory's, and those to be removed
		be.PutUint32(b[at:], nullInode)
	}
	copy(b[296:], fs.o.UUID[:])
	be.PutUint32(b[328:], uint32(fs.geo.root(freeInodes)))
	be.PutUint32(b[332:], 1)
	be.PutUint32(b[336:], uint32(1+gr.tree.below())) // blocks of the two trees
	be.PutUint32(b[340:], 1)
	putSum(b, 312)
}

// encodeFreeList writes a group's list of blocks for its trees of free space.
func (fs *FS) encodeFreeList(group int, b []byte) {
	be := binary.BigEndian
	copy(b, "XAFL")
	be.PutUint32(b[4:], uint32(group))
	copy(b[8:], fs.o.UUID[:])
	for at := 36; at+4 <= len(b); at += 4 {
		be.PutUint32(b[at:], nullBlock)
	}
	for i := range int64(freeList) {
		be.PutUint32(b[36+4*(1+i):], uint32(fs.geo.listed()+i))
	}
	putSum(b, 32)
}

// putGroup begins a group's sector.
func (fs *FS) putGroup(b []byte, magic string, group int) {
	copy(b, magic)
	be := binary.BigEndian
	be.PutUint32(b[4:], 1)
	be.PutUint32(b[8:], uint32(group))
	be.PutUint32(b[12:], uint32(fs.geo.length(group)))
}

// inode is the number of an inode at a place of its group.
func (g *geometry) inode(group int, at int64) uint64 {
	return uint64(group)<<(g.groupLog+3) | uint64(at)
}

// attributes says whether any inode has some.
func (s *inodeSet) attributes() bool {
	return slices.ContainsFunc(s.all, func(n *node) bool { return n.attrs != nil })
}

// bySize orders free space for the second of its trees.
func bySize(free []run) []run {
	out := slices.Clone(free)
	slices.SortFunc(out, func(a, b run) int { return cmp.Or(cmp.Compare(a.n, b.n), cmp.Compare(a.start, b.start)) })
	return out
}
