package boot

import (
	"bytes"
	debugpe "debug/pe"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/fat"
	"ingot/internal/judge"
)

// programs are contents with the programs of Debian's package systemd-boot-efi, and kernels
// that such a program stands for.
func programs(t *testing.T) memory {
	t.Helper()
	m := contents()
	for _, name := range []string{"systemd-bootx64.efi", "linuxx64.efi.stub"} {
		path := "usr/lib/systemd/boot/efi/" + name
		data, err := os.ReadFile(judge.File(t, "/"+path))
		if err != nil {
			t.Fatal(err)
		}
		m[path] = string(data)
	}
	for path := range m {
		if strings.HasPrefix(path, "boot/vmlinuz-") {
			m[path] = m["usr/lib/systemd/boot/efi/systemd-bootx64.efi"]
		}
	}
	return m
}

// Go's own reader of programs finds the sections.
func TestUKI(t *testing.T) {
	p, m := params(), programs(t)
	p.Loader, p.ID, p.Release, p.Arguments = UnifiedKernel, "debian", "NAME=Debian\nID=debian", []string{"quiet"}
	l, err := UKI(t.Context(), p, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range l.ESP() {
		names = append(names, f.Path)
	}
	if want := "EFI/BOOT/BOOTX64.EFI EFI/systemd/systemd-bootx64.efi loader/loader.conf loader/entries.srel EFI/Linux/debian-6.1.0-50-cloud-amd64.efi EFI/Linux/debian-6.1.0-9-amd64.efi"; strings.Join(names, " ") != want {
		t.Errorf("the ESP holds %q, want %q", names, want)
	}
	data := read(t, l.ESP()[4])
	if l.Room() != 2*int64(len(data)) {
		t.Errorf("room for %d bytes", l.Room())
	}
	f, err := debugpe.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := debugpe.NewFile(strings.NewReader(m["boot/vmlinuz-6.1.0-50-cloud-amd64"]))
	if err != nil {
		t.Fatal(err)
	}
	inMemory := kernel.OptionalHeader.(*debugpe.OptionalHeader64).SizeOfImage
	var got strings.Builder
	var end uint32
	for _, s := range f.Sections {
		if s.VirtualAddress < end {
			t.Errorf("section %s overlaps the one before", s.Name)
		}
		end = s.VirtualAddress + s.VirtualSize
		if !slices.Contains([]string{".osrel", ".cmdline", ".uname", ".initrd", ".linux"}, s.Name) {
			continue
		}
		b, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		if s.Name == ".linux" {
			if s.VirtualSize != max(inMemory, uint32(len(m["boot/vmlinuz-6.1.0-50-cloud-amd64"]))) {
				t.Errorf("the kernel has %d bytes in memory, and its image says %d", s.VirtualSize, inMemory)
			}
			b = b[:2]
		} else {
			b = b[:s.VirtualSize]
		}
		fmt.Fprintf(&got, "%s:\n%s\n", s.Name, b)
	}
	want := `.osrel:
NAME=Debian
ID=debian
IMAGE_ID=debian-uki
IMAGE_VERSION=6.1.0-50-cloud-amd64

.cmdline:
root=UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc ro console=tty0 console=ttyS0,115200 quiet
.uname:
6.1.0-50-cloud-amd64
.initrd:
initramfs 50
.linux:
MZ
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func read(t *testing.T, f fat.File) []byte {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil || int64(len(data)) != f.Size {
		t.Fatalf("%s: %d bytes, said to be %d: %v", f.Path, len(data), f.Size, err)
	}
	return data
}

// What a running system is told of kernels that updates bring.
func TestUKIInstall(t *testing.T) {
	for _, test := range []struct {
		ukify, signed bool
		want          string
	}{{false, false, "layout=bls\n"}, {true, false, "layout=uki\nuki_generator=ukify\n"}, {true, true, "layout=other\n"}} {
		p := params()
		p.Loader, p.ID, p.Ukify, p.Signed = UnifiedKernel, "debian", test.ukify, test.signed
		files, err := Files(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(files, "etc/kernel/install.conf"); !strings.HasSuffix(got, "\n"+test.want) {
			t.Errorf("ukify %v, signed %v: %q, want %q", test.ukify, test.signed, got, test.want)
		}
	}
}

func TestUKIRefuses(t *testing.T) {
	const stub = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	for summary, test := range map[string]struct {
		change func(memory)
		want   string
	}{
		"no stub":     {func(m memory) { delete(m, stub) }, "stub of unified kernel images is missing"},
		"other stub":  {func(m memory) { m[stub] = "MZ" }, "not a program of UEFI"},
		"other image": {func(m memory) { m["boot/vmlinuz-6.1.0-9-amd64"] = "zImage" }, "6.1.0-9-amd64 is no kernel that UEFI can start"},
		"no initrd":   {func(m memory) { delete(m, "boot/initrd.img-6.1.0-50-cloud-amd64") }, "initrd.img-6.1.0-50"},
	} {
		p, m := params(), programs(t)
		p.Loader, p.ID = UnifiedKernel, "debian"
		test.change(m)
		if _, err := UKI(t.Context(), p, m, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want one with %q", summary, err, test.want)
		}
	}
}
