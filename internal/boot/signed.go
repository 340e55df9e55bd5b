package boot

import (
	"fmt"
	"strings"

	"ingot/internal/fat"
)

// Secure Boot: the firmware starts only what Microsoft signed. That is shim, which
// starts what Debian signed: its GRUB, which starts Debian's kernels. All three
// come from the image's own packages, so that the image's own updates of them are
// of the same kind, and none can be made here.
//
// Debian's signed GRUB has no path of a particular disk in it. It reads
// EFI/debian/grub.cfg on the partition that it was started from, as the images
// that grub-install writes do, and takes no module that is not in it already.

// Signed says how a chain of signed loaders finds the root file system.
type Signed struct {
	Arch   string
	Places Places // of a disk
	Live   bool   // a medium has its own way: [Medium.EFI]
	// Read reads a file of the tree, by its path in it.
	Read func(path string) ([]byte, error)
}

// Secure gives the loader shim and GRUB as the distribution signed them, instead
// of a GRUB of its own. The tree needs the packages that [Packages] lists for it.
func (l Loader) Secure(s Signed) (Loader, error) {
	a, err := lookupArch(s.Arch)
	if err != nil {
		return l, err
	}
	l.esp = nil
	for _, f := range []struct{ tree, esp string }{
		{"usr/lib/shim/shim" + a.efi + ".efi.signed", a.efiFile},
		// shim looks beside itself for these two names.
		{"usr/lib/grub/" + a.efiPlatform + "-signed/grub" + a.efi + ".efi.signed", "EFI/BOOT/grub" + a.efi + ".efi"},
		{"usr/lib/shim/mm" + a.efi + ".efi.signed", "EFI/BOOT/mm" + a.efi + ".efi"},
	} {
		data, err := s.Read(f.tree)
		if err != nil {
			return l, fmt.Errorf("boot: a signed loader is missing: %w", err)
		}
		if !strings.HasPrefix(string(data), "MZ") {
			return l, fmt.Errorf("boot: /%s is no UEFI program", f.tree)
		}
		l.esp = append(l.esp, fat.File{Path: f.esp, Data: data})
	}
	if s.Live {
		return l, nil
	}
	config, err := s.Places.signedConfig()
	if err != nil {
		return l, err
	}
	l.esp = append(l.esp, fat.File{Path: "EFI/debian/grub.cfg", Data: []byte(config)})
	return l, nil
}

// signedConfig leads GRUB to the image's grub.cfg: on the disk that it was started
// from; if the partitions were moved, wherever the file system is.
func (p Places) signedConfig() (string, error) {
	if _, err := p.prefix(); err != nil {
		return "", err
	}
	root := fmt.Sprintf("set root=\"lvmid/%s\"\n", p.BootVolume)
	if p.BootDevice != "" {
		root = fmt.Sprintf("if regexp --set=1:disk '^\\(*([^,)]*),' \"$root\"; then\n\tset root=\"$disk,%s\"\nfi\n", p.BootDevice)
	}
	return "# grub-install writes its own over this.\n" + root + fmt.Sprintf(`if [ ! -e %[1]s/grub/grub.cfg ]; then
	search --no-floppy --fs-uuid --set=root %[2]s
fi
set prefix="($root)%[1]s/grub"
configfile "$prefix/grub.cfg"
`, p.BootDir, p.BootUUID), nil
}
