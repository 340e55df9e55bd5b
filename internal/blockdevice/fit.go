package blockdevice

import (
	"ingot/internal/disk"
	"ingot/internal/luks"
	"ingot/internal/mbr"
)

// Needs say how many bytes contents take, by the name of a file system, or of a
// partition, volume or disk that holds something else. What is not named takes
// nothing, and what it lies on gets a size all the same; names of no node say
// nothing.
//
// The need of a thin pool is what its volumes have written, with the blocks
// around; without it, all that the volumes need.
type Needs map[string]int64

// A Fitted config has places as well.
type Fitted struct {
	*Config
	Disks  []FittedDisk  // in the order of Config.Disks
	Groups []FittedGroup // in the order of Config.Groups
}

// A FittedDisk is a disk with its partitions.
type FittedDisk struct {
	Disk       *LocalLoop
	Size       int64             // bytes: a multiple of the block size
	Partitions []FittedPartition // in the table's order
	Extended   disk.Extent       // of MBR's logical partitions, or empty
}

// A FittedPartition is a partition with its place on the disk.
type FittedPartition struct {
	Partition *Partition
	Place     disk.Extent
	Record    int64 // where the extended boot record of a logical partition lies
}

// Place is where a disk, a partition, or the payload of a container on one of these lies
// on which disk. Volumes lie on groups: see [FittedLV].
func (f *Fitted) Place(device Node) (on *LocalLoop, place disk.Extent) {
	if beneath, skip := Beneath(device); skip > 0 {
		if on, place = f.Place(beneath); on != nil {
			place.Off, place.Len = place.Off+skip, place.Len-skip
		}
		return on, place
	}
	for _, d := range f.Disks {
		if d.Disk == device {
			return d.Disk, disk.Extent{Len: d.Size}
		}
		for _, p := range d.Partitions {
			if p.Partition == device {
				return d.Disk, p.Place
			}
		}
	}
	return nil, disk.Extent{}
}

// Size is how many bytes a disk, a partition, a volume or the payload of a container has.
func (f *Fitted) Size(device Node) int64 {
	if beneath, skip := Beneath(device); skip > 0 {
		return f.Size(beneath) - skip
	}
	if v, ok := device.(*LV); ok {
		for _, g := range f.Groups {
			for _, p := range g.LVs {
				if p.LV == v {
					return p.Size
				}
			}
		}
		return 0
	}
	_, place := f.Place(device)
	return place.Len
}

// Fit gives all devices their places. A disk of a given size is divided; one
// without becomes as small as it can be, in steps of 1 MiB or of a larger alignment,
// so that each of its devices has what its content needs.
//
// What does not fit comes as a [Problem].
func (c *Config) Fit(needs Needs) (*Fitted, error) {
	f := &fitter{c: c, needs: needs, least: map[Node]int64{}}
	fitted, problem := f.fit()
	if problem != nil {
		return nil, *problem
	}
	return fitted, nil
}

// A fitter is one run of Fit.
type fitter struct {
	c     *Config
	needs Needs
	least map[Node]int64 // bytes of each device, at the least
}

func (f *fitter) fit() (*Fitted, *Problem) {
	if q := f.demand(); q != nil {
		return nil, q
	}
	out := &Fitted{Config: f.c}
	for _, d := range f.c.Disks {
		fitted, q := f.disk(d)
		if q != nil {
			return nil, q
		}
		out.Disks = append(out.Disks, *fitted)
	}
	for _, g := range f.c.Groups {
		fitted, q := f.group(out, g)
		if q != nil {
			return nil, q
		}
		out.Groups = append(out.Groups, *fitted)
	}
	return out, nil
}

// need is what the content of a device takes.
func (f *fitter) need(device Node) int64 {
	n := f.needs[device.Head().Name]
	switch on := f.c.on(device).(type) {
	case *Mkfs:
		n = max(n, f.needs[on.Name])
	case *Verity:
		n = max(n, f.needs[on.Name])
	case *LUKS:
		n = max(n, luks.HeaderSize+max(mib, f.need(on)))
	}
	return n
}

// demand computes the least size of every device, from the contents down.
func (f *fitter) demand() *Problem {
	for _, n := range f.c.Nodes {
		need := int64(0)
		switch n := n.(type) {
		case *Partition:
			need = max(f.need(n), n.Least)
		case *LocalLoop:
			need = f.need(n)
		case *LV:
			need = max(f.need(n), n.Least)
		default:
			continue
		}
		if need < 0 || need > maxSize {
			q := fault(n.Head(), "", "its content needs %d bytes", need)
			return &q
		}
		f.least[n] = need
	}
	for _, g := range f.c.Groups {
		if q := f.groupDemand(g); q != nil {
			return q
		}
	}
	return nil
}

