package ext4

import (
	"encoding/binary"
	"hash/crc32"
)

// A checksum is the running state of ext4's metadata checksum: CRC-32C without
// the usual inversion at its end. The one of a filesystem begins with its UUID.
type checksum uint32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newChecksum(uuid [16]byte) checksum { return checksum(0xffffffff).add(uuid[:]) }

func (c checksum) add(b []byte) checksum {
	return checksum(^crc32.Update(^uint32(c), castagnoli, b))
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
