// Package layout makes disks of a description ([blockdevice.Config]) and a tree, in
// two steps: a layout is resolved, then fitted.
//
// [Resolve] gives identities and mounts, which depend on nothing that is built:
// GUIDs, UUIDs, fstab, how a boot loader finds the root. The boot configuration and
// the initramfs need them, so they are there before the tree is complete.
// [Resolved.Compose] is the second step: it divides the tree among the file systems,
// plans each, fits the disk around them, and gives an [Image], which lists its extents,
// so that a qcow2 can be planned, and writes itself to a disk.
//
// No loop device, mount or privilege is needed anywhere.
package layout

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/gpt"
)

// A Resolved layout has identities and mounts, and no sizes.
type Resolved struct {
	*blockdevice.Config
	identity digest.Digest
}

// Resolve gives a description its identities. Identity is what all GUIDs and UUIDs
// are derived from that the description does not say: a digest that differs between
// images that may meet on one machine, such as the lock's.
func Resolve(c *blockdevice.Config, identity digest.Digest) (Resolved, error) {
	r := Resolved{c, identity}
	for _, q := range c.Misnamed() { // no definition of an element's was checked
		return r, fault.Newf(fault.Definition, "layout: %w", q)
	}
	for _, d := range c.Disks {
		if d.BlockSize != leastSector && d.Table != nil && d.Table.Label == blockdevice.MBR {
			return r, fault.Newf(fault.Definition, "layout: an MBR on sectors of %d bytes, which no BIOS starts from and UEFI need not read", d.BlockSize).WithHint("divide the disk by gpt")
		}
	}
	return r, nil
}

// leastSector is how many bytes a sector has at the least.
const leastSector = 512

// sectorOf is how many bytes a device writes at once.
func (r Resolved) sectorOf(n blockdevice.Node) int64 {
	switch d := n.(type) {
	case *blockdevice.LocalLoop:
		return d.BlockSize
	case *blockdevice.Partition:
		return d.Table.Disk.BlockSize
	case *blockdevice.LUKS:
		return r.sectorOf(d.Device)
	case *blockdevice.LV:
		most := int64(leastSector)
		for _, pv := range d.VG.PVs {
			most = max(most, r.sectorOf(pv.Device))
		}
		return most
	}
	return leastSector
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

// said is an identity that the description says, else a derived one.
func (r Resolved) said(uuid, label string) gpt.GUID {
	if g, err := gpt.ParseGUID(uuid); err == nil {
		return g
	}
	return r.Derive(label)
}

// tableID is the identity of a GPT; its first bytes are that of an MBR.
func (r Resolved) tableID(t *blockdevice.Partitioning) gpt.GUID {
	label := "disk"
	if t.Disk != r.Disks[0] {
		label += " " + t.Disk.Name
	}
	return r.said(t.UUID, label)
}

// signature is the identity of an MBR, which may not be 0.
func (r Resolved) signature(t *blockdevice.Partitioning) uint32 {
	said := strings.TrimPrefix(strings.ToLower(t.UUID), "0x")
	if n, err := strconv.ParseUint(said, 16, 32); err == nil && n != 0 {
		return uint32(n)
	}
	g := r.tableID(t)
	return binary.BigEndian.Uint32(g[:]) | 1
}

func (r Resolved) partitionID(p *blockdevice.Partition) gpt.GUID {
	return r.said(p.UUID, "partition "+p.Name)
}

// fsID is the identity of a file system. A vfat has its first four bytes only.
func (r Resolved) fsID(fs *blockdevice.Mkfs) gpt.GUID {
	var a, b uint16
	if _, err := fmt.Sscanf(fs.UUID, "%04X-%04X", &a, &b); err == nil && len(fs.UUID) == 9 {
		return gpt.GUID{byte(a >> 8), byte(a), byte(b >> 8), byte(b)}
	}
	return r.said(fs.UUID, "filesystem "+fs.Device.Head().Name)
}

// UUID is a file system's identity as mount and GRUB say it.
func (r Resolved) UUID(fs *blockdevice.Mkfs) string {
	id := r.fsID(fs)
	if fs.Type == "vfat" {
		return fmt.Sprintf("%X-%X", id[:2], id[2:4])
	}
	return id.String()
}
