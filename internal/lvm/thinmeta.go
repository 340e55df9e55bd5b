package lvm

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// thinBlock is the size of a block of a pool's metadata, in bytes.
const thinBlock = 4096

// Each kind of block mixes a number of its own into its checksum, so that one is
// never taken for another (dm-thin-metadata.c, dm-space-map-common.c, dm-btree.c).
const (
	superMix  = 160774
	indexMix  = 160478
	bitmapMix = 240779
	nodeMix   = 121107
)

const (
	superMagic  = 27022010
	thinVersion = 2
	perBitmap   = (thinBlock - 16) * 4 // counts of two bits behind a header
	mostIndex   = 255                  // bitmaps that the metadata's own space map can have
	internal    = 1                    // of a node's flags
	leaf        = 2
	nodeHead    = 32
	nodeKey     = 8
)

// A mapping says which chunk of the pool a chunk of a thin volume is.
type mapping struct{ virtual, data uint64 }

// A thinDevice is a thin volume as its pool knows it.
type thinDevice struct {
	id          uint64
	transaction uint64 // of the pool, when it was made
	created     uint32 // the pool's clock, which counts snapshots
	mappings    []mapping
}

// A thinPool is what a pool's metadata say.
type thinPool struct {
	metaBlocks, dataBlocks uint64
	chunk                  uint32 // sectors
	transaction            uint64
	used                   uint64 // the first chunks of the pool
	devices                []thinDevice
}

// A thinWriter collects blocks. Block 0 is the superblock.
type thinWriter struct {
	blocks [][]byte
	most   uint64
}

// thinMetadata gives the first blocks of a pool's metadata; the rest stay empty.
func thinMetadata(t thinPool) ([][]byte, error) {
	w := &thinWriter{blocks: make([][]byte, 1), most: t.metaBlocks}
	if t.dataBlocks >= 1<<40 {
		return nil, fmt.Errorf("%d chunks are too many", t.dataBlocks)
	}
	var top, details []entry
	for _, d := range t.devices {
		var leaves []entry
		for _, m := range d.mappings {
			// 40 bits of place and 24 of when it was written, in snapshots.
			leaves = append(leaves, entry{m.virtual, le64(m.data << 24)})
		}
		top = append(top, entry{d.id, le64(w.tree(8, leaves))})
		value := make([]byte, 24)
		binary.LittleEndian.PutUint64(value, uint64(len(d.mappings)))
		binary.LittleEndian.PutUint64(value[8:], d.transaction)
		binary.LittleEndian.PutUint32(value[16:], d.created)
		binary.LittleEndian.PutUint32(value[20:], d.created)
		details = append(details, entry{d.id, value})
	}
	mappingRoot, detailsRoot := w.tree(8, top), w.tree(24, details)

	// The pool's own chunks: those in use have one reference.
	var index []entry
	for at, i := uint64(0), uint64(0); at < t.dataBlocks; at, i = at+perBitmap, i+1 {
		n, in := min(perBitmap, t.dataBlocks-at), min(perBitmap, t.used-min(at, t.used))
		index = append(index, entry{i, w.bitmap(n, in)})
	}
	data := spaceMap(t.dataBlocks, t.used, w.tree(16, index), w.tree(4, nil))

	// The metadata's blocks, last: all that were made, these of the map among them.
	counts := w.tree(4, nil)
	bitmaps := (t.metaBlocks + perBitmap - 1) / perBitmap
	if bitmaps > mostIndex {
		return nil, fmt.Errorf("%d blocks of metadata are too many", t.metaBlocks)
	}
	used := uint64(len(w.blocks)) + bitmaps + 1
	if used > t.metaBlocks {
		return nil, fmt.Errorf("its metadata need %d blocks and have %d", used, t.metaBlocks)
	}
	table := make([]byte, thinBlock)
	for i := range bitmaps {
		at := i * perBitmap
		copy(table[16+i*16:], w.bitmap(min(perBitmap, t.metaBlocks-at), min(perBitmap, used-min(at, used))))
	}
	at := w.add(table)
	binary.LittleEndian.PutUint64(table[8:], at)
	seal(table, indexMix)
	meta := spaceMap(t.metaBlocks, used, at, counts)

	b := make([]byte, thinBlock)
	le := binary.LittleEndian
	le.PutUint64(b[32:], superMagic)
	le.PutUint32(b[40:], thinVersion)
	le.PutUint64(b[48:], t.transaction)
	copy(b[64:], data)
	copy(b[192:], meta)
	le.PutUint64(b[320:], mappingRoot)
	le.PutUint64(b[328:], detailsRoot)
	le.PutUint32(b[336:], t.chunk)
	le.PutUint32(b[340:], thinBlock/sector)
	le.PutUint64(b[344:], t.metaBlocks)
	seal(b, superMix)
	w.blocks[0] = b
	return w.blocks, nil
}

