package boot

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/digest"
	"ingot/internal/judge"
	"ingot/internal/tree"
)

func TestKernels(t *testing.T) {
	var entries []tree.Entry
	add := func(kind tree.Kind, paths ...string) {
		for _, p := range paths {
			e := tree.Entry{Path: p, Kind: kind}
			if kind == tree.File {
				e.Content.Digest = digest.Of(nil)
			}
			entries = append(entries, e)
		}
	}
	add(tree.Dir, "", "boot", "boot/vmlinuz-dir", "boot/vmlinuz-dir/x")
	add(tree.Symlink, "boot/vmlinuz-old", "vmlinuz")
	add(tree.File, "boot/vmlinuz-6.1.0-9-amd64", "boot/vmlinuz-6.1.0-10-amd64", "boot/vmlinuz-6.1.0-10-cloud-amd64", "boot/vmlinuz-6.12.107+deb13-amd64",
		"boot/vmlinuz-6.1.0-010-amd64", "boot/initrd.img-6.1.0-9-amd64", "boot/initrd.img-6.12.107+deb13-amd64", "boot/config-6.1.0-9-amd64")
	made, err := tree.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, k := range Kernels(made) {
		fmt.Fprintf(&got, "%s %s %s\n", k.Version, k.Image, k.Initrd)
	}
	want := `6.12.107+deb13-amd64 boot/vmlinuz-6.12.107+deb13-amd64 boot/initrd.img-6.12.107+deb13-amd64
6.1.0-10-cloud-amd64 boot/vmlinuz-6.1.0-10-cloud-amd64 
6.1.0-010-amd64 boot/vmlinuz-6.1.0-010-amd64 
6.1.0-10-amd64 boot/vmlinuz-6.1.0-10-amd64 
6.1.0-9-amd64 boot/vmlinuz-6.1.0-9-amd64 boot/initrd.img-6.1.0-9-amd64
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

var kernels = []Kernel{
	{"6.1.0-50-cloud-amd64", "boot/vmlinuz-6.1.0-50-cloud-amd64", "boot/initrd.img-6.1.0-50-cloud-amd64"},
	{"6.1.0-9-amd64", "boot/vmlinuz-6.1.0-9-amd64", ""},
}

func params() Params {
	return Params{Arch: "amd64", Places: Places{Root: "UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc", BootDir: "/boot", BootUUID: "9c2b3f30-2ed2-8679-99a3-30743c848fdc", BootDevice: "gpt3"}, Grows: true, Kernels: kernels, Title: "Debian GNU/Linux 12", Timeout: 1}
}

// text is the files as text: "path mode -> target" or "path mode" and content.
func text(files []File, prefix string) string {
	var b strings.Builder
	for _, f := range files {
		switch {
		case !strings.HasPrefix(f.Path, prefix):
		case f.Kind == tree.Symlink:
			fmt.Fprintf(&b, "%s -> %s\n", f.Path, f.Link)
		case f.Kind == tree.Dir:
			fmt.Fprintf(&b, "%s/ %o\n", f.Path, f.Mode)
		default:
			fmt.Fprintf(&b, "%s %o\n%s", f.Path, f.Mode, f.Data)
		}
	}
	return b.String()
}

func TestFiles(t *testing.T) {
	tests := []struct {
		summary string
		change  func(*Params)
		prefix  string
		want    string
	}{
		{"boot configuration", func(p *Params) { p.Arguments = []string{"quiet", "net.ifnames=0", "dyndbg=file x +p"} }, "boot/", `boot/grub/ 755
boot/grub/grub.cfg 644
# The menu of the first boot. update-grub writes its own over it.
set default=0
set timeout=1
if [ "$grub_platform" = pc ]; then
	serial --unit=0 --speed=115200
	terminal_input console serial
	terminal_output console serial
fi
menuentry 'Debian GNU/Linux 12' {
	linux /boot/vmlinuz-6.1.0-50-cloud-amd64 root=UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc ro console=tty0 console=ttyS0,115200 quiet net.ifnames=0 'dyndbg=file x +p'
	initrd /boot/initrd.img-6.1.0-50-cloud-amd64
}
menuentry 'Debian GNU/Linux 12, with Linux 6.1.0-9-amd64' {
	linux /boot/vmlinuz-6.1.0-9-amd64 root=UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc ro console=tty0 console=ttyS0,115200 quiet net.ifnames=0 'dyndbg=file x +p'
}
`},
		{"defaults", func(p *Params) { p.Arguments = []string{"quiet", "dyndbg=file x +p"}; p.Console = "ttyS1" }, "etc/default/grub.d/", `etc/default/grub.d/50-ingot.cfg 644
# What the image was built with; update-grub reads it.
GRUB_TIMEOUT=1
GRUB_CMDLINE_LINUX='console=tty0 console=ttyS1,115200 quiet '\''dyndbg=file x +p'\'''
GRUB_CMDLINE_LINUX_DEFAULT=
GRUB_TERMINAL='console serial'
GRUB_SERIAL_COMMAND='serial --unit=1 --speed=115200'
GRUB_DISABLE_OS_PROBER=true
`},
		{"the screen alone", func(p *Params) { p.Console = "tty0"; p.Kernels = kernels[:1]; p.Title = ""; p.Timeout = 0 }, "boot/grub/", `boot/grub/grub.cfg 644
# The menu of the first boot. update-grub writes its own over it.
set default=0
set timeout=0
menuentry Linux {
	linux /boot/vmlinuz-6.1.0-50-cloud-amd64 root=UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc ro console=tty0
	initrd /boot/initrd.img-6.1.0-50-cloud-amd64
}
`},
		{"hostile title", func(p *Params) { p.Title = "a'b\n}\"$x"; p.Kernels = kernels[1:]; p.Console = "hvc0" }, "boot/grub/", `boot/grub/grub.cfg 644
# The menu of the first boot. update-grub writes its own over it.
set default=0
set timeout=1
menuentry 'a'\''b }"$x' {
	linux /boot/vmlinuz-6.1.0-9-amd64 root=UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc ro console=tty0 console=hvc0
}
`},
		{"arm64", func(p *Params) { p.Arch = "arm64"; p.Kernels = kernels[1:] }, "boot/grub/", `boot/grub/grub.cfg 644
