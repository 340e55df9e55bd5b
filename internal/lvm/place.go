package lvm

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"ingot/internal/disk"
)

// A Map says where the bytes of a logical volume lie. It is as long as the volume has
// segments, or runs of chunks, and not as it has stripes.
type Map []row

// A row is bytes of a volume that lie the same way: in one piece, or in stripes that
// take turns.
type row struct {
	disk.Extent       // of the volume
	stripe      int64 // bytes; 0 for one piece
	at          []place
}

// A place is a byte offset on a physical volume.
type place struct {
	pv int
	at int64
}

// Whole is the map of what lies in one piece at the start of the one device it has.
func Whole(size int64) Map {
	return Map{{Extent: disk.Extent{Len: size}, at: []place{{}}}}
}

// Runs are the pieces that a part of the volume lies in, in order. What has no place
// is left out.
func (m Map) Runs(part disk.Extent) iter.Seq[Run] {
	return func(yield func(Run) bool) {
		i, _ := slices.BinarySearchFunc(m, part.Off, func(r row, off int64) int { return cmp.Compare(r.End()-1, off) })
		for off := part.Off; i < len(m); {
			r := m[i]
			off = max(off, r.Off)
			n := min(part.End(), r.End()) - off
			if n <= 0 {
				return
			}
			at := off - r.Off
			to := r.at[0]
			if stripes := int64(len(r.at)); stripes > 1 {
				turn, within := at/r.stripe, at%r.stripe
				to, at = r.at[turn%stripes], turn/stripes*r.stripe+within
				n = min(n, r.stripe-within)
			}
			if !yield(Run{disk.Extent{Off: off, Len: n}, to.pv, to.at + at}) {
				return
			}
			if off += n; off == r.End() {
				i++
			}
		}
	}
}

// places are where the bytes of segments lie.
func (g Group) places(segments []Segment) Map {
	var out Map
	var at int64 // of the volume, in bytes
	for _, s := range segments {
		r := row{Extent: disk.Extent{Off: at, Len: s.Extents * g.ExtentSize}, stripe: s.StripeSize}
		for _, p := range s.Pieces {
			r.at = append(r.at, place{p.PV, DataStart + p.Extent*g.ExtentSize})
		}
		out = append(out, r)
		at += r.Len
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
