package boot

import (
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"ingot/internal/fat"
)

// systemd-boot reads a FAT file system and nothing else, so the kernels with what they
// need lie on the EFI system partition: for each a directory TOKEN/VERSION, and an entry
// that names the files in it (UAPI group, Boot Loader Specification, type #1). The token
// tells one system's entries from another's. Often it is a machine's identity, which an
// image has not got; /etc/kernel/entry-token says that it is the distribution's name, to
// kernel-install too, which the distribution's hooks call after each kernel update and
// each new initramfs. What ingot writes is to the letter what kernel-install would write.
//
// An entry whose file's name ends in +3 would have its boots counted: kernel-install
// writes such ones where /etc/kernel/tries says so.

// Contents are the files of a tree, by their paths in it.
type Contents interface {
	// Open gives what a file holds. A file that is not there is an error.
	Open(path string) (*io.SectionReader, error)
}

// readFile reads a small file of a tree.
func readFile(c Contents, name string) ([]byte, error) {
	r, err := c.Open(name)
	if err != nil {
		return nil, err
	}
	if r.Size() > maxProgram {
		return nil, fmt.Errorf("/%s of %d bytes is too large for a UEFI program", name, r.Size())
	}
	return io.ReadAll(r)
}

// maxProgram bounds a UEFI program, in bytes: a boot loader has 100 kB to 3 MB.
const maxProgram = 64 << 20

// fileOf is a file of a tree, to be read when it is written to a FAT file system.
func fileOf(c Contents, name, to string) (fat.File, error) {
	r, err := c.Open(name)
	if err != nil {
		return fat.File{}, err
	}
	return fat.File{Path: to, Size: r.Size(), Open: func() (io.Reader, error) { return c.Open(name) }}, nil
}

// entryToken says what this system's entries are called by.
func (p Params) entryToken() (string, error) {
	token := p.ID
	if token == "" {
		token = "linux" // os-release(5)
	}
	if !tokenPattern.MatchString(token) {
		return "", fmt.Errorf("boot: %q makes no name for boot entries", token)
	}
	return token, nil
}

// tokenPattern is what os-release(5) lets an ID be.
var tokenPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// commandLine is the kernel's, as it is handed over: words with a space in them have
// their quotes within.
func (p Params) commandLine() (string, error) { return p.CommandLine(p.Places.Arguments()...) }

// kernelInstall are the files that kernel-install(8) goes by.
func (p Params) kernelInstall(kind string) ([]File, error) {
	token, err := p.entryToken()
	if err != nil {
		return nil, err
	}
	line, err := p.commandLine()
	if err != nil {
		return nil, err
	}
	return []File{
		dir("etc/kernel"),
		file("etc/kernel/cmdline", line+"\n"),
		file("etc/kernel/entry-token", token+"\n"),
		file("etc/kernel/install.conf", kind),
	}, nil
}

// bls has kernel-install write entries of type #1.
const bls = "layout=bls\n"

// SystemdBoot gives systemd-boot as the image's packages have it, and its entries: what
// the EFI system partition holds.
func SystemdBoot(p Params, c Contents) (Loader, error) {
	l, err := p.systemdBoot(c)
	if err != nil {
		return l, err
	}
	token, err := p.entryToken()
	if err != nil {
		return l, err
	}
	line, err := p.commandLine()
	if err != nil {
		return l, err
	}
	for _, k := range p.Kernels {
		home := token + "/" + k.Version
		linux, err := fileOf(c, k.Image, home+"/linux")
		if err != nil {
			return l, err
		}
		l.esp = append(l.esp, linux)
		entry := fmt.Sprintf("title      %s\nversion    %s\nsort-key   %s\noptions    %s\nlinux      /%s\n", p.entryTitle(0, ""), k.Version, token, line, linux.Path)
		size := linux.Size
		if k.Initrd != "" {
			initrd, err := fileOf(c, k.Initrd, home+"/"+path.Base(k.Initrd))
			if err != nil {
				return l, err
			}
			l.esp = append(l.esp, initrd)
			entry += fmt.Sprintf("initrd     /%s\n", initrd.Path)
			size += initrd.Size
		}
		l.esp = append(l.esp, fat.File{Path: "loader/entries/" + token + "-" + k.Version + ".conf", Data: []byte(entry)})
		l.room = max(l.room, kernelsToCome*size)
	}
	return l, nil
}

// kernelsToCome is for how many more kernels there is room: after an update the old one
// stays, and may stay a while.
const kernelsToCome = 2

// systemdBoot is systemd-boot itself with its configuration, without entries.
func (p Params) systemdBoot(c Contents) (Loader, error) {
	a, err := lookupArch(p.Arch)
	if err != nil {
		return Loader{}, err
	}
	if len(p.Kernels) == 0 {
		return Loader{}, errNoKernel
	}
	name := "systemd-boot" + a.efi + ".efi"
	own := "usr/lib/systemd/boot/efi/" + name
	// bootctl looks for it in EFI/systemd, to update it and to say whether it is there.
	programs := []struct{ tree, esp string }{{own, a.efiFile}, {own, "EFI/systemd/" + name}}
	if p.Secure {
		// shim starts what is called as GRUB is, whatever it is.
		own += ".signed"
		programs = []struct{ tree, esp string }{
			{"usr/lib/shim/shim" + a.efi + ".efi.signed", a.efiFile}, {own, "EFI/BOOT/grub" + a.efi + ".efi"},
			{"usr/lib/shim/mm" + a.efi + ".efi.signed", "EFI/BOOT/mm" + a.efi + ".efi"}, {own, "EFI/systemd/" + name},
		}
	}
	var l Loader
	for _, f := range programs {
		data, err := readFile(c, f.tree)
		if err != nil {
			return Loader{}, fmt.Errorf("boot: %s is missing: %w", map[bool]string{false: "systemd-boot", true: "signed systemd-boot, or shim in front of it,"}[p.Secure], err)
		}
		if !strings.HasPrefix(string(data), "MZ") {
			return Loader{}, fmt.Errorf("boot: /%s is no UEFI program", f.tree)
		}
		l.esp = append(l.esp, fat.File{Path: f.esp, Data: data})
	}
	l.esp = append(l.esp,
		fat.File{Path: "loader/loader.conf", Data: fmt.Appendf(nil, "timeout %d\n", p.Timeout)},
		fat.File{Path: "loader/entries.srel", Data: []byte("type1\n")})
	return l, nil
}