# The menu of the first boot. update-grub writes its own over it.
set default=0
set timeout=1
menuentry 'Debian GNU/Linux 12' {
	linux /boot/vmlinuz-6.1.0-9-amd64 root=UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc ro console=tty0 console=ttyAMA0,115200
}
`},
		{"the rest", func(*Params) {}, "etc/systemd", `etc/systemd/network/ 755
etc/systemd/network/80-dhcp.network 644
# Every Ethernet card gets its address by DHCP or router advertisement.
[Match]
Name=en* eth*

[Network]
DHCP=yes
etc/systemd/system/ 755
etc/systemd/system/dbus-org.freedesktop.network1.service -> /lib/systemd/system/systemd-networkd.service
etc/systemd/system/multi-user.target.wants/ 755
etc/systemd/system/multi-user.target.wants/systemd-networkd.service -> /lib/systemd/system/systemd-networkd.service
etc/systemd/system/network-online.target.wants/ 755
etc/systemd/system/network-online.target.wants/systemd-networkd-wait-online.service -> /lib/systemd/system/systemd-networkd-wait-online.service
etc/systemd/system/sockets.target.wants/ 755
etc/systemd/system/sockets.target.wants/systemd-networkd.socket -> /lib/systemd/system/systemd-networkd.socket
`},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			p := params()
			test.change(&p)
			files, err := Files(p)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, text(files, test.prefix)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			for _, f := range files {
				if err := tree.CheckPath(f.Path); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A shell reads the defaults, and GRUB's own checker the configuration, as they
// are meant.
func TestJudgesReadFiles(t *testing.T) {
	p := params()
	p.Arguments = []string{"a=b c'd", `quote="x y"`, "dollar=$HOME", `back\slash`, "semi;colon", "ümlaut"}
	p.Title = "it's; $(a) {title}"
	files, err := Files(p)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range files {
		if f.Kind == tree.File {
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(f.Path)), f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	// update-grub pastes the value into a line of GRUB's language, whose words
	// are a shell's for these.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `. ./50-ingot.cfg; eval "set -- $GRUB_CMDLINE_LINUX"; printf '<%s>\n' "$@"`)
	cmd.Dir, cmd.Env = dir, []string{"HOME=wrong"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := "<console=tty0>\n<console=ttyS0,115200>\n<" + strings.ReplaceAll(strings.Join(p.Arguments, ">\n<"), `"`, "") + ">\n"
	if d := cmp.Diff(want, string(out)); d != "" {
		t.Errorf("a shell reads (-want +got):\n%s", d)
	}
	judge.Run(t, "grub-script-check", filepath.Join(dir, "grub.cfg"))
}

