package layout_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/boot"
	"ingot/internal/digest"
	"ingot/internal/disk"
	"ingot/internal/ext4"
	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/layout"
	"ingot/internal/qcow2"
	"ingot/internal/tree"
)

var identity = digest.Of([]byte("a lock"))

func resolve(t testing.TB, arch string, firmware ...string) layout.Resolved {
	t.Helper()
	r, err := layout.Resolve(layout.Params{Name: "hybrid", Arch: arch, Firmware: firmware, Identity: identity})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestResolveAndFit(t *testing.T) {
	tests := []struct {
		summary  string
		arch     string
		firmware []string
		sizes    map[layout.Role]int64
		want     string
	}{
		{"both firmwares", "amd64", nil, map[layout.Role]int64{layout.Root: 700<<20 + 1}, `
hybrid  GPT disk  768.0 MiB  4241a48d-050c-89e3-bfac-f35249d886f0
├─ 1 bios     1.0 MiB at    1.0 MiB  boot loader
├─ 2 esp     64.0 MiB at    2.0 MiB  vfat /boot/efi   2BC3-BFA1
└─ 3 root   701.0 MiB at   66.0 MiB  ext4 /           9c2b3f30-2ed2-8679-99a3-30743c848fdc grows

# file system, mount point, type, options, dump, pass
UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc / ext4 errors=remount-ro,x-systemd.growfs 0 1
UUID=2BC3-BFA1 /boot/efi vfat umask=0077,nofail,x-systemd.automount,x-systemd.idle-timeout=1min 0 0
`},
		{"UEFI alone, a large ESP", "amd64", []string{"uefi"}, map[layout.Role]int64{layout.Root: 20 << 30, layout.ESP: 100 << 20}, `
hybrid  GPT disk  20.1 GiB  4241a48d-050c-89e3-bfac-f35249d886f0
├─ 1 esp    100.0 MiB at    1.0 MiB  vfat /boot/efi   2BC3-BFA1
└─ 2 root    20.0 GiB at  101.0 MiB  ext4 /           9c2b3f30-2ed2-8679-99a3-30743c848fdc grows

# file system, mount point, type, options, dump, pass
UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc / ext4 errors=remount-ro,x-systemd.growfs 0 1
UUID=2BC3-BFA1 /boot/efi vfat umask=0077,nofail,x-systemd.automount,x-systemd.idle-timeout=1min 0 0
`},
		{"BIOS alone", "amd64", []string{"bios"}, map[layout.Role]int64{layout.Root: 1}, `
hybrid  GPT disk  4.0 MiB  4241a48d-050c-89e3-bfac-f35249d886f0
├─ 1 bios     1.0 MiB at    1.0 MiB  boot loader
└─ 2 root     1.0 MiB at    2.0 MiB  ext4 /           9c2b3f30-2ed2-8679-99a3-30743c848fdc grows

# file system, mount point, type, options, dump, pass
UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc / ext4 errors=remount-ro,x-systemd.growfs 0 1
`},
		{"arm64 has no BIOS", "arm64", []string{"bios", "uefi"}, map[layout.Role]int64{layout.Root: 1}, `
hybrid  GPT disk  67.0 MiB  4241a48d-050c-89e3-bfac-f35249d886f0
├─ 1 esp     64.0 MiB at    1.0 MiB  vfat /boot/efi   2BC3-BFA1
└─ 2 root     1.0 MiB at   65.0 MiB  ext4 /           9c2b3f30-2ed2-8679-99a3-30743c848fdc grows

# file system, mount point, type, options, dump, pass
UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc / ext4 errors=remount-ro,x-systemd.growfs 0 1
UUID=2BC3-BFA1 /boot/efi vfat umask=0077,nofail,x-systemd.automount,x-systemd.idle-timeout=1min 0 0
`},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			r := resolve(t, test.arch, test.firmware...)
			f, err := r.Fit(test.sizes)
			if err != nil {
				t.Fatal(err)
			}
			got := "\n" + f.Show() + "\n" + r.Fstab()
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("(-want +got):\n%s\n%s", d, got)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	tests := []struct {
		p    layout.Params
		want string
	}{
		{layout.Params{Name: "hybird", Arch: "amd64"}, `no layout is called "hybird"`},
		{layout.Params{Arch: "mips"}, `architecture "mips" is not one that ingot can make bootable`},
		{layout.Params{Arch: "arm64", Firmware: []string{"bios"}}, `arm64 has no firmware of ["bios"]`},
	}
	for _, test := range tests {
		_, err := layout.Resolve(test.p)
		if err == nil || !strings.Contains(err.Error(), test.want) || fault.CodeOf(err) != fault.Definition {
			t.Errorf("%+v gives %v, want a definition's fault with %q", test.p, err, test.want)
		}
	}
	r := resolve(t, "amd64")
	if _, err := r.Fit(nil); err == nil {
		t.Error("a root of no size is fitted")
	}
	f, err := r.Fit(map[layout.Role]int64{layout.Root: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := layout.Compose(f, map[layout.Role]layout.Content{layout.BIOSBoot: make(layout.Bytes, 1<<20+1)}, nil); err == nil {
		t.Error("a content larger than its partition is composed")
	}
}

// All identities of two locks differ, and none depends on the other partitions.
func TestIdentities(t *testing.T) {
	a := resolve(t, "amd64")
	b, err := layout.Resolve(layout.Params{Arch: "amd64", Identity: digest.Of([]byte("another lock"))})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range []layout.Resolved{a, b} {
		ids := []string{r.GUID.String()}
		for _, p := range r.Partitions {
			ids = append(ids, p.GUID.String())
			if p.Format != "" {
				ids = append(ids, p.UUID())
			}
		}
		for _, id := range ids {
			if seen[id] {
				t.Errorf("%s is there twice", id)
			}
			seen[id] = true
		}
	}
	if one, other := a.Root(), resolve(t, "amd64", "uefi").Root(); one.GUID != other.GUID || one.UUID() != other.UUID() {
		t.Errorf("the root's identities depend on the firmware")
	}
}

// smallImage is a whole disk with a small tree.
func smallImage(t testing.TB) *layout.Image {
	t.Helper()
	p := newPack(t)
	var entries []tree.Entry
	for _, dir := range []string{"", "boot", "boot/grub", "etc"} {
		entries = append(entries, tree.Entry{Path: dir, Kind: tree.Dir, Mode: 0o755})
	}
	for i := range 300 {
		c, err := p.add(io.LimitReader(strings.NewReader(strings.Repeat(fmt.Sprintf("file %d ", i), 20000)), int64(i)*300))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, tree.Entry{Path: fmt.Sprintf("etc/file%d", i), Kind: tree.File, Mode: 0o644, Content: c})
	}
	made, err := tree.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	r := resolve(t, "amd64")
	fs, err := ext4.Plan(made, ext4.Options{UUID: r.Root().FSID, HashSeed: r.Derive("hash seed"), Label: r.Root().Label, Epoch: 1700000000, Free: 20 << 20})
	if err != nil {
		t.Fatal(err)
	}
	loader, err := boot.MakeLoader(t.Context(), judge.Tools{T: t}, boot.LoaderOptions{Arch: "amd64", RootPartition: r.Root().Number})
	if err != nil {
		t.Fatal(err)
	}
	im, err := r.Bootable(layout.Ext4(fs, p.reader(t)), loader, 1700000000)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// writeRaw and writeQcow2 give the path of the disk in a file.
func writeRaw(t testing.TB, im *layout.Image) string {
	t.Helper()
	return writeImage(t, im, func(f *os.File) (disk.Image, error) { return disk.NewRaw(f, im.Size()) })
}

func writeQcow2(t testing.TB, im *layout.Image, c qcow2.Compression) string {
	t.Helper()
	return writeImage(t, im, func(f *os.File) (disk.Image, error) {
		return qcow2.Create(f, im.Size(), im.Extents(), qcow2.Options{Compression: c})
	})
}

func writeImage(t testing.TB, im *layout.Image, create func(*os.File) (disk.Image, error)) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := create(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{im.Write(t.Context(), d), d.Finish(t.Context()), f.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

// carve copies a partition out of a raw disk.
func carve(t testing.TB, path string, at disk.Extent) string {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() //nolint:errcheck // only read
	out, err := os.Create(filepath.Join(t.TempDir(), "part"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, io.NewSectionReader(in, at.Off, at.Len)); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

func TestJudgesAcceptImage(t *testing.T) {
	im := smallImage(t)
	raw := writeRaw(t, im)
	if out := judge.Run(t, "sgdisk", "-v", raw); !strings.Contains(out, "No problems found.") {
		t.Errorf("sgdisk -v: %s", out)
	}
	table := judge.Run(t, "sfdisk", "-o", "Device,Start,Sectors,Type,Name", "-q", "-l", raw)
	want := `Device Start Sectors Type Name
1 2048 2048 BIOS boot bios
2 4096 131072 EFI System esp
3 135168 86016 Linux root (x86-64) root
`
	var got strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(table, raw, "")) {
		got.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("sfdisk lists (-want +got):\n%s", d)
	}
	esp := carve(t, raw, im.Place(layout.ESP))
	if out := judge.Run(t, "fsck.vfat", "-n", esp); strings.Count(out, "\n") != 2 {
		t.Errorf("fsck.vfat: %s", out)
	}
	root := carve(t, raw, im.Place(layout.Root))
	judge.Run(t, "e2fsck", "-fn", root)
	for path, id := range map[string]string{esp: "2BC3-BFA1 vfat ESP", root: "9c2b3f30-2ed2-8679-99a3-30743c848fdc ext4 root"} {
		tags := map[string]string{}
		for line := range strings.Lines(judge.Run(t, "blkid", "-p", "-o", "export", path)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			tags[key] = value
		}
		if got := tags["UUID"] + " " + tags["TYPE"] + " " + tags["LABEL"]; got != id {
			t.Errorf("blkid sees %q, want %q", got, id)
		}
	}
	for _, c := range []qcow2.Compression{qcow2.None, qcow2.Zlib, qcow2.Zstd} {
		path := writeQcow2(t, im, c)
		judge.Run(t, "qemu-img", "check", path)
		judge.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, path)
	}
}

func TestSameBytes(t *testing.T) {
	a, b := smallImage(t), smallImage(t)
	for name, write := range map[string]func(*layout.Image) string{
		"raw":   func(im *layout.Image) string { return writeRaw(t, im) },
		"qcow2": func(im *layout.Image) string { return writeQcow2(t, im, qcow2.None) },
		"zstd":  func(im *layout.Image) string { return writeQcow2(t, im, qcow2.Zstd) },
	} {
		one, err := os.ReadFile(write(a))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(write(b))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, other) {
			t.Errorf("%s: two images of the same parts differ", name)
		}
	}
}

// BenchmarkImage writes a Debian tree: INGOT_TEST_TREES names the directory
// with a bookworm.tar.
func BenchmarkImage(b *testing.B) {
	dir := os.Getenv("INGOT_TEST_TREES")
	if dir == "" {
		b.Skip("needs a tree: set INGOT_TEST_TREES to a directory with bookworm.tar")
	}
	p := newPack(b)
	made := p.readTar(b, filepath.Join(dir, "bookworm.tar"))
	r := resolve(b, "amd64")
	loader, err := boot.MakeLoader(b.Context(), judge.Tools{T: b}, boot.LoaderOptions{Arch: "amd64", RootPartition: r.Root().Number})
	if err != nil {
		b.Fatal(err)
	}
	plan := func() *layout.Image {
		fs, err := ext4.Plan(made, ext4.Options{UUID: r.Root().FSID, HashSeed: r.Derive("hash seed"), Free: 1 << 30})
		if err != nil {
			b.Fatal(err)
		}
		im, err := r.Bootable(layout.Ext4(fs, p.reader(b)), loader, 0)
		if err != nil {
			b.Fatal(err)
		}
		return im
	}
	b.Run("raw", func(b *testing.B) {
		for b.Loop() {
			writeRaw(b, plan())
		}
	})
	for name, c := range map[string]qcow2.Compression{"qcow2": qcow2.None, "zlib": qcow2.Zlib, "zstd": qcow2.Zstd} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				writeQcow2(b, plan(), c)
			}
		})
	}
}
