package xfs

import (
	"encoding/binary"
	"slices"

	"ingot/internal/tree"
)

const (
	dataHead    = 64 // of a block of names
	blockTail   = 8  // of a directory of one block
	hashEntry   = 8  // a name's hash and its address
	freeTag     = 0xffff
	leafStart   = 32 << 30 / blockSize // where a directory's hashes begin, in blocks of it
	freeStart   = 64 << 30 / blockSize // where it notes the room in its blocks of names
	freeEntries = (blockSize - dataHead) / 2
)

// typeCodes are the types of files in directories.
var typeCodes = [...]byte{tree.File: 1, tree.Dir: 2, tree.Char: 3, tree.Block: 4, tree.Fifo: 5, tree.Symlink: 7}

// A dirent is a name in a directory.
type dirent struct {
	name string
	node *node
}

// dataSize is what a name of that length takes in a block: number, length, name,
// type and its own place.
func dataSize(name int) int { return round8(8 + 1 + name + 1 + 2) }

// A directory is the names in it. The form depends on how many they are: in the
// inode; in one block, hashes at its end; in blocks of names with one block of
// hashes; or with a tree of hashes.
type directory struct {
	parent  *node
	entries []dirent
	subdirs uint32
	names   int // bytes of all names

	blocks []int    // where the entries of each block of names begin; none in short form
	hashes []uint64 // of all names, in order: hash, then address in units of 8 bytes
	one    bool     // a single block
	leaf   bool     // a single block of hashes, with the room in the others
	tree   hashTree
}

// newDirectory is an empty directory in another.
func newDirectory(parent *node) *directory { return &directory{parent: parent} }

func (d *directory) add(name string, n *node) {
	d.entries = append(d.entries, dirent{name, n})
	d.names += len(name)
	if n.kind == tree.Dir {
		d.subdirs++
	}
}

// shortSize is the directory's size in an inode, or more than an inode holds.
func (d *directory) shortSize() int {
	if len(d.entries) > 255 {
		return inodeSize
	}
	return 6 + 8*len(d.entries) + d.names
}

// arrange decides the form.
func (d *directory) arrange(short bool) {
	if short {
		return
	}
	d.hashes = make([]uint64, 0, len(d.entries)+2)
	at := dataHead
	room := blockSize
	if one := d.oneBlock(); one {
		d.one = true
		room -= blockTail + hashEntry*(len(d.entries)+2)
	}
	d.blocks = append(d.blocks, 0)
	put := func(i int, name string) {
		if at+dataSize(len(name)) > room {
			d.blocks = append(d.blocks, i)
			at = dataHead
		}
		address := uint64(len(d.blocks)-1)*blockSize + uint64(at)
		d.hashes = append(d.hashes, uint64(hashName(name))<<32|address/8)
		at += dataSize(len(name))
	}
	put(0, ".")
	put(0, "..")
	for i := range d.entries {
		put(i, d.entries[i].name)
	}
	slices.Sort(d.hashes)
	if d.one {
		return
	}
	if leafHead+hashEntry*len(d.hashes)+2*len(d.blocks)+4 <= blockSize {
		d.leaf = true
		return
	}
	d.tree = newHashTree(int64(len(d.hashes)))
}

// oneBlock says whether names and hashes fit into one block.
func (d *directory) oneBlock() bool {
	n := dataHead + dataSize(1) + dataSize(2) + hashEntry*(len(d.entries)+2) + blockTail
	for i := range d.entries {
		if n += dataSize(len(d.entries[i].name)); n > blockSize {
			return false
		}
	}
	return n <= blockSize
}

// size is the directory's size: in the inode, or of all blocks of names.
func (d *directory) size() int64 {
	if len(d.blocks) == 0 {
		return int64(d.shortSize())
	}
	return int64(len(d.blocks)) * blockSize
}

// parts is the blocks of names, of hashes, and of the room in the first.
func (d *directory) parts() []part {
	out := []part{{0, int64(len(d.blocks))}}
	switch {
	case d.one:
	case d.leaf:
		out = append(out, part{leafStart, 1})
	default:
		out = append(out, part{leafStart, d.tree.blocks()}, part{freeStart, ceilDiv(int64(len(d.blocks)), freeEntries)})
	}
	return out
}

// encodeShort writes a directory that lies in its inode.
func (d *directory) encodeShort(out []byte) {
	be := binary.BigEndian
	out[0] = byte(len(d.entries))
	be.PutUint32(out[2:], uint32(d.parent.ino))
	at, place := 6, dataHead+dataSize(1)+dataSize(2)
	for i := range d.entries {
		e := &d.entries[i]
		out[at] = byte(len(e.name))
		be.PutUint16(out[at+1:], uint16(place)) // where it would be in a block
		copy(out[at+3:], e.name)
		at += 3 + len(e.name)
		out[at] = typeCodes[e.node.kind]
		be.PutUint32(out[at+1:], uint32(e.node.ino))
		at += 5
		place += dataSize(len(e.name))
	}
}

