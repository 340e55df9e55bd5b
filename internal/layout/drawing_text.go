package layout

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Text is the drawing for a terminal.
func (d Drawing) Text() string {
	var b strings.Builder
	names, what := d.widths()
	line := func(format string, args ...any) {
		b.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
	}
	for _, disk := range d.Disks {
		kind, name := "disk", disk.Name
		if disk.Type != "" {
			kind = strings.ToUpper(disk.Type) + " disk"
		}
		if d.Form != "" {
			name = d.Form
		}
		line("%s  %s  %s%s  %s", name, kind, disk.amount(), disk.left(), strings.TrimSpace(disk.ID+" "+d.holding(disk, 16)))
		for i, p := range disk.Blocks {
			at := ""
			if p.Offset != nil {
				at = fmt.Sprintf("at %10s", Bytes(*p.Offset))
			}
			line("%s %d %-*s %14s %-13s  %s", branch(i, len(disk.Blocks)), p.Number, names, p.Name, p.amount(), at, d.holding(p, what))
		}
	}
	for _, g := range d.Groups {
		line("%s  volume group  %s%s", g.Name, g.amount(), g.left())
		for i, v := range g.Blocks {
			line("%s %-*s %14s  %-9s  %s", branch(i, len(g.Blocks)), names+2, v.Name, v.amount(), v.Type, d.holding(v, what))
		}
	}
	line("")
	d.mounts(line)
	return b.String()
}

// left says what of a disk or group nothing has.
func (b Block) left() string {
	if b.Free == nil {
		return ""
	}
	return ", " + Bytes(*b.Free) + " free"
}

func branch(i, n int) string {
	if i == n-1 {
		return "└─"
	}
	return "├─"
}

// widths are how many characters the names of partitions and volumes have, and what is in
// those behind which an identity stands.
func (d Drawing) widths() (names, what int) {
	names, what = 8, 16
	for _, blocks := range [][]Block{d.Disks, d.Groups} {
		for _, of := range blocks {
			for _, b := range of.Blocks {
				names = max(names, utf8.RuneCountInString(b.Name))
				if b.UUID != "" {
					what = max(what, utf8.RuneCountInString(b.content()))
				}
			}
		}
	}
	return names, what
}

// content says what is in a block and where it is mounted.
func (b Block) content() string { return strings.TrimSpace(b.Holds + " " + b.Mount) }

// holding says in one line what is in a block, with all that is to be known of it.
func (d Drawing) holding(b Block, width int) string {
	what := b.content()
	if b.UUID != "" {
		what = fmt.Sprintf("%-*s %s", width, what, b.UUID)
	}
	if b.Grows {
		what += ", " + d.growth()
	}
	if b.Enrolled {
		what += ", " + firstStartNote
	}
	return what
}

// growth says what of the root grows at the first start: systemd-repart makes its partition
// larger, and fstab asks for the file system.
func (d Drawing) growth() string {
	for _, m := range d.Mounts {
		if m.Path == "/" && slices.Contains(strings.Split(m.Options, ","), "x-systemd.growfs") {
			return "grows"
		}
	}
	return "the partition alone grows"
}

// firstStartNote says of a block that its content is no secret in the image.
const firstStartNote = "encrypted at the first start"

// mounts draws the tree of mounts: each below the one whose directory it is in.
func (d Drawing) mounts(line func(format string, args ...any)) {
	var draw func(above, prefix string)
	draw = func(above, prefix string) {
		var here []Point
		for _, p := range d.Mounts {
			if below(p.Path, above) && !d.between(p.Path, above) {
				here = append(here, p)
			}
		}
		for i, p := range here {
			line("%s%s %-*s %-5s %s", prefix, branch(i, len(here)), 22-len([]rune(prefix)), p.Path, p.Type, p.Device)
			more := "│  "
			if i == len(here)-1 {
				more = "   "
			}
			draw(p.Path, prefix+more)
		}
	}
	for _, p := range d.Mounts {
		if p.Path == "/" || p.Path == "none" {
			path := p.Path
			if path == "none" {
				path = "(swap)"
			}
			line("%-25s %-5s %s", path, p.Type, p.Device)
		}
		if p.Path == "/" {
			draw("/", "")
		}
	}
}

// between says whether another mount lies between a point and one above it.
func (d Drawing) between(point, above string) bool {
	for _, p := range d.Mounts {
		if below(p.Path, above) && below(point, p.Path) {
			return true
		}
	}
	return false
}
