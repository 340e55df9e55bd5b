package appliance

import (
	"context"
	"crypto/sha1" //nolint:gosec // what XenServer calls a checksum
	"fmt"
	"os"

	"ingot/internal/disk"
)

const (
	chunk = 1 << 20
	// What stands between the bytes of two chunks: the checksum's header, the
	// checksum, the next chunk's header.
	chunkStride = chunk + 3*record
	diskRef     = "Ref:4"
)

// XVASize is the size that a disk of at least n bytes has in an XVA: whole chunks.
func XVASize(n int64) int64 { return roundUp(n, chunk) }

// An XVA is an appliance of XenServer being written: ova.xml, then the disk in chunks
// of 1 MiB, each followed by its SHA-1. A chunk of zeros may be left out, but for
// the first and the last. Which chunks there are is known beforehand, and all have the
// same length, so each has its place before its bytes arrive.
//
// The facts are those of the exports of xapi, XenServer's toolstack.
type XVA struct {
	*disk.Placed
	f      *os.File
	head   []byte
	blocks disk.Blocks
	epoch  int64
}

var _ disk.Image = (*XVA)(nil)

// CreateXVA makes an empty file the appliance of a disk of size bytes ([XVASize]),
// of which at most the extents will be written.
func CreateXVA(f *os.File, size int64, extents []disk.Extent, m Machine) (*XVA, error) {
	im, err := createXVA(f, size, extents, m)
	if err != nil {
		return nil, fmt.Errorf("xva %s: %w", f.Name(), err)
	}
	return im, nil
}

func createXVA(f *os.File, size int64, extents []disk.Extent, m Machine) (*XVA, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	if size <= 0 || size%chunk != 0 || size/chunk > 1e8 {
		return nil, fmt.Errorf("size of %d bytes is not a multiple of 1 MiB", size)
	}
	blocks, err := disk.NewBlocks(size, chunk, append([]disk.Extent{{Off: 0, Len: 1}, {Off: size - 1, Len: 1}}, extents...))
	if err != nil {
		return nil, err
	}
	im := &XVA{f: f, blocks: blocks, epoch: m.Epoch}
	if im.head, err = appendFile(nil, "ova.xml", m.ovaXML(size), m.Epoch); err != nil {
		return nil, err
	}
	im.Placed, err = blocks.In(f, int64(len(im.head))+record, chunkStride)
	return im, err
}

// Finish writes papers, headers and checksums.
func (im *XVA) Finish(ctx context.Context) error {
	if _, err := im.f.WriteAt(im.head, 0); err != nil {
		return err
	}
	data := make([]byte, chunk)
	for n, ordinal := range im.blocks.All() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := im.ReadBlock(data, ordinal); err != nil {
			return err
		}
		name := fmt.Sprintf("%s/%08d", diskRef, n)
		h, err := header(name, chunk, im.epoch)
		if err != nil {
			return err
		}
		at := im.At(ordinal)
		if _, err := im.f.WriteAt(h, at-record); err != nil {
			return err
		}
		sum, err := appendFile(nil, name+".checksum", fmt.Appendf(nil, "%x", sha1.Sum(data)), im.epoch) //nolint:gosec // see above
		if err != nil {
			return err
		}
		if _, err := im.f.WriteAt(sum, at+chunk); err != nil {
			return err
		}
	}
	return im.f.Truncate(tarEnd(im.End() + 2*record))
}

// Close has nothing to give up.
func (im *XVA) Close() error { return nil }
