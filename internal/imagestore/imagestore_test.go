package imagestore

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/pyconf"
)

// store makes an image store of a text.
func store(t testing.TB, text string) *Store {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(text)).Files {
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const example = `
-- image_store.conf --
excludes = ['common', 'example', 'custom_scripts']
default = 'Linux'
hashexcludes = ['big.img']
-- common/defs --
-- example/image.conf --
kernel_src=
swap_disk
-- .hidden/x --
-- Broken/vm_conf.template --
name = 
-- Nameless/vm_conf.template --
memory = 256
-- Empty/readme --
-- _template_/vm_conf.template --
name = ''
-- Windows/vm_conf.template --
import os, re
arch_libdir = 'lib'
if re.search('64', os.uname()[4]):
    arch_libdir = 'lib64'
device_model = '/usr/' + arch_libdir + '/xen/bin/qemu-dm'
builder = 'hvm'
name = ''
-- Linux/description.htm --
<html><head><title>no</title></head><body><h1>Linux</h1>
<p>A small &lt;Linux&gt;.<script>alert(1)</script></p></body></html>
-- Linux/provision.sh --
#!/bin/sh
-- Linux/image.conf --
# What disks there are.
VM_DISKS_DIR = '/var/cache/convirt/vm_disks'
hda_disk_create = 'yes'
hda_disk_type = 'VBD'
hda_disk_size = 4
hda_image_src = '$IMAGE_STORE/$IMAGE_NAME/disk.img'
admin_password = ''
greeting = 'hello from $VM_NAME'
price = '$$VM_NAME costs $5 $ ${VM_NAME} ${VM_NAME $VM_NAMEx $vm_name'
total = hda_disk_size * 2
computed_options = ['total']
customizable_options = ['hda_disk_size', 'admin_password', 'greeting', 'hda_disk_type', 'hda_disk_create', 'price']
-- Linux/vm_conf.template --
name = ''
memory = 256
vcpus = 1
bootloader = '/usr/bin/pygrub'
disk = ['file:$VM_DISKS_DIR/$VM_NAME.disk.xm,hda,w']
vif = ['mac=$AUTOGEN_MAC,bridge=$DEFAULT_BRIDGE', 'mac=$AUTOGEN_MAC']
motd = '$greeting'
twice = '$$VM_NAME $$$$greeting'
nested = [['$VM_NAME']]
table = {'k': '$VM_NAME'}
server = '$SERVER_NAME $IMAGE_LOCATION'
arch = 'x86_64'
`

func TestStore(t *testing.T) {
	s := store(t, example)
	if s.Default != "Linux" || !cmp.Equal(s.HashExcludes, []string{"big.img"}) {
		t.Errorf("%+v", s)
	}
	names, err := s.Names()
	if want := []string{"Broken", "Empty", "Linux", "Nameless", "Windows", "_template_"}; err != nil || !cmp.Equal(names, want) {
		t.Errorf("%v %v", names, err)
	}
	for name, want := range map[string]string{
		"Broken": "Broken/vm_conf.template:1: ", "Nameless": "no name", "Empty": "it has no vm_conf.template", "Linx": `there is no image "Linx"`, "example": "there is no image", "../x": "there is no image",
	} {
		_, err := s.Image(name)
		if err == nil || !strings.Contains(err.Error(), want) || fault.CodeOf(err) != fault.Definition && fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	im, err := s.Image("Linux")
	if err != nil {
		t.Fatal(err)
	}
	if im.Description != "Linux A small <Linux>." || im.Bucket != "Xen Paravirtual" || !im.Script || im.CheckPlatform("kvm") == nil || im.CheckPlatform("xen") != nil {
		t.Errorf("%+v", im)
	}
	w, err := s.Image("Windows")
	if err != nil || w.Bucket != "Common" || w.CheckPlatform("kvm") != nil {
		t.Errorf("%+v %v", w, err)
	}
	if _, err := Open(filepath.Join(s.Dir, "none")); fault.CodeOf(err) != fault.NotFound {
		t.Error(err)
	}
}

func get(vars []pyconf.Var, name string) any {
	for _, v := range vars {
		if v.Name == name {
			return v.Value
		}
	}
	return nil
}

// TestFill holds substitution and precedence to what the real program was seen to do.
func TestFill(t *testing.T) {
	s := store(t, example)
	im, err := s.Image("Linux")
	if err != nil {
		t.Fatal(err)
	}
	f, err := im.Fill(For{Machine: "Joe_Desktop", Set: map[string]any{"hda_disk_size": "8", "admin_password": "$1$9qAFryp3$XmvqcFN/CJG4AC7jgyVE8"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"hda_disk_size": int64(8), "total": int64(16), "hda_image_src": s.Dir + "/Linux/disk.img", "greeting": "hello from Joe_Desktop",
		"price":            "$VM_NAME costs $5 $ Joe_Desktop ${VM_NAME $VM_NAMEx $vm_name",
		"admin_password":   "$1$9qAFryp3$XmvqcFN/CJG4AC7jgyVE8",
		"computed_options": nil,
	} {
		if got := get(f.Image, name); !cmp.Equal(got, want) {
			t.Errorf("image.conf: %s = %v, want %v", name, got, want)
		}
	}
	for name, want := range map[string]any{
		"name": "Joe_Desktop", "disk": []any{"file:/var/cache/convirt/vm_disks/Joe_Desktop.disk.xm,hda,w"},
		"motd": "hello from Joe_Desktop", "nested": []any{[]any{"$VM_NAME"}}, "table": map[string]any{"k": "$VM_NAME"}, "server": "localhost Linux",
		// What $$ comes to in the first pass is looked at again by the second.
		"twice":      "Joe_Desktop $greeting",
		"image_name": "Linux", "image_conf": s.Dir + "/Linux/image.conf", "platform": "xen",
	} {
		if got := get(f.VM, name); !cmp.Equal(got, want) {
			t.Errorf("vm_conf: %s = %v, want %v", name, got, want)
		}
	}
	vif, _ := get(f.VM, "vif").([]any)
	if len(vif) != 2 || vif[0] == vif[1] || !strings.HasPrefix(vif[0].(string), "mac=00:16:3e:") || !strings.HasSuffix(vif[0].(string), ",bridge=xenbr0") {
		t.Errorf("vif = %v", vif)
	}
	again, err := im.Fill(For{Machine: "Joe_Desktop", Set: map[string]any{"hda_disk_size": 8, "admin_password": "$1$9qAFryp3$XmvqcFN/CJG4AC7jgyVE8"}})
	if err != nil || !cmp.Equal(f, again) {
		t.Errorf("another time it is another: %v\n%s", err, cmp.Diff(f, again))
	}
	if got := get(f.Masked(f.Image), "admin_password"); got != "********" {
		t.Errorf("the password is shown: %v", got)
	}
}

// corpus is what must survive literally.
var corpus = []string{"it's", `say "hi"`, "$(reboot)", "`id`", "${HOME}", "$VM_NAME $$ ${IMAGE_NAME}", "a\nb", `\`, `\n`, "$1$9qAFryp3$XmvqcFN/CJG4AC7jgyVE8", "é", "%s", "a;b", "\t# x", "'''", "${greeting}"}

func TestGivenStandsLiterally(t *testing.T) {
	s := store(t, example)
	im, err := s.Image("Linux")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range corpus {
		f, err := im.Fill(For{Machine: "m", Set: map[string]any{"greeting": text, "bootloader": text, "vif": []any{text}}})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		written, err := pyconf.WriteVars(append(f.Image, f.VM...))
		if err != nil {
			t.Fatal(err)
		}
		back, err := pyconf.Eval([]byte(written), pyconf.Options{Name: "w"})
		if err != nil {
			t.Fatal(err)
		}
		// And where image.conf's value comes into vm_conf it is not looked at again.
		if back.Text("greeting") != text || back.Text("bootloader") != text || back.Text("motd") != text || !cmp.Equal(back.Texts("vif"), []string{text}) {
			t.Errorf("%q became %q, %q, %q, %q", text, back.Text("greeting"), back.Text("bootloader"), back.Text("motd"), back.Texts("vif"))
		}
	}
}

func TestFillRefuses(t *testing.T) {
	s := store(t, example)
	im, err := s.Image("Linux")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		machine, key string
		value        any
		want         string
	}{
		{"m", "memroy", 1, `there is no input "memroy"; did you mean "memory"?`}, {"m", "memory", "lots", `"lots" is not a whole number`}, {"m", "memory", "-5", "-5 is less than 1"}, {"m", "hda_disk_size", 0, "0 is less than 1"},
		{"m", "hda_disk_type", "VDB", `did you mean "VBD"?`}, {"m", "total", 5, "not for whoever provisions to change"}, {"m", "VM_DISKS_DIR", "/x", "not for whoever provisions"}, {"m", "arch", "i686", "not for whoever provisions"},
		{"m", "hda_disk_create", "maybe", "neither yes nor no"}, {"m", "greeting", "a\x00b", "without a NUL"}, {"a/b", "", nil, "is not the name of a machine"}, {"", "", nil, "1 to 100 bytes"}, {"a b", "", nil, "is not the name"}, {"$(id)", "", nil, "is not the name"}, {"..", "", nil, "does not begin"},
		{"m", "name", "other", "not for whoever"},
	} {
		set := map[string]any{}
		if c.key != "" {
			set[c.key] = c.value
		}
		_, err := im.Fill(For{Machine: c.machine, Set: set})
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q %s=%v: %v (%d), want %s", c.machine, c.key, c.value, err, fault.CodeOf(err), c.want)
		}
	}
	skeleton, err := s.Image("_template_")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := skeleton.Fill(For{Machine: "m"}); err == nil || !strings.Contains(fault.HintOf(err), "--like _template_") {
		t.Error(err)
	}
}

func TestCarry(t *testing.T) {
	s := store(t, example)
	ctx := t.Context()
	if err := s.Create(ctx, "Copy", "Linux"); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(ctx, "Copy", "Linux"); fault.CodeOf(err) != fault.Choice {
		t.Errorf("a copy over another: %v", err)
	}
	if err := s.Create(ctx, "a/b", "Linux"); fault.CodeOf(err) != fault.Usage {
		t.Error(err)
	}
	im, err := s.Image("Copy")
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	if err := im.Export(ctx, &a); err != nil {
		t.Fatal(err)
	}
	if err := im.Export(ctx, &b); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("an export twice is two: %v", err)
	}
	// tar itself unpacks it inside a store.
	other := store(t, "-- image_store.conf --\nexcludes = []\n")
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, a.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	judge.Run(t, "tar", "-C", other.Dir, "-xf", file)
	if info, err := os.Stat(filepath.Join(other.Dir, "Copy/provision.sh")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v %v", info, err)
	}
	name, err := other.Import(ctx, bytes.NewReader(a.Bytes()), "Another")
	if err != nil || name != "Another" {
		t.Fatal(err)
	}
	if _, err := other.Import(ctx, bytes.NewReader(a.Bytes()), ""); fault.CodeOf(err) != fault.Choice {
		t.Errorf("an import over another: %v", err)
	}
	names, err := other.Names()
	if err != nil || !cmp.Equal(names, []string{"Another", "Copy"}) {
		t.Errorf("%v %v", names, err)
	}
	left, err := os.ReadDir(other.Dir)
	if err != nil || len(left) != 3 {
		t.Errorf("left behind: %v", left)
	}
}

// TestImportHostile brings in what leads out of its directory, and what is no image.
func TestImportHostile(t *testing.T) {
	vm := tar.Header{Name: "X/vm_conf.template", Typeflag: tar.TypeReg, Mode: 0o644}
	for name, headers := range map[string][]tar.Header{
		"climbs":    {vm, {Name: "X/../../evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		"absolute":  {vm, {Name: "/evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		"link":      {vm, {Name: "X/l", Typeflag: tar.TypeSymlink, Linkname: "/etc"}},
		"hard link": {vm, {Name: "X/l", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}},
		"device":    {vm, {Name: "X/d", Typeflag: tar.TypeBlock}},
		"two":       {vm, {Name: "Y/x", Typeflag: tar.TypeReg, Mode: 0o644}},
		"twice":     {vm, vm},
		"no image":  {{Name: "X/readme", Typeflag: tar.TypeReg, Mode: 0o644}},
		"a file":    {{Name: "X", Typeflag: tar.TypeReg, Mode: 0o644}},
		"huge":      {{Name: "X/huge", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1 << 50}},
		"bad name":  {{Name: "a b/vm_conf.template", Typeflag: tar.TypeReg, Mode: 0o644}},
		"empty":     {},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			body := []byte("name = ''\n")
			if h.Typeflag == tar.TypeReg && h.Size == 0 {
				h.Size = int64(len(body))
			}
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg && h.Size < 100 {
				if _, err := w.Write(body); err != nil {
					t.Fatal(err)
				}
			}
		}
		if name != "huge" {
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		s := store(t, "-- image_store.conf --\n")
		if got, err := s.Import(t.Context(), &b, ""); err == nil {
			t.Errorf("%s: it came in as %s", name, got)
		}
		if left, err := os.ReadDir(s.Dir); err != nil || len(left) != 1 {
			t.Errorf("%s: left behind: %v %v", name, left, err)
		}
	}
}

func TestSubstitute(t *testing.T) {
	known := func(name string) (string, bool) {
		if name == "VM_NAME" {
			return "Joe_Desktop", true
		}
		return "", false
	}
	for in, want := range map[string]string{
		"file:/vm_disks/$VM_NAME.disk.xm,hda,w": "file:/vm_disks/Joe_Desktop.disk.xm,hda,w", "$VM_NAMEx": "$VM_NAMEx", "${VM_NAME}x": "Joe_Desktopx", "$$VM_NAME": "$VM_NAME",
		"$1$9qAFryp3$XmvqcFN/CJ": "$1$9qAFryp3$XmvqcFN/CJ", "$vm_name": "$vm_name", "${VM_NAME": "${VM_NAME", "$": "$", "a$": "a$", "${}": "${}", "$$$$": "$$", "${1}": "${1}", "$é": "$é", "": "",
	} {
		if got := Substitute(in, known); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
