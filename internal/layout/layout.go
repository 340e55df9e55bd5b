// Package layout says how a disk is divided, in two steps: a layout is resolved,
// then fitted.
//
// [Resolve] gives identities and mounts, which depend on nothing that is built:
// partition GUIDs, file system UUIDs, fstab. The boot configuration and the
// initramfs need them, so they are there before the tree is complete. [Resolved.Fit]
// gives offsets and sizes once the size of every content is known. [Compose]
// checks that contents fit and gives an [Image], which lists its extents, so that
// a qcow2 can be planned, and writes itself to a disk.
//
// No loop device, mount or privilege is needed anywhere.
package layout

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/boot"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/gpt"
	"ingot/internal/tree"
)

// A Role is what a partition is for. A layout has each role at most once.
type Role string

// The roles.
const (
	BIOSBoot Role = "bios" // raw, holds GRUB's core image
	ESP      Role = "esp"  // the EFI system partition
	Root     Role = "root" // the tree
)

// A Partition is one of a resolved layout.
type Partition struct {
	Number  int
	Role    Role
	Type    gpt.GUID
	GUID    gpt.GUID
	Format  string   // file system: "ext4", "vfat", or "" for none
	FSID    gpt.GUID // of the file system; vfat has its first four bytes only
	Label   string   // of the file system
	Mount   string   // where the tree mounts it, or ""
	Options string   // of the mount
	Pass    int      // of fsck
	Least   int64    // bytes, whatever the content
}

// UUID is the file system's identity as mount and GRUB say it.
func (p Partition) UUID() string {
	if p.Format == "vfat" {
		return fmt.Sprintf("%X-%X", p.FSID[:2], p.FSID[2:4])
	}
	return p.FSID.String()
}

// VolumeID is a vfat's identity as a number.
func (p Partition) VolumeID() uint32 {
	return uint32(p.FSID[0])<<24 | uint32(p.FSID[1])<<16 | uint32(p.FSID[2])<<8 | uint32(p.FSID[3])
}

// A Resolved layout has identities and mounts, and no sizes.
type Resolved struct {
	Name       string
	GUID       gpt.GUID // of the partition table
	Partitions []Partition
	identity   digest.Digest
}

// Params are what a layout is resolved from.
type Params struct {
	Name     string   // "hybrid" or "", which is the same
	Arch     string   // Debian's name
	Firmware []string // "bios", "uefi"; none is all that the architecture has
	// Identity is what all GUIDs and UUIDs are derived from: a digest that
	// differs between images that may meet on one machine, such as the lock's.
	Identity digest.Digest
}

const mib = 1 << 20

// Partition types, from the UEFI specification, GRUB's manual, and the UAPI
// group's Discoverable Partitions Specification.
var (
	typeESP      = gpt.GUID{0xC1, 0x2A, 0x73, 0x28, 0xF8, 0x1F, 0x11, 0xD2, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B}
	typeBIOSBoot = gpt.GUID{0x21, 0x68, 0x61, 0x48, 0x64, 0x49, 0x6E, 0x6F, 0x74, 0x4E, 0x65, 0x65, 0x64, 0x45, 0x46, 0x49}
	typeRoot     = map[string]gpt.GUID{
		"amd64": {0x4F, 0x68, 0xBC, 0xE3, 0xE8, 0xCD, 0x4D, 0xB1, 0x96, 0xE7, 0xFB, 0xCA, 0xF9, 0x84, 0xB7, 0x09},
		"arm64": {0xB9, 0x21, 0xB0, 0x45, 0x1D, 0xF0, 0x41, 0xC3, 0xAF, 0x44, 0x4C, 0x6F, 0x28, 0x0D, 0x3F, 0xAE},
	}
)

// espLeast is large enough for FAT32 with its smallest clusters, which firmware
// expects on a disk, and for a few kernels. It costs nothing in a sparse file.
const espLeast = 64 * mib

