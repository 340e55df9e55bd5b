package layout

import (
	_ "embed"

	"ingot/internal/blockdevice"
	"ingot/internal/boot"
)

// systemd-repart makes the root's partition larger when the system runs, and systemd-growfs
// the file system. A container between them stays as small as it was opened, since only who has
// its passphrase can make it larger: so its partition grows before, in the initramfs.

var (
	//go:embed growroot/hook
	growRootHook string
	//go:embed growroot/local-top
	growRootTop string
)

// growing is the container of a root whose partition grows, or nil.
func (r Resolved) growing() *blockdevice.LUKS {
	c, ok := r.Root().Device.(*blockdevice.LUKS)
	if !ok || !r.Grows() {
		return nil
	}
	return c
}

// grown are the files that make the partition of an encrypted root larger. An initramfs is made
// by them.
func (r Resolved) grown() []boot.File {
	c := r.growing()
	if c == nil {
		return nil
	}
	return programs([]program{
		{"etc/ingot/grow-root", c.Label + "\n"},
		{"etc/initramfs-tools/hooks/ingot-grow", growRootHook},
		{localTop + "ingot-grow", growRootTop},
	})
}
