// Package vhd writes disk images in Microsoft's VHD format: fixed, which is the
// disk's bytes and a footer behind them, and dynamic, which holds only the blocks
// of 2 MiB that were written.
//
// Blocks are placed from the extents that the writer is told beforehand, before
// the first byte arrives, so no raw file is needed.
//
// # How large a disk is
//
// The footer tells a disk's size twice: in bytes, and as cylinders, heads and
// sectors, whose product is smaller for most disks. Hyper-V, Azure, Xen and
// VirtualBox go by the bytes. QEMU goes by the geometry, as Virtual PC did, unless
// it knows the creator's four letters as those of a program that means the bytes.
// So images say that they are from "qem2", as those of qemu-img with its option
// force_size do, which Azure's own instructions use; then all readers agree on the
// bytes. A name of our own would cost the disk its last sectors in QEMU.
// The geometry stands beside it as the specification computes it, for firmware.
//
// # Azure
//
// Azure takes fixed images of whole mebibytes, not counting the footer. [Size]
// rounds up to them when asked, and [Create] then refuses any other size.
//
// The facts are those of Microsoft's "Virtual Hard Disk Image Format Specification",
// version 1.0, and of QEMU's block/vpc.c for who reads which size.
package vhd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"ingot/internal/disk"
)

const (
	sector = 512
	block  = 2 << 20
	// bitmapBytes are a block's bitmap: a bit a sector.
	bitmapBytes = block / sector / 8
	footerBytes = 512
	headerBytes = 1024
	tableAt     = footerBytes + headerBytes
	// page is what the data of blocks are aligned to, so that a block's holes are
	// holes of the file and a host reads it without copying.
	page = 4096
	// maxSize is 2040 GiB, the specification's largest disk.
	maxSize = 2040 << 30
	mib     = 1 << 20
)

// Options say how an image is made.
type Options struct {
	// Fixed images hold every byte of the disk; others hold what was written.
	Fixed bool
	// WholeMiB says that the disk is a whole number of mebibytes, as Azure asks.
	WholeMiB bool
	// ID identifies the disk. It must not be zero.
	ID [16]byte
	// Time is when the disk was made, in seconds since 1970. The format counts
	// from 2000 for 136 years; a time outside of them is taken for the nearest.
	Time int64
}

// Size is the size that a disk of at least n bytes must have: whole sectors, or
// whole mebibytes.
func Size(n int64, o Options) int64 {
	unit := o.unit()
	return (n + unit - 1) / unit * unit
}

func (o Options) unit() int64 {
	if o.WholeMiB {
		return mib
	}
	return sector
}

// An Image is a VHD file being written.
type Image struct {
	disk.Disk
	f      *os.File
	o      Options
	blocks disk.Blocks
	placed *disk.Placed // the blocks of a dynamic image; nil when it is fixed
}

var _ disk.Image = (*Image)(nil)

// Create makes an empty file the image of a disk of size bytes, of which at most
// the extents will be written. The size is one that [Size] gives, up to 2040 GiB.
func Create(f *os.File, size int64, extents []disk.Extent, o Options) (*Image, error) {
	im, err := create(f, size, extents, o)
	if err != nil {
		return nil, fmt.Errorf("vhd %s: %w", f.Name(), err)
	}
	return im, nil
}

