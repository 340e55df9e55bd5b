// Package boot says what a tree needs to start a machine, as data: packages,
// files, and the boot loader's own images.
//
// Nothing here touches a disk. [Packages] and [Files] give what the tree gets;
// [MakeLoader] has the locked GRUB of the tools tree make its images, and
// [Loader.At] and [Loader.ESP] give the bytes that a layout puts in front of and
// into its partitions.
//
// # How a machine starts
//
// A BIOS runs the first sector of the disk (GRUB's boot.img), which reads one
// sector at a fixed address (the start of core.img, in the BIOS boot partition),
// which reads the rest of core.img. UEFI firmware runs EFI/BOOT/BOOTX64.EFI from
// the EFI system partition. Both hold the same GRUB with all modules that any
// grub.cfg of Debian asks for, so no module files lie in the image; both find
// /boot/grub/grub.cfg on a partition of the disk that they were started from, by
// its number. So the loader's images are the same for every image of one layout
// and can be cached, and a copy of the disk attached to the same machine is never
// taken for the original.
//
// grub.cfg starts the newest kernel of the tree. It serves until the first
// kernel update, when Debian's update-grub writes its own; /etc/default/grub.d
// has what makes that one keep consoles and kernel arguments.
//
// # The first boot
//
// systemd-repart grows the root partition to the end of the disk and
// systemd-growfs (x-systemd.growfs in fstab) the file system in it, on every
// boot where there is room. /etc/machine-id is empty: systemd then makes one and
// keeps it, but does not run its "first boot" units, which would ask questions on
// the console and enable services that the definition disabled.
//
// # System containers
//
// A system container (LXC, Incus, OpenVZ) has its host's kernel and an init of
// its own. [ContainerPackages] and [ContainerFiles] give it what of a machine is
// left then: systemd, and the network.
package boot

import (
	"fmt"
	"slices"
	"strings"

	"ingot/internal/tree"
)

// A File is an entry for the tree, owned by root.
type File struct {
	Path string // relative: "etc/fstab"
	Kind tree.Kind
	Mode uint32
	Data []byte // of a tree.File
	Link string // of a tree.Symlink
}

// A Kernel is one that the tree has.
type Kernel struct {
	Version string // "6.1.0-50-cloud-amd64"
	Image   string // path in the tree: "boot/vmlinuz-6.1.0-50-cloud-amd64"
	Initrd  string // or empty
}

// Kernels finds the kernels of a tree, newest first.
func Kernels(t tree.Tree) []Kernel {
	var out []Kernel
	for e := range t.All() {
		version, ok := strings.CutPrefix(e.Path, "boot/vmlinuz-")
		if !ok || strings.Contains(version, "/") || e.Kind != tree.File {
			continue
		}
		k := Kernel{Version: version, Image: e.Path}
		if initrd := "boot/initrd.img-" + version; has(t, initrd) {
			k.Initrd = initrd
		}
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Kernel) int { return compareVersions(b.Version, a.Version) })
	return out
}

func has(t tree.Tree, path string) bool {
	_, ok := t.Lookup(path)
	return ok
}

// compareVersions orders kernel versions as people read them: runs of digits
// by value, everything else by bytes.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		na, ra := cutDigits(a)
		nb, rb := cutDigits(b)
		if na != "" && nb != "" {
			na, nb = strings.TrimLeft(na, "0"), strings.TrimLeft(nb, "0")
			if len(na) != len(nb) {
				return len(na) - len(nb)
			}
			if c := strings.Compare(na, nb); c != 0 {
				return c
			}
			a, b = ra, rb
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func cutDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

// An arch is what GRUB and consoles are called on an architecture.
type arch struct {
	efi         string // in the names of UEFI programs
	efiPlatform string // GRUB's directory and grub-mkimage's format
	efiFile     string // where UEFI looks on a disk that it knows nothing of
	efiPackage  string
	efiSigned   string
	bios        bool
	console     string
	kernel      string // Debian's smallest kernel that drives virtual machines
}

var arches = map[string]arch{
	"amd64": {"x64", "x86_64-efi", "EFI/BOOT/BOOTX64.EFI", "grub-efi-amd64-bin", "grub-efi-amd64-signed", true, "ttyS0", "linux-image-cloud-amd64"},
	"arm64": {"aa64", "arm64-efi", "EFI/BOOT/BOOTAA64.EFI", "grub-efi-arm64-bin", "grub-efi-arm64-signed", false, "ttyAMA0", "linux-image-cloud-arm64"},
}

func lookupArch(name string) (arch, error) {
	a, ok := arches[name]
	if !ok {
		return a, fmt.Errorf("boot: no boot loader is known for architecture %q", name)
	}
	return a, nil
}

// Console is the console of an architecture where the definition names none.
func Console(arch string) string { return arches[arch].console }
