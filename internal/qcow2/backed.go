package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// CreateBacked writes an empty qcow2 file of a size on top of another disk: what nobody has
// written reads as that one does, and as zeros behind its end. It takes as long whatever
// either's size. The backing file is named as it is given, and format is QEMU's name of
// how it lies there: "raw" or "qcow2".
func CreateBacked(f *os.File, size int64, backing, format string) error {
	switch {
	case len(backing) == 0 || len(backing) > 1023:
		return fmt.Errorf("the name of the disk below has %d bytes, and 1 to 1023 fit", len(backing))
	case format != "raw" && format != "qcow2":
		return fmt.Errorf("a disk below of format %q", format)
	case size <= 0 || size%512 != 0:
		return fmt.Errorf("a disk of %d bytes: want a whole number of sectors", size)
	}
	entries := (size + cluster*perTable - 1) / (cluster * perTable)
	tables := roundUp(entries*8) / cluster
	if tables > 1024 {
		return errors.New("a disk of more than 4 PiB")
	}
	// Header, table of counts, counts, first table.
	used := 3 + tables
	head := make([]byte, cluster)
	put32 := func(at int, v uint32) { binary.BigEndian.PutUint32(head[at:], v) }
	put64 := func(at int, v uint64) { binary.BigEndian.PutUint64(head[at:], v) }
	const headerLength = 104
	copy(head, "QFI\xfb")
	put32(4, 3)
	extension := headerLength + 8 + (len(format)+7)/8*8
	name := extension + 8 // behind the end of extensions
	put64(8, uint64(name))
	put32(16, uint32(len(backing))) //nolint:gosec // at most 1023
	put32(20, 16)                   // clusters of 64 KiB
	put64(24, uint64(size))
	put32(36, uint32(entries)) //nolint:gosec // of at most 1024 clusters
	put64(40, 3*cluster)
	put64(48, cluster)
	put32(56, 1)
	put32(96, 4) // counts of 16 bits
	put32(100, headerLength)
	put32(headerLength, 0xe2792aca) // the backing file's format
	put32(headerLength+4, uint32(len(format)))
	copy(head[headerLength+8:], format)
	copy(head[name:], backing)
	counts := make([]byte, 2*cluster)
	binary.BigEndian.PutUint64(counts, 2*cluster)
	for i := range used {
		binary.BigEndian.PutUint16(counts[cluster+2*i:], 1)
	}
	if _, err := f.WriteAt(append(head, counts...), 0); err != nil {
		return err
	}
	return f.Truncate(used * cluster) // the first table is zeros
}
