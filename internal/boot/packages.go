package boot

import (
	"slices"

	"ingot/internal/blockdevice"
)

// A PackageRequest is what [Packages] goes by.
type PackageRequest struct {
	Arch     string // Debian's name
	Release  string // "bookworm"
	Firmware []string
	Loader   string // one of the loaders' names; "" is [GRUB]
	Secure   bool   // shim and the loader as the distribution signed them
	Signed   bool   // by a key of the user's
	Kernel   string // package; "" is the smallest that drives virtual machines
}

// Packages lists Debian packages that make a minbase tree boot by itself and
// look after its kernel and boot configuration: the least. A machine of metal
// may need a kernel package with more drivers (linux-image-amd64) and firmware.
//
//	kernel, initramfs-tools, zstd    zstd makes and unpacks an initramfs fastest
//	systemd-sysv, udev, dbus         init; without a bus logind fails
//	systemd-resolved                 DHCP's name servers; systemd-networkd is in systemd
//	systemd-repart                   grows the partition; before trixie it is in systemd
//	e2fsprogs, login, passwd         not essential any more since trixie
//	grub2-common, grub-*-bin         update-grub after kernel updates; grub-install by hand
//	shim-signed, grub-*-signed       for Secure Boot
//	systemd-boot                     instead of GRUB: itself, bootctl, hooks for kernel updates
func Packages(r PackageRequest) ([]string, error) {
	a, err := lookupArch(r.Arch)
	if err != nil {
		return nil, err
	}
	kernel := r.Kernel
	if kernel == "" {
		kernel = a.kernel
	}
	out := []string{
		kernel, "initramfs-tools", "zstd", "systemd-sysv", "udev", "dbus",
		"e2fsprogs", "login", "passwd",
	}
	grub := (r.Loader == "" || r.Loader == GRUB) && !slices.Contains(r.Firmware, blockdevice.Direct)
	if grub {
		out = append(out, "grub2-common")
	}
	if r.Loader == SDBoot || r.Loader == UnifiedKernel {
		if r.Signed {
			out = append(out, "systemd-boot-efi") // bootctl would put a newer one, without our signature, in its place
		} else {
			out = append(out, "systemd-boot")
		}
		if r.Secure {
			out = append(out, "shim-signed", "systemd-boot-efi-"+r.Arch+"-signed")
		}
	}
	if splitResolved(r.Release) {
		out = append(out, "systemd-resolved")
		if r.Release != "bookworm" {
			out = append(out, "systemd-repart")
		}
	}
	if grub && a.bios && wants(r.Firmware, "bios") {
		out = append(out, "grub-pc-bin")
	}
	if grub && wants(r.Firmware, "uefi") {
		out = append(out, a.efiPackage)
		if r.Secure {
			out = append(out, "shim-signed", a.efiSigned)
		}
	}
	return out, nil
}

// ContainerPackages lists Debian packages that make a minbase tree run as a
// system container: those of a machine that a container needs too. udev starts
// where a container may write to /sys, as LXC's may that run without privilege:
// systemd-networkd waits for it there.
func ContainerPackages(release string) []string {
	out := []string{"systemd-sysv", "udev", "dbus", "login", "passwd"}
	if splitResolved(release) {
		out = append(out, "systemd-resolved")
	}
	return out
}

// IncusPackages lists Debian packages that a virtual machine of Incus needs for its
// host to run commands in it. Before trixie there is none, and of LXD's never.
func IncusPackages(release string) []string {
	if slices.Contains([]string{"buster", "bullseye", "bookworm"}, release) {
		return nil
	}
	return []string{"incus-agent"}
}

// splitResolved says whether a release has systemd-resolved in a package of its
// own.
func splitResolved(release string) bool {
	return !slices.Contains([]string{"buster", "bullseye"}, release)
}

// wants says whether a firmware is among the chosen; none chosen is all.
func wants(firmware []string, one string) bool {
	return len(firmware) == 0 || slices.Contains(firmware, one)
}

// ToolPackages lists the Debian packages that [MakeLoader] needs in the tools
// tree, with what they depend on, unpacked only. Other loaders come from the image's
// own packages.
func ToolPackages(o LoaderOptions) ([]string, error) {
	a, err := lookupArch(o.Arch)
	if err != nil {
		return nil, err
	}
	if o.Loader == Syslinux {
		return []string{"syslinux", "mtools", "dash"}, nil // syslinux runs mtools by a shell
	}
	if o.Loader != "" && o.Loader != GRUB || slices.Contains(o.Firmware, blockdevice.Direct) {
		return nil, nil
	}
	out := []string{"grub-common"} // grub-mkimage
	if a.bios && wants(o.Firmware, "bios") {
		out = append(out, "grub-pc-bin")
	}
	if wants(o.Firmware, "uefi") && !o.Secure {
		out = append(out, a.efiPackage)
	}
	return out, nil
}
