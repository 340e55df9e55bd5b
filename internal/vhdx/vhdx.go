// Package vhdx writes disk images in Microsoft's VHDX format, of the dynamic kind:
// only blocks that were written are in the file.
//
// Blocks are placed from the extents that the writer is told beforehand, before
// the first byte arrives, behind everything else, so no raw file is needed.
//
// A file begins with five sections of 64 KiB: its type, two headers and two copies
// of the table of regions. Log, metadata and block allocation table follow, each
// on a mebibyte of its own, then the blocks. The log is empty.
//
// Blocks are of 1 MiB, as Microsoft advises for Linux's file systems, and larger
// only where the table would become longer than 8 MiB. Blocks that the file does
// not hold are marked as zero: what such a block reads as is certain, while one
// that is not present may read as anything.
//
// The facts are those of Microsoft's "[MS-VHDX]: Virtual Hard Disk v2 (VHDX) File
// Format".
package vhdx

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"unicode/utf16"

	"ingot/internal/disk"
)

const (
	kib = 1 << 10
	mib = 1 << 20

	sector         = 512
	physicalSector = 4096

	section     = 64 * kib // each of the five that a file begins with
	headerBytes = 4 * kib

	logAt         = 1 * mib
	logBytes      = 1 * mib
	metadataAt    = 2 * mib
	metadataBytes = 1 * mib
	tableAt       = 3 * mib

	maxSize = 64 << 40
	// mostBlocks keeps the table at 8 MiB.
	mostBlocks = mib

	// chunk is how much of a disk one block of a sector bitmap would describe: a
	// bit a sector in 1 MiB. The table has an entry for it behind those of the
	// blocks it describes, which only differencing disks use.
	chunk = mib * 8 * sector
)

// States of a block.
const (
	blockZero    = 2
	blockPresent = 6
)

// A GUID is an identifier, in the order in which it is written as text.
type GUID = [16]byte

// Options say how an image is made.
type Options struct {
	// ID identifies the disk: what a machine sees as its SCSI identifier. It must
	// not be zero.
	ID GUID
	// Content identifies the file and what it holds; programs that open the file to
	// write give it another. It must not be zero.
	Content GUID
}

// Size is the size that a disk of at least n bytes must have: whole sectors of
// 512 bytes. The disk says that its physical ones have 4096, as Hyper-V's do.
func Size(n int64) int64 { return (n + sector - 1) / sector * sector }

// An Image is a VHDX file being written.
type Image struct {
	disk.Disk
	placed *disk.Placed
	f      *os.File
	o      Options
	block  int64
	blocks disk.Blocks
}

var _ disk.Image = (*Image)(nil)

// Create makes an empty file the image of a disk of size bytes, of which at most
// the extents will be written. The size is a multiple of 512 up to 64 TiB.
func Create(f *os.File, size int64, extents []disk.Extent, o Options) (*Image, error) {
	im, err := create(f, size, extents, o)
	if err != nil {
		return nil, fmt.Errorf("vhdx %s: %w", f.Name(), err)
	}
	return im, nil
}

func create(f *os.File, size int64, extents []disk.Extent, o Options) (*Image, error) {
	if size <= 0 || size > maxSize || size%sector != 0 {
		return nil, fmt.Errorf("size of %d bytes is not a multiple of 512 up to 64 TiB", size)
	}
	if o.ID == (GUID{}) || o.Content == (GUID{}) {
		return nil, errors.New("an image needs two identities")
	}
	im := &Image{f: f, o: o, block: mib}
	for size > im.block*mostBlocks {
		im.block *= 2
	}
	var err error
	if im.blocks, err = disk.NewBlocks(size, im.block, extents); err != nil {
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	im.placed, err = im.blocks.In(f, tableAt+im.tableBytes(), im.block)
	im.Disk = im.placed
	return im, err
}

// Finish writes what stands before the blocks. The image is whole after it. The
// file stays open.
func (im *Image) Finish(context.Context) error {
	regions := im.regions()
	for _, part := range []struct {
		at   int64
		data []byte
	}{
		{0, fileType()},
		{1 * section, im.header(1)},
		{2 * section, im.header(2)}, // the newer one
		{3 * section, regions},
		{4 * section, regions},
		{metadataAt, im.metadata()},
		{tableAt, im.table()},
	} {
		if _, err := im.f.WriteAt(part.data, part.at); err != nil {
			return err
		}
	}
	return nil
}

// Close has nothing to give up; the file belongs to the caller.
func (im *Image) Close() error { return nil }

var le = binary.LittleEndian

// fileType says what the file is and who made it.
func fileType() []byte {
	b := []byte("vhdxfile")
	for _, u := range utf16.Encode([]rune("ingot")) {
		b = le.AppendUint16(b, u)
	}
	return b
}

// header tells where the log is. Of two headers the one with the larger number counts.
func (im *Image) header(number uint64) []byte {
	b := make([]byte, 0, headerBytes)
	b = append(b, "head\x00\x00\x00\x00"...)
	b = le.AppendUint64(b, number)
	b = disk.AppendGUID(b, im.o.Content) // of the file
	b = disk.AppendGUID(b, im.o.Content) // of the data
	b = disk.AppendGUID(b, GUID{})       // nothing in the log
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, 1) // version
	b = le.AppendUint32(b, logBytes)
	b = le.AppendUint64(b, logAt)
	return sum(b[:headerBytes])
}

