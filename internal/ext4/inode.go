package ext4

import (
	"encoding/binary"

	"ingot/internal/tree"
)

const (
	extentsFlag = 0x80000
	indexFlag   = 0x1000 // the directory is a hash tree
	extraSize   = 32     // bytes behind the classic 128 that have a meaning
	inlineSpace = inodeSize - 128 - extraSize
)

// The file types of i_mode.
func modeType(k tree.Kind) uint16 {
	switch k {
	case tree.Dir:
		return 0x4000
	case tree.File:
		return 0x8000
	case tree.Symlink:
		return 0xa000
	case tree.Char:
		return 0x2000
	case tree.Block:
		return 0x6000
	case tree.Fifo:
		return 0x1000
	case tree.Hardlink: // never a node's kind
	}
	return 0
}

// encode writes a node's inode; sum is the state of the filesystem.
func (n *node) encode(o *Options, sum checksum, out []byte) {
	clear(out)
	le := binary.LittleEndian
	le.PutUint16(out, modeType(n.kind)|n.mode)
	le.PutUint16(out[0x2:], uint16(n.uid))
	le.PutUint32(out[0x4:], uint32(n.size))
	le.PutUint16(out[0x18:], uint16(n.gid))
	le.PutUint16(out[0x1a:], uint16(n.links))
	le.PutUint32(out[0x6c:], uint32(n.size>>32))
	le.PutUint16(out[0x78:], uint16(n.uid>>16))
	le.PutUint16(out[0x7a:], uint16(n.gid>>16))
	le.PutUint16(out[0x80:], extraSize)

	epoch := tree.Time{Sec: o.Epoch}
	putTime(out, 0x8, 0x8c, epoch)    // access
	putTime(out, 0xc, 0x84, epoch)    // change
	putTime(out, 0x10, 0x88, n.mtime) // modification
	putTime(out, 0x90, 0x94, epoch)   // birth

	flags, mapped := uint32(0), uint32(extentsFlag)
	if o.Generation != Ext4 {
		mapped = 0
	}
	content := out[0x28 : 0x28+60]
	switch n.kind {
	case tree.Dir:
		flags = mapped
		if n.dir.tree != nil {
			flags |= indexFlag
		}
		n.encodeMap(o.Generation, content)
	case tree.File:
		if n.ino == resizeIno {
			le.PutUint32(content[4*13:], uint32(n.runs[0].start)) // the doubly indirect block
			break
		}
		flags = mapped
		n.encodeMap(o.Generation, content)
	case tree.Symlink:
		if n.size > fastSymlink {
			flags = mapped
			n.encodeMap(o.Generation, content)
		} else {
			copy(content, n.link)
		}
	case tree.Char, tree.Block:
		if n.major < 256 && n.minor < 256 {
			le.PutUint32(content, n.major<<8|n.minor)
		} else {
			le.PutUint32(content[4:], n.minor&0xff|n.major<<8|n.minor&^0xff<<12)
		}
	case tree.Fifo, tree.Hardlink:
	}
	le.PutUint32(out[0x20:], flags)

	sectors := n.ownBlocks() * sectorsInBlock
	le.PutUint32(out[0x1c:], uint32(sectors))
	le.PutUint16(out[0x74:], uint16(sectors>>32))
	if n.attrs != nil {
		le.PutUint32(out[0x68:], uint32(n.attrs.at))
		le.PutUint16(out[0x76:], uint16(n.attrs.at>>32))
	}
	copy(out[128+extraSize:], n.inline)
	endInode(out, n.ino, sum)
}

// encodeMap writes into i_block where the content lies.
func (n *node) encodeMap(g Generation, out []byte) {
	if g == Ext4 {
		n.encodeExtentRoot(out)
	} else {
		n.encodeBlockMap(out)
	}
}

func endInode(out []byte, ino uint32, sum checksum) {
	c := sum.inode(ino).add(out).value()
	binary.LittleEndian.PutUint16(out[0x7c:], uint16(c))
	if binary.LittleEndian.Uint16(out[0x80:]) > 0 {
		binary.LittleEndian.PutUint16(out[0x82:], uint16(c>>16))
	}
}

// ownBlocks is what an inode takes from the filesystem, in blocks: also its
// extent tree and its attributes, though others may share those.
func (n *node) ownBlocks() int64 {
	own := int64(len(n.index)) + n.reserved
	for _, r := range n.runs {
		own += r.n
	}
	if n.attrs != nil {
		own++
	}
	return own
}

// putTime writes a time in two parts: 32 bits of seconds, and 2 more bits of
// seconds below 30 bits of nanoseconds. What lies outside of 1901 to 2310 is
// moved to the nearest end, as the kernel does, for which it is 2446: later times
// e2fsck takes for a mistake that kernels once made with those before 1970.
func putTime(out []byte, at, extra int, t tree.Time) {
	const first, last = -1 << 31, 3<<32 - 1<<31 - 1
	switch {
	case t.Sec < first:
		t = tree.Time{Sec: first}
	case t.Sec > last:
		t = tree.Time{Sec: last}
	}
	le := binary.LittleEndian
	le.PutUint32(out[at:], uint32(t.Sec))
	era := (t.Sec - int64(int32(t.Sec))) >> 32 & 3
	le.PutUint32(out[extra:], uint32(era)|uint32(t.Nsec)<<2)
}

// encodeTable writes a part of a group's inode table that begins at the inode of
// the given number.
func (fs *FS) encodeTable(ino uint32, out []byte) {
	clear(out)
	for ; len(out) > 0 && ino <= fs.inodes.last; ino, out = ino+1, out[inodeSize:] {
		switch slot := out[:inodeSize]; ino {
		case badBlocksIno:
			t := tree.Time{Sec: fs.o.Epoch}
			for _, at := range []int{0x8, 0xc, 0x10} {
				putTime(slot, at, 0x84, t)
			}
			clear(slot[0x84:0x88]) // this one inode has no extra part
			endInode(slot, ino, fs.sum)
		case resizeIno:
			fs.resize.encode(&fs.o, fs.sum, slot)
		case journalIno:
			if fs.geo.journal == 0 {
				break
			}
			fs.journal.encode(&fs.o, fs.sum, slot)
		default:
			if n := fs.inodes.byNumber(ino); n != nil {
				n.encode(&fs.o, fs.sum, slot)
			}
		}
	}
}
