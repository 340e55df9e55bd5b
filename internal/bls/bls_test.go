package bls_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ingot/internal/bls"
	"ingot/internal/fault"
	"ingot/internal/host"
)

// layers have a kernel and an initramfs each.
type layers struct {
	dir       string
	arguments string
}

func (l layers) Start(_ context.Context, layer host.Name) (bls.Start, error) {
	linux, err := os.Open(filepath.Join(l.dir, "linux"))
	if err != nil {
		return bls.Start{}, err
	}
	initrd, err := os.Open(filepath.Join(l.dir, "initrd"))
	return bls.Start{Linux: linux, Initrd: initrd, Arguments: "root=/dev/hv/" + layer.String() + " rw " + l.arguments, Title: "Debian", Close: func() error {
		return errors.Join(linux.Close(), initrd.Close())
	}}, err
}

func name(t *testing.T, text string) host.Name {
	t.Helper()
	n, err := host.ParseName(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// partition is a boot partition with systemd-boot.
func partition(t *testing.T, arguments string) *bls.Partition {
	t.Helper()
	dir, kernels := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{
		filepath.Join(dir, "EFI/systemd/systemd-bootx64.efi"):     "MZ",
		filepath.Join(dir, "loader/entries/debian-6.1.conf"):      "title Debian\nlinux /debian/6.1/linux\n",
		filepath.Join(dir, "loader/entries/ingot-of-others.conf"): "linux /x\n",
		filepath.Join(dir, "ingot/nothing of ours/linux"):         "x",
		filepath.Join(kernels, "linux"):                           strings.Repeat("kernel", 1000),
		filepath.Join(kernels, "initrd"):                          "initrd",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := bls.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	p.Layers, p.MachineID = layers{kernels, arguments}, "0123456789abcdef0123456789abcdef"
	return p
}

// observe is what the partition tells.
func observe(t *testing.T, p *bls.Partition) host.State {
	t.Helper()
	var s host.State
	if err := p.Observe(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSteps does the boot partition's steps, and each a second time: what is seen then is what
// the engine says.
func TestSteps(t *testing.T) {
	p := partition(t, "console=ttyS0")
	one, two := name(t, "Base-1-0+1"), name(t, "Base-2-0+12")
	counted := host.Entry{Seq: 2, Layer: two, Counted: true, Left: 3}
	want := observe(t, p)
	if !want.Loader || want.BootDir != p.Dir || want.Boot.Size == 0 || len(want.Entries)+len(want.Kernels)+len(want.Litter) > 0 {
		t.Fatalf("at first: %+v", want)
	}
	for _, step := range []host.Step{
		{Do: host.Copy, Name: one}, {Do: host.Enter, Entry: host.Entry{Seq: 1, Layer: one}},
		{Do: host.Copy, Name: two}, {Do: host.Enter, Entry: counted},
		{Do: host.Enter, Entry: host.Entry{Seq: 2, Layer: two}}, {Do: host.Leave, Entry: counted},
		{Do: host.Enter, Entry: host.Entry{Seq: 10, Layer: one}},
		{Do: host.Leave, Entry: host.Entry{Seq: 2, Layer: two}}, {Do: host.Drop, Name: two}, {Do: host.Sweep},
	} {
		want = want.After(step)
		for range 2 {
			if err := p.Do(t.Context(), step); err != nil {
				t.Fatalf("%s: %v", step, err)
			}
			got := observe(t, p)
			got.Boot = want.Boot
			if fmt.Sprint(got.Entries, got.Kernels, got.Litter) != fmt.Sprint(want.Entries, want.Kernels, want.Litter) {
				t.Fatalf("after %s: %+v and not %+v", step, got, want)
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(p.Dir, "loader/entries/ingot-10.conf"))
	if got, want := string(data), `linux      /ingot/Base-1-0+1/linux
initrd     /ingot/Base-1-0+1/initrd
title      Base-1-0+1 (Debian)
sort-key   00-ingot
machine-id 0123456789abcdef0123456789abcdef
version    10
options    root=/dev/hv/Base-1-0+1 rw console=ttyS0
`; err != nil || got != want {
		t.Errorf("the entry is\n%s(%v) and not\n%s", got, err, want)
	}
}

// TestCounted has what a firmware leaves of a counted entry: its name, with other numbers.
func TestCounted(t *testing.T) {
	p := partition(t, "")
	one := name(t, "Base-1-0+1")
	e := host.Entry{Seq: 7, Layer: one, Counted: true, Left: 3}
	for _, step := range []host.Step{{Do: host.Copy, Name: one}, {Do: host.Enter, Entry: e}} {
		if err := p.Do(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
	was := filepath.Join(p.Dir, "loader/entries/ingot-7+3.conf")
	data, err := os.ReadFile(was)
	if err != nil || !strings.Contains(string(data), " panic=10\n") {
		t.Fatalf("%q, %v", data, err)
	}
	if err := os.Rename(was, filepath.Join(p.Dir, "loader/entries/INGOT-7+0-3.CONF")); err != nil {
		t.Fatal(err)
	}
	if got, want := observe(t, p).Entries, []host.Entry{{Seq: 7, Layer: one, Counted: true, Done: 3}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v and not %+v", got, want)
	}
}

// TestTorn has an entry as a power cut may leave it, at each of its writes: it is no entry until
// the last of them, to the loader neither, and repairable.
func TestTorn(t *testing.T) {
	p := partition(t, strings.Repeat("argument=of-some-length ", 80)) // three sectors
	one := name(t, "Base-1-0+1")
	e := host.Entry{Seq: 3, Layer: one, Counted: true, Left: 3}
	enter := host.Step{Do: host.Enter, Entry: e}
	for _, step := range []host.Step{{Do: host.Copy, Name: one}, enter} {
		if err := p.Do(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(p.Dir, "loader/entries/ingot-3+3.conf")
	whole, err := os.ReadFile(path)
	if err != nil || len(whole) < 1024 {
		t.Fatal(len(whole), err)
	}
	blank := []byte(strings.Repeat("\n", len(whole)))
	for i, torn := range [][]byte{nil, blank[:1], blank, append(append([]byte{}, blank[:512]...), whole[512:]...), append(append([]byte{}, blank[:1024]...), whole[1024:]...)} {
		if err := os.WriteFile(path, torn, 0o644); err != nil {
			t.Fatal(err)
		}
		s := observe(t, p)
		if len(s.Entries) > 0 || len(s.Litter) != 1 || strings.Contains(string(torn), "linux ") {
			t.Errorf("torn %d: %+v, %q", i, s.Entries, s.Litter)
		}
		if i%2 == 0 {
			if err := p.Do(t.Context(), host.Step{Do: host.Sweep}); err != nil {
				t.Fatal(err)
			}
			if s := observe(t, p); len(s.Litter) > 0 {
				t.Errorf("torn %d: %q is left", i, s.Litter)
			}
		}
		if err := p.Do(t.Context(), enter); err != nil {
			t.Fatalf("torn %d, again: %v", i, err)
		}
		if again, err := os.ReadFile(path); err != nil || string(again) != string(whole) {
			t.Errorf("torn %d: written anew it is %q, %v", i, again, err)
		}
	}
}

// TestKernels finds what is missing of a layer's files, or is not what was written.
func TestKernels(t *testing.T) {
	one := name(t, "Base-1-0+1")
	for what, spoil := range map[string]func(dir string) error{
		"a list that breaks off":  func(dir string) error { return os.Truncate(filepath.Join(dir, "files"), 100) },
		"no list":                 func(dir string) error { return os.Remove(filepath.Join(dir, "files")) },
		"a short kernel":          func(dir string) error { return os.Truncate(filepath.Join(dir, "linux"), 10) },
		"no initramfs":            func(dir string) error { return os.Remove(filepath.Join(dir, "initrd")) },
		"another initramfs, deep": func(dir string) error { return os.WriteFile(filepath.Join(dir, "initrd"), []byte("INITRD"), 0o644) },
	} {
		p := partition(t, "")
		p.Deep = strings.HasSuffix(what, "deep")
		copied := host.Step{Do: host.Copy, Name: one}
		if err := p.Do(t.Context(), copied); err != nil {
			t.Fatal(err)
		}
		if s := observe(t, p); !reflect.DeepEqual(s.Kernels, []host.Kernel{{Layer: one, Whole: true}}) {
			t.Fatalf("%+v", s.Kernels)
		}
		if err := spoil(filepath.Join(p.Dir, "ingot/Base-1-0+1")); err != nil {
			t.Fatal(err)
		}
		if s := observe(t, p); !reflect.DeepEqual(s.Kernels, []host.Kernel{{Layer: one}}) {
			t.Errorf("%s: %+v", what, s.Kernels)
		}
		if err := p.Do(t.Context(), copied); err != nil {
			t.Fatal(err)
		}
		if s := observe(t, p); !s.Kernels[0].Whole {
			t.Errorf("%s: copied anew it is not whole", what)
		}
		if err := p.Do(t.Context(), host.Step{Do: host.Copy, Name: name(t, "BASE-1-0+1")}); fault.CodeOf(err) != fault.Preflight {
			t.Errorf("a name that FAT takes for the same: %v", err)
		}
	}
}

// TestPreset finds what an administrator told the loader to prefer.
func TestPreset(t *testing.T) {
	p := partition(t, "")
	if err := os.WriteFile(filepath.Join(p.Dir, "loader/loader.conf"), []byte("timeout 1\ndefault  debian-*\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := observe(t, p)
	if s.Preset != "debian-*" {
		t.Errorf("%q", s.Preset)
	}
	enter := []host.Step{{Do: host.Enter, Entry: host.Entry{Seq: 1, Layer: name(t, "Base-1-0+1")}}}
	if err := s.Prove(enter); fault.CodeOf(err) != fault.Preflight || !strings.Contains(err.Error(), "debian-*") {
		t.Errorf("%v", err)
	}
	s.Preset, s.BootReadOnly = "", true
	if err := s.Prove(enter); fault.CodeOf(err) != fault.Preflight || !strings.Contains(fault.HintOf(err), "remount,rw "+p.Dir) {
		t.Errorf("%v", err)
	}
}