// smallest finds the smallest number of steps that a test is content with, or 0
// and why not even most is enough. Whoever is content with a number is content with
// all above it.
func smallest(most int64, test func(n int64) *Problem) (int64, *Problem) {
	lo, hi := int64(0), int64(1) // lo is not enough
	for {
		q := test(hi)
		if q == nil {
			break
		}
		if hi == most {
			return 0, q
		}
		lo, hi = hi, min(hi*2, most)
	}
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; test(mid) == nil {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi, nil
}

func (f *fitter) disk(d *LocalLoop) (*FittedDisk, *Problem) {
	if d.Size > 0 {
		return f.divide(d, d.said, d.Size)
	}
	step, most := int64(mib), int64(maxSize)
	if t := d.Table; t != nil && t.Label == MBR {
		step, most = roundUp(mib, t.Align), mbr.MaxSector*d.BlockSize
	}
	n, q := smallest(most/step, func(n int64) *Problem {
		_, q := f.divide(d, n*step, n*step)
		return q
	})
	if q != nil {
		return nil, q
	}
	return f.divide(d, n*step, n*step)
}

// divide divides a disk of a size; said is the same before it was rounded to
// sectors.
func (f *fitter) divide(d *LocalLoop, said, size int64) (*FittedDisk, *Problem) {
	out := &FittedDisk{Disk: d, Size: size}
	if need := max(f.least[d], 1); size < need {
		return nil, small(&d.Header, "size", size, need)
	}
	var q *Problem
	switch t := d.Table; {
	case t == nil:
	case t.Label == MBR:
		q = f.divideMBR(out)
	default:
		q = f.divideGPT(out, said)
	}
	if q != nil {
		return nil, q
	}
	return out, nil
}

func small(h *Header, key string, size, need int64) *Problem {
	q := fault(h, key, "it has %s and needs %s", human(size), human(need))
	return &q
}

func over(h *Header, size Size, bytes, free int64, where *Header) *Problem {
	var q Problem
	if bytes > 0 {
		q = fault(h, "size", "size %s is %s, and %s has %s left", size.Text, human(bytes), printable(where.Name), human(max(free, 0)))
	} else {
		q = fault(h, "size", "size %s is nothing: %s has %s left", size.Text, printable(where.Name), human(max(free, 0)))
	}
	return &q
}

// divideGPT places partitions as diskimage-builder has sgdisk do it: behind the
// first MiB one after the other, each a whole number of MiB. Two MiB of the disk are
// for the table, its backup, and rounding.
func (f *fitter) divideGPT(out *FittedDisk, said int64) *Problem {
	d := out.Disk
	free, next := said-2*mib, int64(mib)
	for _, p := range d.Table.Partitions {
		need := f.least[p]
		size := p.Size.of(free)
		if p.Size.Form == ToFit {
			size = roundUp(max(need, mib), mib)
		}
		whole := roundDown(size, mib)
		if size > free || whole <= 0 {
			return over(&p.Header, p.Size, whole, free, &d.Header)
		}
		if whole < need {
			return small(&p.Header, "size", whole, need)
		}
		out.Partitions = append(out.Partitions, FittedPartition{Partition: p, Place: disk.Extent{Off: next, Len: whole}})
		free -= size
		next += whole
	}
	return nil
}

// divideMBR places partitions as diskimage-builder's own writer does: each at a
// multiple of the alignment, logical ones with a record one alignment before.
func (f *fitter) divideMBR(out *FittedDisk) *Problem {
	d := out.Disk
	t, sector := d.Table, d.BlockSize
	align, sectors := t.Align/sector, out.Size/sector
	next := align
	for _, p := range t.Partitions {
		need := f.least[p]
		free := (sectors - next - align) * sector
		bytes := p.Size.of(free)
		if p.Size.Form == ToFit {
			bytes = roundUp(max(need, 1), t.Align)
		}
		place := FittedPartition{Partition: p}
		start := next
		if !p.Primary {
			if out.Extended.Len == 0 {
				out.Extended = disk.Extent{Off: next * sector, Len: (sectors - next) * sector}
			}
			place.Record = next * sector
			start = roundUp(next+1, align)
		}
		n := bytes / sector
		if n <= 0 || n > sectors-start {
			return over(&p.Header, p.Size, n*sector, (sectors-start)*sector, &d.Header)
		}
		if start > mbr.MaxSector || n > mbr.MaxSector || !p.Primary && sectors-out.Extended.Off/sector > mbr.MaxSector {
			q := fault(&p.Header, "size", "MBR cannot say places behind %s: divide the disk by GPT", human((mbr.MaxSector+1)*sector))
			return &q
		}
		if n*sector < need {
			return small(&p.Header, "size", n*sector, need)
		}
		place.Place = disk.Extent{Off: start * sector, Len: n * sector}
		out.Partitions = append(out.Partitions, place)
		next = roundUp(start+n, align)
	}
	return nil
}
