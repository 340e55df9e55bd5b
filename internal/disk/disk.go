// Package disk is what a disk image is written to: a fixed number of bytes that
// take positional writes, from several goroutines, in any order, and that are
// zero where nothing was written.
//
// Every writer of a part of a disk (a partition table, a file system) says
// beforehand which [Extent]s it will write. That is what lets a format with a
// mapping, such as qcow2, place its clusters before the first byte arrives, so
// that the bytes of the file depend on the plan and never on the order of
// writing, and no raw file is needed in between.
package disk

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
)

// An Extent is a range of bytes.
type Extent struct {
	Off int64
	Len int64
}

// End is the offset of the first byte behind the extent.
func (e Extent) End() int64 { return e.Off + e.Len }

// A Disk takes positional writes. Writes may come from several goroutines as
// long as their ranges do not overlap. What is never written reads as zero.
type Disk interface {
	io.WriterAt
	// Size is the disk's size in bytes as a machine sees it.
	Size() int64
}

// An Image is a Disk that is kept in one file of some format.
type Image interface {
	Disk
	// Finish writes what is left once all writes are done; the file is whole
	// after it.
	Finish(ctx context.Context) error
	// Close gives up what an unfinished image holds beside its file. After
	// Finish it does nothing.
	Close() error
}

// Round widens extents to multiples of unit, sorts them, and joins those that
// touch or overlap. The result is the canonical form of a plan.
func Round(extents []Extent, unit int64) []Extent {
	wide := make([]Extent, 0, len(extents))
	for _, e := range extents {
		if e.Len <= 0 {
			continue
		}
		from := e.Off / unit * unit
		to := (e.End() + unit - 1) / unit * unit
		wide = append(wide, Extent{from, to - from})
	}
	slices.SortFunc(wide, func(a, b Extent) int { return cmp.Compare(a.Off, b.Off) })
	out := wide[:0]
	for _, e := range wide {
		if n := len(out); n > 0 && e.Off <= out[n-1].End() {
			out[n-1].Len = max(out[n-1].End(), e.End()) - out[n-1].Off
			continue
		}
		out = append(out, e)
	}
	return out
}

// A Region is a part of a disk that looks like a whole one: a partition.
type Region struct {
	disk Disk
	at   Extent
}

// Part is the part of d that the extent names.
func Part(d Disk, at Extent) (*Region, error) {
	if at.Off < 0 || at.Len < 0 || at.End() > d.Size() {
		return nil, fmt.Errorf("part of disk from %d to %d does not lie in its %d bytes", at.Off, at.End(), d.Size())
	}
	return &Region{d, at}, nil
}

// Size is the region's length in bytes.
func (r *Region) Size() int64 { return r.at.Len }

// WriteAt writes relative to the region's start and never outside of it.
func (r *Region) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > r.at.Len {
		return 0, fmt.Errorf("write of %d bytes at %d goes beyond a part of %d bytes", len(p), off, r.at.Len)
	}
	return r.disk.WriteAt(p, r.at.Off+off)
}
