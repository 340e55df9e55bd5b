package lvm

import (
	"cmp"
	"fmt"
	"slices"

	"ingot/internal/disk"
)

// A segment is a part of a logical volume that lies on one stripe or on several in
// turn, as LVM's text has it. Counts are of extents.
type segment struct {
	start, count int64
	stripes      []stripe
}

type stripe struct {
	pv int
	at int64 // extent
}

// A planner gives places.
type planner struct {
	group    Group
	out      *Planned
	left     []int64 // extents that each physical volume has left
	next     []int64 // and the first of them
	segments map[string][]segment
	pools    []pool
}

// stripeSize is LVM's default, in bytes.
const stripeSize = 64 << 10

// place gives extents to a volume, and to the hidden ones of a pool.
func (p *planner) place(lv LV) error {
	if lv.Kind != ThinPool {
		return p.take(lv.Name, lv.Extents, max(1, lv.Stripes))
	}
	pl := newPool(lv)
	for _, part := range []struct {
		name    string
		extents int64
	}{{p.spare(), p.spareExtents()}, {lv.Name + "_tmeta", pl.metaExtents}, {lv.Name + "_tdata", lv.Extents}} {
		if part.name == "" {
			continue // one spare serves all pools
		}
		if err := p.take(part.name, part.extents, 1); err != nil {
			return err
		}
	}
	p.pools = append(p.pools, pl)
	return nil
}

// spare is the name of the spare where it has no place yet, or "".
func (p *planner) spare() string {
	if len(p.pools) > 0 {
		return ""
	}
	return spare
}

// spareExtents is how large the spare must be to serve any pool.
func (p *planner) spareExtents() int64 {
	var most int64
	for _, lv := range p.group.LVs {
		if lv.Kind == ThinPool {
			most = max(most, newPool(lv).metaExtents)
		}
	}
	return most
}

// take gives extents to a volume: from the first physical volumes that have some, or
// from those with the most, in turn.
func (p *planner) take(name string, extents int64, stripes int) error {
	if stripes > 1 {
		return p.takeStriped(name, extents, stripes)
	}
	var at int64
	for pv := range p.left {
		n := min(extents-at, p.left[pv])
		if n == 0 {
			continue
		}
		p.segments[name] = append(p.segments[name], segment{at, n, []stripe{{pv, p.next[pv]}}})
		p.out.runs[name] = append(p.out.runs[name], Run{disk.Extent{Off: at * ExtentSize, Len: n * ExtentSize}, pv, dataStart + p.next[pv]*ExtentSize})
		p.use(pv, n)
		at += n
	}
	if at < extents {
		return fmt.Errorf("it needs %d extents of 4 MiB, and %d are left", extents, at)
	}
	return nil
}

func (p *planner) takeStriped(name string, extents int64, stripes int) error {
	n := int64(stripes)
	if extents%n != 0 {
		return fmt.Errorf("%d extents cannot be divided among %d stripes", extents, stripes)
	}
	var on []int
	for pv := range p.left {
		if p.left[pv] >= extents/n && len(on) < stripes {
			on = append(on, pv)
		}
	}
	if len(on) < stripes {
		return fmt.Errorf("it needs %d physical volumes with %d extents of 4 MiB left, and there are %d", stripes, extents/n, len(on))
	}
	s := segment{count: extents}
	for _, pv := range on {
		s.stripes = append(s.stripes, stripe{pv, p.next[pv]})
	}
	for at := int64(0); at < extents*ExtentSize; at += stripeSize {
		turn := at / stripeSize
		to := s.stripes[turn%n]
		p.out.runs[name] = append(p.out.runs[name], Run{disk.Extent{Off: at, Len: stripeSize}, to.pv, dataStart + to.at*ExtentSize + turn/n*stripeSize})
	}
	for _, pv := range on {
		p.use(pv, extents/n)
	}
	p.segments[name] = []segment{s}
	return nil
}

func (p *planner) use(pv int, n int64) {
	p.left[pv] -= n
	p.next[pv] += n
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