func TestFilesRefuses(t *testing.T) {
	tests := []struct {
		summary string
		change  func(*Params)
		want    string
	}{
		{"no kernel", func(p *Params) { p.Kernels = nil }, "no kernel"},
		{"architecture", func(p *Params) { p.Arch = "mips" }, `architecture "mips"`},
		{"line break", func(p *Params) { p.Arguments = []string{"a\nb"} }, "control character"},
		{"empty argument", func(p *Params) { p.Arguments = []string{""} }, "is empty"},
		{"console", func(p *Params) { p.Console = "tty\x000" }, "control character"},
	}
	for _, test := range tests {
		p := params()
		test.change(&p)
		if _, err := Files(p); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want one with %q", test.summary, err, test.want)
		}
	}
}

func TestPackages(t *testing.T) {
	tests := []struct {
		r    PackageRequest
		want string
	}{
		{
			PackageRequest{Arch: "amd64", Release: "bookworm"},
			"linux-image-cloud-amd64 initramfs-tools zstd systemd-sysv udev dbus e2fsprogs login passwd grub2-common systemd-resolved grub-pc-bin grub-efi-amd64-bin",
		},
		{
			PackageRequest{Arch: "amd64", Release: "trixie", Firmware: []string{"uefi"}, Kernel: "linux-image-amd64"},
			"linux-image-amd64 initramfs-tools zstd systemd-sysv udev dbus e2fsprogs login passwd grub2-common systemd-resolved systemd-repart grub-efi-amd64-bin",
		},
		{
			PackageRequest{Arch: "amd64", Release: "bullseye", Firmware: []string{"uefi"}, Secure: true},
			"linux-image-cloud-amd64 initramfs-tools zstd systemd-sysv udev dbus e2fsprogs login passwd grub2-common grub-efi-amd64-bin shim-signed grub-efi-amd64-signed",
		},
		{
			PackageRequest{Arch: "amd64", Release: "trixie", Firmware: []string{"uefi"}, Loader: SDBoot},
			"linux-image-cloud-amd64 initramfs-tools zstd systemd-sysv udev dbus e2fsprogs login passwd systemd-boot systemd-resolved systemd-repart",
		},
		{
			PackageRequest{Arch: "arm64", Release: "bullseye"},
			"linux-image-cloud-arm64 initramfs-tools zstd systemd-sysv udev dbus e2fsprogs login passwd grub2-common grub-efi-arm64-bin",
		},
	}
	for _, test := range tests {
		got, err := Packages(test.r)
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%+v: %v, %v", test.r, got, err)
		}
	}
	if _, err := Packages(PackageRequest{Arch: "mips"}); err == nil {
		t.Error("mips has packages")
	}
}

