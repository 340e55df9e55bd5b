package ext4

import "encoding/binary"

// Facts of maps of blocks: an inode has the numbers of its first blocks, and then of a
// block of numbers, of a block of such blocks, and of one level more.
const (
	directBlocks = 12
	doubleBlocks = addrsInBlock * addrsInBlock
	// maxMapped is how many blocks a file has at the most: sectors, of which the map's
	// own blocks are some, are counted in 32 bits.
	maxMapped = (1<<32 - 1) / sectorsInBlock * 1000 / 1001
)

// mapBlocks is how many blocks the map of a content needs outside the inode.
func mapBlocks(content int64) int64 {
	n := content - directBlocks
	if n <= 0 {
		return 0
	}
	out := int64(1) // of addresses
	if n -= addrsInBlock; n <= 0 {
		return out
	}
	out += 1 + ceilDiv(min(n, doubleBlocks), addrsInBlock)
	if n -= doubleBlocks; n <= 0 {
		return out
	}
	return out + 1 + ceilDiv(n, doubleBlocks) + ceilDiv(n, addrsInBlock)
}

// A mapBlock is one block of a map: what its numbers are those of.
type mapBlock struct {
	content bool  // of the content, from first on, or else of blocks of the map
	first   int64 // the content's block, or the map's
	n       int64
}

// mapBlock says what block i of a node's map holds: they are in the order of what they
// map, each before those that it leads to.
func (n *node) mapBlock(i int64) mapBlock {
	content := n.contentBlocks()
	leaf := func(k, from int64) mapBlock {
		first := from + k*addrsInBlock
		return mapBlock{true, first, min(addrsInBlock, content-first)}
	}
	const single = directBlocks + addrsInBlock
	if i == 0 {
		return leaf(0, directBlocks)
	}
	leaves := ceilDiv(min(content-single, doubleBlocks), addrsInBlock)
	switch i -= 1; {
	case i == 0:
		return mapBlock{false, 2, leaves}
	case i <= leaves:
		return leaf(i-1, single)
	}
	i -= 1 + leaves
	const double = single + doubleBlocks
	at := 2 + leaves // number of the triple's top in the map
	rest := content - double
	middles, under := ceilDiv(rest, doubleBlocks), ceilDiv(rest, addrsInBlock)
	switch {
	case i == 0:
		return mapBlock{false, at + 1, middles}
	case i <= middles:
		first := (i - 1) * addrsInBlock
		return mapBlock{false, at + 1 + middles + first, min(addrsInBlock, under-first)}
	}
	return leaf(i-1-middles, double)
}

// encodeBlockMap writes the map's beginning into i_block.
func (n *node) encodeBlockMap(out []byte) {
	content := n.contentBlocks()
	n.putBlocks(out, 0, min(content, directBlocks))
	le := binary.LittleEndian
	for slot, i := range []int64{0, 1, 2 + ceilDiv(min(content-directBlocks-addrsInBlock, doubleBlocks), addrsInBlock)} {
		if i < int64(len(n.index)) {
			le.PutUint32(out[4*(directBlocks+slot):], uint32(n.index[i]))
		}
	}
}

// encodeMapBlock writes one block of the map.
func (n *node) encodeMapBlock(i int, out []byte) {
	clear(out)
	b := n.mapBlock(int64(i))
	if b.content {
		n.putBlocks(out, b.first, b.n)
		return
	}
	for k := range b.n {
		binary.LittleEndian.PutUint32(out[4*k:], uint32(n.index[b.first+k]))
	}
}

// putBlocks writes where blocks of the content lie.
func (n *node) putBlocks(out []byte, first, count int64) {
	at := int64(0) // of the content, where a run begins
	for _, r := range n.runs {
		for k := max(first, at); k < min(first+count, at+r.n); k++ {
			binary.LittleEndian.PutUint32(out[4*(k-first):], uint32(r.start+k-at))
		}
		at += r.n
	}
}
