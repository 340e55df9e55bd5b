package boot

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/fat"
)

// A live system runs from what it was started from, a CD or a USB stick, and keeps
// what it writes in memory: live-boot, in the initramfs, finds the medium, mounts the
// squashfs file on it and a tmpfs over that. Nothing in its tree knows of a disk.
//
// Started from a CD by UEFI, GRUB takes the CD for the place that it came from; from
// a stick, the FAT volume. So the file that leads it to the menu lies on both. What
// tells one medium from another is the name of a file on it, which is also live-boot's
// own way: GRUB, then live-boot, take no other medium, however many are in the machine.

// A Medium is what GRUB and live-boot find a live system on.
type Medium struct {
	ID      string // a UUID
	Kernels []MediumKernel
}

// A MediumKernel is a kernel on the medium.
type MediumKernel struct {
	Kernel               // in the tree
	Image, Initrd string // paths from the medium's top
}

// ImageFile is where live-boot looks for the root file system.
const ImageFile = "live/filesystem.squashfs"

// marker is the file that the medium is known by. live-boot looks for its text in all
// files whose names begin so.
func (m Medium) marker() string { return ".disk/live-uuid-" + m.ID }

// On gives the kernels of a tree their places on the medium. One without an initramfs
// gets none: what mounts the squashfs file is in there.
func (m Medium) On(kernels []Kernel) Medium {
	for _, k := range kernels {
		if k.Initrd != "" {
			m.Kernels = append(m.Kernels, MediumKernel{Kernel: k, Image: "live/vmlinuz-" + k.Version, Initrd: "live/initrd.img-" + k.Version})
		}
	}
	return m
}

// idFile is what tells the initramfs which medium is its own: a second archive
// that the boot loader loads behind it.
const idFile = "live/medium.cpio"

// Files are the small files of the medium. Of the parameters it takes those of the
// kernel and of the menu.
func (m Medium) Files(p Params) ([]fat.File, error) {
	args, err := p.arguments()
	if err != nil {
		return nil, err
	}
	if len(m.Kernels) == 0 {
		return nil, fmt.Errorf("boot: the tree has no kernel with an initramfs (/boot/vmlinuz-*, /boot/initrd.img-*)")
	}
	var b strings.Builder
	p.menuHead(&b, "# The menu of a live system.\n")
	for i, k := range m.Kernels {
		fmt.Fprintf(&b, "menuentry %s {\n\tlinux /%s boot=live components %s\n\tinitrd /%s /%s\n}\n",
			quote(p.entryTitle(i, k.Version)), quote(k.Image), args, quote(k.Initrd), idFile)
	}
	return []fat.File{
		{Path: m.marker(), Data: []byte(m.ID + "\n")},
		{Path: "boot/grub/grub.cfg", Data: []byte(b.String())},
		{Path: grubLead, Data: []byte(m.lead())},
		{Path: idFile, Data: cpio("conf", "conf/uuid.conf", m.ID+"\n")},
	}, nil
}

// grubLead is the file that GRUB reads on UEFI, by the path that is in Debian's signed
// one.
const grubLead = "EFI/debian/grub.cfg"

// lead leads GRUB to the menu: on the disk that it was started from, else wherever
// the medium is.
func (m Medium) lead() string {
	return fmt.Sprintf(`if regexp --set=1:disk '^\(*([^,)]*)' "$root"; then
	if [ -e "($disk)/%[1]s" ]; then
		set root="$disk"
	fi
fi
if [ ! -e "/%[1]s" ]; then
	search --no-floppy --file --set=root "/%[1]s"
fi
set prefix="($root)/boot/grub"
configfile "$prefix/grub.cfg"
`, m.marker())
}

// EFI is what the medium's FAT volume holds, with the loader's programs; nothing
// without UEFI.
func (m Medium) EFI(l Loader) []fat.File {
	if len(l.esp) == 0 {
		return nil
	}
	return append(slices.Clone(l.esp), fat.File{Path: grubLead, Data: []byte(m.lead())})
}

// cdSector is the part of GRUB's image for CDs that a BIOS loads, which loads the
// rest: cdboot.img. Behind it the image is core.img.
const cdSector = 2048

// CDSize is how many bytes the program has that a BIOS starts from a CD; 0 without
// BIOS.
func (l Loader) CDSize() int64 {
	if l.core == nil {
		return 0
	}
	return int64(len(l.cd) + len(l.core))
}

// CD ties the loader to an offset of a medium, a multiple of 2048: the program that a
// BIOS starts from a CD, and code for the first 440 bytes that starts the same from a
// disk.
func (l Loader) CD(offset int64) (code, program []byte) {
	code, core := l.At(offset + int64(len(l.cd)))
	return code, append(bytes.Clone(l.cd), core...)
}

// LiveFiles gives the files that make a tree run as a live system.
func LiveFiles() []File { return systemFiles() }

// LivePackages lists Debian packages that make a minbase tree a live system: those
// of a machine without a disk to look after, and live-boot.
func LivePackages(r PackageRequest) ([]string, error) {
	if _, err := lookupArch(r.Arch); err != nil {
		return nil, err
	}
	out := append([]string{r.Kernel, "initramfs-tools", "zstd", "live-boot", "live-boot-initramfs-tools"}, ContainerPackages(r.Release)...)
	return out, nil
}

// NetbootPackages lists what a live system needs besides that is fetched over HTTP:
// live-boot puts wget into the initramfs, and busybox looks up names and addresses
// there.
func NetbootPackages() []string { return []string{"wget", "busybox"} }

// LiveToolPackages lists the Debian packages that make the loaders of a live
// system's medium. Shim and a signed GRUB come from there too: a live system never
// updates its own.
func LiveToolPackages(o LoaderOptions) ([]string, error) {
	o.Loader = GRUB
	out, err := ToolPackages(o)
	if err == nil && o.Secure && wants(o.Firmware, "uefi") {
		out = append(out, "shim-signed", arches[o.Arch].efiSigned)
	}
	return out, err
}
