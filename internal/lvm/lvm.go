// Package lvm lays out volume groups of LVM2 as data: which bytes a physical volume
// begins with, and where each piece of a logical volume lies. Nothing here opens a
// device or needs the kernel's device-mapper.
//
// A group is planned whole: [Group.Plan] takes physical volumes of fixed size and the
// logical volumes, and gives a [Planned]. Its [Planned.Heads] are what stands in front of
// each physical volume: the label, the metadata area, and in it the group as LVM's
// text. Its [Planned.Runs] say where a logical volume's bytes go. Linear, striped and
// thin volumes are known; of thin volumes only the chunks that will be written get
// a place, and the pool's own metadata is a tree of blocks as the kernel's dm-thin
// keeps them.
//
// Facts: LVM2's format_text and label sources describe the label and the metadata
// area; lvm.conf(5) and lvmthin(7) the defaults; the kernel's
// Documentation/admin-guide/device-mapper/thin-provisioning.rst and the layout of
// drivers/md/persistent-data the pool's metadata.
package lvm

import (
	"fmt"
	"regexp"
	"slices"

	"ingot/internal/disk"
)

// Sizes in bytes. LVM's own defaults.
const (
	sector     = 512
	ExtentSize = 4 << 20   // of a physical extent
	dataStart  = 1 << 20   // of the first extent on a physical volume
	chunkLeast = 64 << 10  // of a thin pool
	chunkMost  = 1 << 30   // of a thin pool
	metaMost   = 128 << 20 // of a pool's metadata, beyond which chunks grow
)

// An ID is the identity of a physical volume, a group or a logical volume.
type ID [16]byte

// alphabet is what LVM writes identities with.
const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// String is the identity as LVM shows it: 32 characters in seven groups.
func (id ID) String() string {
	raw := id.raw()
	out := make([]byte, 0, 38)
	at := 0
	for i, n := range []int{6, 4, 4, 4, 4, 4, 6} {
		if i > 0 {
			out = append(out, '-')
		}
		out = append(out, raw[at:at+n]...)
		at += n
	}
	return string(out)
}

// raw is the 32 characters. Four bits become one of sixteen of LVM's characters:
// LVM asks for no more than that they are of its alphabet.
func (id ID) raw() []byte {
	out := make([]byte, 0, 32)
	for i, b := range id {
		out = append(out, alphabet[(int(b>>4)+i*7)%len(alphabet)], alphabet[(int(b&15)*3+i*5)%len(alphabet)])
	}
	return out
}

// A PV is a physical volume: a partition, or a whole disk.
type PV struct {
	ID   ID
	Size int64 // bytes
}

// A Kind is how a logical volume lies on the physical ones.
type Kind string

// The kinds.
const (
	Linear   Kind = "linear"    // one piece behind the other; Stripes of them in turn
	ThinPool Kind = "thin-pool" // holds thin volumes
	Thin     Kind = "thin"      // takes room from its pool as it is written
)

// An LV is a logical volume.
type LV struct {
	Name    string
	ID      ID
	Kind    Kind
	Extents int64  // of ExtentSize: of a thin volume, how large it says it is
	Stripes int    // of a linear one: over how many physical volumes; 0 is 1
	Pool    string // of a thin one
	// Written are the bytes of a thin volume that will be written, in any order.
	Written []disk.Extent
	// Hidden identities of a pool: its data, its metadata, and the room that LVM keeps
	// for mending the metadata.
	DataID, MetaID, SpareID ID
}

// A Group is a volume group, before anything has a place.
type Group struct {
	Name  string
	ID    ID
	PVs   []PV
	LVs   []LV
	Epoch int64 // when it was made, seconds since 1970
}

// A Run is a part of a logical volume that lies in one piece.
type Run struct {
	disk.Extent       // of the logical volume, in bytes
	PV          int   // of the group's
	At          int64 // byte offset on the physical volume
}

// A Head is bytes that stand on a physical volume beside what logical volumes hold.
type Head struct {
	PV   int
	At   int64 // byte offset
	Data []byte
}

// Planned is a group in which everything has its place.
type Planned struct {
	Heads []Head
	runs  map[string][]Run
}

