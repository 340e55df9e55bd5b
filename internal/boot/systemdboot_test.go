package boot

import (
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// memory is a tree's files by path.
type memory map[string]string

func (m memory) Open(path string) (*io.SectionReader, error) {
	text, ok := m[path]
	if !ok {
		return nil, fmt.Errorf("/%s: %w", path, fs.ErrNotExist)
	}
	return io.NewSectionReader(strings.NewReader(text), 0, int64(len(text))), nil
}

// contents has kernels and a systemd-boot.
func contents() memory {
	return memory{
		"boot/vmlinuz-6.1.0-50-cloud-amd64": "kernel 50", "boot/initrd.img-6.1.0-50-cloud-amd64": "initramfs 50", "boot/vmlinuz-6.1.0-9-amd64": "kernel 9",
		"usr/lib/systemd/boot/efi/systemd-bootx64.efi": "MZ systemd-boot",
	}
}

// holding is what an EFI system partition holds: a text whole, of a program its first
// line.
func holding(t *testing.T, l Loader) string {
	t.Helper()
	var b strings.Builder
	for _, f := range l.ESP() {
		data := f.Data
		if f.Open != nil {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if data, err = io.ReadAll(r); err != nil || int64(len(data)) != f.Size {
				t.Fatalf("%s: %d bytes, said to be %d: %v", f.Path, len(data), f.Size, err)
			}
		}
		fmt.Fprintf(&b, "%s:\n%s\n", f.Path, strings.TrimSuffix(string(data), "\n"))
	}
	return b.String()
}

func TestSystemdBoot(t *testing.T) {
	p := params()
	p.Loader, p.ID, p.Timeout, p.Arguments = SDBoot, "debian", 3, []string{"quiet", `dyndbg="file x +p"`}
	l, err := SystemdBoot(p, contents())
	if err != nil {
		t.Fatal(err)
	}
	// As kernel-install 252 and 257 write entries; that they do is judged in a machine.
	want := `EFI/BOOT/BOOTX64.EFI:
MZ systemd-boot
EFI/systemd/systemd-bootx64.efi:
MZ systemd-boot
loader/loader.conf:
timeout 3
loader/entries.srel:
type1
debian/6.1.0-50-cloud-amd64/linux:
kernel 50
debian/6.1.0-50-cloud-amd64/initrd.img-6.1.0-50-cloud-amd64:
initramfs 50
loader/entries/debian-6.1.0-50-cloud-amd64.conf:
title      Debian GNU/Linux 12
version    6.1.0-50-cloud-amd64
sort-key   debian
options    root=UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc ro console=tty0 console=ttyS0,115200 quiet dyndbg="file x +p"
linux      /debian/6.1.0-50-cloud-amd64/linux
initrd     /debian/6.1.0-50-cloud-amd64/initrd.img-6.1.0-50-cloud-amd64
debian/6.1.0-9-amd64/linux:
kernel 9
loader/entries/debian-6.1.0-9-amd64.conf:
title      Debian GNU/Linux 12
version    6.1.0-9-amd64
sort-key   debian
options    root=UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc ro console=tty0 console=ttyS0,115200 quiet dyndbg="file x +p"
linux      /debian/6.1.0-9-amd64/linux
`
	if d := cmp.Diff(want, holding(t, l)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if want := int64(2 * len("kernel 50initramfs 50")); l.Room() != want {
		t.Errorf("there is to be room for %d bytes, want %d", l.Room(), want)
	}
	files, err := Files(p)
	if err != nil {
		t.Fatal(err)
	}
	want = `etc/kernel/ 755
etc/kernel/cmdline 644
root=UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc ro console=tty0 console=ttyS0,115200 quiet dyndbg="file x +p"
etc/kernel/entry-token 644
debian
etc/kernel/install.conf 644
layout=bls
`
	if d := cmp.Diff(want, text(files, "etc/kernel")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := text(files, "boot/") + text(files, "etc/default"); got != "" {
		t.Errorf("GRUB's files are there: %s", got)
	}
}

func TestSystemdBootRefuses(t *testing.T) {
	tests := []struct {
		summary string
		change  func(*Params, memory)
		want    string
	}{
		{"no kernel", func(p *Params, _ memory) { p.Kernels = nil }, "no kernel"},
		{"architecture", func(p *Params, _ memory) { p.Arch = "mips" }, `architecture "mips"`},
		{"no systemd-boot", func(_ *Params, m memory) { delete(m, "usr/lib/systemd/boot/efi/systemd-bootx64.efi") }, "systemd-boot is missing"},
		{"no program", func(_ *Params, m memory) { m["usr/lib/systemd/boot/efi/systemd-bootx64.efi"] = "#!/bin/sh" }, "is no UEFI program"},
		{"no initramfs", func(_ *Params, m memory) { delete(m, "boot/initrd.img-6.1.0-50-cloud-amd64") }, "/boot/initrd.img-6.1.0-50-cloud-amd64"},
		{"name", func(p *Params, _ memory) { p.ID = "../x" }, "makes no name for boot entries"},
		{"argument", func(p *Params, _ memory) { p.Arguments = []string{"a\nb"} }, "control character"},
	}
	for _, test := range tests {
		p, m := params(), contents()
		p.Loader, p.ID = SDBoot, "debian"
		test.change(&p, m)
		if _, err := SystemdBoot(p, m); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want one with %q", test.summary, err, test.want)
		}
	}
	p := params()
	p.Loader = "lilo"
	if _, err := Files(p); err == nil {
		t.Error("lilo has files")
	}
}

// Under Secure Boot shim stands in front, and starts systemd-boot by GRUB's name.
func TestSystemdBootSecure(t *testing.T) {
	p := params()
	p.Loader, p.ID, p.Secure, p.Kernels = SDBoot, "debian", true, p.Kernels[:1]
	c := contents()
	for _, name := range []string{"shim/shimx64.efi.signed", "shim/mmx64.efi.signed", "systemd/boot/efi/systemd-bootx64.efi.signed"} {
		c["usr/lib/"+name] = "MZ " + name
	}
	l, err := SystemdBoot(p, c)
	if err != nil {
		t.Fatal(err)
	}
	got, _, _ := strings.Cut(holding(t, l), "loader/")
	want := `EFI/BOOT/BOOTX64.EFI:
MZ shim/shimx64.efi.signed
EFI/BOOT/grubx64.efi:
MZ systemd/boot/efi/systemd-bootx64.efi.signed
EFI/BOOT/mmx64.efi:
MZ shim/mmx64.efi.signed
EFI/systemd/systemd-bootx64.efi:
MZ systemd/boot/efi/systemd-bootx64.efi.signed
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	delete(c, "usr/lib/shim/shimx64.efi.signed")
	if _, err := SystemdBoot(p, c); err == nil || !strings.Contains(err.Error(), "/usr/lib/shim/shimx64.efi.signed") {
		t.Errorf("without shim: %v", err)
	}
}