func create(f *os.File, size int64, extents []disk.Extent, o Options) (*Image, error) {
	if size <= 0 || size > maxSize || size%o.unit() != 0 {
		return nil, fmt.Errorf("size of %d bytes is not a multiple of %d up to 2040 GiB", size, o.unit())
	}
	if o.ID == [16]byte{} {
		return nil, errors.New("an image needs an identity")
	}
	blocks, err := disk.NewBlocks(size, block, extents)
	if err != nil {
		return nil, err
	}
	im := &Image{f: f, o: o, blocks: blocks}
	if o.Fixed {
		im.Disk, err = disk.NewRaw(f, size)
		return im, err
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	// The data of a block begin a page; its bitmap stands in the sector before.
	first := (tableAt + im.tableBytes() + bitmapBytes + page - 1) / page * page
	im.placed, err = blocks.In(f, first, block+page)
	im.Disk = im.placed
	return im, err
}

// Finish writes what is left: the footer and, of a dynamic image, what stands
// before the blocks. The image is whole after it. The file stays open.
func (im *Image) Finish(context.Context) error {
	footer := im.footer()
	if im.o.Fixed {
		_, err := im.f.WriteAt(footer, im.Size())
		return err
	}
	if _, err := im.f.WriteAt(footer, im.placed.End()); err != nil {
		return err
	}
	head := slices.Concat(footer, im.header(), im.table())
	if _, err := im.f.WriteAt(head, 0); err != nil {
		return err
	}
	bitmap := bytes.Repeat([]byte{0xff}, bitmapBytes)
	for _, ordinal := range im.blocks.All() {
		if _, err := im.f.WriteAt(bitmap, im.placed.At(ordinal)-bitmapBytes); err != nil {
			return err
		}
	}
	return nil
}

// Close has nothing to give up; the file belongs to the caller.
func (im *Image) Close() error { return nil }

// footer stands at the file's end and, in a dynamic image, at its begin too.
func (im *Image) footer() []byte {
	kind, next := uint32(3), uint64(footerBytes)
	if im.o.Fixed {
		kind, next = 2, 1<<64-1
	}
	be := binary.BigEndian
	b := make([]byte, 0, footerBytes)
	b = append(b, "conectix"...)
	b = be.AppendUint32(b, 2) // no features; this bit is always set
	b = be.AppendUint32(b, 1<<16)
	b = be.AppendUint64(b, next)
	b = be.AppendUint32(b, timestamp(im.o.Time))
	b = append(b, "qem2"...) // see the package's comment
	b = be.AppendUint32(b, 5<<16|3)
	b = append(b, "Wi2k"...)                  // a host other than a Macintosh
	b = be.AppendUint64(b, uint64(im.Size())) // at first
	b = be.AppendUint64(b, uint64(im.Size())) // now
	b = append(b, geometry(im.Size())...)
	b = be.AppendUint32(b, kind)
	b = be.AppendUint32(b, 0)
	b = append(b, im.o.ID[:]...)
	b = b[:footerBytes] // in no saved state
	be.PutUint32(b[64:], checksum(b))
	return b
}

// header is what only a dynamic image has.
func (im *Image) header() []byte {
	be := binary.BigEndian
	b := make([]byte, 0, headerBytes)
	b = append(b, "cxsparse"...)
	b = be.AppendUint64(b, 1<<64-1)
	b = be.AppendUint64(b, tableAt)
	b = be.AppendUint32(b, 1<<16)
	b = be.AppendUint32(b, uint32(im.blocks.Total()))
	b = be.AppendUint32(b, block)
	b = b[:headerBytes] // no parent
	be.PutUint32(b[36:], checksum(b))
	return b
}

// tableBytes is the length of the block allocation table in whole sectors.
func (im *Image) tableBytes() int64 {
	return (im.blocks.Total()*4 + sector - 1) / sector * sector
}

// table tells of every block in which sector of the file its bitmap stands.
func (im *Image) table() []byte {
	b := bytes.Repeat([]byte{0xff}, int(im.tableBytes())) // nowhere
	for n, ordinal := range im.blocks.All() {
		binary.BigEndian.PutUint32(b[n*4:], uint32((im.placed.At(ordinal)-bitmapBytes)/sector))
	}
	return b
}

// checksum is of bytes whose own checksum is still zero.
func checksum(b []byte) uint32 {
	sum := uint32(0)
	for _, c := range b {
		sum += uint32(c)
	}
	return ^sum
}

// timestamp is in seconds since 2000.
func timestamp(unix int64) uint32 {
	const year2000 = 946684800
	return uint32(min(max(unix-year2000, 0), math.MaxUint32))
}

// geometry is cylinders, heads and sectors a track, by the steps of the
// specification's appendix.
func geometry(size int64) []byte {
	total := min(size/sector, 65535*16*255)
	var heads, sectors, tracks int64
	if total >= 65535*16*63 {
		heads, sectors = 16, 255
		tracks = total / sectors
	} else {
		sectors = 17
		tracks = total / sectors
		heads = max(4, (tracks+1023)/1024)
		if tracks >= heads*1024 || heads > 16 {
			heads, sectors = 16, 31
			tracks = total / sectors
		}
		if tracks >= heads*1024 {
			sectors = 63
			tracks = total / sectors
		}
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(tracks/heads))
	return append(b, byte(heads), byte(sectors))
}
