package layout

import (
	"fmt"
	"strings"

	"ingot/internal/blockdevice"
)

// Show draws the layout for people.
func (im *Image) Show() string {
	var b strings.Builder
	for _, d := range im.Fitted.Disks {
		kind, id := "disk", ""
		if t := d.Disk.Table; t != nil {
			kind = strings.ToUpper(string(t.Label)) + " disk"
			id = im.tableID(t).String()
			if t.Label == blockdevice.MBR {
				id = fmt.Sprintf("%08x", im.signature(t))
			}
		}
		name := im.Form
		if name == "" {
			name = d.Disk.Name
		}
		fmt.Fprintf(&b, "%s  %s  %s  %s\n", name, kind, size(d.Size), id)
		for i, p := range d.Partitions {
			branch := "├─"
			if i == len(d.Partitions)-1 {
				branch = "└─"
			}
			line := fmt.Sprintf("%s %d %-8s %10s at %10s  %s", branch, p.Partition.Number, p.Partition.Name, size(p.Place.Len), size(p.Place.Off), im.holds(p.Partition))
			if device, _ := blockdevice.Beneath(im.Root().Device); device == blockdevice.Node(p.Partition) && im.Grows() {
				line += " grows"
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	for _, g := range im.Fitted.Groups {
		fmt.Fprintf(&b, "%s  volume group  %s, %s free\n", g.VG.Name, size(g.Extents*g.VG.ExtentSize), size(g.Free*g.VG.ExtentSize))
		for i, v := range g.LVs {
			branch := "├─"
			if i == len(g.LVs)-1 {
				branch = "└─"
			}
			line := fmt.Sprintf("%s %-10s %10s  %-9s  %s", branch, v.LV.Name, size(v.Size), v.LV.Type, im.holds(v.LV))
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	return b.String()
}

// holds says what is in a device.
func (im *Image) holds(n blockdevice.Node) string {
	for _, fs := range im.Filesystems {
		if fs.Device != n {
			continue
		}
		what := fs.Type
		for _, m := range im.Mounts {
			if m.FS == fs && m.Point != "none" {
				what += " " + m.Point
			}
		}
		return fmt.Sprintf("%-16s %-36s", what, im.UUID(fs))
	}
	for _, v := range im.Verities {
		if blockdevice.Node(v.Device) == n {
			return "hashes of " + v.Data.Name
		}
	}
	for _, c := range im.Containers {
		if c.Device == n {
			return "luks " + c.Name + ": " + im.holds(c)
		}
	}
	for _, g := range im.Groups {
		for _, pv := range g.PVs {
			if pv.Device == n {
				return "volume group " + g.Name
			}
		}
	}
	if n == blockdevice.Node(im.BIOSBoot()) {
		return "boot loader"
	}
	return ""
}

func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	default:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
}
