package layout

import (
	"fmt"
	"strings"
)

// Text is the drawing for a terminal.
func (d Drawing) Text() string {
	var b strings.Builder
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
		line("%s  %s  %s%s  %s", name, kind, disk.amount(), disk.left(), strings.TrimSpace(disk.ID+" "+disk.holding()))
		for i, p := range disk.Blocks {
			at := ""
			if p.Offset != nil {
				at = fmt.Sprintf("at %10s", Bytes(*p.Offset))
			}
			line("%s %d %-8s %14s %-13s  %s", branch(i, len(disk.Blocks)), p.Number, p.Name, p.amount(), at, p.holding())
		}
	}
	for _, g := range d.Groups {
		line("%s  volume group  %s%s", g.Name, g.amount(), g.left())
		for i, v := range g.Blocks {
			line("%s %-10s %14s  %-9s  %s", branch(i, len(g.Blocks)), v.Name, v.amount(), v.Type, v.holding())
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

// holding says what is in a block, in one line.
func (b Block) holding() string {
	what := strings.TrimSpace(b.Holds + " " + b.Mount)
	if b.UUID != "" {
		what = fmt.Sprintf("%-16s %-36s", what, b.UUID)
	}
	if b.Grows {
		what += " grows"
	}
	if b.Enrolled {
		what = strings.TrimRight(what, " ") + ", " + firstStartNote
	}
	return strings.TrimRight(what, " ")
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
