package blockdevice

import (
	"slices"

	"ingot/internal/disk"
	"ingot/internal/lvm"
)

// The measures of LVM that a place depends on.
const (
	// DefaultExtent is the size of an extent where a group says none. Sizes of
	// volumes are rounded down to it in any group.
	DefaultExtent = 4 * mib
	// VolumeData is where the extents of a physical volume begin: what is before
	// is for the label and the metadata.
	VolumeData = lvm.DataStart
	// maxExtents is what LVM can count.
	maxExtents = 1<<32 - 1
)

// A FittedGroup is a volume group with its volumes.
type FittedGroup struct {
	VG      *VG
	Extents int64 // of all physical volumes
	Free    int64 // extents that no volume has
	PVs     []FittedPV
	LVs     []FittedLV // in the order of the text
	// Spare is for the repair of a thin pool's metadata: as large as the largest.
	// It is empty where there is no pool.
	Spare []Segment
}

// A FittedPV is a physical volume with its place.
type FittedPV struct {
	PV      *PV
	Disk    *LocalLoop
	Place   disk.Extent // of the whole volume on the disk
	Extents int64
}

// A FittedLV is a logical volume with its place.
type FittedLV struct {
	LV       *LV
	Size     int64     // bytes
	Segments []Segment // none for a thin volume; the data of a pool
	Meta     []Segment // the metadata of a pool
	Chunk    int64     // bytes of a pool's blocks
}

// A Segment is a run of a volume's bytes that lies the same way: in one piece, or
// striped across pieces of the same length.
type Segment struct {
	Len        int64 // bytes of the volume
	StripeSize int64 // bytes; 0 for one piece
	Pieces     []Piece
}

// A Piece is a run of extents of a physical volume.
type Piece struct {
	PV      *PV
	Extent  int64 // the first, from 0
	Extents int64
	Disk    *LocalLoop
	Place   disk.Extent // the same in bytes of the disk
}

// An allotment is what a volume takes of its group, before it has a place.
type allotment struct {
	lv      *LV
	extents int64 // of the volume, which for a thin one are not taken
	meta    int64 // extents of a pool's metadata
	chunk   int64
}

// allot divides a group of so many extents. Shares of the whole group are upper
// limits, unless they are to be exact.
func (f *fitter) allot(g *VG, all int64, exact bool) (out []allotment, spare int64, q *Problem) {
	free := all
	for _, v := range g.LVs {
		need := ceil(f.least[v], g.ExtentSize)
		a := allotment{lv: v}
		room := free // what the volume's own share is computed of
		switch {
		case v.Extents.Form != ExtentsUnsaid:
			a.extents = v.Extents.of(all, room, exact)
		case v.Size.Form == ToFit:
			a.extents = max(need, 1)
			if v.Type == ThinPool {
				a.extents = max(ceil(f.poolNeed(v), g.ExtentSize), 1)
			}
		case v.Size.Form == Percent:
			a.extents = v.Size.of(room*g.ExtentSize) / g.ExtentSize
		default:
			a.extents = ceil(roundDown(v.Size.Bytes, DefaultExtent), g.ExtentSize)
		}
		share := v.Size.Form == Percent || v.Extents.Form != ExtentsUnsaid && v.Extents.Form != ExtentsCount
		if v.Type == Striped {
			if share {
				a.extents = roundDown(a.extents, v.Stripes)
			} else {
				a.extents = roundUp(a.extents, v.Stripes)
			}
		}
		var taken, moreSpare int64
		switch v.Type {
		case Thin:
		case ThinPool:
			need = max(need, ceil(f.poolNeed(v), g.ExtentSize))
			a.meta, a.chunk = poolMeta(a.extents, g.ExtentSize)
			moreSpare = max(0, a.meta-spare)
			if share {
				// A share is of all that the pool takes.
				a.extents = min(a.extents, free-a.meta-moreSpare)
			}
			taken = a.extents + a.meta + moreSpare
		default:
			taken = a.extents
		}
		key, said := "size", v.Size
		if v.Extents.Form != ExtentsUnsaid {
			key, said = "extents", Size{Text: v.Extents.Text}
		}
		if taken > free || a.extents <= 0 {
			q = over(&v.Header, said, a.extents*g.ExtentSize, free*g.ExtentSize, &g.Header)
			q.Key, q.At = key, v.Where(key)
			return nil, 0, q
		}
		if a.extents < need {
			return nil, 0, small(&v.Header, key, a.extents*g.ExtentSize, max(need*g.ExtentSize, f.least[v]))
		}
		spare += moreSpare
		free -= taken
		out = append(out, a)
	}
	return out, spare, nil
}

