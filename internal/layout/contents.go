package layout

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/disk"
	"ingot/internal/ext4"
	"ingot/internal/fat"
	"ingot/internal/tree"
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

// ext4Content is a planned file system, whose files' bytes are read from r.
type ext4Content struct {
	fs *ext4.FS
	r  *tree.Reader
}

func (c ext4Content) Size() int64 { return c.fs.Size() }

func (c ext4Content) Extents() []disk.Extent {
	var out []disk.Extent
	for _, e := range c.fs.Extents() {
		out = append(out, disk.Extent{Off: e.Offset, Len: e.Length})
	}
	return out
}

func (c ext4Content) WriteTo(ctx context.Context, w io.WriterAt) error {
	return c.fs.WriteTo(ctx, w, c.r)
}

// ext4Options are what an ext4 can be told besides what the layout says of it.
type ext4Options struct {
	reserved int
	perInode int64
	journal  int64
}

// options reads a file system's options, in mkfs' own words. What cannot be done is
// refused: an option that is dropped would be found out much later.
func (r Resolved) options(fs *blockdevice.Mkfs) (o ext4Options, err error) {
	words := fs.Options
	if fs.Type != "ext4" {
		if len(words) > 0 {
			return o, fmt.Errorf("option %s of mkfs for %s is not known here", words[0], fs.Type)
		}
		return o, nil
	}
	for i := 0; i < len(words); i++ {
		flag, value := words[i], ""
		if len(flag) > 2 && flag[0] == '-' && flag[1] != '-' {
			flag, value = flag[:2], flag[2:]
		} else if i+1 < len(words) {
			i++
			value = words[i]
		}
		bad := fmt.Errorf("option %s %s of mkfs for ext4 is not known here", flag, value)
		switch flag {
		case "-m":
			if o.reserved, err = strconv.Atoi(value); err != nil || o.reserved < 0 || o.reserved > 50 {
				return o, bad
			}
		case "-i":
			if o.perInode, err = strconv.ParseInt(value, 10, 64); err != nil || o.perInode < 1024 {
				return o, bad
			}
		case "-b", "-I": // what is made anyway
			if value != map[string]string{"-b": "4096", "-I": "256"}[flag] {
				return o, bad
			}
		case "-J":
			size, ok := strings.CutPrefix(value, "size=")
			n, err := strconv.ParseInt(strings.TrimSuffix(size, "M"), 10, 64)
			if !ok || err != nil || n < 4 || n > 4096 {
				return o, bad
			}
			o.journal = n << 20
		default:
			return o, bad
		}
	}
	return o, nil
}

// planExt4 plans a file system of a given size, or of the size that its content and
// free bytes need.
func (b *builder) planExt4(fs *blockdevice.Mkfs, t tree.Tree, size, free int64) (*ext4.FS, error) {
	o, err := b.options(fs)
	if err != nil {
		return nil, err
	}
	name := fs.Device.Head().Name
	return ext4.Plan(t, ext4.Options{
		UUID: b.fsID(fs), HashSeed: b.Derive("hash seed " + name), Label: fs.Label, Epoch: b.Epoch,
		Size: size, Free: free, ReservedPercent: o.reserved, BytesPerInode: o.perInode, Journal: o.journal,
	})
}

// planFAT plans a file system with files of the tree and of the loader.
func (b *builder) planFAT(fs *blockdevice.Mkfs, files []fat.File, size, hidden int64) (*fat.Volume, error) {
	id := b.fsID(fs)
	return fat.Plan(files, fat.Options{
		Size: size, ID: binary.BigEndian.Uint32(id[:]), Label: strings.ToUpper(fs.Label), Epoch: b.Epoch, Hidden: uint32(hidden / sectorSize),
	})
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
