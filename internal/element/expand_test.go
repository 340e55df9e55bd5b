package element

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/fault"
)

// upstreamElements are those of diskimage-builder's own tests of dependencies.
const upstreamElements = `
	requires-foo/element-deps = foo
	foo/element-provides = operating-system
	requires-requires-foo/element-deps = requires-foo
	self/element-deps = self
	provides_virtual/element-provides = virtual
	also_provides_virtual/element-provides = virtual
	requires_virtual/element-deps = virtual
	requires_virtual/element-provides = operating-system
	virtual/element-deps = extra_dependency
	extra_dependency/
	circular1/element-deps = circular2
	circular1/element-provides = operating-system
	circular2/element-deps = circular1
	provides_new_virtual/element-provides = new_virtual\noperating-system
	requires_new_virtual/element-deps = new_virtual
	override_element/README.rst
`

func TestExpandAsUpstream(t *testing.T) {
	p := open(t, elements(t, "override", "override_element/README.rst\n"), elements(t, "first", upstreamElements))
	for _, row := range []struct{ name, asked, want, err string }{
		{"not transitive", "requires-foo", "foo requires-foo", ""},
		{"missing", "fake", "", `there is no element "fake"`},
		{"transitive", "requires-requires-foo", "foo requires-foo requires-requires-foo", ""},
		{"no dependencies", "foo", "foo", ""},
		{"of itself", "self foo", "foo self", ""},
		{"a circle", "circular1", "circular1 circular2", ""},
		{"provided", "provides_virtual requires_virtual", "provides_virtual requires_virtual", ""},
		{"provided, the other way round", "requires_virtual provides_virtual", "provides_virtual requires_virtual", ""},
		{"not provided, so the element", "requires_virtual", "extra_dependency requires_virtual virtual", ""},
		{"named and provided", "virtual provides_virtual foo", "", "virtual is already provided by provides_virtual"},
		{"provided later", "requires_new_virtual provides_new_virtual", "provides_new_virtual requires_new_virtual", ""},
		{"provided twice", "provides_virtual also_provides_virtual", "", "provides_virtual and also_provides_virtual both provide virtual"},
		{"no operating system", "provides_virtual", "", "no element of provides_virtual provides an operating system"},
		{"an operating system named", "circular1 operating-system", "", "operating-system is already provided by circular1"},
		{"overridden", "override_element foo", "foo override_element", ""},
		{"named twice", "foo foo", "foo", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := Expand(p, strings.Fields(row.asked), Options{SkipBase: true})
			wantFault(t, err, fault.Definition, row.err)
			if got := strings.Join(s.Names(), " "); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
			if e := s.Get("override_element"); e != nil && (e.Source != "override" || len(e.Hidden) != 1) {
				t.Errorf("got the one of %s, which hides %d", e.Source, len(e.Hidden))
			}
		})
	}
}

// What is given is needed from no element, and comes from one all the same where one has it.
func TestExpandGiven(t *testing.T) {
	p := open(t, elements(t, "e", `
		vm/element-deps = block-device\nbootloader
		block-device-efi/element-provides = block-device
		bootloader/element-deps = grub
		grub/
		wants/element-deps = operating-system
		os/element-provides = operating-system
`))
	for _, row := range []struct{ name, asked, want, device, err string }{
		{"nothing but what needs it", "vm wants", "vm wants", "the build", ""},
		{"an element has it", "vm block-device-efi", "block-device-efi vm", "block-device-efi", ""},
		{"named", "bootloader", "", "", "bootloader is already provided by the build"},
		{"an operating system", "os", "os", "the build", ""}, // for whom it is too much says so
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := Expand(p, strings.Fields(row.asked), Options{SkipBase: true, Arch: "amd64", Given: []string{"operating-system", "block-device", "bootloader"}, By: "the build"})
			wantFault(t, err, fault.Definition, row.err)
			if got := strings.Join(s.Names(), " "); got != row.want || s.Provided["block-device"] != row.device {
				t.Errorf("got %s, a disk by %q; want %s, by %q", got, s.Provided["block-device"], row.want, row.device)
			}
		})
	}
}