func ceil(n, unit int64) int64 { return (n + unit - 1) / unit }

// poolNeed is what a pool must hold.
func (f *fitter) poolNeed(pool *LV) int64 {
	if n := f.needs[pool.Name]; n > 0 {
		return n
	}
	n := int64(0)
	for _, v := range pool.VG.LVs {
		if v.Pool == pool {
			n += f.need(v)
		}
	}
	return n
}

// poolMeta is how many extents the metadata of a pool takes, and the size of its
// blocks: as lvcreate has it, 64 bytes for each block of 64 KiB, at least 2 MiB, and
// larger blocks where it would be more than 128 MiB (lvmthin(7)).
func poolMeta(extents, extentSize int64) (meta, chunk int64) {
	chunk = 64 * kib
	size := func() int64 { return ceil(extents*extentSize, chunk) * 64 }
	for size() > 128*mib {
		chunk *= 2
	}
	return ceil(max(size(), 2*mib), extentSize), chunk
}

// groupDemand adds what a group needs to what its physical volumes need: those of
// a size bring what they bring, and the last of the others the rest, or all of
// the others equal parts of it where volumes are striped.
func (f *fitter) groupDemand(g *VG) *Problem {
	if len(g.PVs) == 0 {
		return nil
	}
	enough := func(exact bool) (int64, *Problem) {
		return smallest(maxExtents, func(n int64) *Problem {
			_, _, q := f.allot(g, n, exact)
			return q
		})
	}
	n, q := enough(true)
	if q != nil { // shares that are more than the whole
		n, q = enough(false)
	}
	if q != nil {
		return q
	}
	var open []*PV
	fixed := int64(0) // extents of those that have a size of their own
	list := make([]FittedPV, len(g.PVs))
	for i, v := range g.PVs {
		size := int64(0)
		device, skip := Beneath(v.Device)
		switch d := device.(type) {
		case *Partition:
			size = d.Size.Bytes
		case *LocalLoop:
			size = d.Size
		}
		list[i].PV = v
		if size == 0 {
			open = append(open, v)
			continue
		}
		list[i].Extents = max(0, (size-skip-VolumeData)/g.ExtentSize)
		fixed += list[i].Extents
	}
	striped := slices.ContainsFunc(g.LVs, func(v *LV) bool { return v.Type == Striped })
	if striped && len(open) > 0 {
		return f.stripesDemand(g, list, open)
	}
	n -= fixed
	for i, v := range open {
		extents := max(1, f.extentsOf(v))
		if i == len(open)-1 {
			extents = max(extents, n)
		}
		n -= extents
		f.ask(v, extents)
	}
	return nil
}

// stripesDemand has all physical volumes without a size of their own grow together
// until every stripe has a volume of its own.
func (f *fitter) stripesDemand(g *VG, list []FittedPV, open []*PV) *Problem {
	try := func(each int64) (*Problem, []FittedPV) {
		now, all := slices.Clone(list), int64(0)
		for i := range now {
			if slices.Contains(open, now[i].PV) {
				now[i].Extents = max(each, f.extentsOf(now[i].PV))
			}
			all += now[i].Extents
		}
		allotments, _, q := f.allot(g, all, false)
		if q == nil {
			_, q = placeVolumes(&FittedGroup{VG: g, PVs: now}, allotments)
		}
		return q, now
	}
	each, q := smallest(maxExtents/int64(len(open)), func(n int64) *Problem {
		q, _ := try(n)
		return q
	})
	if q != nil {
		return q
	}
	_, now := try(each)
	for _, v := range now {
		if slices.Contains(open, v.PV) {
			f.ask(v.PV, v.Extents)
		}
	}
	return nil
}

