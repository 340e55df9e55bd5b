package layout

import (
	"fmt"
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/boot"
)

// holding is the mounted file system that a path of the tree lies in, and the path
// within it: "" is its top.
func (r Resolved) holding(path string) (*blockdevice.Mount, string) {
	m := r.Holding(path)
	return m, strings.TrimPrefix(path, strings.TrimSuffix(m.Point, "/"))
}

// Places says how kernel and boot loader find what they need.
func (r Resolved) Places() (boot.Places, error) {
	root := r.Root()
	p := boot.Places{Root: "UUID=" + r.UUID(root), RootType: root.Type}
	if s := r.Holding("/").Sub; s != nil {
		p.RootFlags = "subvol=" + s.Path
	}
	if path := mapperPath(root.Device); path != "" {
		p.Root = path // Debian's initramfs activates a volume by its name alone
	}
	m, dir := r.holding("/boot")
	if m.Sub != nil { // GRUB sees all of them as directories
		dir = "/" + m.Sub.Path + dir
	}
	p.BootDir, p.BootType, p.BootUUID = dir, m.FS.Type, r.UUID(m.FS)
	if q := r.Unreadable(); q != nil {
		p.Unreadable = q.Message
	}
	switch d := m.FS.Device.(type) {
	case *blockdevice.Partition:
		p.BootDevice = fmt.Sprintf("gpt%d", d.Number)
		if d.Table.Label == blockdevice.MBR {
			p.BootDevice = fmt.Sprintf("msdos%d", d.Number)
		}
	case *blockdevice.LV:
		p.BootVolume = r.lvmID(d.VG, "").String() + "/" + r.lvmID(d, "").String()
	}
	return p, nil
}

// Grows says whether the root's partition is one that systemd-repart finds and can
// make larger: the last of a GPT, of the type for roots.
func (r Resolved) Grows() bool {
	device, _ := blockdevice.Beneath(r.Root().Device)
	p, ok := device.(*blockdevice.Partition)
	if !ok || r.Hashes(r.Root()) != nil || p.Table.Label != blockdevice.GPT || p.Type.Text != "root" {
		return false
	}
	last := p.Table.Partitions[len(p.Table.Partitions)-1]
	return last == p
}

// mapperPath is where device-mapper shows a volume, or what is in a container; "" for
// what is not its.
func mapperPath(n blockdevice.Node) string {
	switch d := n.(type) {
	case *blockdevice.LV:
		return "/dev/mapper/" + mapped(d.VG.Name) + "-" + mapped(d.Name)
	case *blockdevice.LUKS:
		return "/dev/mapper/" + d.Name
	}
	return ""
}

// mapped is a name as device-mapper writes it, where a single - divides names.
func mapped(name string) string { return strings.ReplaceAll(name, "-", "--") }
