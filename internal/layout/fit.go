package layout

import (
	"fmt"
	"strings"

	"ingot/internal/disk"
	"ingot/internal/gpt"
)

// sectorSize is that of the disk's table. Disks of 4096 have other tables.
const sectorSize = 512

// A Fitted layout has places as well.
type Fitted struct {
	Resolved
	Size   int64         // of the disk, in bytes
	Places []disk.Extent // of each partition, in the partitions' order
}

// Fit places the partitions one behind the other, at multiples of 1 MiB, each as
// large as its content and the least that the layout says. The size of the
// root's content must be given.
func (r Resolved) Fit(sizes map[Role]int64) (Fitted, error) {
	f := Fitted{Resolved: r}
	at := int64(mib)
	for _, p := range r.Partitions {
		size := max(sizes[p.Role], p.Least)
		if size <= 0 || size > 1<<60 {
			return f, fmt.Errorf("layout: partition %q of %d bytes", p.Role, size)
		}
		size = (size + mib - 1) / mib * mib
		f.Places = append(f.Places, disk.Extent{Off: at, Len: size})
		at += size
	}
	f.Size = at + mib // the table's backup
	return f, nil
}

// Place is where the partition of a role lies; none is an empty extent.
func (f Fitted) Place(role Role) disk.Extent {
	for i, p := range f.Partitions {
		if p.Role == role {
			return f.Places[i]
		}
	}
	return disk.Extent{}
}

// table is the partition table.
func (f Fitted) table() gpt.Table {
	t := gpt.Table{GUID: f.GUID, SectorSize: sectorSize, Sectors: f.Size / sectorSize}
	for i, p := range f.Partitions {
		t.Partitions = append(t.Partitions, gpt.Partition{
			Number: p.Number, Type: p.Type, GUID: p.GUID, Name: string(p.Role),
			Start: f.Places[i].Off / sectorSize, Sectors: f.Places[i].Len / sectorSize,
		})
	}
	return t
}

// Show draws the layout for people.
func (f Fitted) Show() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  GPT disk  %s  %s\n", f.Name, size(f.Size), f.GUID)
	for i, p := range f.Partitions {
		branch, grows := "├─", ""
		if i == len(f.Partitions)-1 {
			branch, grows = "└─", "grows"
		}
		what := strings.TrimSpace(strings.Join([]string{p.Format, p.Mount}, " "))
		if p.Format == "" {
			what = "boot loader"
		}
		id := ""
		if p.Format != "" {
			id = p.UUID()
		}
		line := fmt.Sprintf("%s %d %-5s %10s at %10s  %-16s %-36s %s", branch, p.Number, p.Role, size(f.Places[i].Len), size(f.Places[i].Off), what, id, grows)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	default:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
}
