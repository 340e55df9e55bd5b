package appliance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"ingot/internal/disk"
	"ingot/internal/gzip"
)

// gceUnit is what a disk of Google's is a multiple of.
const gceUnit = 1 << 30

// gceBlock is the unit in which the archive knows holes.
const gceBlock = 64 << 10

// GCESize is the size that a disk of at least n bytes must have: whole GiB.
func GCESize(n int64) int64 { return roundUp(n, gceUnit) }

// A GCE is an image for Google Compute Engine being written, as its documentation of
// custom images asks for: an archive in GNU's old format, compressed by gzip, with
// one sparse file disk.raw of whole GiB.
//
// The compressed archive cannot be placed before its bytes are known: the disk is
// collected in a sparse scratch file.
type GCE struct {
	*disk.Scratch
	f       *os.File
	epoch   int64
	workers int
}

var _ disk.Image = (*GCE)(nil)

// CreateGCE makes an empty file the image of a disk of size bytes ([GCESize]), of
// which at most the extents will be written. Workers compress; 0 is one a core.
func CreateGCE(f *os.File, size int64, extents []disk.Extent, epoch int64, workers int) (*GCE, error) {
	if size <= 0 || size%gceUnit != 0 {
		return nil, fmt.Errorf("gce %s: size of %d bytes is not a multiple of 1 GiB", f.Name(), size)
	}
	blocks, err := disk.NewBlocks(size, gceBlock, extents)
	if err != nil {
		return nil, fmt.Errorf("gce %s: %w", f.Name(), err)
	}
	s, err := disk.NewScratch(f, blocks)
	if err != nil {
		return nil, err
	}
	return &GCE{s, f, epoch, workers}, nil
}

// Finish writes the archive.
func (im *GCE) Finish(ctx context.Context) error {
	head, err := sparseHeader("disk.raw", im.Size(), im.Extents(), im.epoch)
	if err != nil {
		return err
	}
	end := int64(len(head)) + im.End()
	archive := io.MultiReader(bytes.NewReader(head), im.Contents(), bytes.NewReader(make([]byte, tarEnd(end)-end)))
	if err := gzip.Write(ctx, io.NewOffsetWriter(im.f, 0), archive, im.workers); err != nil {
		return err
	}
	return im.Close()
}

// sparseHeader is what stands in front of the bytes of a sparse file in GNU's old
// format (GNU tar's manual, "Old GNU Format"): a header with four pieces, and
// records with 21 more each. A file that ends with a hole has an empty piece at its
// end.
func sparseHeader(name string, size int64, pieces []disk.Extent, epoch int64) ([]byte, error) {
	var stored int64
	for _, p := range pieces {
		stored += p.Len
	}
	if n := len(pieces); n == 0 || pieces[n-1].End() < size {
		pieces = append(pieces[:n:n], disk.Extent{Off: size})
	}
	h, err := gnuHeader(name, stored, epoch)
	if err != nil {
		return nil, err
	}
	h[156] = 'S'
	const inHeader, inRecord = 4, 21
	first := pieces[:min(len(pieces), inHeader)]
	for i, p := range first {
		putPiece(h[386+i*24:], p)
	}
	rest := pieces[len(first):]
	if len(rest) > 0 {
		h[482] = 1 // more records follow
	}
	putNumber(h[483:495], size)
	// The sum of the header's bytes, in which its own place counts as blanks.
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
	for len(rest) > 0 {
		b := make([]byte, record)
		n := min(len(rest), inRecord)
		for i, p := range rest[:n] {
			putPiece(b[i*24:], p)
		}
		if rest = rest[n:]; len(rest) > 0 {
			b[504] = 1
		}
		h = append(h, b...)
	}
	return h, nil
}

func putPiece(b []byte, p disk.Extent) {
	putNumber(b[:12], p.Off)
	putNumber(b[12:24], p.Len)
}

// putNumber writes a number as octal digits, or as bytes where these are too few.
func putNumber(b []byte, n int64) {
	if n < 1<<33 {
		copy(b, fmt.Sprintf("%011o\x00", n))
		return
	}
	for i := len(b) - 1; i > 0; i-- {
		b[i] = byte(n)
		n >>= 8
	}
	b[0] = 0x80
}
