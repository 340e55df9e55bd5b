package ext4

import (
	"encoding/binary"
	"hash/crc32"
)

// A checksum is the running state of ext4's metadata checksum: CRC-32C without
// the usual inversion at its end. The one of a filesystem begins with its UUID.
type checksum struct {
	state uint32
	none  bool // a filesystem without checksums has zeros in their places, where there are any
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newChecksum(o *Options) checksum {
	return checksum{0xffffffff, o.Generation != Ext4}.add(o.UUID[:])
}

// value is what is written.
func (c checksum) value() uint32 {
	if c.none {
		return 0
	}
	return c.state
}

func (c checksum) add(b []byte) checksum {
	if c.none {
		return c
	}
	return checksum{state: ^crc32.Update(^c.state, castagnoli, b)}
}

func (c checksum) add32(v uint32) checksum {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], v)
	return c.add(b[:])
}

func (c checksum) add64(v uint64) checksum {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return c.add(b[:])
}

// inode is the state that begins every checksum of an inode and its blocks: the
// number and the generation, which is always 0 here.
func (c checksum) inode(ino uint32) checksum { return c.add32(ino).add32(0) }

// tail is how many bytes a block of names keeps for its checksum.
func (c checksum) tail() int {
	if c.none {
		return 0
	}
	return dirTail
}
