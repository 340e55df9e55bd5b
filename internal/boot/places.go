package boot

import "fmt"

// Places say where kernel and boot loader find what they need. Exactly one of
// BootDevice and BootVolume is set on a disk that GRUB can start from.
type Places struct {
	Root string // the kernel's root=: "UUID=…", or the path of a logical volume
	// RootFlags are options that the kernel mounts the root with, beside fstab's:
	// "subvol=@".
	RootFlags string `json:",omitempty"`
	// RootHash is what a script in the initramfs holds the root to; "" is nothing.
	RootHash string `json:",omitempty"`
	RootType string // of the root's file system: "ext4"
	// BootDir is where /boot lies in the file system that has it: "/boot", or "" where
	// it has one of its own.
	BootDir  string
	BootType string // of that file system, as fstab says it; "" is ext4
	BootUUID string
	// BootDevice is its partition on the disk that the machine was started from:
	// "gpt3", "msdos1".
	BootDevice string
	// BootVolume is the logical volume that it lies on: the group's identity, a
	// slash, the volume's.
	BootVolume string
	Unreadable string `json:",omitempty"` // why GRUB cannot read /boot; nothing else needs to
}

// Arguments are the kernel's that say where the root is and how it is mounted.
func (p Places) Arguments() []string {
	root := p.Root
	if p.RootHash != "" {
		root = "/dev/mapper/root"
	}
	out := []string{"root=" + root, "ro"}
	if p.RootHash != "" {
		out = append(out, "ingot.roothash="+p.RootHash)
	}
	if p.RootFlags != "" {
		out = append(out, "rootflags="+p.RootFlags)
	}
	return out
}

// prefix is where GRUB finds its configuration: on the disk that it was started from,
// so that a copy of the disk in the same machine is never taken for the original.
func (p Places) prefix() (string, error) {
	switch {
	case p.Unreadable != "":
		return "", fmt.Errorf("layout: %s", p.Unreadable)
	case p.BootDevice != "":
		return fmt.Sprintf("(,%s)%s/grub", p.BootDevice, p.BootDir), nil
	case p.BootVolume != "":
		return fmt.Sprintf("(lvmid/%s)%s/grub", p.BootVolume, p.BootDir), nil
	}
	return "", fmt.Errorf("boot: nothing says where /boot lies")
}

// modules are what GRUB needs beside the usual to read /boot.
func (p Places) modules() []string {
	var out []string
	if p.BootVolume != "" {
		out = append(out, "lvm")
	}
	if p.BootType == "xfs" || p.BootType == "btrfs" {
		out = append(out, p.BootType)
	}
	return out
}
