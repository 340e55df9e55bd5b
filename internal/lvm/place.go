package lvm

import (
	"cmp"
	"fmt"
	"slices"

	"ingot/internal/disk"
)

// runs are where the bytes of segments lie.
func (g Group) runs(segments []Segment) []Run {
	var out []Run
	var at int64 // of the volume, in bytes
	for _, s := range segments {
		size := s.Extents * g.ExtentSize
		unit, n := size, int64(len(s.Pieces))
		if n > 1 {
			unit = s.StripeSize
		}
		for off := int64(0); off < size; off += unit {
			turn := off / unit
			to := s.Pieces[turn%n]
			out = append(out, Run{disk.Extent{Off: at + off, Len: unit}, to.PV, DataStart + to.Extent*g.ExtentSize + turn/n*unit})
		}
		at += size
	}
	return out
}

// resolve says where a part of a placed volume lies on physical volumes.
func resolve(runs []Run, part disk.Extent) []Run {
	i, _ := slices.BinarySearchFunc(runs, part.Off, func(r Run, off int64) int { return cmp.Compare(r.End()-1, off) })
	var out []Run
	for ; i < len(runs) && part.Len > 0; i++ {
		skip := part.Off - runs[i].Off
		n := min(part.Len, runs[i].Len-skip)
		out = append(out, Run{disk.Extent{Off: part.Off, Len: n}, runs[i].PV, runs[i].At + skip})
		part.Off += n
		part.Len -= n
	}
	return out
}

// taken are the extents that volumes have.
type taken struct {
	g  Group
	by [][]stretch // of each physical volume
}

// A stretch is extents in a row that one volume has.
type stretch struct {
	from, to int64
	name     string
}

func newTaken(g Group) *taken { return &taken{g: g, by: make([][]stretch, len(g.PVs))} }

// take refuses extents that are not there, or another volume's.
func (t *taken) take(name string, segments []Segment) error {
	for _, s := range segments {
		n := int64(len(s.Pieces))
		if n == 0 || s.Extents < 1 || s.Extents%n != 0 {
			return fmt.Errorf("a segment of %d extents in %d pieces", s.Extents, n)
		}
		if n > 1 && (s.StripeSize < 4096 || t.g.ExtentSize%s.StripeSize != 0) {
			return fmt.Errorf("stripes of %d bytes", s.StripeSize)
		}
		for _, p := range s.Pieces {
			if p.PV < 0 || p.PV >= len(t.g.PVs) || p.Extent < 0 || p.Extent+s.Extents/n > t.g.PVs[p.PV].Extents {
				return fmt.Errorf("extents %d to %d are not on physical volume %d", p.Extent, p.Extent+s.Extents/n, p.PV)
			}
			mine := stretch{p.Extent, p.Extent + s.Extents/n, name}
			for _, other := range t.by[p.PV] {
				if mine.from < other.to && other.from < mine.to {
					return fmt.Errorf("extent %d of physical volume %d is %s's too", max(mine.from, other.from), p.PV, other.name)
				}
			}
			t.by[p.PV] = append(t.by[p.PV], mine)
		}
	}
	return nil
}