// encodeDir writes a block of a directory.
func (fs *FS) encodeDir(n *node, file, at int64, out []byte) {
	clear(out)
	switch d := n.dir; {
	case file < leafStart:
		fs.encodeNames(n, int(file), at, out)
	case file >= freeStart:
		fs.encodeRoom(n, file-freeStart, at, out)
	case d.leaf:
		fs.putHashHead(out, 0x3df1, n, at)
		putHashes(out, d.hashes)
		for i := range d.blocks {
			binary.BigEndian.PutUint16(out[blockSize-4-2*(len(d.blocks)-i):], d.room(i))
		}
		binary.BigEndian.PutUint32(out[blockSize-4:], uint32(len(d.blocks)))
		putSum(out, 12)
	default:
		fs.encodeHashTree(n, file-leafStart, at, out)
	}
}

// in is the names of a block.
func (d *directory) in(block int) []dirent {
	if block+1 < len(d.blocks) {
		return d.entries[d.blocks[block]:d.blocks[block+1]]
	}
	return d.entries[d.blocks[block]:]
}

// end is where the room of a block of names ends.
func (d *directory) end() int {
	if d.one {
		return blockSize - blockTail - hashEntry*len(d.hashes)
	}
	return blockSize
}

// room is how much of a block of names is free: all of it in one piece.
func (d *directory) room(block int) uint16 {
	at := dataHead
	if block == 0 {
		at += dataSize(1) + dataSize(2)
	}
	for _, e := range d.in(block) {
		at += dataSize(len(e.name))
	}
	return uint16(d.end() - at)
}

// encodeNames writes a block of names.
func (fs *FS) encodeNames(n *node, block int, at int64, out []byte) {
	d := n.dir
	be := binary.BigEndian
	magic := "XDD3"
	if d.one {
		magic = "XDB3"
	}
	fs.putDataHead(out, magic, n, at)
	to := dataHead
	put := func(name string, n *node) {
		be.PutUint64(out[to:], n.ino)
		out[to+8] = byte(len(name))
		copy(out[to+9:], name)
		out[to+9+len(name)] = typeCodes[n.kind]
		next := to + dataSize(len(name))
		be.PutUint16(out[next-2:], uint16(to))
		to = next
	}
	if block == 0 {
		put(".", n)
		put("..", d.parent)
	}
	for _, e := range d.in(block) {
		put(e.name, e.node)
	}
	if room := d.end() - to; room > 0 {
		be.PutUint16(out[48:], uint16(to)) // the largest free piece
		be.PutUint16(out[50:], uint16(room))
		be.PutUint16(out[to:], freeTag)
		be.PutUint16(out[to+2:], uint16(room))
		be.PutUint16(out[d.end()-2:], uint16(to))
	}
	if d.one {
		for i, h := range d.hashes {
			be.PutUint64(out[d.end()+hashEntry*i:], h)
		}
		be.PutUint32(out[blockSize-blockTail:], uint32(len(d.hashes)))
	}
	putSum(out, 4)
}

// encodeRoom writes a block with the room in blocks of names.
func (fs *FS) encodeRoom(n *node, block int64, at int64, out []byte) {
	d := n.dir
	be := binary.BigEndian
	fs.putDataHead(out, "XDF3", n, at)
	first := int(block) * freeEntries
	count := min(len(d.blocks)-first, freeEntries)
	be.PutUint32(out[48:], uint32(first))
	be.PutUint32(out[52:], uint32(count))
	be.PutUint32(out[56:], uint32(count)) // in use
	for i := range count {
		be.PutUint16(out[dataHead+2*i:], d.room(first+i))
	}
	putSum(out, 4)
}

// putDataHead begins a block of names, or of their room.
func (fs *FS) putDataHead(out []byte, magic string, n *node, at int64) {
	be := binary.BigEndian
	copy(out, magic)
	be.PutUint64(out[8:], sectors(at))
	copy(out[24:], fs.o.UUID[:])
	be.PutUint64(out[40:], n.ino)
}

// hashName is the hash of a name in a directory, or of an attribute's.
func hashName(name string) uint32 {
	var h uint32
	rol := func(n uint) uint32 { return h<<n | h>>(32-n) }
	for ; len(name) >= 4; name = name[4:] {
		h = uint32(name[0])<<21 ^ uint32(name[1])<<14 ^ uint32(name[2])<<7 ^ uint32(name[3]) ^ rol(28)
	}
	switch len(name) {
	case 3:
		return uint32(name[0])<<14 ^ uint32(name[1])<<7 ^ uint32(name[2]) ^ rol(21)
	case 2:
		return uint32(name[0])<<7 ^ uint32(name[1]) ^ rol(14)
	case 1:
		return uint32(name[0]) ^ rol(7)
	}
	return h
}
