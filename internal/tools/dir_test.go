package tools

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/cache"
	"ingot/internal/compiler"
	"ingot/internal/digest"
	"ingot/internal/distro/debian"
	"ingot/internal/distro/debian/debtest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/lock"
	"ingot/internal/store"
	"ingot/internal/supply"
	"ingot/internal/vm"
)

// loader stands in for the C library's: it runs what it is given, as a shell
// script.
const loader = `#!/bin/sh
[ "$1" = --library-path ] || exit 9
[ -z "$ROOT" ] || echo "libraries $2" | sed "s,$ROOT/,,g"
shift 2
if [ "$1" = --argv0 ]; then shift 2; fi
exec /bin/sh "$@"
`

// program is a file of mode 0755; its text may have several lines.
func program(path, text string) debtest.File {
	return debtest.File{Name: "./" + path, Mode: 0o755, Data: text}
}

// house is a Keeper without network but for an archive of the debs, and a set that
// is locked to them.
func house(t *testing.T, debs ...debtest.Deb) (*Keeper, Set, *debtest.Archive) {
	t.Helper()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	a := debtest.NewArchive(t, debtest.NewSigner(t, now))
	a.Offer(t, now, debs...)
	dir := t.TempDir()
	st, err := store.Open(filepath.Join(dir, "home"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(filepath.Join(dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	k := &Keeper{
		Home: filepath.Join(dir, "home"), Cache: c, Distro: debian.Debian{},
		Compiler: &compiler.Compiler{HostArch: "amd64", Offline: true},
		Supply: func(*lock.Lock) *supply.Supply {
			return &supply.Supply{Store: st, Cache: c, Client: &fetch.Client{Backoff: time.Millisecond}, Distro: debian.Debian{}, Mirrors: func(string) []string { return []string{a.URL} }}
		},
	}
	s := QEMU
	l := lock.Lock{
		Definition: digest.Of([]byte("set")), Request: digest.Of([]byte(Release + " " + strings.Join(s.Packages, " "))), Distro: "debian", Release: Release, Epoch: now.Unix(),
		Archives: []lock.Archive{{Name: "debian", URL: "http://archive.example/debian", Suites: []string{Release}, Components: []string{"main"}}},
	}
	for _, d := range debs {
		l.Tools = append(l.Tools, d.Ref("debian"))
	}
	if err := os.MkdirAll(filepath.Join(k.Home, "tools"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := lock.Write(filepath.Join(k.Home, "tools", s.Name+".lock"), l); err != nil {
		t.Fatal(err)
	}
	return k, s, a
}

// emulator are packages of a C library and a QEMU that says a version.
func emulator(says string) []debtest.Deb {
	return []debtest.Deb{
		{Name: "libc6", Arch: "amd64", Files: append(debtest.Files("dir lib/x86_64-linux-gnu\ndir lib64\nsymlink lib64/ld-linux-x86-64.so.2 /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2\nfile lib/x86_64-linux-gnu/libc.so.6 c"),
			program("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", loader))},
		{Name: "qemu", Arch: "amd64", Files: append(debtest.Files("dir usr/bin\ndir usr/sbin\nfile usr/lib/x86_64-linux-gnu/qemu/libmodule.so m\nfile usr/share/qemu/bios.bin b\nsymlink usr/bin/qemu-link qemu-system-x86_64"),
			program("usr/bin/qemu-system-x86_64", says), program("usr/sbin/mkfs", "echo made"))},
	}
}

func TestDir(t *testing.T) {
	k, s, a := house(t, emulator("echo hello $*")...)
	d, err := k.Dir(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if a.Asked() == 0 {
		t.Error("nothing was fetched")
	}
	// The loader of the tree runs the program.
	t.Setenv("ROOT", d.Path)
	for _, c := range []struct{ name, want string }{
		{"qemu-system-x86_64", "libraries usr/lib/x86_64-linux-gnu:usr/lib/x86_64-linux-gnu/qemu\nhello a b\n"},
		{"mkfs", "libraries usr/lib/x86_64-linux-gnu:usr/lib/x86_64-linux-gnu/qemu\nmade\n"},
		{"qemu-link", "libraries usr/lib/x86_64-linux-gnu:usr/lib/x86_64-linux-gnu/qemu\nhello a b\n"},
	} {
		argv, err := d.Program(c.name)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), argv[0], append(argv[1:], "a", "b")...).CombinedOutput()
		if err != nil || string(out) != c.want {
			t.Errorf("%s: %q, want %q; %v", c.name, out, c.want, err)
		}
	}
	if _, err := d.Program("nothing"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a program that is not there: %v", err)
	}
	a.Asked()
	again, err := k.Dir(t.Context(), s)
	if err != nil || again.Path != d.Path || a.Asked() != 0 {
		t.Errorf("again: %q %v", again.Path, err)
	}
}

func TestDirRefuses(t *testing.T) {
	for _, c := range []struct {
		summary string
		happens func(t *testing.T, k *Keeper, s *Set, a *debtest.Archive)
		debs    []debtest.Deb
		want    string
		code    fault.Code
	}{
		{"a lock of other packages, without network", func(_ *testing.T, _ *Keeper, s *Set, _ *debtest.Archive) { s.Packages = []string{"more"} },
			emulator(""), "tools qemu: choosing packages needs", fault.Unreachable},
		{"no lock, without network", func(_ *testing.T, _ *Keeper, s *Set, _ *debtest.Archive) { s.Name = "other" },
			emulator(""), "tools other: choosing packages needs", fault.Unreachable},
		{"a damaged lock", func(t *testing.T, k *Keeper, _ *Set, _ *debtest.Archive) {
			if err := os.Truncate(filepath.Join(k.Home, "tools/qemu.lock"), 100); err != nil {
				t.Fatal(err)
			}
		}, emulator(""), "tools/qemu.lock", fault.Verification},
		{"a package that is another one", func(_ *testing.T, _ *Keeper, _ *Set, a *debtest.Archive) {
			a.Change(emulator("")[1].Ref("").Location, func(b []byte) []byte { b[100] ^= 1; return b })
		}, emulator(""), "qemu", fault.Verification},
		{"packages that bring one file", func(*testing.T, *Keeper, *Set, *debtest.Archive) {}, append(emulator(""), debtest.Deb{Name: "zz", Arch: "amd64", Files: debtest.Files("file usr/sbin/mkfs x")}),
			"packages qemu and zz both bring /usr/sbin/mkfs", fault.Choice},
		{"no C library", func(*testing.T, *Keeper, *Set, *debtest.Archive) {}, emulator("")[1:], "has no dynamic loader", fault.Failed},
	} {
		t.Run(c.summary, func(t *testing.T) {
			k, s, a := house(t, c.debs...)
			c.happens(t, k, &s, a)
			_, err := k.Dir(t.Context(), s)
			if err == nil || !strings.Contains(err.Error(), c.want) || fault.CodeOf(err) != c.code {
				t.Errorf("error is %v with code %d, want %q and %d", err, fault.CodeOf(err), c.want, c.code)
			}
		})
	}
}

func TestEmulator(t *testing.T) {
	for _, c := range []struct {
		summary, says, arch string
		version             string
		err                 string
		code                fault.Code
	}{
		{"as it is", "echo 'QEMU emulator version 10.0.3 (Debian 1:10.0.3)'", "amd64", "10.0.3", "", 0},
		{"another architecture", "", "arm64", "", `no emulator for architecture "arm64"`, fault.Preflight},
		{"it says nothing", "", "amd64", "", "does not say its version", fault.Failed},
		{"it fails", "echo no >&2; exit 3", "amd64", "", "QEMU of the tools tree does not run: exit status 3", fault.Failed},
	} {
		t.Run(c.summary, func(t *testing.T) {
			k, _, _ := house(t, emulator(c.says)...)
			e, err := k.Machines().Emulator(t.Context(), vm.Need{Arch: c.arch})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || fault.CodeOf(err) != c.code {
					t.Errorf("error is %v with code %d", err, fault.CodeOf(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if e.Version != c.version || filepath.Base(e.Path) != "qemu-system-x86_64" || len(e.Env) != 1 || !strings.HasSuffix(e.Env[0], "usr/lib/x86_64-linux-gnu/qemu") {
				t.Errorf("got %+v", e)
			}
			f, err := e.Open("usr/share/qemu/bios.bin")
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
		})
	}
}

// binary64 is an ELF file, with a loader or without.
func binary64(dynamic bool) string {
	header := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	part := elf.Prog64{Type: uint32(elf.PT_LOAD)}
	if dynamic {
		part.Type = uint32(elf.PT_INTERP)
	}
	var b strings.Builder
	_ = binary.Write(&b, binary.LittleEndian, header)
	_ = binary.Write(&b, binary.LittleEndian, part)
	return b.String()
}

func TestWrappers(t *testing.T) {
	debs := append(emulator(""), debtest.Deb{Name: "zz", Arch: "amd64", Files: append(debtest.Files("dir usr/bin\ndir usr/sbin"),
		program("usr/bin/dynamic", binary64(true)), program("usr/sbin/static", binary64(false)), program("usr/bin/it's", binary64(false)), program("usr/bin/script", "#!/bin/sh\n"))})
	k, s, _ := house(t, debs...)
	d, err := k.Dir(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		dir, err := d.Wrappers()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		names, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			text, err := os.ReadFile(filepath.Join(dir, n.Name()))
			if err != nil {
				t.Fatal(err)
			}
			got[n.Name()] = strings.ReplaceAll(string(text), d.Path, "TREE")
		}
		want := map[string]string{
			".whole":  "",
			"dynamic": "#!/bin/sh\nexec 'TREE/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2' '--library-path' 'TREE/usr/lib/x86_64-linux-gnu:TREE/usr/lib/x86_64-linux-gnu/qemu' '--argv0' 'dynamic' 'TREE/usr/bin/dynamic' \"$@\"\n",
			"static":  "#!/bin/sh\nexec 'TREE/usr/sbin/static' \"$@\"\n",
			"it's":    "#!/bin/sh\nexec 'TREE/usr/bin/it'\\''s' \"$@\"\n",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