// sum sets the checksum behind a structure's signature.
func sum(b []byte) []byte {
	le.PutUint32(b[4:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

var (
	regionTable    = GUID{0x2D, 0xC2, 0x77, 0x66, 0xF6, 0x23, 0x42, 0x00, 0x9D, 0x64, 0x11, 0x5E, 0x9B, 0xFD, 0x4A, 0x08}
	regionMetadata = GUID{0x8B, 0x7C, 0xA2, 0x06, 0x47, 0x90, 0x4B, 0x9A, 0xB8, 0xFE, 0x57, 0x5F, 0x05, 0x0F, 0x88, 0x6E}

	itemParameters = GUID{0xCA, 0xA1, 0x67, 0x37, 0xFA, 0x36, 0x4D, 0x43, 0xB3, 0xB6, 0x33, 0xF0, 0xAA, 0x44, 0xE7, 0x6B}
	itemSize       = GUID{0x2F, 0xA5, 0x42, 0x24, 0xCD, 0x1B, 0x48, 0x76, 0xB2, 0x11, 0x5D, 0xBE, 0xD8, 0x3B, 0xF4, 0xB8}
	itemID         = GUID{0xBE, 0xCA, 0x12, 0xAB, 0xB2, 0xE6, 0x45, 0x23, 0x93, 0xEF, 0xC3, 0x09, 0xE0, 0x00, 0xC7, 0x46}
	itemLogical    = GUID{0x81, 0x41, 0xBF, 0x1D, 0xA9, 0x6F, 0x47, 0x09, 0xBA, 0x47, 0xF2, 0x33, 0xA8, 0xFA, 0xAB, 0x5F}
	itemPhysical   = GUID{0xCD, 0xA3, 0x48, 0xC7, 0x44, 0x5D, 0x44, 0x71, 0x9C, 0xC9, 0xE9, 0x88, 0x52, 0x51, 0xC5, 0x56}
)

// regions tells where metadata and block allocation table are.
func (im *Image) regions() []byte {
	const required = 1
	b := make([]byte, 0, section)
	b = append(b, "regi\x00\x00\x00\x00"...)
	b = le.AppendUint32(b, 2)
	b = le.AppendUint32(b, 0)
	for _, r := range []struct {
		id         GUID
		at, length int64
	}{
		{regionTable, tableAt, im.tableBytes()},
		{regionMetadata, metadataAt, metadataBytes},
	} {
		b = disk.AppendGUID(b, r.id)
		b = le.AppendUint64(b, uint64(r.at))
		b = le.AppendUint32(b, uint32(r.length))
		b = le.AppendUint32(b, required)
	}
	return sum(b[:section])
}

// metadata describes the disk: a table of items, and behind it their values.
func (im *Image) metadata() []byte {
	const ofDisk, required = 2, 4
	items := []struct {
		id    GUID
		flags uint32
		value []byte
	}{
		{itemParameters, required, le.AppendUint32(le.AppendUint32(nil, uint32(im.block)), 0)}, // no parent
		{itemSize, ofDisk | required, le.AppendUint64(nil, uint64(im.Size()))},
		{itemID, ofDisk | required, disk.AppendGUID(nil, im.o.ID)},
		{itemLogical, ofDisk | required, le.AppendUint32(nil, sector)},
		{itemPhysical, ofDisk | required, le.AppendUint32(nil, physicalSector)},
	}
	var table, values []byte
	table = append(table, "metadata\x00\x00"...)
	table = le.AppendUint16(table, uint16(len(items)))
	table = append(table, make([]byte, 20)...)
	for _, i := range items {
		table = disk.AppendGUID(table, i.id)
		table = le.AppendUint32(table, uint32(section+len(values)))
		table = le.AppendUint32(table, uint32(len(i.value)))
		table = le.AppendUint32(table, i.flags)
		table = le.AppendUint32(table, 0)
		values = append(values, i.value...)
	}
	return append(table[:len(table):len(table)], append(make([]byte, section-len(table)), values...)...)
}

// perChunk is behind how many blocks an entry for their bitmap stands.
func (im *Image) perChunk() int64 { return chunk / im.block }

// entries is how many the table has: it ends with the last block's.
func (im *Image) entries() int64 {
	n := im.blocks.Total()
	return n + (n-1)/im.perChunk()
}

func (im *Image) tableBytes() int64 { return (im.entries()*8 + mib - 1) / mib * mib }

// table tells of every block where it is. A block's place is a multiple of 1 MiB,
// which leaves the lower bits to its state.
func (im *Image) table() []byte {
	b := make([]byte, im.entries()*8)
	for n := range im.blocks.Total() {
		b[(n+n/im.perChunk())*8] = blockZero
	}
	for n, ordinal := range im.blocks.All() {
		le.PutUint64(b[(n+n/im.perChunk())*8:], uint64(im.placed.At(ordinal))|blockPresent)
	}
	return b
}
