package layout

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/btrfs"
	"ingot/internal/disk"
	"ingot/internal/ext4"
	"ingot/internal/fat"
	"ingot/internal/fault"
	"ingot/internal/mkfs"
	"ingot/internal/tree"
	"ingot/internal/xfs"
)

// A Content is what a partition or a volume holds: complete in its plan, written later.
type Content interface {
	Size() int64
	// Extents are the ranges, from the content's start, that WriteTo writes.
	Extents() []disk.Extent
	// WriteTo writes at the start of w, which reads as zero beforehand.
	WriteTo(ctx context.Context, w io.WriterAt) error
}

// bytesContent is a Content that is in memory.
type bytesContent []byte

func (b bytesContent) Size() int64            { return int64(len(b)) }
func (b bytesContent) Extents() []disk.Extent { return []disk.Extent{{Len: int64(len(b))}} }
func (b bytesContent) WriteTo(_ context.Context, w io.WriterAt) error {
	_, err := w.WriteAt(b, 0)
	return err
}

// padded is bytes in whole sectors.
func padded(b []byte, sector int64) bytesContent {
	return append(bytes.Clone(b), make([]byte, -len(b)&int(sector-1))...)
}

// A planned file system takes its files' bytes from a reader.
type planned interface {
	Size() int64
	Extents() []disk.Extent
	WriteTo(ctx context.Context, w io.WriterAt, r *tree.Reader) error
	// LogBytes is the size of the log or journal: what the first use of the file
	// system fills, though it is not written here.
	LogBytes() int64
}

// fsContent is a planned file system with its reader.
type fsContent struct {
	planned
	r *tree.Reader
}

func (c fsContent) WriteTo(ctx context.Context, w io.WriterAt) error {
	return c.planned.WriteTo(ctx, w, c.r)
}

// plan plans a file system of a given size, or of the size that its content and free
// bytes need.
func (b *builder) plan(fs *blockdevice.Mkfs, t tree.Tree, size, free int64) (planned, error) {
	if fs.Type == "xfs" {
		o, err := mkfs.XFS(fs.Options)
		if err != nil {
			return nil, err
		}
		o.UUID, o.Label, o.Epoch, o.Size, o.Free, o.Noise = b.fsID(fs), fs.Label, b.Epoch, size, free, b.Encrypted(fs.Device) != nil
		o.SectorSize = int(b.sectorOf(fs.Device))
		return xfs.Plan(t, o)
	}
	if fs.Type == "btrfs" {
		o := btrfs.Options{UUID: b.fsID(fs), Label: fs.Label, Epoch: b.Epoch, Size: size, Free: free}
		for _, s := range fs.Subvolumes {
			o.Subvolumes = append(o.Subvolumes, s.Path)
		}
		return btrfs.Plan(t, o)
	}
	o, err := mkfs.Ext(fs.Type, fs.Options)
	if err != nil {
		return nil, err
	}
	o.UUID, o.HashSeed, o.Label, o.Epoch = b.fsID(fs), b.Derive("hash seed "+fs.Device.Head().Name), fs.Label, b.Epoch
	o.Size, o.Free, o.Noise = size, free, b.Encrypted(fs.Device) != nil
	return ext4.Plan(t, o)
}

// planFAT plans a file system with files of the tree and of the loader.
func (b *builder) planFAT(fs *blockdevice.Mkfs, files []fat.File, size, hidden int64) (*fat.Volume, error) {
	id := b.fsID(fs)
	v, err := fat.Plan(files, fat.Options{
		Size: size, ID: binary.BigEndian.Uint32(id[:]), Label: strings.ToUpper(fs.Label), Epoch: b.Epoch, Hidden: uint32(hidden / b.sectorOf(fs.Device)), SectorSize: b.sectorOf(fs.Device),
	})
	return v, fault.Wrap(fault.Preflight, err)
}

// swapPage is the size of the page that says what a swap space is.
const swapPage = 4096

// swap is a swap space (mkswap(8), the kernel's union swap_header): all but the first
// page of it is for the kernel to fill.
func (b *builder) swap(fs *blockdevice.Mkfs, size int64) bytesContent {
	p := make([]byte, swapPage)
	binary.LittleEndian.PutUint32(p[1024:], 1)
	binary.LittleEndian.PutUint32(p[1028:], uint32(size/swapPage-1))
	id := b.fsID(fs)
	copy(p[1036:], id[:])
	copy(p[1052:1068], fs.Label)
	copy(p[swapPage-10:], "SWAPSPACE2")
	return p
}
