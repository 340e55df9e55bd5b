// Package vdi writes disk images in VirtualBox's VDI format, version 1.1, of the
// dynamic kind: only blocks of 1 MiB that were written are in the file.
//
// Blocks are placed from the extents that the writer is told beforehand, before
// the first byte arrives, behind header and block map, so no raw file is needed.
//
// The facts are those of VirtualBox's public header files for the format and of
// QEMU's block/vdi.c.
package vdi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"ingot/internal/disk"
)

const (
	sector = 512
	block  = 1 << 20

	signature   = 0xbeda107f
	version     = 1<<16 | 1
	dynamic     = 1
	headerAt    = 64 + 8 // behind a text, signature and version
	headerBytes = 400
	mapAt       = 512

	// maxSize keeps the block map, which is always whole, at 256 MiB.
	maxSize = 64 << 40
)

// Options say how an image is made.
type Options struct {
	// ID identifies the image: VirtualBox registers it by that. It must not be zero.
	ID [16]byte
	// Changed identifies the content; VirtualBox gives it another when it writes. It
	// must not be zero.
	Changed [16]byte
}

// Size is the size that a disk of at least n bytes must have: whole sectors.
func Size(n int64) int64 { return (n + sector - 1) / sector * sector }

// An Image is a VDI file being written.
type Image struct {
	disk.Disk
	placed *disk.Placed
	f      *os.File
	o      Options
	blocks disk.Blocks
}

var _ disk.Image = (*Image)(nil)

// Create makes an empty file the image of a disk of size bytes, of which at most
// the extents will be written. The size is a multiple of 512 up to 64 TiB.
func Create(f *os.File, size int64, extents []disk.Extent, o Options) (*Image, error) {
	im, err := create(f, size, extents, o)
	if err != nil {
		return nil, fmt.Errorf("vdi %s: %w", f.Name(), err)
	}
	return im, nil
}

func create(f *os.File, size int64, extents []disk.Extent, o Options) (*Image, error) {
	if size <= 0 || size > maxSize || size%sector != 0 {
		return nil, fmt.Errorf("size of %d bytes is not a multiple of 512 up to 64 TiB", size)
	}
	if o.ID == [16]byte{} || o.Changed == [16]byte{} {
		return nil, errors.New("an image needs two identities")
	}
	blocks, err := disk.NewBlocks(size, block, extents)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	im := &Image{f: f, o: o, blocks: blocks}
	im.placed, err = blocks.In(f, (mapAt+blocks.Total()*4+block-1)/block*block, block)
	im.Disk = im.placed
	return im, err
}

// Finish writes header and block map. The image is whole after it. The file stays
// open.
func (im *Image) Finish(context.Context) error {
	if _, err := im.f.WriteAt(im.header(), 0); err != nil {
		return err
	}
	return im.writeMap()
}

// Close has nothing to give up; the file belongs to the caller.
func (im *Image) Close() error { return nil }

func (im *Image) header() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, mapAt)
	b = append(b, "<<< Oracle VM VirtualBox Disk Image >>>\n"...)
	b = b[:64]
	b = le.AppendUint32(b, signature)
	b = le.AppendUint32(b, version)
	b = le.AppendUint32(b, headerBytes)
	b = le.AppendUint32(b, dynamic)
	b = le.AppendUint32(b, 0) // no flags
	b = b[:len(b)+256]        // no comment
	b = le.AppendUint32(b, mapAt)
	b = le.AppendUint32(b, uint32(im.placed.At(0)))
	b = append(b, make([]byte, 12)...) // a geometry that is no longer used
	b = le.AppendUint32(b, sector)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, uint64(im.Size()))
	b = le.AppendUint32(b, block)
	b = le.AppendUint32(b, 0) // bytes in front of every block
	b = le.AppendUint32(b, uint32(im.blocks.Total()))
	b = le.AppendUint32(b, uint32(im.blocks.Count()))
	b = disk.AppendGUID(b, im.o.ID)
	b = disk.AppendGUID(b, im.o.Changed)
	// No parent. The geometry is left to firmware, but VirtualBox refuses one whose
	// sectors have another size.
	b = b[:len(b)+16+16+12]
	b = le.AppendUint32(b, sector)
	return b[:mapAt]
}

// writeMap tells of every block its number in the file.
func (im *Image) writeMap() error {
	const most = 1 << 18 // entries that are in memory
	nowhere := bytes.Repeat([]byte{0xff}, most*4)
	for n, left := int64(0), im.blocks.Total(); left > 0; n, left = n+most, left-most {
		if _, err := im.f.WriteAt(nowhere[:min(most, left)*4], mapAt+n*4); err != nil {
			return err
		}
	}
	row := make([]byte, 0, most*4)
	for run := range im.blocks.Runs(most) {
		row = row[:0]
		for i := range run.Count {
			row = binary.LittleEndian.AppendUint32(row, uint32(run.Ordinal+i))
		}
		if _, err := im.f.WriteAt(row, mapAt+run.First*4); err != nil {
			return err
		}
	}
	return nil
}