// Resolve gives the layout's partitions with their identities and mounts.
//
// "hybrid" boots by BIOS and by UEFI: a BIOS boot partition of 1 MiB (where the
// architecture has BIOSes), an EFI system partition, and the root partition,
// last, so that it can grow.
func Resolve(p Params) (Resolved, error) {
	if p.Name != "" && p.Name != "hybrid" {
		return Resolved{}, fault.Newf(fault.Definition, "layout: no layout is called %q", p.Name).WithHint(`the layout there is: "hybrid"`)
	}
	rootType, ok := typeRoot[p.Arch]
	if !ok {
		return Resolved{}, fault.Newf(fault.Definition, "layout: architecture %q is not one that ingot can make bootable", p.Arch)
	}
	wants := func(firmware string) bool { return len(p.Firmware) == 0 || slices.Contains(p.Firmware, firmware) }
	r := Resolved{Name: "hybrid", identity: p.Identity}
	r.GUID = r.Derive("disk")
	add := func(part Partition) {
		part.Number = len(r.Partitions) + 1
		part.GUID = r.Derive("partition " + string(part.Role))
		if part.Format != "" {
			part.FSID = r.Derive("filesystem " + string(part.Role))
		}
		r.Partitions = append(r.Partitions, part)
	}
	bios := p.Arch == "amd64" && wants("bios")
	if bios {
		add(Partition{Role: BIOSBoot, Type: typeBIOSBoot, Least: mib})
	}
	if wants("uefi") {
		// The machine runs without its ESP: it is mounted while somebody looks,
		// so that a crash seldom finds it open, and a missing one stops nothing.
		add(Partition{Role: ESP, Type: typeESP, Format: "vfat", Label: "ESP", Mount: "/boot/efi", Options: "umask=0077,nofail,x-systemd.automount,x-systemd.idle-timeout=1min", Least: espLeast})
	} else if !bios {
		return Resolved{}, fault.Newf(fault.Definition, "layout: %s has no firmware of %q", p.Arch, p.Firmware)
	}
	add(Partition{Role: Root, Type: rootType, Format: "ext4", Label: "root", Mount: "/", Options: "errors=remount-ro,x-systemd.growfs", Pass: 1})
	return r, nil
}

// Derive gives an identity for something of this layout that the label names:
// the first half of a SHA-256, in the form of a version 8 UUID (RFC 9562).
func (r Resolved) Derive(label string) gpt.GUID {
	h := sha256.New()
	fmt.Fprintf(h, "ingot layout\x00%s\x00%s", r.identity, label)
	var g gpt.GUID
	copy(g[:], h.Sum(nil))
	g[6] = g[6]&0x0F | 0x80
	g[8] = g[8]&0x3F | 0x80
	return g
}

// Partition finds the partition of a role.
func (r Resolved) Partition(role Role) (Partition, bool) {
	for _, p := range r.Partitions {
		if p.Role == role {
			return p, true
		}
	}
	return Partition{}, false
}

// Root is the partition that holds the tree; every layout has one.
func (r Resolved) Root() Partition {
	p, _ := r.Partition(Root)
	return p
}

// Fstab is the text of /etc/fstab: parents before what is mounted below them.
func (r Resolved) Fstab() string {
	var b strings.Builder
	b.WriteString("# file system, mount point, type, options, dump, pass\n")
	mounts := slices.DeleteFunc(slices.Clone(r.Partitions), func(p Partition) bool { return p.Mount == "" })
	slices.SortStableFunc(mounts, func(a, b Partition) int { return strings.Compare(a.Mount, b.Mount) })
	for _, p := range mounts {
		fmt.Fprintf(&b, "UUID=%s %s %s %s 0 %d\n", p.UUID(), p.Mount, p.Format, p.Options, p.Pass)
	}
	return b.String()
}

// Files are what the tree needs to be mounted this way: fstab and mount points.
func (r Resolved) Files() []boot.File {
	out := []boot.File{{Path: "etc/fstab", Kind: tree.File, Mode: 0o644, Data: []byte(r.Fstab())}}
	for _, p := range r.Partitions {
		if path := strings.Trim(p.Mount, "/"); path != "" {
			out = append(out, boot.File{Path: path, Kind: tree.Dir, Mode: 0o755})
		}
	}
	return out
}