// ask has a physical volume be large enough for so many extents.
func (f *fitter) ask(v *PV, extents int64) {
	device, skip := Beneath(v.Device)
	f.least[device] = max(f.least[device], skip+VolumeData+extents*v.VG.ExtentSize)
}

// extentsOf is how many extents a physical volume has where its device has the least
// size.
func (f *fitter) extentsOf(v *PV) int64 {
	device, skip := Beneath(v.Device)
	return (f.least[device] - skip - VolumeData) / v.VG.ExtentSize
}

// group places the volumes of a group.
func (f *fitter) group(on *Fitted, g *VG) (*FittedGroup, *Problem) {
	out := &FittedGroup{VG: g}
	for _, v := range g.PVs {
		d, at := on.Place(v.Device)
		p := FittedPV{PV: v, Disk: d, Place: at, Extents: max(0, (at.Len-VolumeData)/g.ExtentSize)}
		if p.Extents == 0 {
			return nil, small(v.Device.Head(), "size", at.Len, VolumeData+g.ExtentSize)
		}
		out.Extents += p.Extents
		out.PVs = append(out.PVs, p)
	}
	if out.Extents > maxExtents {
		q := fault(&g.Header, "extent-size", "%d extents are more than LVM can count", out.Extents)
		return nil, &q
	}
	list, spare, q := f.allot(g, out.Extents, false)
	if q != nil {
		return nil, q
	}
	p, q := placeVolumes(out, list)
	if q != nil {
		return nil, q
	}
	out.Spare = p.linear(spare)
	for i, v := range out.PVs {
		out.Free += v.Extents - p.used[i]
	}
	return out, nil
}

// placeVolumes gives volumes their extents of a group.
func placeVolumes(out *FittedGroup, list []allotment) (placer, *Problem) {
	p := placer{out, make([]int64, len(out.PVs))}
	for _, a := range list {
		v := FittedLV{LV: a.lv, Size: a.extents * out.VG.ExtentSize, Chunk: a.chunk}
		switch a.lv.Type {
		case Thin:
		case Striped:
			if v.Segments = p.striped(a.lv, a.extents); v.Segments == nil {
				q := fault(&a.lv.Header, "stripes", "%d physical volumes of %s with %d free extents each are not there", a.lv.Stripes, printable(out.VG.Name), a.extents/a.lv.Stripes)
				return p, &q
			}
		default:
			v.Segments = p.linear(a.extents)
			v.Meta = p.linear(a.meta)
		}
		out.LVs = append(out.LVs, v)
	}
	return p, nil
}

// A placer gives extents away, from the start of each physical volume on.
type placer struct {
	g    *FittedGroup
	used []int64 // extents of each physical volume
}

func (p *placer) take(i int, n int64) Piece {
	v, size := p.g.PVs[i], p.g.VG.ExtentSize
	piece := Piece{PV: v.PV, Extent: p.used[i], Extents: n, Disk: v.Disk,
		Place: disk.Extent{Off: v.Place.Off + VolumeData + p.used[i]*size, Len: n * size}}
	p.used[i] += n
	return piece
}

// linear takes extents of one physical volume after the other. There are enough.
func (p *placer) linear(n int64) []Segment {
	var out []Segment
	for i, v := range p.g.PVs {
		if some := min(n, v.Extents-p.used[i]); some > 0 {
			out = append(out, Segment{Len: some * p.g.VG.ExtentSize, Pieces: []Piece{p.take(i, some)}})
			n -= some
		}
	}
	return out
}

// striped takes extents of the first physical volumes that have enough, or gives
// nil.
func (p *placer) striped(v *LV, n int64) []Segment {
	each := n / v.Stripes
	s := Segment{Len: n * p.g.VG.ExtentSize, StripeSize: v.StripeSize}
	var which []int
	for i, pv := range p.g.PVs {
		if int64(len(which)) < v.Stripes && pv.Extents-p.used[i] >= each {
			which = append(which, i)
		}
	}
	if int64(len(which)) < v.Stripes {
		return nil
	}
	for _, i := range which {
		s.Pieces = append(s.Pieces, p.take(i, each))
	}
	return []Segment{s}
}
