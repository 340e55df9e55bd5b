// Package lvm writes volume groups of LVM2 as data: which bytes a physical volume
// begins with, and where each piece of a logical volume lies. Nothing here opens a
// device or needs the kernel's device-mapper.
//
// Who lies where has been decided: a [Group] names the extents of every volume.
// [Group.Plan] gives a [Planned]. Its [Planned.Heads] are what stands in front of each
// physical volume: the label, the metadata area, and in it the group as LVM's text. Its
// [Planned.Runs] say where a logical volume's bytes go. Linear, striped and thin
// volumes are known; of thin volumes only the chunks that will be written get a place,
// and the pool's own metadata is a tree of blocks as the kernel's dm-thin keeps them.
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

// Sizes in bytes.
const (
	sector    = 512
	DataStart = 1 << 20 // of the first extent on a physical volume
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
	ID      ID
	Size    int64 // bytes
	Extents int64
}

// A Kind is what a logical volume is.
type Kind string

// The kinds.
const (
	Plain    Kind = "plain"     // linear or striped, as its segments say
	ThinPool Kind = "thin-pool" // holds thin volumes
	Thin     Kind = "thin"      // takes room from its pool as it is written
)

// A Segment is a part of a logical volume that lies in one piece, or on several
// physical volumes in turn.
type Segment struct {
	Extents    int64 // of the volume
	StripeSize int64 // bytes, where there are several pieces
	Pieces     []Piece
}

// A Piece is where a segment, or a stripe of it, begins.
type Piece struct {
	PV     int // of the group's
	Extent int64
}

// An LV is a logical volume.
type LV struct {
	Name     string
	ID       ID
	Kind     Kind
	Extents  int64     // of a thin volume: how large it says it is
	Segments []Segment // of a pool: its data's; none of a thin volume

	Pool    string        // of a thin volume
	Written []disk.Extent // of a thin volume: the bytes that will be written, in any order

	Meta           []Segment // of a pool: its metadata's
	Chunk          int64     // of a pool: bytes
	DataID, MetaID ID        // of a pool: of its hidden volumes
}

// A Group is a volume group.
type Group struct {
	Name       string
	ID         ID
	ExtentSize int64 // bytes
	PVs        []PV
	LVs        []LV
	// Spare is room that LVM keeps to mend a pool's metadata.
	Spare   []Segment
	SpareID ID
	Epoch   int64 // when it was made, seconds since 1970
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
	maps  map[string]Map
}

// Map says where a logical volume lies. What it leaves out of a thin volume is not
// there, and reads as zero.
func (p *Planned) Map(lv string) Map { return p.maps[lv] }

// names are what LVM takes (lvm(8), "VALID NAMES").
var names = regexp.MustCompile(`^[a-zA-Z0-9+_.][a-zA-Z0-9+_.-]{0,126}$`)

// reserved are parts of names that LVM gives to volumes of its own.
var reserved = regexp.MustCompile(`^(snapshot|pvmove)|_(cdata|cmeta|corig|mimage|mlog|pmspare|rimage|rmeta|tdata|tmeta|vorigin|vdata|imeta|iorig)|^\.\.?$`)

// mostName bounds a name so that device-mapper's, made of a group's and a volume's with
// each - doubled and what LVM appends, stays below the kernel's 127 characters.
const mostName = 50

// CheckName says why LVM would not take a name of a group or a volume, or "".
func CheckName(name string) string {
	switch {
	case !names.MatchString(name):
		return "wants letters, digits and +_.- , not - at first"
	case reserved.MatchString(name):
		return "is of LVM's own"
	case len(name) > mostName:
		return fmt.Sprintf("is longer than %d characters", mostName)
	}
	return ""
}

// A planner collects what a group becomes.
type planner struct {
	group Group
	out   *Planned
}

// Plan gives everything its bytes and places.
func (g Group) Plan() (*Planned, error) {
	p := &planner{group: g, out: &Planned{maps: map[string]Map{}}}
	if why := CheckName(g.Name); why != "" {
		return nil, fmt.Errorf("lvm: group name %q %s", g.Name, why)
	}
	if g.ExtentSize < 4096 || g.ExtentSize&(g.ExtentSize-1) != 0 {
		return nil, fmt.Errorf("lvm: group %s has extents of %d bytes", g.Name, g.ExtentSize)
	}
	for i, pv := range g.PVs {
		if pv.Extents < 1 || DataStart+pv.Extents*g.ExtentSize > pv.Size {
			return nil, fmt.Errorf("lvm: physical volume %d of group %s has %d bytes and %d extents", i, g.Name, pv.Size, pv.Extents)
		}
	}
	taken := newTaken(g)
	if err := taken.take(spare, g.Spare); err != nil {
		return nil, fmt.Errorf("lvm: volume %s/%s: %w", g.Name, spare, err)
	}
	for i, lv := range g.LVs {
		err := p.check(i, lv)
		if err == nil {
			err = taken.take(lv.Name, lv.Segments)
		}
		if err == nil {
			err = taken.take(lv.Name, lv.Meta)
		}
		if err != nil {
			return nil, fmt.Errorf("lvm: volume %s/%s: %w", g.Name, lv.Name, err)
		}
		if lv.Kind == Plain {
			p.out.maps[lv.Name] = g.places(lv.Segments)
		}
	}
	heads, err := p.heads()
	if err != nil {
		return nil, fmt.Errorf("lvm: group %s: %w", g.Name, err)
	}
	p.out.Heads = heads
	for _, lv := range g.LVs {
		if lv.Kind == ThinPool {
			if err := p.fill(lv); err != nil {
				return nil, fmt.Errorf("lvm: pool %s/%s: %w", g.Name, lv.Name, err)
			}
		}
	}
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
	case Plain:
	case ThinPool:
		if lv.Chunk < 64<<10 || lv.Chunk > 1<<30 || lv.Chunk%(64<<10) != 0 {
			return fmt.Errorf("chunks of %d bytes", lv.Chunk)
		}
	case Thin:
		if !slices.ContainsFunc(p.group.LVs, func(o LV) bool { return o.Name == lv.Pool && o.Kind == ThinPool }) {
			return fmt.Errorf("there is no pool %q", lv.Pool)
		}
		return nil
	default:
		return fmt.Errorf("there is no kind %q", lv.Kind)
	}
	if n := count(lv.Segments); n != lv.Extents {
		return fmt.Errorf("%d extents lie in %d", lv.Extents, n)
	}
	return nil
}

func count(segments []Segment) int64 {
	var n int64
	for _, s := range segments {
		n += s.Extents
	}
	return n
}