// add gives a block its number.
func (w *thinWriter) add(b []byte) uint64 {
	w.blocks = append(w.blocks, b)
	return uint64(len(w.blocks) - 1)
}

// seal writes a block's checksum: CRC-32C of all behind it, not inverted, mixed.
func seal(b []byte, mix uint32) {
	binary.LittleEndian.PutUint32(b, ^crc32.Checksum(b[4:], crc32.MakeTable(crc32.Castagnoli))^mix)
}

func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// bitmap adds a block with the counts of n blocks, of which the first are in use,
// and gives its entry in an index.
func (w *thinWriter) bitmap(n, used uint64) []byte {
	b := make([]byte, thinBlock)
	for i := range used {
		b[16+i/4] |= 2 << (i % 4 * 2) // the low bit of a count stands behind the high one
	}
	at := w.add(b)
	binary.LittleEndian.PutUint64(b[8:], at)
	seal(b, bitmapMix)
	out := make([]byte, 16)
	binary.LittleEndian.PutUint64(out, at)
	binary.LittleEndian.PutUint32(out[8:], uint32(n-used))
	binary.LittleEndian.PutUint32(out[12:], uint32(used)) // none is free before it
	return out
}

// spaceMap is what the superblock says of a map.
func spaceMap(blocks, used, index, counts uint64) []byte {
	b := le64(blocks)
	b = append(b, le64(used)...)
	b = append(b, le64(index)...)
	return append(b, le64(counts)...)
}

// An entry of a tree: a key and its value.
type entry struct {
	key   uint64
	value []byte
}

// tree adds a B-tree with these entries, which are sorted, and gives its root. All its
// nodes are as full as the last allows, which is at least half.
func (w *thinWriter) tree(valueSize int, entries []entry) uint64 {
	flags := uint32(leaf)
	for {
		most := (thinBlock - nodeHead) / (nodeKey + valueSize) / 3 * 3
		nodes := max(1, (len(entries)+most-1)/most)
		var up []entry
		for i := range nodes {
			part := entries[i*len(entries)/nodes : (i+1)*len(entries)/nodes]
			at := w.node(flags, most, valueSize, part)
			var first uint64
			if len(part) > 0 {
				first = part[0].key
			}
			up = append(up, entry{first, le64(at)})
		}
		if len(up) == 1 {
			return binary.LittleEndian.Uint64(up[0].value)
		}
		entries, valueSize, flags = up, 8, internal
	}
}

func (w *thinWriter) node(flags uint32, most, valueSize int, entries []entry) uint64 {
	b := make([]byte, thinBlock)
	at := w.add(b)
	le := binary.LittleEndian
	le.PutUint32(b[4:], flags)
	le.PutUint64(b[8:], at)
	le.PutUint32(b[16:], uint32(len(entries)))
	le.PutUint32(b[20:], uint32(most))
	le.PutUint32(b[24:], uint32(valueSize))
	for i, e := range entries {
		le.PutUint64(b[nodeHead+i*nodeKey:], e.key)
		copy(b[nodeHead+most*nodeKey+i*valueSize:], e.value)
	}
	seal(b, nodeMix)
	return at
}
