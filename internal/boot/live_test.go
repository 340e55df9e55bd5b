package boot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/judge"
)

func medium() Medium {
	return Medium{ID: "9c2b3f30-2ed2-8679-99a3-30743c848fdc"}.On(kernels[:1])
}

func TestMediumFiles(t *testing.T) {
	files, err := medium().Files(params())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var got strings.Builder
	for _, f := range files {
		path := filepath.Join(dir, filepath.Base(f.Path))
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
		switch filepath.Ext(f.Path) {
		case ".cfg":
			judge.Run(t, "grub-script-check", path)
		case ".cpio":
			fmt.Fprintf(&got, "# %s\n%s", f.Path, judge.Run(t, "bsdtar", "-t", "-f", path))
			fmt.Fprintf(&got, "%s\n", judge.Run(t, "bsdtar", "-x", "-O", "-f", path, "conf/uuid.conf"))
			continue
		}
		fmt.Fprintf(&got, "# %s\n%s\n", f.Path, f.Data)
	}
	want := `# .disk/live-uuid-9c2b3f30-2ed2-8679-99a3-30743c848fdc
9c2b3f30-2ed2-8679-99a3-30743c848fdc

# boot/grub/grub.cfg
# The menu of a live system.
set default=0
set timeout=1
if [ "$grub_platform" = pc ]; then
	serial --unit=0 --speed=115200
	terminal_input console serial
	terminal_output console serial
fi
menuentry 'Debian GNU/Linux 12' {
	linux /live/vmlinuz-6.1.0-50-cloud-amd64 boot=live components console=tty0 console=ttyS0,115200
	initrd /live/initrd.img-6.1.0-50-cloud-amd64 /live/medium.cpio
}

# EFI/debian/grub.cfg
if regexp --set=1:disk '^\(*([^,)]*)' "$root"; then
	if [ -e "($disk)/.disk/live-uuid-9c2b3f30-2ed2-8679-99a3-30743c848fdc" ]; then
		set root="$disk"
	fi
fi
if [ ! -e "/.disk/live-uuid-9c2b3f30-2ed2-8679-99a3-30743c848fdc" ]; then
	search --no-floppy --file --set=root "/.disk/live-uuid-9c2b3f30-2ed2-8679-99a3-30743c848fdc"
fi
set prefix="($root)/boot/grub"
configfile "$prefix/grub.cfg"

# live/medium.cpio
conf
conf/uuid.conf
9c2b3f30-2ed2-8679-99a3-30743c848fdc

`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("the medium's files (-want +got):\n%s", d)
	}
	if _, err := (Medium{}).On(kernels[1:]).Files(params()); err == nil {
		t.Error("a kernel without an initramfs is taken: nothing would mount the medium")
	}
	p := params()
	p.Arguments = []string{"a\nb"}
	if _, err := medium().Files(p); err == nil {
		t.Error("an argument of two lines is taken")
	}
}

// What is not GRUB's own: places in its images, and what the FAT volume holds. That
// it starts is judged by machines.
func TestMediumLoader(t *testing.T) {
	l, err := MakeLoader(t.Context(), judge.Tools{T: t}, LoaderOptions{Arch: "amd64", Live: true})
	if err != nil {
		t.Fatal(err)
	}
	code, program := l.CD(50 * 2048)
	if int64(len(program)) != l.CDSize() || len(code) != 440 {
		t.Errorf("the program has %d bytes in place of %d, the code %d", len(program), l.CDSize(), len(code))
	}
	le := binary.LittleEndian
	if a, b := le.Uint64(code[0x5C:]), le.Uint64(program[2048+0x1F4:]); a != 51*4 || b != 51*4+1 {
		t.Errorf("the code goes on at sector %d, the program at %d; want 204 and 205", a, b)
	}
	if plain, err := (judge.Tools{T: t}).ReadFile("/usr/lib/grub/i386-pc/cdboot.img"); err != nil || !bytes.Equal(plain, program[:2048]) {
		t.Errorf("the program does not begin with cdboot.img: %v", err)
	}
	var names []string
	for _, f := range medium().EFI(l) {
		names = append(names, f.Path)
	}
	if want := []string{"EFI/BOOT/BOOTX64.EFI", "EFI/debian/grub.cfg"}; !slices.Equal(names, want) {
		t.Errorf("the FAT volume holds %v, want %v", names, want)
	}
	bios, err := MakeLoader(t.Context(), judge.Tools{T: t}, LoaderOptions{Arch: "amd64", Live: true, Firmware: []string{"bios"}})
	if err != nil || medium().EFI(bios) != nil {
		t.Errorf("a medium for BIOS alone has files for UEFI, or %v", err)
	}
	uefi, err := MakeLoader(t.Context(), judge.Tools{T: t}, LoaderOptions{Arch: "arm64", Live: true, Secure: true})
	if err != nil || uefi.CDSize() != 0 {
		t.Errorf("a medium for UEFI alone has a program for BIOS, or %v", err)
	}
	safe, err := uefi.Secure(Signed{Arch: "arm64", Live: true, Read: func(path string) ([]byte, error) { return []byte("MZ"), nil }})
	if err != nil || len(medium().EFI(safe)) != 4 {
		t.Errorf("a medium for Secure Boot has %d files, %v", len(medium().EFI(safe)), err)
	}
	kept, err := l.GobEncode()
	var again Loader
	if err := errors.Join(err, again.GobDecode(kept)); err != nil {
		t.Fatal(err)
	}
	if _, same := again.CD(50 * 2048); !bytes.Equal(same, program) {
		t.Error("the cache gives another loader")
	}
}

func TestLivePackages(t *testing.T) {
	got, err := LivePackages(PackageRequest{Arch: "amd64", Release: "bookworm", Kernel: "linux-image-amd64"})
	const want = "linux-image-amd64 initramfs-tools zstd live-boot live-boot-initramfs-tools systemd-sysv udev dbus login passwd systemd-resolved"
	if strings.Join(got, " ") != want || err != nil {
		t.Errorf("packages are %q, %v; want %q", got, err, want)
	}
	if _, err := LivePackages(PackageRequest{Arch: "mips"}); err == nil {
		t.Error("mips has packages")
	}
	tools, err := LiveToolPackages(LoaderOptions{Arch: "amd64", Secure: true})
	if want := "grub-common grub-pc-bin shim-signed grub-efi-amd64-signed"; strings.Join(tools, " ") != want || err != nil {
		t.Errorf("tools are %q, %v; want %q", tools, err, want)
	}
	// A live system's files are a machine's, and none of a disk.
	machine, err := Files(params())
	if err != nil {
		t.Fatal(err)
	}
	all := text(machine, "")
	for _, f := range LiveFiles() {
		if !strings.Contains(all, text([]File{f}, "")) || strings.Contains(f.Path, "grub") || strings.Contains(f.Path, "repart") {
			t.Errorf("a live system gets %s", f.Path)
		}
	}
}
