package btrfs

import (
	"encoding/binary"
	"hash/crc32"
)

// Features of the format that are used.
const (
	mixedRefs     = 1 << 0
	bigMetadata   = 1 << 5
	farRefs       = 1 << 6
	skinny        = 1 << 8
	noHoles       = 1 << 9
	freeTree      = 1 << 0 // of those without which one can read
	freeTreeValid = 1 << 1
)

const (
	superSize = 4096
	magic     = "_BHRfS_M"
	sumEnd    = 32 // of the checksum of a superblock or a node
	written   = 1
	newRefs   = 1 << 56 // of a node's flags: references as they have been since 2009
	// chunkTable is where a superblock has the system chunk, and tableSize how large
	// what is there may be.
	chunkTable = 811
	tableSize  = 2048
)

// encodeSuper makes the superblock, without its place and checksum.
func (fs *FS) encodeSuper() []byte {
	e := make(encoder, 0, superSize)
	roots, chunks := fs.find(rootsID).root(), fs.find(chunksID).root()
	used := int64(0)
	for _, c := range fs.chunks {
		used += c.used
	}
	var table encoder
	table.key(key{chunkObject, chunkKind, uint64(fs.chunks[0].Off)})
	table = append(table, fs.encodeChunk(&fs.chunks[0])...)

	e.zeros(sumEnd)
	e.id(fs.ids.fs)
	e.u64(0, written)
	e.text(magic)
	e.u64(generation)
	e.i64(roots.at, chunks.at, 0, 0, fs.size, used)
	e.u64(rootsDirID, 1)
	e.u32(blockSize, nodeSize, nodeSize, blockSize, uint32(len(table)))
	e.u64(generation)
	e.u64(0, freeTree|freeTreeValid, mixedRefs|bigMetadata|farRefs|skinny|noHoles)
	e.u16(0) // CRC-32C
	e.u8(roots.level, chunks.level, 0)
	e = append(e, fs.encodeDevice()...)
	e.text(fs.o.Label)
	e.zeros(256 - len(fs.o.Label))
	e.u64(0, generation) // of the old cache of free space, and of the tree of UUIDs
	e.zeros(chunkTable - len(e))
	e = append(e, table...)
	e.zeros(superSize - len(e))
	return e
}

// encodeSuperAt is the superblock of a place.
func (fs *FS) encodeSuperAt(at int64) []byte {
	b := append([]byte(nil), fs.super...)
	binary.LittleEndian.PutUint64(b[48:], uint64(at))
	seal(b)
	return b
}

// seal writes a block's checksum.
func seal(b []byte) {
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[sumEnd:], castagnoli))
}