// That the loader works is what the layout's boots judge; here is what it is
// made of.
func TestLoader(t *testing.T) {
	load := func(o LoaderOptions) Loader {
		t.Helper()
		l, err := MakeLoader(t.Context(), judge.Tools{T: t}, o)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	both := load(LoaderOptions{Arch: "amd64", Places: Places{BootDir: "/boot", BootDevice: "gpt3"}})
	code, core := both.At(1 << 20)
	plain, err := judge.Tools{T: t}.ReadFile("/usr/lib/grub/i386-pc/boot.img")
	if err != nil {
		t.Fatal(err)
	}
	var diff []string
	for i := range code {
		if code[i] != plain[i] {
			diff = append(diff, fmt.Sprintf("%x:%02x", i, code[i]))
		}
	}
	if got := strings.Join(diff, " "); got != "5c:00 5d:08 66:90 67:90" {
		t.Errorf("boot.img is changed at %s", got)
	}
	if at := binary.LittleEndian.Uint64(core[0x1F4:]); at != 2049 {
		t.Errorf("core.img goes on at sector %d, want 2049", at)
	}
	if n := both.CoreSize(); n != int64(len(core)) || n > 1<<20 {
		t.Errorf("core.img has %d bytes; %d were announced and 1 MiB is there", len(core), n)
	}
	if esp := both.ESP(); len(esp) != 1 || esp[0].Path != "EFI/BOOT/BOOTX64.EFI" || !bytes.HasPrefix(esp[0].Data, []byte("MZ")) {
		t.Errorf("the ESP holds %d files", len(esp))
	}
	if !bytes.Contains(both.ESP()[0].Data, []byte("(,gpt3)/boot/grub")) {
		t.Error("the UEFI program does not look on partition 3")
	}
	again := load(LoaderOptions{Arch: "amd64", Places: Places{BootDir: "/boot", BootDevice: "gpt3"}})
	if !bytes.Equal(again.core, both.core) || !reflect.DeepEqual(again.esp, both.esp) {
		t.Error("the same tools make another loader")
	}
	if uefi := load(LoaderOptions{Arch: "amd64", Places: Places{BootDir: "/boot", BootDevice: "gpt2"}, Firmware: []string{"uefi"}}); uefi.CoreSize() != 0 || len(uefi.ESP()) != 1 {
		t.Error("a loader for UEFI alone has a part for BIOS")
	}
	if bios := load(LoaderOptions{Arch: "amd64", Places: Places{BootDir: "/boot", BootDevice: "gpt2"}, Firmware: []string{"bios"}}); bios.CoreSize() == 0 || len(bios.ESP()) != 0 {
		t.Error("a loader for BIOS alone has a part for UEFI")
	}
	if code, core := (Loader{}).At(0); code != nil || core != nil {
		t.Error("a loader without BIOS has code for it")
	}
	for _, o := range []LoaderOptions{{Arch: "amd64"}, {Arch: "mips", Places: Places{BootDir: "/boot", BootDevice: "gpt1"}}} {
		if _, err := MakeLoader(t.Context(), judge.Tools{T: t}, o); err == nil {
			t.Errorf("%+v makes a loader", o)
		}
	}
}

// A GRUB that has the newest modules gets them built in.
func TestNewModules(t *testing.T) {
	for list, want := range map[string]bool{"bli: part_gpt\next2: fshelp\n": true, "ext2: fshelp\nlibbli: bli\n": false} {
		tools := &listed{list: list}
		if _, err := MakeLoader(t.Context(), tools, LoaderOptions{Arch: "arm64", Places: Places{BootDir: "/boot", BootDevice: "gpt2"}}); err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(tools.argv, "bli"); got != want {
			t.Errorf("modules %q: bli is asked for: %t", list, got)
		}
		if want := "grub-mkimage --format=arm64-efi --directory=/usr/lib/grub/arm64-efi --prefix=(,gpt2)/boot/grub --output=image"; strings.Join(tools.argv[:5], " ") != want {
			t.Errorf("it runs %q, want %s", tools.argv[:5], want)
		}
	}
}

// listed is a GRUB with a list of modules.
type listed struct {
	list string
	argv []string
}

func (l *listed) ReadFile(string) ([]byte, error) { return []byte(l.list), nil }

func (l *listed) Run(_ context.Context, argv []string, _ []byte, _ map[string][]byte, _ []string) (map[string][]byte, error) {
	l.argv = argv
	return map[string][]byte{"image": []byte("MZ")}, nil
}

// bad gives images that no GRUB has.
type bad struct{ boot, core []byte }

func (b bad) ReadFile(string) ([]byte, error) { return b.boot, nil }

func (b bad) Run(context.Context, []string, []byte, map[string][]byte, []string) (map[string][]byte, error) {
	return map[string][]byte{"image": b.core}, nil
}

func TestLoaderRefusesOtherImages(t *testing.T) {
	plain, err := judge.Tools{T: t}.ReadFile("/usr/lib/grub/i386-pc/boot.img")
	if err != nil {
		t.Fatal(err)
	}
	for _, tools := range []bad{{}, {boot: bytes.Repeat([]byte{1}, 512)}, {boot: plain}, {boot: plain, core: []byte("short")}, {boot: plain, core: bytes.Repeat([]byte{0}, 1024)}} {
		if _, err := MakeLoader(t.Context(), tools, LoaderOptions{Arch: "amd64", Places: Places{BootDir: "/boot", BootDevice: "gpt3"}}); err == nil {
			t.Errorf("images of %d and %d bytes are accepted", len(tools.boot), len(tools.core))
		}
	}
}

// What the signed GRUB reads, as GRUB's own checker and an eye see it; that it works
// is judged by a machine.
func TestSecure(t *testing.T) {
	read := func(path string) ([]byte, error) { return []byte("MZ " + path), nil }
	l, err := Loader{}.Secure(Signed{Arch: "amd64", Places: Places{Root: "UUID=01234567-89ab-cdef-0123-456789abcdef", BootDir: "/boot", BootUUID: "01234567-89ab-cdef-0123-456789abcdef", BootDevice: "gpt3"}, Read: read})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range l.ESP() {
		line, _, _ := strings.Cut(string(f.Data), "\n")
		fmt.Fprintf(&got, "%s: %s\n", f.Path, line)
	}
	want := `EFI/BOOT/BOOTX64.EFI: MZ usr/lib/shim/shimx64.efi.signed
EFI/BOOT/grubx64.efi: MZ usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed
EFI/BOOT/mmx64.efi: MZ usr/lib/shim/mmx64.efi.signed
EFI/debian/grub.cfg: # grub-install writes its own over this.
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("the ESP (-want +got):\n%s", d)
	}
	config := filepath.Join(t.TempDir(), "grub.cfg")
	if err := os.WriteFile(config, l.ESP()[3].Data, 0o600); err != nil {
		t.Fatal(err)
	}
	judge.Run(t, "grub-script-check", config)
	for _, bad := range []Signed{
		{Arch: "mips", Read: read},
		{Arch: "amd64", Read: func(string) ([]byte, error) { return nil, os.ErrNotExist }},
		{Arch: "amd64", Read: func(string) ([]byte, error) { return []byte("\x7fELF"), nil }},
	} {
		if _, err := (Loader{}).Secure(bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

func TestContainer(t *testing.T) {
	for release, want := range map[string]string{
		"bullseye": "systemd-sysv udev dbus login passwd",
		"bookworm": "systemd-sysv udev dbus login passwd systemd-resolved",
		"sid":      "systemd-sysv udev dbus login passwd systemd-resolved",
	} {
		if got := strings.Join(ContainerPackages(release), " "); got != want {
			t.Errorf("%s: packages are %q, want %q", release, got, want)
		}
	}
	// What a machine has of it is the same, and nothing in it boots or mounts.
	machine, err := Files(params())
	if err != nil {
		t.Fatal(err)
	}
	all := text(machine, "")
	for _, f := range ContainerFiles() {
		if one := text([]File{f}, ""); !strings.Contains(all, one) && f.Link != "/dev/null" {
			t.Errorf("a machine lacks\n%s", one)
		}
		for _, part := range []string{"boot", "fstab", "repart", "getty"} {
			if strings.Contains(f.Path, part) {
				t.Errorf("a container gets %s", f.Path)
			}
		}
	}
}

// GRUB gets what reads the file system with /boot, and the volume below it.
func TestModulesToReadBoot(t *testing.T) {
	for _, test := range []struct {
		places Places
		want   []string
	}{
		{Places{BootDevice: "gpt2"}, nil},
		{Places{BootDevice: "gpt2", BootType: "ext4", RootType: "xfs"}, nil},
		{Places{BootDevice: "gpt2", BootType: "xfs"}, []string{"xfs"}},
		{Places{BootVolume: "a/b", BootType: "xfs"}, []string{"lvm", "xfs"}},
	} {
		tools := &listed{}
		test.places.BootDir = "/boot"
		if _, err := MakeLoader(t.Context(), tools, LoaderOptions{Arch: "arm64", Places: test.places}); err != nil {
			t.Fatal(err)
		}
		for _, module := range []string{"lvm", "xfs"} {
			if got, want := slices.Contains(tools.argv, module), slices.Contains(test.want, module); got != want {
				t.Errorf("%+v: module %s is asked for: %t", test.places, module, got)
			}
		}
	}
}

func TestCommandLine(t *testing.T) {
	got, err := Params{Arch: "amd64", Arguments: []string{"quiet", `dyndbg="file x +p"`}}.CommandLine("root=UUID=1", "ro")
	if want := `root=UUID=1 ro console=tty0 console=ttyS0,115200 quiet dyndbg="file x +p"`; err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := (Params{Arch: "amd64", Arguments: []string{""}}).CommandLine(); err == nil {
		t.Error("an empty argument is taken")
	}
}

// A root on a subvolume is one for each loader.
func TestRootArguments(t *testing.T) {
	p := Places{Root: "UUID=1", BootType: "btrfs"}
	if got := strings.Join(p.Arguments(), " "); got != "root=UUID=1 ro" {
		t.Errorf("got %s", got)
	}
	p.RootFlags = "subvol=@"
	if got := strings.Join(p.Arguments(), " "); got != "root=UUID=1 ro rootflags=subvol=@" {
		t.Errorf("got %s", got)
	}
	if got := strings.Join(p.modules(), " "); got != "btrfs" {
		t.Errorf("modules %s", got)
	}
}
