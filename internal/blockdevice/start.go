package blockdevice

import "slices"

// leastGap is the room behind an MBR that a BIOS' boot loader needs, in bytes.
const leastGap = mib - 512

// BIOSBoot is the partition of a GPT that a BIOS' boot loader is put on, or nil.
func (c *Config) BIOSBoot() *Partition { return c.first("bios") }

// ESP is the file system that UEFI reads, or nil.
func (c *Config) ESP() *Mkfs {
	p := c.first("esp")
	if p == nil {
		return nil
	}
	if fs, ok := c.on(p).(*Mkfs); ok && fs.Type == "vfat" {
		return fs
	}
	return nil
}

// Gap is the room behind the MBR of the disk that is started from, in bytes.
func (c *Config) Gap() int64 {
	if t := c.Disks[0].Table; t != nil && t.Label == MBR {
		return t.Align - c.Disks[0].BlockSize
	}
	return 0
}

// first finds the first partition of a type, by a word of ours, on the disk that is
// started from.
func (c *Config) first(word string) *Partition {
	if t := c.Disks[0].Table; t != nil {
		for _, p := range t.Partitions {
			if p.Is(word) {
				return p
			}
		}
	}
	return nil
}

// Direct stands for what starts a machine without its disk: a hypervisor that is given
// the kernel. It is the one firmware of a disk without a partition table.
const Direct = "direct"

// withBIOS are the architectures whose machines have one, and what may be one of
// them.
var withBIOS = []string{"amd64", "i386", ""}

// Firmware is what can start from the disk: "bios", "uefi", or [Direct].
func (c *Config) Firmware() []string {
	if c.Disks[0].Table == nil {
		return []string{Direct}
	}
	var out []string
	// What BIOSes run knows sectors of 512 bytes alone.
	if slices.Contains(withBIOS, c.arch) && c.Disks[0].BlockSize == 512 && (c.BIOSBoot() != nil || c.Gap() >= leastGap) {
		out = append(out, "bios")
	}
	if c.ESP() != nil {
		out = append(out, "uefi")
	}
	return out
}

// LargeSectors are the bytes of a sector that keep a BIOS from the disk, which has a place
// for its boot loader; 0 where it is something else.
func (c *Config) LargeSectors() int64 {
	if d := c.Disks[0]; d.BlockSize != 512 && slices.Contains(withBIOS, c.arch) && c.BIOSBoot() != nil {
		return d.BlockSize
	}
	return 0
}

// Holding is the mounted file system that a path of the tree lies in.
func (c *Config) Holding(path string) *Mount {
	var best *Mount
	for _, m := range c.Mounts {
		if m.Point == "none" {
			continue
		}
		if m.Point == "/" || path == m.Point || len(path) > len(m.Point) && path[:len(m.Point)+1] == m.Point+"/" {
			if best == nil || len(m.Point) > len(best.Point) {
				best = m
			}
		}
	}
	return best
}

// Unreadable says why no boot loader could read /boot, or nil.
func (c *Config) Unreadable() *Problem {
	m := c.Holding("/boot")
	if m == nil {
		return nil
	}
	if in := c.Encrypted(m.FS.Device); in != nil {
		q := fault(&in.Header, "", "/boot lies in it, which GRUB cannot open: give /boot a partition of its own")
		return &q
	}
	on := c.Disks[0]
	switch d := m.FS.Device.(type) {
	case *Partition:
		on = d.Table.Disk
	case *LocalLoop:
		on = d
	}
	if on != c.Disks[0] {
		q := fault(&on.Header, "", "/boot lies on it, and GRUB looks on the first disk, %s", printable(c.Disks[0].Name))
		return &q
	}
	if v, ok := m.FS.Device.(*LV); ok && v.Type == Thin {
		q := fault(&v.Header, "", "/boot lies on a thin volume, which GRUB cannot read: give /boot a partition or a linear volume")
		return &q
	}
	return nil
}

// Unkept says why a running system would not look after boot entries on the EFI system
// partition, or nil: bootctl and kernel-install look for it at these places.
func (c *Config) Unkept() *Problem {
	fs := c.ESP()
	if fs == nil {
		return nil // which is said elsewhere
	}
	places := []string{"/efi", "/boot/efi", "/boot"}
	if m := fs.Mount; m == nil || m.Fstab == nil {
		q := fault(&fs.Header, "", "systemd-boot has its kernels there, and nothing mounts it, so that no update of a kernel would reach it: mount it at /boot/efi or /efi, with fstab")
		return &q
	} else if !slices.Contains(places, m.Point) {
		q := fault(&m.Header, "mount_point", "systemd-boot has its kernels there, and %s is not where updates of kernels look: mount it at /boot/efi or /efi", m.Point)
		return &q
	} else if m.Point == "/boot" {
		q := fault(&m.Header, "mount_point", "dpkg cannot keep kernels on a vfat, and /boot is where they lie: mount it at /boot/efi or /efi")
		return &q
	}
	for _, n := range c.Nodes {
		if p, ok := n.(*Partition); ok && p.Is("xbootldr") {
			q := fault(&p.Header, "type", "updates would put their kernels there, and it would be a vfat, on which dpkg cannot keep them, or one that systemd-boot cannot read: leave it out, kernels have room on the EFI system partition")
			return &q
		}
	}
	return nil
}

// Unheld says why a machine could not find a root with hashes by its root hash, or nil.
func (c *Config) Unheld() *Problem {
	v := c.Hashes(c.Root())
	if v == nil {
		return nil
	}
	data, _ := v.Data.Device.(*Partition)
	for _, p := range []*Partition{data, v.Device} {
		switch {
		case p == nil: // which is said elsewhere
		case p.Table.Label != GPT:
			q := fault(&v.Header, "", "the root is found by its root hash, which are identities of partitions, and those of an MBR have none")
			return &q
		case p.UUID != "":
			q := fault(&p.Header, "uuid", "the root is found by its root hash, of which half is this partition's identity: leave uuid out")
			return &q
		}
	}
	return nil
}

// NoExtlinux says why extlinux could not start from the disk, or nil: it lives in the
// file system of /boot, at the start of a partition.
func (c *Config) NoExtlinux() *Problem {
	m := c.Holding("/boot")
	if m == nil {
		return nil // which is said elsewhere
	}
	p, ok := m.FS.Device.(*Partition)
	if !ok || m.FS.Type != "ext4" || p.Table.Disk != c.Disks[0] {
		q := fault(&m.FS.Header, "type", "extlinux needs /boot on a partition with ext4, on the disk that is started from")
		return &q
	}
	return nil
}
