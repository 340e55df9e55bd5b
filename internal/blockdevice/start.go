package blockdevice

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

// Firmware is what can start from the disk: "bios", "uefi", or [Direct].
func (c *Config) Firmware() []string {
	if c.Disks[0].Table == nil {
		return []string{Direct}
	}
	var out []string
	// What BIOSes run knows sectors of 512 bytes alone.
	if c.Disks[0].BlockSize == 512 && (c.BIOSBoot() != nil || c.Gap() >= leastGap) {
		out = append(out, "bios")
	}
	if c.ESP() != nil {
		out = append(out, "uefi")
	}
	return out
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
