package xfs

import (
	"encoding/binary"

	"ingot/internal/tree"
)

const (
	inodeMagic    = 0x494e // "IN"
	newBitmapFlag = 1 << 2
	bigTime       = 1 << 3

	formatDevice  = 0
	formatLocal   = 1
	formatExtents = 2
)

// typeBits are the types of files in an inode's mode.
var typeBits = [...]uint16{
	tree.Dir: 0o040000, tree.File: 0o100000, tree.Symlink: 0o120000, tree.Char: 0o020000, tree.Block: 0o060000, tree.Fifo: 0o010000,
}

// encodeInode writes the head of an inode that nothing uses.
func (fs *FS) encodeInode(ino uint64, out []byte) {
	clear(out)
	be := binary.BigEndian
	be.PutUint16(out, inodeMagic)
	out[4] = 3 // version
	be.PutUint32(out[96:], nullInode)
	be.PutUint64(out[152:], ino)
	copy(out[160:], fs.o.UUID[:])
}

// encodeNode writes an inode.
func (fs *FS) encodeNode(n *node, out []byte) {
	fs.encodeInode(n.ino, out)
	be := binary.BigEndian
	be.PutUint16(out[2:], typeBits[n.kind]|n.mode)
	be.PutUint32(out[8:], n.uid)
	be.PutUint32(out[12:], n.gid)
	be.PutUint32(out[16:], n.links)
	epoch := bigTimeOf(tree.Time{Sec: fs.o.Epoch})
	be.PutUint64(out[32:], epoch) // access
	be.PutUint64(out[40:], bigTimeOf(n.mtime))
	be.PutUint64(out[48:], epoch) // change
	be.PutUint64(out[56:], uint64(n.size))
	be.PutUint64(out[64:], uint64(n.ownBlocks()))
	be.PutUint32(out[76:], uint32(len(n.data)))
	be.PutUint16(out[80:], uint16(len(n.attrRuns)))
	be.PutUint16(out[90:], n.flags)
	be.PutUint64(out[104:], 1) // changes
	be.PutUint64(out[120:], bigTime)
	be.PutUint64(out[144:], epoch) // birth

	content := out[inodeHead : inodeHead+n.fork.data]
	switch {
	case n.kind == tree.Char || n.kind == tree.Block || n.kind == tree.Fifo:
		out[5] = formatDevice
		be.PutUint32(content, n.major<<18|n.minor)
	case n.dir != nil && n.local:
		out[5] = formatLocal
		n.dir.encodeShort(content)
	case n.local:
		out[5] = formatLocal
		copy(content, n.link)
	default:
		out[5] = formatExtents
		for i, e := range n.data {
			fs.putExtent(content[i*extentSize:], e)
		}
	}

	out[83] = formatExtents
	if n.attrs != nil {
		out[82] = byte(n.fork.data / 8)
		attrs := out[inodeHead+n.fork.data:]
		if n.fork.out {
			at := int64(0)
			for i, r := range n.attrRuns {
				fs.putExtent(attrs[i*extentSize:], extent{at, r})
				at += r.n
			}
		} else {
			out[83] = formatLocal
			n.attrs.encodeShort(attrs)
		}
	}
	putSum(out, 100)
}

// ownBlocks is what an inode takes from the filesystem, in blocks.
func (n *node) ownBlocks() int64 {
	var own int64
	for _, e := range n.data {
		own += e.n
	}
	for _, r := range n.attrRuns {
		own += r.n
	}
	return own
}

// putExtent packs an extent into 128 bits: a flag, 54 bits of the place in the
// file, 52 of that in the filesystem, 21 of the length.
func (fs *FS) putExtent(out []byte, e extent) {
	at := fs.geo.block(e.start)
	binary.BigEndian.PutUint64(out, uint64(e.file)<<9|at>>43)
	binary.BigEndian.PutUint64(out[8:], at<<21|uint64(e.n))
}

// bigTimeOf counts nanoseconds from the earliest time, 2^31 seconds before 1970.
// What lies outside of 1901 to 2486 is moved to the nearest end.
func bigTimeOf(t tree.Time) uint64 {
	const first, last = -1 << 31, (1<<64-1)/1_000_000_000 - 1<<31
	switch {
	case t.Sec < first:
		t = tree.Time{Sec: first}
	case t.Sec >= last:
		t = tree.Time{Sec: last}
	}
	return uint64(t.Sec-first)*1_000_000_000 + uint64(t.Nsec)
}

// encodeInodes writes a block of a group's inodes, counted from the group's first.
func (fs *FS) encodeInodes(group int, block int64, out []byte) {
	g := &fs.groups[group]
	for i := range int64(inodesInBlock) {
		slot := out[i*inodeSize : (i+1)*inodeSize]
		if k := block*inodesInBlock + i; k < g.used {
			fs.encodeNode(fs.inodes.all[g.first+k], slot)
		} else {
			fs.encodeInode(fs.geo.inode(group, g.inodes.start*inodesInBlock+k), slot)
			putSum(slot, 100)
		}
	}
}