// Runs are where a logical volume lies, in order. Of a thin volume what is not
// among them is not there, and reads as zero.
func (p *Planned) Runs(lv string) []Run { return p.runs[lv] }

// names are what LVM takes (lvm(8), "VALID NAMES").
var names = regexp.MustCompile(`^[a-zA-Z0-9+_.][a-zA-Z0-9+_.-]{0,126}$`)

// reserved are parts of names that LVM gives to volumes of its own.
var reserved = regexp.MustCompile(`^(snapshot|pvmove)|_(cdata|cmeta|corig|mimage|mlog|rimage|rmeta|tdata|tmeta|vorigin|vdata|imeta|iorig)|^\.\.?$`)

// Capacity is how many extents a physical volume of so many bytes has.
func Capacity(size int64) int64 { return max(0, size-dataStart) / ExtentSize }

// Extents is how many extents so many bytes need.
func Extents(size int64) int64 { return (size + ExtentSize - 1) / ExtentSize }

// Room is how large a physical volume must be to have so many extents, in bytes.
func Room(extents int64) int64 { return dataStart + extents*ExtentSize }

// CheckName says why LVM would not take a name of a group or a volume, or "".
func CheckName(name string) string {
	switch {
	case !names.MatchString(name):
		return "wants letters, digits and +_.- , not - at first"
	case reserved.MatchString(name):
		return "is of LVM's own"
	}
	return ""
}

// Plan gives everything its place.
func (g Group) Plan() (*Planned, error) {
	p := &planner{group: g, out: &Planned{runs: map[string][]Run{}}, segments: map[string][]segment{}}
	if why := CheckName(g.Name); why != "" {
		return nil, fmt.Errorf("lvm: group name %q %s", g.Name, why)
	}
	if len(g.PVs) == 0 {
		return nil, fmt.Errorf("lvm: group %s has no physical volume", g.Name)
	}
	for i, pv := range g.PVs {
		n := Capacity(pv.Size)
		if n == 0 {
			return nil, fmt.Errorf("lvm: physical volume %d of group %s has %d bytes: too few for one extent", i, g.Name, pv.Size)
		}
		p.left = append(p.left, n)
		p.next = append(p.next, 0)
	}
	for i, lv := range g.LVs {
		if err := p.check(i, lv); err != nil {
			return nil, fmt.Errorf("lvm: volume %s/%s: %w", g.Name, lv.Name, err)
		}
		if lv.Kind == Thin {
			continue
		}
		if err := p.place(lv); err != nil {
			return nil, fmt.Errorf("lvm: volume %s/%s: %w", g.Name, lv.Name, err)
		}
	}
	for _, lv := range g.LVs {
		if lv.Kind == ThinPool {
			if err := p.fill(lv); err != nil {
				return nil, fmt.Errorf("lvm: pool %s/%s: %w", g.Name, lv.Name, err)
			}
		}
	}
	heads, err := p.heads()
	if err != nil {
		return nil, fmt.Errorf("lvm: group %s: %w", g.Name, err)
	}
	p.out.Heads = append(heads, p.out.Heads...)
	return p.out, nil
}

func (p *planner) check(i int, lv LV) error {
	if why := CheckName(lv.Name); why != "" {
		return fmt.Errorf("the name %s", why)
	}
	for _, other := range p.group.LVs[:i] {
		if other.Name == lv.Name {
			return fmt.Errorf("the name is there twice")
		}
	}
	if lv.Extents < 1 || lv.Extents > 1<<32 {
		return fmt.Errorf("%d extents", lv.Extents)
	}
	switch lv.Kind {
	case Linear:
		if lv.Stripes < 0 || lv.Stripes > len(p.group.PVs) {
			return fmt.Errorf("%d stripes on %d physical volumes", lv.Stripes, len(p.group.PVs))
		}
	case ThinPool:
	case Thin:
		if !slices.ContainsFunc(p.group.LVs, func(o LV) bool { return o.Name == lv.Pool && o.Kind == ThinPool }) {
			return fmt.Errorf("there is no pool %q", lv.Pool)
		}
	default:
		return fmt.Errorf("there is no kind %q", lv.Kind)
	}
	return nil
}
