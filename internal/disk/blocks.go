package disk

import (
	"fmt"
	"iter"
	"sort"
)

// Blocks are the blocks of a disk that will be written: its extents, rounded to
// the unit in which a format places a disk's bytes. A block is known by two
// numbers: where it stands on the disk, and its ordinal, which counts the
// planned ones alone.
type Blocks struct {
	size    int64
	unit    int64
	extents []Extent
	before  []int64 // how many planned blocks stand before each extent
	count   int64
}

// NewBlocks plans a disk of size bytes in blocks of unit bytes. The extents lie
// on the disk; the last block may reach beyond its end.
func NewBlocks(size, unit int64, extents []Extent) (Blocks, error) {
	for _, e := range extents {
		if e.Len > 0 && (e.Off < 0 || e.Len > size || e.Off > size-e.Len) {
			return Blocks{}, fmt.Errorf("extent of %d bytes at %d does not lie in %d bytes", e.Len, e.Off, size)
		}
	}
	b := Blocks{size: size, unit: unit, extents: Round(extents, unit)}
	for _, e := range b.extents {
		b.before = append(b.before, b.count)
		b.count += e.Len / unit
	}
	return b, nil
}

// Count is how many blocks are planned.
func (b Blocks) Count() int64 { return b.count }

// Total is how many blocks the whole disk has.
func (b Blocks) Total() int64 { return (b.size + b.unit - 1) / b.unit }

// Extents are the planned ranges, rounded to blocks, sorted, apart.
func (b Blocks) Extents() []Extent { return b.extents }

// All gives the planned blocks in order: the number on the disk, and the ordinal.
func (b Blocks) All() iter.Seq2[int64, int64] {
	return func(yield func(n, ordinal int64) bool) {
		for r := range b.Runs(1) {
			if !yield(r.First, r.Ordinal) {
				return
			}
		}
	}
}

// A Run is some planned blocks in a row.
type Run struct {
	First   int64 // number of the first on the disk
	Ordinal int64 // and among the planned ones
	Count   int64
}

// Runs gives the planned blocks in order, at most so many at a time: what a table
// with an entry a block is written in.
func (b Blocks) Runs(most int64) iter.Seq[Run] {
	return func(yield func(Run) bool) {
		for i, e := range b.extents {
			n := e.Len / b.unit
			for k := int64(0); k < n; k += most {
				if !yield(Run{e.Off/b.unit + k, b.before[i] + k, min(most, n-k)}) {
					return
				}
			}
		}
	}
}

// find tells in which planned block a byte of the disk lies and how many bytes
// follow in that extent; 0 is none.
func (b Blocks) find(off int64) (ordinal, inside, n int64) {
	i := sort.Search(len(b.extents), func(i int) bool { return b.extents[i].End() > off })
	if i == len(b.extents) || b.extents[i].Off > off {
		return 0, 0, 0
	}
	e := b.extents[i]
	return b.before[i] + (off-e.Off)/b.unit, off % b.unit, e.End() - off
}

// Placed is a disk whose planned blocks stand in a file in the order of their
// place on the disk, stride bytes apart. So where a block stands depends on the
// plan and never on the order of writing.
type Placed struct {
	Blocks
	f      File
	base   int64
	stride int64
}

// In places the blocks in a file, the first one at base. The stride is a block's
// length or more. The file grows to the end of the last block.
func (b Blocks) In(f File, base, stride int64) (*Placed, error) {
	p := &Placed{b, f, base, stride}
	return p, f.Truncate(p.End())
}

// Size is the disk's size in bytes.
func (p *Placed) Size() int64 { return p.size }

// At is where a block stands in the file, by its ordinal.
func (p *Placed) At(ordinal int64) int64 { return p.base + ordinal*p.stride }

// End is the offset behind the last block of the file.
func (p *Placed) End() int64 {
	if p.count == 0 {
		return p.base
	}
	return p.At(p.count-1) + p.unit
}

// ReadBlock reads a block out of the file, by its ordinal, into as many bytes.
func (p *Placed) ReadBlock(b []byte, ordinal int64) error {
	_, err := p.f.ReadAt(b, p.At(ordinal))
	return err
}

// WriteAt writes to the disk. Writing outside of the planned blocks is an error.
func (p *Placed) WriteAt(b []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(b)) > p.size {
		return 0, fmt.Errorf("write of %d bytes at %d goes beyond a disk of %d bytes", len(b), off, p.size)
	}
	done := 0
	for done < len(b) {
		ordinal, inside, n := p.find(off + int64(done))
		if n == 0 {
			return done, fmt.Errorf("disk %s: write at %d is outside the extents that were planned", p.f.Name(), off+int64(done))
		}
		if p.stride != p.unit {
			n = min(n, p.unit-inside)
		}
		n = min(n, int64(len(b)-done))
		m, err := p.f.WriteAt(b[done:done+int(n)], p.At(ordinal)+inside)
		done += m
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
