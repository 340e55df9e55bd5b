package xfs

import "encoding/binary"

// A treeKind is one of the trees of a group, in the order of their roots.
type treeKind int64

const (
	freeByPlace treeKind = iota
	freeBySize
	inodes
	freeInodes
	shared
)

var treeMagic = [treeRoots]string{freeByPlace: "AB3B", freeBySize: "AB3C", inodes: "IAB3", freeInodes: "FIB3", shared: "R3FC"}

const (
	treeHead     = 56
	inodeRecord  = 16
	leafInodes   = (blockSize - treeHead) / inodeRecord
	nodePointers = (blockSize - treeHead) / 8
)

// putTree begins a block of a group's tree that lies at a place of the group.
func (fs *FS) putTree(out []byte, t treeKind, group, level int, at int64, count int) {
	be := binary.BigEndian
	copy(out, treeMagic[t])
	be.PutUint16(out[4:], uint16(level))
	be.PutUint16(out[6:], uint16(count))
	be.PutUint32(out[8:], nullBlock) // neighbours
	be.PutUint32(out[12:], nullBlock)
	be.PutUint64(out[16:], sectors(fs.geo.start(group)+at))
	copy(out[32:], fs.o.UUID[:])
	be.PutUint32(out[48:], uint32(group))
}

// encodeRoot writes the root of a tree.
func (fs *FS) encodeRoot(group int, t treeKind, out []byte) {
	gr := &fs.groups[group]
	at := fs.geo.root(t)
	switch t {
	case freeByPlace, freeBySize:
		free := gr.free
		if t == freeBySize {
			free = bySize(free)
		}
		fs.putTree(out, t, group, 0, at, len(free))
		for i, r := range free {
			binary.BigEndian.PutUint32(out[treeHead+8*i:], uint32(r.start))
			binary.BigEndian.PutUint32(out[treeHead+8*i+4:], uint32(r.n))
		}
	case inodes:
		fs.encodeInodeTree(group, 0, out)
		return
	case freeInodes: // all chunks but the last are full
		if chunks := gr.inodes.n / chunkBlocks; gr.count() > gr.used {
			fs.putTree(out, t, group, 0, at, 1)
			gr.putChunk(out[treeHead:], chunks-1)
		} else {
			fs.putTree(out, t, group, 0, at, 0)
		}
	case shared:
		fs.putTree(out, t, group, 0, at, 0)
	}
	putSum(out, 52)
}

// putChunk writes the record of a group's chunk of inodes.
func (g *group) putChunk(out []byte, chunk int64) {
	be := binary.BigEndian
	be.PutUint32(out, uint32((g.inodes.start+chunk*chunkBlocks)*inodesInBlock))
	used := min(g.used-chunk*inodesInChunk, inodesInChunk)
	out[6] = inodesInChunk
	out[7] = byte(inodesInChunk - used)
	be.PutUint64(out[8:], ^uint64(0)<<used) // free ones; shifted by 64 it is 0
}

// An inodeTree is the tree of a group's chunks of inodes. Its root has a place of
// its own; the blocks below stand together, level by level from above.
type inodeTree struct {
	chunks int64
	levels []int64 // blocks of each level, leaves first, the root last
	start  int64   // of the blocks below the root
}

func newInodeTree(chunks int64) inodeTree {
	t := inodeTree{chunks: chunks}
	for n := max(ceilDiv(chunks, leafInodes), 1); ; n = ceilDiv(n, nodePointers) {
		t.levels = append(t.levels, n)
		if n == 1 {
			return t
		}
	}
}

func (t inodeTree) height() int { return max(len(t.levels), 1) }

// below is how many blocks there are besides the root.
func (t inodeTree) below() int64 {
	var n int64
	for _, k := range t.levels[:len(t.levels)-min(1, len(t.levels))] {
		n += k
	}
	return n
}

// find says which block of which level the i-th is; 0 is the root.
func (t inodeTree) find(i int64) (level int, k int64) {
	for level = t.height() - 1; level > 0 && i >= t.levels[level]; level-- {
		i -= t.levels[level]
	}
	return level, i
}

// at is the place in its group of the k-th block of a level below the root.
func (t inodeTree) at(level int, k int64) int64 {
	at := t.start + k
	for l := len(t.levels) - 2; l > level; l-- {
		at += t.levels[l]
	}
	return at
}

// firstChunk is the first chunk below the k-th block of a level.
func (t inodeTree) firstChunk(level int, k int64) int64 {
	for ; level > 0; level-- {
		k, _ = spread(t.levels[level-1], t.levels[level], k)
	}
	from, _ := spread(t.chunks, t.levels[0], k)
	return from
}

// spread gives the k-th of parts its share of n things: all get as many, give or take one.
func spread(n, parts, k int64) (from, to int64) { return n * k / parts, n * (k + 1) / parts }

// encodeInodeTree writes the i-th block of a group's tree of inodes.
func (fs *FS) encodeInodeTree(group int, i int64, out []byte) {
	clear(out)
	gr := &fs.groups[group]
	t := gr.tree
	be := binary.BigEndian
	level, k := t.find(i)
	at := fs.geo.root(inodes)
	if i > 0 {
		at = t.at(level, k)
	}
	var from, to int64
	switch {
	case t.chunks == 0:
	case level == 0:
		from, to = spread(t.chunks, t.levels[0], k)
	default:
		from, to = spread(t.levels[level-1], t.levels[level], k)
	}
	fs.putTree(out, inodes, group, level, at, int(to-from))
	if i > 0 && k > 0 {
		be.PutUint32(out[8:], uint32(t.at(level, k-1)))
	}
	if i > 0 && k+1 < t.levels[level] {
		be.PutUint32(out[12:], uint32(t.at(level, k+1)))
	}
	for j := from; j < to; j++ {
		if level == 0 {
			gr.putChunk(out[treeHead+(j-from)*inodeRecord:], j)
			continue
		}
		key := (gr.inodes.start + t.firstChunk(level-1, j)*chunkBlocks) * inodesInBlock
		be.PutUint32(out[treeHead+4*(j-from):], uint32(key))
		be.PutUint32(out[treeHead+4*nodePointers+4*(j-from):], uint32(t.at(level-1, j)))
	}
	putSum(out, 52)
}
