package layout

import (
	"fmt"
	"slices"
	"strings"

	"ingot/internal/blockdevice"
)

// A Drawing is a layout as data, for people to see and programs to read: where
// everything lies, and what is mounted where.
type Drawing struct {
	Form   string  `json:"form,omitempty"` // the short form that was written
	Disks  []Block `json:"disks"`
	Groups []Block `json:"groups,omitempty"` // of volumes
	Mounts []Point `json:"mounts"`           // in the order of mounting
}

// A Block is a disk, a partition, a volume group or a volume. What is not known
// before the content is there, is nil.
type Block struct {
	Kind   string `json:"kind"` // "disk", "partition", "group", "volume"
	Name   string `json:"name"`
	Number int    `json:"number,omitempty"` // of a partition
	Type   string `json:"type,omitempty"`   // of a table, partition or volume
	Said   string `json:"said,omitempty"`   // the size as it was written
	Offset *int64 `json:"offset,omitempty"` // bytes from the disk's start
	Size   *int64 `json:"size,omitempty"`   // bytes
	Free   *int64 `json:"free,omitempty"`   // bytes of a group that no volume has, or of a disk behind its last partition
	ID     string `json:"id,omitempty"`     // of a disk's table
	Holds  string `json:"holds,omitempty"`  // a type of file system, "volume group NAME", "boot loader"
	Label  string `json:"label,omitempty"`  // of the file system
	UUID   string `json:"uuid,omitempty"`   // of the file system
	Mount  string `json:"mount,omitempty"`
	Grows  bool   `json:"grows,omitempty"` // at the first start, to the end of the disk
	// Enrolled says that what is in it gets its key at the first start: until then
	// everybody knows it.
	Enrolled bool    `json:"enrolled,omitempty"`
	Blocks   []Block `json:"blocks,omitempty"`
}

// A Point is a place at which something is mounted.
type Point struct {
	Path    string `json:"path"`
	Device  string `json:"device"` // the partition's or volume's name
	Type    string `json:"type"`
	Options string `json:"options,omitempty"` // of fstab; none where it has no line
}

// Draw draws the image.
func (im *Image) Draw() Drawing { return im.draw(im.Fitted, true) }

// Draw draws what is known before the content is there. Identities are those of
// the lock; without one they are left out.
func (r Resolved) Draw() Drawing {
	var fitted *blockdevice.Fitted
	if r.certain() {
		// It was found to fit when it was read.
		fitted, _ = r.Fit(nil)
	}
	return r.draw(fitted, !r.identity.IsZero())
}

// certain says whether all places follow from the description alone.
func (r Resolved) certain() bool {
	for _, n := range r.Nodes {
		switch n := n.(type) {
		case *blockdevice.LocalLoop:
			if n.Size == 0 {
				return false
			}
		case *blockdevice.Partition:
			if n.Size.Form == blockdevice.ToFit {
				return false
			}
		case *blockdevice.LV:
			if n.Size.Form == blockdevice.ToFit {
				return false
			}
		}
	}
	return true
}

// draw draws with the places of a fitted description, if there is one.
func (r Resolved) draw(fitted *blockdevice.Fitted, identified bool) Drawing {
	out := Drawing{Form: r.Form}
	under, _ := blockdevice.Beneath(r.Root().Device)
	size := func(n blockdevice.Node) *int64 {
		if fitted == nil {
			return nil
		}
		return new(fitted.Size(n))
	}
	for _, d := range r.Disks {
		b := Block{Kind: "disk", Name: d.Name, Size: size(d)}
		if b.Size == nil && d.Size > 0 {
			b.Size = &d.Size
		}
		r.fill(&b, d, identified)
		if t := d.Table; t != nil {
			b.Type = string(t.Label)
			if identified {
				b.ID = r.tableID(t).String()
				if t.Label == blockdevice.MBR {
					b.ID = fmt.Sprintf("%08x", r.signature(t))
				}
			}
			for _, p := range t.Partitions {
				part := Block{Kind: "partition", Name: p.Name, Number: p.Number, Type: p.Type.Text, Said: p.Size.Text, Size: size(p)}
				if fitted != nil {
					_, place := fitted.Place(p)
					part.Offset = &place.Off
				} else if p.Size.Form == blockdevice.Absolute {
					part.Size = &p.Size.Bytes
				}
				r.fill(&part, p, identified)
				part.Grows = r.Grows() && under == blockdevice.Node(p)
				b.Blocks = append(b.Blocks, part)
				if part.Offset != nil && *b.Size-*part.Offset-*part.Size > 2<<20 { // less is the table's
					b.Free = new(*b.Size - *part.Offset - *part.Size)
				} else {
					b.Free = nil
				}
			}
		}
		out.Disks = append(out.Disks, b)
	}
	for _, g := range r.Groups {
		b := Block{Kind: "group", Name: g.Name}
		if fitted != nil {
			i := slices.IndexFunc(fitted.Groups, func(f blockdevice.FittedGroup) bool { return f.VG == g })
			f := fitted.Groups[i]
			b.Size, b.Free = new(f.Extents*g.ExtentSize), new(f.Free*g.ExtentSize)
		}
		for _, v := range g.LVs {
			said := v.Size.Text
			if said == "" {
				said = v.Extents.Text
			}
			volume := Block{Kind: "volume", Name: v.Name, Type: string(v.Type), Said: said, Size: size(v)}
			r.fill(&volume, v, identified)
			b.Blocks = append(b.Blocks, volume)
		}
		out.Groups = append(out.Groups, b)
	}
	for _, m := range r.Mounts {
		p := Point{Path: m.Point, Device: m.FS.Device.Head().Name, Type: m.FS.Type}
		if m.Fstab != nil {
			p.Options = m.Fstab.Options
		}
		out.Mounts = append(out.Mounts, p)
	}
	return out
}

// fill says what is in a device.
func (r Resolved) fill(b *Block, n blockdevice.Node, identified bool) {
	for _, fs := range r.Filesystems {
		if fs.Device != n {
			continue
		}
		b.Holds, b.Label = fs.Type, fs.Label
		if identified {
			b.UUID = r.UUID(fs)
		}
		var points []string
		for _, m := range r.Mounts {
			if m.FS == fs && m.Point != "none" {
				points = append(points, m.Point)
			}
		}
		b.Mount = strings.Join(points, " ")
	}
	for _, v := range r.Verities {
		if blockdevice.Node(v.Device) == n {
			b.Holds = "hashes of " + v.Data.Device.Head().Name
		}
	}
	for _, c := range r.Containers {
		if c.Device == n {
			r.fill(b, c, identified)
			b.Holds = strings.TrimSuffix("luks "+c.Name+", "+b.Holds, ", ")
			b.Enrolled = c.Enrolled()
		}
	}
	for _, g := range r.Groups {
		for _, pv := range g.PVs {
			if pv.Device == n {
				b.Holds = "volume group " + g.Name
			}
		}
	}
	if p := r.BIOSBoot(); p != nil && n == blockdevice.Node(p) {
		b.Holds = "boot loader"
	}
}

// Bytes is a number of bytes as people read it, in the unit that fits.
func Bytes(n int64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// amount is a block's size, or how it was said.
func (b Block) amount() string {
	switch {
	case b.Size != nil:
		return Bytes(*b.Size)
	case b.Said == "fit" || b.Said == "":
		return "as its content"
	}
	return b.Said
}

// below says whether a mount point lies in another's directory.
func below(point, other string) bool {
	return point != other && (other == "/" && strings.HasPrefix(point, "/") || strings.HasPrefix(point, other+"/"))
}
