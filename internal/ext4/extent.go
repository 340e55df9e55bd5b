package ext4

import "encoding/binary"

// Facts of extent trees: twelve bytes a header and an entry.
const (
	maxExtent    = 32768 // blocks in one extent
	rootExtents  = 4     // entries in the inode
	indexEntries = (blockSize - 12 - 4) / 12
	extentMagic  = 0xf30a
)

// indexBlocks is how many blocks an extent tree needs outside the inode.
func indexBlocks(extents int) int {
	all := 0
	for n := extents; n > rootExtents; {
		n = int(ceilDiv(int64(n), indexEntries))
		all += n
	}
	return all
}

// An extentLevel is one level of an extent tree from the leaves up: what its
// entries point to, and the first block of content each covers.
type extentLevel struct {
	first []int64
	to    []run
}

// extentLevels gives a node's tree, leaves first. All but the last level are cut
// into blocks of indexEntries, which take the node's index blocks in this order;
// the last level stands in the inode.
func (n *node) extentLevels() []extentLevel {
	var leaves extentLevel
	at := int64(0)
	for _, r := range n.runs {
		leaves.first = append(leaves.first, at)
		leaves.to = append(leaves.to, r)
		at += r.n
	}
	levels := []extentLevel{leaves}
	blocks := n.index
	for top := leaves; len(top.to) > rootExtents; {
		var up extentLevel
		for i := 0; i < len(top.to); i += indexEntries {
			up.first = append(up.first, top.first[i])
			up.to = append(up.to, run{blocks[0], 1})
			blocks = blocks[1:]
		}
		levels = append(levels, up)
		top = up
	}
	return levels
}

// encodeExtentRoot writes the tree's root into i_block.
func (n *node) encodeExtentRoot(out []byte) {
	levels := n.extentLevels()
	depth := len(levels) - 1
	putExtents(out, depth, rootExtents, levels[depth], 0, len(levels[depth].to))
}

// encodeIndex writes one of the node's index blocks.
func (n *node) encodeIndex(i int, sum checksum, out []byte) {
	clear(out)
	for depth, l := range n.extentLevels() {
		blocks := int(ceilDiv(int64(len(l.to)), indexEntries))
		if i < blocks {
			putExtents(out, depth, indexEntries, l, i*indexEntries, min((i+1)*indexEntries, len(l.to)))
			break
		}
		i -= blocks
	}
	tail := 12 + 12*indexEntries
	binary.LittleEndian.PutUint32(out[tail:], sum.add(out[:tail]).value())
}

func putExtents(out []byte, depth, limit int, l extentLevel, from, to int) {
	le := binary.LittleEndian
	le.PutUint16(out, extentMagic)
	le.PutUint16(out[2:], uint16(to-from))
	le.PutUint16(out[4:], uint16(limit))
	le.PutUint16(out[6:], uint16(depth))
	for i := from; i < to; i++ {
		e := out[12+12*(i-from):]
		r := l.to[i]
		le.PutUint32(e, uint32(l.first[i]))
		if depth == 0 {
			le.PutUint16(e[4:], uint16(r.n))
			le.PutUint16(e[6:], uint16(r.start>>32))
			le.PutUint32(e[8:], uint32(r.start))
		} else {
			le.PutUint32(e[4:], uint32(r.start))
			le.PutUint16(e[8:], uint16(r.start>>32))
		}
	}
}
