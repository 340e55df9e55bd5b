package btrfs

import (
	"cmp"
	"hash/crc32"
)

// The numbers of trees and of objects in them.
const (
	rootsID        = 1
	extentsID      = 2
	chunksID       = 3
	devicesID      = 4
	topID          = 5
	rootsDirID     = 6
	sumsID         = 7
	uuidsID        = 9
	freeID         = 10
	firstSubvolume = 256
	moveID         = -9 & (1<<64 - 1) // of data that the kernel moves
	sumsObject     = -10 & (1<<64 - 1)
	chunkObject    = 256
	deviceObject   = 1
)

// The kinds of items, in the order in which an object has them.
const (
	inodeKind      = 1
	refKind        = 12
	farRefKind     = 13
	xattrKind      = 24
	nameKind       = 84
	indexKind      = 96
	dataKind       = 108
	sumKind        = 128
	rootKind       = 132
	rootBackKind   = 144
	rootRefKind    = 156
	extentKind     = 168
	metadataKind   = 169
	treeRefKind    = 176
	dataRefKind    = 178
	groupKind      = 192
	freeInfoKind   = 198
	freeExtentKind = 199
	devExtentKind  = 204
	deviceKind     = 216
	chunkKind      = 228
	uuidKind       = 251
)

// Sizes of what stands on the disk.
const (
	headSize     = 101 // of a node
	keySize      = 17
	itemSize     = 25 // what a leaf says of an item
	pointerSize  = 33 // what a node says of one below
	leafSpace    = nodeSize - headSize
	pointers     = leafSpace / pointerSize
	maxItem      = leafSpace - itemSize
	inodeSize    = 160
	refSize      = 10 // without the name
	farRefSize   = 18
	dirItemSize  = 30
	inlineHead   = 21 // of a file's content in the tree
	dataItemSize = 53
	rootItemSize = 439
	sumSize      = 4
	maxSums      = (leafSpace-2*itemSize)/sumSize - 1 // in one item, as the kernel has it
)

// A key is an item's place in a tree.
type key struct {
	object uint64
	kind   uint8
	offset uint64
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.kind, b.kind), cmp.Compare(a.offset, b.offset))
}

// An item has its bytes, or says what makes them.
type item struct {
	key
	data []byte
	size int32
	arg  int32 // which group, name or extent of the node
	n    *node
}

// made is an item of bytes.
func made(k key, data []byte) item { return item{key: k, data: data, size: int32(len(data))} }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rawSum is CRC-32C that begins with a value and is not inverted at the end.
func rawSum(begin uint32, s string) uint64 {
	return uint64(^crc32.Update(^begin, castagnoli, []byte(s)))
}

// nameHash is what names and attributes are found by.
func nameHash(s string) uint64 { return rawSum(^uint32(1), s) }

// refHash is what references are found by that have no room beside others.
func refHash(dir uint64, s string) uint64 { return rawSum(uint32(dir), s) }

// A btree is a tree with its nodes: leaves first, level by level, the root last.
type btree struct {
	owner uint64
	items []item
	nodes []treeNode
}

// A treeNode is a leaf with a range of the tree's items, or a node with a range of the
// tree's nodes.
type treeNode struct {
	level    uint8
	from, to int
	at       int64 // logical
}

// arrange divides the items into nodes. What was arranged before is forgotten.
func (t *btree) arrange() {
	t.nodes = t.nodes[:0]
	from, room := 0, leafSpace
	for i := range t.items {
		need := itemSize + int(t.items[i].size)
		if need > room {
			t.nodes = append(t.nodes, treeNode{from: from, to: i})
			from, room = i, leafSpace
		}
		room -= need
	}
	t.nodes = append(t.nodes, treeNode{from: from, to: len(t.items)})
	for below, level := 0, uint8(1); len(t.nodes)-below > 1; level++ {
		end := len(t.nodes)
		for at := below; at < end; at += pointers {
			t.nodes = append(t.nodes, treeNode{level: level, from: at, to: min(at+pointers, end)})
		}
		below = end
	}
}

func (t *btree) root() *treeNode { return &t.nodes[len(t.nodes)-1] }

// first is the first key at or below a node.
func (t *btree) first(i int) key {
	for t.nodes[i].level > 0 {
		i = t.nodes[i].from
	}
	return t.items[t.nodes[i].from].key
}
