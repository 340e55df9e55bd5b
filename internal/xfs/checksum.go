package xfs

import (
	"encoding/binary"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// putSum sums b, in which there are four bytes for the sum: CRC-32C, written low
// end first, which nothing else is.
func putSum(b []byte, at int) {
	clear(b[at : at+4])
	binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b, castagnoli))
}

// sectors is a block's address in most heads.
func sectors(at int64) uint64 { return uint64(at) * sectorsIn }