func TestExpandOptions(t *testing.T) {
	p := open(t, elements(t, "e", `
		base/element-deps = tool
		tool/
		os/element-provides = operating-system
		vm/element-deps = block-device
		block-device-mbr/element-provides = block-device
		block-device-efi/element-provides = block-device
		block-device-gpt/element-provides = block-device
		ramdisk/element-deps = no-final-image
		no-final-image/
		late/element-deps = anything\nzz
		zz/element-provides = anything
		commented/element-deps = # tools\ntool
		near/element-deps = tol
	`))
	for _, row := range []struct {
		name, asked string
		o           Options
		want, err   string
	}{
		{"base", "os", Options{}, "base os tool", ""},
		{"without base", "os", Options{SkipBase: true}, "os", ""},
		{"vm on amd64", "os vm", Options{Arch: "amd64"}, "base block-device-mbr os tool vm", ""},
		{"vm on arm64", "os vm", Options{Arch: "arm64"}, "base block-device-efi os tool vm", ""},
		{"vm on aarch64", "os vm", Options{Arch: "aarch64", SkipBase: true}, "block-device-efi os vm", ""},
		{"vm with a device", "os vm block-device-gpt", Options{Arch: "amd64", SkipBase: true}, "block-device-gpt os vm", ""},
		{"ramdisk", "os", Options{Ramdisk: "ramdisk", SkipBase: true}, "no-final-image os ramdisk", ""},
		{"another ramdisk", "os", Options{Ramdisk: "tool", SkipBase: true}, "os tool", ""},
		{"a name that is provided after it was needed", "os late", Options{SkipBase: true}, "late os zz", ""},
		{"no operating system needed", "tool", Options{SkipBase: true, AnyOS: true}, "tool", ""},
		{"a comment", "os commented", Options{SkipBase: true}, "", `there is no element "# tools", which commented needs (e/commented/element-deps:1) | element-deps and element-provides have no comments`},
		{"a misspelt name", "os near", Options{SkipBase: true}, "", `did you mean "tool"? searched e`},
		{"vm's device is virtual", "os block-device", Options{SkipBase: true}, "", `there is no element "block-device"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := Expand(p, strings.Fields(row.asked), row.o)
			wantFault(t, err, fault.Definition, row.err)
			if got := strings.Join(s.Names(), " "); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
			if s.NoFinalImage() != strings.Contains(row.want, "no-final") || s.EFI() != strings.Contains(row.want, "efi") {
				t.Errorf("no final image: %v, EFI: %v", s.NoFinalImage(), s.EFI())
			}
		})
	}
}

func TestDirectories(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{"one/a", "one/b", "two/b", "elsewhere/real-name"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for at, text := range map[string]string{"one/README": "", "two/b/element-deps": "\r\n  a  \r\n\nreal-name"} {
		if err := os.WriteFile(filepath.Join(top, at), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"two/linked": "../elsewhere/real-name", "two/nowhere": "none", "one/again": "a"} {
		if err := os.Symlink(target, filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(top, name) }
	p := open(t, Dirs(in("two")+"::"+in("one")+":"+in("two")+":"+in("one"))...)
	if got := strings.Join(p.Names(), " "); got != "a b real-name" {
		t.Errorf("names: %s", got)
	}
	b, err := p.Load("b")
	if err != nil || b.Dir != in("two/b") || len(b.Hidden) != 1 || b.Hidden[0].Dir != in("one/b") {
		t.Errorf("b: %+v, %v", b, err)
	}
	if len(b.Deps) != 2 || b.Deps[0] != (Word{"a", in("two/b/element-deps"), 2}) || b.Deps[1].Line != 4 {
		t.Errorf("dependencies: %+v", b.Deps)
	}
	for _, row := range []struct{ dir, err string }{
		{in("none"), "is not a directory: no such file or directory"},
		{in("one/README"), "is not a directory: not a directory"},
	} {
		_, err := Open(Dir(row.dir))
		wantFault(t, err, fault.Definition, row.err)
	}
}
