package layout

import (
	_ "embed"

	"ingot/internal/blockdevice"
	"ingot/internal/boot"
)

// A volume group of whose metadata a power cut left the header without the text is none to LVM,
// and a machine that has its root there would not start. A script of ours in the initramfs leads
// LVM to the text before.

//go:embed grouproot/local-top
var groupTop string

// grouped are the files that find the root's volume group again. An initramfs is made by them.
func (r Resolved) grouped() []boot.File {
	device, _ := blockdevice.Beneath(r.Root().Device)
	if _, ok := device.(*blockdevice.LV); !ok {
		return nil
	}
	return programs([]program{{"etc/initramfs-tools/scripts/local-top/ingot-group", groupTop}})
}
