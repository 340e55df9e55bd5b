// Package vmdk writes disk images in VMware's VMDK format, one file an image, in
// two of its kinds.
//
// A monolithic sparse image is one that a machine runs from. The disk is cut into
// grains of 64 KiB; a grain directory points to grain tables, these to grains, and
// both stand in the file twice. Grains are placed from the extents that the writer
// is told beforehand, before the first byte arrives, so no raw file is needed.
//
// A stream optimized image is one to hand over: grains are compressed and stand
// behind each other, each with its place on the disk in front of it; tables follow
// the grains they point to, and directory and final header come last, so that the
// file can be made and read in one go. It is what an OVA holds.
//
// Both carry a descriptor, a text that names the disk's adapter and geometry.
//
// The facts are those of VMware's technical note "Virtual Disk Format 5.0".
package vmdk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"ingot/internal/disk"
)

const (
	sector       = 512
	grain        = 64 << 10
	grainSectors = grain / sector
	perTable     = 512 // grains that one grain table maps
	tableBytes   = perTable * 4
	tableSectors = tableBytes / sector

	descriptorAt      = 1  // sector
	descriptorSectors = 20 // what VMware's products and QEMU reserve

	// Grain tables name sectors of the file in 32 bits.
	maxSize = 1 << 32 * sector
)

// A Kind is what VMware calls a create type.
type Kind uint8

// The kinds.
const (
	MonolithicSparse Kind = iota
	StreamOptimized
)

func (k Kind) String() string {
	if k == StreamOptimized {
		return "streamOptimized"
	}
	return "monolithicSparse"
}

// An Adapter is the controller that the disk was made for. It decides the
// geometry that the descriptor gives.
type Adapter string

// The adapters.
const (
	IDE      Adapter = "ide"
	LSILogic Adapter = "lsilogic" // also for LSI Logic SAS
	BusLogic Adapter = "buslogic"
	PVSCSI   Adapter = "pvscsi" // ESXi writes it; older products know only the others
)

// Options say how an image is made.
type Options struct {
	Kind Kind
	// Adapter is LSILogic when empty.
	Adapter Adapter
	// Hardware is the version of virtual hardware that the disk says it needs; a
	// product refuses a newer one than it knows. 0 is 7, that of ESX 4.
	Hardware int
	// ID identifies the content; the descriptor's content ids are made of it.
	// It must not be zero.
	ID [16]byte
	// Name is what the descriptor calls the file it stands in. Readers go by the
	// file itself. Empty is disk.vmdk.
	Name string
	// Workers is how many goroutines compress; 0 is one a core. It does not
	// change a byte.
	Workers int
}

// Size is the size that a disk of at least n bytes must have: whole grains, as
// VMware's products expect. [Create] takes any whole number of sectors, which
// QEMU reads.
func Size(n int64) int64 { return (n + grain - 1) / grain * grain }

// An Image is a VMDK file being written.
type Image struct {
	f          disk.File
	size       int64
	o          Options
	blocks     disk.Blocks
	descriptor []byte
	sparse     sparseTables
	placed     *disk.Placed  // the grains, behind the tables; nil when compressing
	scratch    *disk.Scratch // the grains, when compressing
}

var _ disk.Image = (*Image)(nil)

// Create makes an empty file the image of a disk of size bytes, of which at most
// the extents will be written. The size is a multiple of 512; see [Size].
func Create(f disk.File, size int64, extents []disk.Extent, o Options) (*Image, error) {
	im, err := create(f, size, extents, o)
	if err != nil {
		return nil, fmt.Errorf("vmdk %s: %w", f.Name(), err)
	}
	return im, nil
}

func create(f disk.File, size int64, extents []disk.Extent, o Options) (*Image, error) {
	if size <= 0 || size > maxSize || size%sector != 0 {
		return nil, fmt.Errorf("size of %d bytes is not a multiple of 512 up to 2 TiB", size)
	}
	blocks, err := disk.NewBlocks(size, grain, extents)
	if err != nil {
		return nil, err
	}
	im := &Image{f: f, size: size, o: o, blocks: blocks}
	if im.descriptor, err = descriptor(size, o); err != nil {
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	if o.Kind == StreamOptimized {
		im.scratch, err = disk.NewScratch(f, blocks)
		return im, err
	}
	im.sparse = newSparseTables(tables(size))
	base := im.sparse.overhead * sector
	if end := base + blocks.Count()*grain; end > maxSize {
		return nil, fmt.Errorf("grains up to %d bytes of the file do not fit in its first 2 TiB", end)
	}
	im.placed, err = blocks.In(f, base, grain)
	return im, err
}

// tables is how many grain tables a disk has.
func tables(size int64) int64 { return (size + perTable*grain - 1) / (perTable * grain) }

// Size is the disk's size in bytes.
func (im *Image) Size() int64 { return im.size }

// WriteAt writes to the disk. Writing outside the extents is an error.
func (im *Image) WriteAt(p []byte, off int64) (int, error) {
	if im.placed != nil {
		return im.placed.WriteAt(p, off)
	}
	return im.scratch.WriteAt(p, off)
}

// Finish writes what is left: the tables and, when compressing, the grains. The
// image is whole after it. The file stays open.
func (im *Image) Finish(ctx context.Context) error {
	if im.o.Kind == StreamOptimized {
		return errors.Join(im.writeStream(ctx), im.Close())
	}
	return im.writeSparse()
}

// Close gives up what an unfinished image holds beside its file. After Finish
// it does nothing.
func (im *Image) Close() error {
	if im.scratch == nil {
		return nil
	}
	return im.scratch.Close()
}

// A header stands in the file's first sector, and in the footer of a stream.
// Offsets are in sectors.
type header struct {
	version     uint32
	flags       uint32
	capacity    int64
	descriptor  int64 // 0 is none
	redundant   int64 // redundant grain directory
	directory   uint64
	overhead    int64 // before the first grain
	compression uint16
}

const (
	newlineTest   = 1 << 0 // the header holds newlines, to find damage by text transfers
	redundantDir  = 1 << 1
	grainsPacked  = 1 << 16
	markers       = 1 << 17
	directoryLast = 1<<64 - 1 // the footer knows where the directory is
	deflate       = 1
)

func (h header) bytes() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, sector)
	b = append(b, "KDMV"...)
	b = le.AppendUint32(b, h.version)
	b = le.AppendUint32(b, h.flags)
	b = le.AppendUint64(b, uint64(h.capacity))
	b = le.AppendUint64(b, grainSectors)
	b = le.AppendUint64(b, uint64(h.descriptor))
	length := uint64(descriptorSectors)
	if h.descriptor == 0 {
		length = 0
	}
	b = le.AppendUint64(b, length)
	b = le.AppendUint32(b, perTable)
	b = le.AppendUint64(b, uint64(h.redundant))
	b = le.AppendUint64(b, h.directory)
	b = le.AppendUint64(b, uint64(h.overhead))
	b = append(b, 0)            // shut down cleanly
	b = append(b, "\n \r\n"...) // for the newline test
	b = le.AppendUint16(b, h.compression)
	return b[:sector]
}

// writeHead writes header and descriptor.
func writeHead(w io.Writer, h header, descriptor []byte) error {
	b := make([]byte, (descriptorAt+descriptorSectors)*sector)
	copy(b, h.bytes())
	copy(b[descriptorAt*sector:], descriptor)
	_, err := w.Write(b)
	return err
}
