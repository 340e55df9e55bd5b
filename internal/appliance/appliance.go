// Package appliance writes machines to hand over: one archive with a disk, and in
// front of it the papers that say what machine the disk is for.
//
//	OVA       OVF descriptor, manifest, stream optimized vmdk     VMware, VirtualBox, oVirt
//	box       metadata.json, Vagrantfile, qcow2 or OVF and vmdk   Vagrant
//	GCE       disk.raw, sparse, in an archive compressed by gzip  Google Compute Engine
//	XVA       ova.xml, the disk in chunks with checksums          XenServer, XCP-ng
//
// All are tar archives, and all are written in one go into their file. The papers
// are of a length that does not depend on what they say of the disk, so the disk is
// written to its place behind them, and they follow when its size and its digest
// are known. No second copy of the disk is made.
package appliance

import (
	"fmt"
	"strings"
)

// A Machine is what an appliance says of the machine that its disk is for.
type Machine struct {
	Name   string // a file name's letters: "web-amd64"
	Arch   string // Debian's: "amd64" or "i386"
	Distro string // "debian"
	// Release is the distribution's code name, Version its number ("12") where it
	// has one, Title what it calls itself.
	Release, Version, Title string

	CPUs   int
	Memory int64 // bytes
	UEFI   bool  // else BIOS
	Secure bool  // Secure Boot
	// Adapter is the controller that the disk hangs on: "pvscsi", "lsilogic",
	// "buslogic" or "ide". NetworkCard is "vmxnet3", "e1000", "e1000e" or
	// "virtio".
	Adapter, NetworkCard string
	Hardware             int    // version of VMware's virtual hardware
	GuestOS              string // VMware's name of the system, or "" for the one that fits best

	ID    func(label string) [16]byte // identities for what needs some
	Epoch int64                       // of all that has a time, seconds since 1970
}

// check refuses what the papers cannot say.
func (m Machine) check() error {
	if m.Arch != "amd64" && m.Arch != "i386" {
		return fmt.Errorf("appliances are of machines of amd64 and i386, not of %s", m.Arch)
	}
	if m.CPUs < 1 || m.Memory < 1<<20 || m.Memory%(1<<20) != 0 {
		return fmt.Errorf("a machine of %d processors and %d bytes of memory is none", m.CPUs, m.Memory)
	}
	if m.ID == nil {
		return fmt.Errorf("an appliance needs identities")
	}
	if m.Name == "" || strings.ContainsFunc(m.Name, func(r rune) bool {
		return r > '~' || r <= ' ' || strings.ContainsRune(`"'/\<>&`, r)
	}) || len(m.Name) > 90 {
		return fmt.Errorf("%q is no name of an appliance", m.Name)
	}
	return nil
}

// uuid is one of the machine's identities as text.
func (m Machine) uuid(label string) string {
	id := m.ID(label)
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
