package layout

import (
	"context"
	"fmt"
	"io"

	"ingot/internal/boot"
	"ingot/internal/disk"
	"ingot/internal/ext4"
	"ingot/internal/fat"
	"ingot/internal/tree"
)

// A Content is what a partition holds: complete in its plan, written later.
type Content interface {
	Size() int64
	// Extents are the ranges, from the content's start, that WriteTo writes.
	Extents() []disk.Extent
	// WriteTo writes at the start of w, which reads as zero beforehand.
	WriteTo(ctx context.Context, w io.WriterAt) error
}

// Bytes is a Content that is in memory.
type Bytes []byte

// Size is how many bytes there are.
func (b Bytes) Size() int64 { return int64(len(b)) }

// Extents is all of them.
func (b Bytes) Extents() []disk.Extent { return []disk.Extent{{Len: int64(len(b))}} }

// WriteTo writes them.
func (b Bytes) WriteTo(_ context.Context, w io.WriterAt) error {
	_, err := w.WriteAt(b, 0)
	return err
}

// Ext4 is a Content made of a planned file system, whose files' bytes are read
// from r.
func Ext4(fs *ext4.FS, r *tree.Reader) Content { return rootContent{fs, r} }

type rootContent struct {
	fs *ext4.FS
	r  *tree.Reader
}

func (c rootContent) Size() int64 { return c.fs.Size() }

func (c rootContent) Extents() []disk.Extent {
	var out []disk.Extent
	for _, e := range c.fs.Extents() {
		out = append(out, disk.Extent{Off: e.Offset, Len: e.Length})
	}
	return out
}

func (c rootContent) WriteTo(ctx context.Context, w io.WriterAt) error {
	return c.fs.WriteTo(ctx, w, c.r)
}

// An Image is a whole disk, planned.
type Image struct {
	Fitted
	head, tail []byte // of the partition table
	parts      []Content
}

// Bootable fits the layout to a root file system and a loader: the whole way
// from the parts to an image. The ESP's times are epoch's, in seconds since
// 1970.
func (r Resolved) Bootable(root Content, loader boot.Loader, epoch int64) (*Image, error) {
	files := loader.ESP()
	sizes := map[Role]int64{Root: root.Size(), BIOSBoot: loader.CoreSize()}
	for _, f := range files {
		sizes[ESP] += int64(len(f.Data)) * 5 / 4 // room for an update of the largest
	}
	f, err := r.Fit(sizes)
	if err != nil {
		return nil, err
	}
	contents := map[Role]Content{Root: root}
	var code []byte
	if _, ok := r.Partition(BIOSBoot); ok {
		var core []byte
		if code, core = loader.At(f.Place(BIOSBoot).Off); core == nil {
			return nil, fmt.Errorf("layout: there is a BIOS boot partition and no loader for it")
		}
		contents[BIOSBoot] = Bytes(core)
	}
	if p, ok := r.Partition(ESP); ok {
		if len(files) == 0 {
			return nil, fmt.Errorf("layout: there is an EFI system partition and no loader for it")
		}
		at := f.Place(ESP)
		volume, err := fat.Plan(files, fat.Options{
			Size: at.Len, ID: p.VolumeID(), Label: p.Label, Epoch: epoch, Hidden: uint32(at.Off / sectorSize),
		})
		if err != nil {
			return nil, err
		}
		contents[ESP] = volume
	}
	return Compose(f, contents, code)
}

// Compose makes an image of a fitted layout, what its partitions hold, and code
// for the first sector. A partition without content stays empty.
func Compose(f Fitted, contents map[Role]Content, bootCode []byte) (*Image, error) {
	head, tail, err := f.table().Encode(bootCode)
	if err != nil {
		return nil, err
	}
	im := &Image{Fitted: f, head: head, tail: tail, parts: make([]Content, len(f.Partitions))}
	for role, c := range contents {
		place := f.Place(role)
		if c.Size() > place.Len {
			return nil, fmt.Errorf("layout: content of %d bytes does not fit into partition %q of %d bytes", c.Size(), role, place.Len)
		}
		for i, p := range f.Partitions {
			if p.Role == role {
				im.parts[i] = c
			}
		}
	}
	return im, nil
}

// Size is the disk's size in bytes.
func (im *Image) Size() int64 { return im.Fitted.Size }

// Extents are the ranges of the disk that Write writes.
func (im *Image) Extents() []disk.Extent {
	out := []disk.Extent{{Len: int64(len(im.head))}, {Off: im.Size() - int64(len(im.tail)), Len: int64(len(im.tail))}}
	for i, c := range im.parts {
		if c == nil {
			continue
		}
		for _, e := range c.Extents() {
			out = append(out, disk.Extent{Off: im.Places[i].Off + e.Off, Len: e.Len})
		}
	}
	return disk.Round(out, sectorSize)
}

// Write writes the image to an empty disk of its size.
func (im *Image) Write(ctx context.Context, d disk.Disk) error {
	if d.Size() != im.Size() {
		return fmt.Errorf("layout: a disk of %d bytes cannot take an image of %d", d.Size(), im.Size())
	}
	if _, err := d.WriteAt(im.head, 0); err != nil {
		return fmt.Errorf("layout: cannot write the partition table: %w", err)
	}
	if _, err := d.WriteAt(im.tail, im.Size()-int64(len(im.tail))); err != nil {
		return fmt.Errorf("layout: cannot write the partition table's backup: %w", err)
	}
	for i, c := range im.parts {
		if c == nil {
			continue
		}
		part, err := disk.Part(d, im.Places[i])
		if err != nil {
			return err
		}
		if err := c.WriteTo(ctx, part); err != nil {
			return fmt.Errorf("layout: cannot write partition %q: %w", im.Partitions[i].Role, err)
		}
	}
	return nil
}
