package xfs

import "encoding/binary"

const (
	leafHead    = 64 // of a block of hashes, or of pointers to such blocks
	leafEntries = (blockSize - leafHead) / hashEntry
	// leafFill is how many hashes are put into a block, so that a name can be added
	// without splitting it at once.
	leafFill  = leafEntries * 7 / 8
	nodeMagic = 0x3ebe
)

// A hashTree is blocks of hashes, and blocks that point to them, or to each
// other, by the highest hash below. The first block is the root; the levels
// follow from above.
type hashTree struct {
	count  int64
	levels []int64 // blocks of each level, leaves first
}

func newHashTree(count int64) hashTree {
	t := hashTree{count: count}
	per := int64(leafFill)
	if count <= leafEntries {
		per = leafEntries
	}
	for n := ceilDiv(count, per); ; n = ceilDiv(n, leafFill) {
		t.levels = append(t.levels, n)
		if n == 1 {
			return t
		}
	}
}

func (t hashTree) blocks() int64 { return t.at(0, t.levels[0]) }

// at is the place of the k-th block of a level.
func (t hashTree) at(level int, k int64) int64 {
	for l := len(t.levels) - 1; l > level; l-- {
		k += t.levels[l]
	}
	return k
}

// find says which block of which level the i-th is.
func (t hashTree) find(i int64) (level int, k int64) {
	for level = len(t.levels) - 1; level > 0 && i >= t.levels[level]; level-- {
		i -= t.levels[level]
	}
	return level, i
}

// last is the number of the last hash below the k-th block of a level.
func (t hashTree) last(level int, k int64) int64 {
	for ; level > 0; level-- {
		_, to := spread(t.levels[level-1], t.levels[level], k)
		k = to - 1
	}
	_, to := spread(t.count, t.levels[0], k)
	return to - 1
}

// encodeHashTree writes the i-th block of a directory's tree of hashes.
func (fs *FS) encodeHashTree(n *node, i, at int64, out []byte) {
	t := &n.dir.tree
	level, k := t.find(i)
	if level == 0 {
		fs.putHashHead(out, 0x3dff, n, at)
		from, to := spread(t.count, t.levels[0], k)
		putHashes(out, n.dir.hashes[from:to])
	} else {
		fs.putHashHead(out, nodeMagic, n, at)
		from, to := spread(t.levels[level-1], t.levels[level], k)
		putNode(out, level, int(to-from))
		for j := from; j < to; j++ {
			putPointer(out, int(j-from), uint32(n.dir.hashes[t.last(level-1, j)]>>32), leafStart+t.at(level-1, j))
		}
	}
	putNeighbours(out, k, t.levels[level], leafStart+t.at(level, k))
	putSum(out, 12)
}

// putHashHead begins a block of hashes, of pointers, or of attributes.
func (fs *FS) putHashHead(out []byte, magic uint16, n *node, at int64) {
	be := binary.BigEndian
	be.PutUint16(out[8:], magic)
	be.PutUint64(out[16:], sectors(at))
	copy(out[32:], fs.o.UUID[:])
	be.PutUint64(out[48:], n.ino)
}

// putNeighbours links a block, the k-th of so many of its level, to those beside it.
func putNeighbours(out []byte, k, count, self int64) {
	if k+1 < count {
		binary.BigEndian.PutUint32(out, uint32(self+1))
	}
	if k > 0 {
		binary.BigEndian.PutUint32(out[4:], uint32(self-1))
	}
}

func putHashes(out []byte, hashes []uint64) {
	binary.BigEndian.PutUint16(out[56:], uint16(len(hashes)))
	for i, h := range hashes {
		binary.BigEndian.PutUint64(out[leafHead+hashEntry*i:], h)
	}
}

// putNode says how many pointers a block has, and how far above the leaves it is.
func putNode(out []byte, level, count int) {
	binary.BigEndian.PutUint16(out[56:], uint16(count))
	binary.BigEndian.PutUint16(out[58:], uint16(level))
}

func putPointer(out []byte, i int, hash uint32, block int64) {
	binary.BigEndian.PutUint32(out[leafHead+hashEntry*i:], hash)
	binary.BigEndian.PutUint32(out[leafHead+hashEntry*i+4:], uint32(block))
}
