package ext4

import (
	"encoding/binary"

	"ingot/internal/tree"
)

// minJournal is the smallest journal the kernel takes, in blocks.
const minJournal = 1024

func newJournal(o *Options) *node {
	return &node{ino: journalIno, kind: tree.File, mode: 0o600, links: 1, mtime: tree.Time{Sec: o.Epoch}}
}

// journalBlocks is the journal's size, asked for in bytes or 0. Other than mke2fs it does not stay below
// 64 MiB in a filesystem of 512 MiB to 4 GiB: an image grows, its journal does not.
func journalBlocks(asked, blocks int64) int64 {
	switch {
	case asked > 0:
		return asked / blockSize
	case blocks < 128<<20/blockSize:
		return minJournal
	case blocks < 512<<20/blockSize:
		return 16 << 20 / blockSize
	case blocks < 16<<30/blockSize:
		return 64 << 20 / blockSize
	case blocks < 32<<30/blockSize:
		return 128 << 20 / blockSize
	}
	return 256 << 20 / blockSize
}

// encodeJournal writes the journal's first block, its superblock; the others are
// zero. All is big end first. An empty log starts at block 0.
func (fs *FS) encodeJournal(out []byte) {
	clear(out)
	be := binary.BigEndian
	be.PutUint32(out, 0xc03b3998)
	be.PutUint32(out[0x4:], 4) // superblock, version 2
	be.PutUint32(out[0xc:], blockSize)
	be.PutUint32(out[0x10:], uint32(fs.journal.size/blockSize))
	be.PutUint32(out[0x14:], 1) // first block of the log
	be.PutUint32(out[0x18:], 1) // first transaction
	copy(out[0x30:], fs.o.UUID[:])
	be.PutUint32(out[0x40:], 1) // users
}
