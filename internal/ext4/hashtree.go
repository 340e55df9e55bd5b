package ext4

import (
	"cmp"
	"encoding/binary"
	"slices"

	"ingot/internal/fault"
)

const (
	hashRootHead = 32
	hashNodeHead = 8
	hashTail     = 8 // of a block of the index, for its checksum
	halfMD4      = 1
)

// A hashTree is a directory of several blocks: block 0 is the root, then come
// inner nodes if there are any, then the leaves, which hold the names ordered
// by hash.
type hashTree struct {
	leaves []hashLeaf
	nodes  int // inner nodes; 0 when the root points to leaves
	tail   int // of a block of the index: 0 without checksums
}

// rootLimit and nodeLimit are how many index entries of eight bytes the root and an inner
// node hold.
func (t *hashTree) rootLimit() int { return (blockSize - hashRootHead - t.tail) / 8 }
func (t *hashTree) nodeLimit() int { return (blockSize - hashNodeHead - t.tail) / 8 }

// A hashLeaf is one block of names.
type hashLeaf struct {
	hash    uint32 // lowest in the block; odd if the leaf before has names of it too
	entries []dirent
}

// newHashTree sorts the entries by hash and cuts them into leaves, which have tails.
func newHashTree(entries []dirent, h nameHash, tail int) (*hashTree, error) {
	// How far a block of names is filled, so that a name can be added without splitting it
	// at once: e2fsck -D leaves a fifth as well.
	fill := (blockSize - tail) * 4 / 5
	for i := range entries {
		entries[i].hash, entries[i].less = h.of(entries[i].name)
	}
	slices.SortFunc(entries, func(a, b dirent) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.less, b.less), cmp.Compare(a.name, b.name))
	})
	t := &hashTree{}
	if tail > 0 {
		t.tail = hashTail
	}
	for first, i, space := 0, 0, 0; i < len(entries); i++ {
		space += entries[i].space()
		if i+1 < len(entries) && space+entries[i+1].space() <= fill {
			continue
		}
		leaf := hashLeaf{hash: entries[first].hash, entries: entries[first : i+1]}
		if first > 0 && entries[first-1].hash == leaf.hash {
			leaf.hash |= 1
		}
		t.leaves = append(t.leaves, leaf)
		first, space = i+1, 0
	}
	if len(t.leaves) > t.rootLimit() {
		t.nodes = int(ceilDiv(int64(len(t.leaves)), int64(t.nodeLimit())))
	}
	if t.nodes > t.rootLimit() {
		return nil, fault.Newf(fault.Preflight, "ext4: a directory has %d names, more than a hash tree of two levels holds", len(entries))
	}
	return t, nil
}

func (t *hashTree) blocks() int64 { return int64(1 + t.nodes + len(t.leaves)) }

// under is the range of leaves below an inner node.
func (t *hashTree) under(node int) (from, to int) {
	return node * t.nodeLimit(), min((node+1)*t.nodeLimit(), len(t.leaves))
}

func (t *hashTree) encode(d *directory, ino uint32, block int64, sum checksum, out []byte) {
	switch i := int(block); {
	case i == 0:
		t.encodeRoot(d, ino, sum, out)
	case i <= t.nodes:
		le := binary.LittleEndian
		le.PutUint16(out[4:], blockSize) // an empty entry over the whole block
		from, to := t.under(i - 1)
		for k := from; k < to; k++ {
			putHash(out[hashNodeHead:], k-from, t.leaves[k].hash, 1+t.nodes+k)
		}
		endHashBlock(out, hashNodeHead, t.nodeLimit(), to-from, sum)
	default:
		putDirents(out[:blockSize-sum.tail()], 0, t.leaves[i-1-t.nodes].entries)
		endDirBlock(out, sum)
	}
}

func (t *hashTree) encodeRoot(d *directory, ino uint32, sum checksum, out []byte) {
	at := putDirent(out, 0, &dirent{name: ".", ino: ino, kind: 2})
	putDirent(out, at, &dirent{name: "..", ino: d.parent, kind: 2})
	binary.LittleEndian.PutUint16(out[at+4:], uint16(blockSize-at))
	out[28] = halfMD4
	out[29] = 8 // length of this information
	count := len(t.leaves)
	if t.nodes > 0 {
		out[30] = 1 // levels between root and leaves
		count = t.nodes
	}
	for i := range count {
		if t.nodes > 0 {
			from, _ := t.under(i)
			putHash(out[hashRootHead:], i, t.leaves[from].hash, 1+i)
		} else {
			putHash(out[hashRootHead:], i, t.leaves[i].hash, 1+i)
		}
	}
	endHashBlock(out, hashRootHead, t.rootLimit(), count, sum)
}

// putHash writes an index entry. The first one's hash is taken as 0, and limit
// and count stand in its place.
func putHash(out []byte, i int, hash uint32, block int) {
	if i > 0 {
		binary.LittleEndian.PutUint32(out[8*i:], hash)
	}
	binary.LittleEndian.PutUint32(out[8*i+4:], uint32(block))
}

// endHashBlock writes limit, count and checksum, which covers the entries in use.
func endHashBlock(out []byte, head, limit, count int, sum checksum) {
	le := binary.LittleEndian
	le.PutUint16(out[head:], uint16(limit))
	le.PutUint16(out[head+2:], uint16(count))
	if !sum.none {
		le.PutUint32(out[head+8*limit+4:], sum.add(out[:head+8*count]).add64(0).value())
	}
}
