package definition

import (
	"path/filepath"
	"testing"

	"ingot/internal/blockdevice"
	"ingot/internal/fault"
)

func TestAsked(t *testing.T) {
	dir := lay(t, map[string]string{
		FileName: five + `timezone: Europe/Paris
include: [more/site.yaml]
users:
- name: ops
  uid: 1000
scripts:
- run: ./setup.sh
- {name: late, run: ./setup.sh}
services:
  enable: [nginx,
    cron]
flavors:
  "vmware":
    files:
    - {path: /vm, content: x}
    outputs: [vmdk]
`,
		"more/site.yaml": "unix-groups:\n- {name: media}\nfiles:\n- path: /x\n  content: x\n",
		"setup.sh":       "#!/bin/sh\n",
	})
	d, err := Load(filepath.Join(dir, FileName), Options{HostArch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	main, site := filepath.Join(dir, FileName), filepath.Join(dir, "more/site.yaml")
	for _, c := range []struct {
		key, name string
		want      fault.Position
	}{
		{"timezone", "", fault.Position{File: main, Line: 6}},
		{"locale", "", fault.Position{}},
		{"users", "ops", fault.Position{File: main, Line: 9}},
		{"scripts", "setup", fault.Position{File: main, Line: 12}},
		{"scripts", "late", fault.Position{File: main, Line: 13}},
		{"services", "nginx", fault.Position{File: main, Line: 15}},
		{"services", "cron", fault.Position{File: main, Line: 16}},
		{"unix-groups", "media", fault.Position{File: site, Line: 2}},
		{"files", "/x", fault.Position{File: site, Line: 4}},
		{"files", "/vm", fault.Position{}},
	} {
		if got := d.Asked(c.key, c.name); got != c.want {
			t.Errorf("%s %s is asked for at %v, want %v", c.key, c.name, got, c.want)
		}
	}
	flavors := d.Variants()
	if got, want := flavors[len(flavors)-1].Asked("files", "/vm"), (fault.Position{File: main, Line: 20}); got != want {
		t.Errorf("a flavor's file is asked for at %v, want %v", got, want)
	}
}

// What cannot be made of a layout, and a secret that is not there, are known when an
// image is built alone; both say the line that asked.
func TestAskedOfLayout(t *testing.T) {
	dir := lay(t, map[string]string{
		FileName: five + `include: [more/disk.yaml]
`,
		"more/disk.yaml": `layout:
- local_loop:
    name: system
    size: 4GiB
- partitioning:
    base: system
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: boot, size: 300MiB, mkfs: {type: ext4, mount: {mount_point: /boot, fstab: {}}}}
    - name: root
      type: root
      size: 100MiB
      luks:
        name: crypt
        passphrase: {file: secret/pass}
        seed: {file: /run/seed}
        mkfs: {type: ext4, mount: {mount_point: /, fstab: {}}}
`,
	})
	d, err := Load(filepath.Join(dir, FileName), Options{HostArch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(dir, "more/disk.yaml")
	for _, c := range []struct {
		node, key string
		line      int
	}{
		{"root", "size", 13},
		{"root", "", 11},
		{"root", "least", 11},
		{"system", "size", 4},
		{"nothing", "size", 2},
	} {
		want := fault.Position{File: disk, Line: c.line}
		if got := d.AskedOfLayout(blockdevice.Problem{Node: c.node, Key: c.key}); got != want {
			t.Errorf("%s of %s is asked for at %v, want %v", c.key, c.node, got, want)
		}
	}
	for file, line := range map[string]int{"more/secret/pass": 16, "/run/seed": 17} {
		if got, want := d.Asked("secret", file), (fault.Position{File: disk, Line: line}); got != want {
			t.Errorf("secret %s is asked for at %v, want %v", file, got, want)
		}
	}
	if got := (&Definition{}).AskedOfLayout(blockdevice.Problem{Node: "root"}); got != (fault.Position{}) {
		t.Errorf("a definition without a layout asks for one at %v", got)
	}
}

// A secret lies beside the file that names it, in whatever flavor and on whatever architecture.
func TestSecretsOfFlavors(t *testing.T) {
	dir := lay(t, map[string]string{
		FileName: five + "arch: [amd64, arm64]\ninclude: [more/disk.yaml]\nflavors: {\"vmware\": {outputs: [vmdk]}}\n",
		"more/disk.yaml": `layout:
- local_loop: {name: system}
- partitioning:
    base: system
    label: gpt
    partitions:
    - {name: esp, type: esp, size: 300MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {}}}}
    - {name: boot, size: 300MiB, mkfs: {type: ext4, mount: {mount_point: /boot, fstab: {}}}}
    - {name: root, size: fit, luks: {name: crypt, passphrase: {file: pass}, seed: {file: seed}, mkfs: {type: ext4, mount: {mount_point: /, fstab: {}}}}}
`,
	})
	d, err := Load(filepath.Join(dir, FileName), Options{HostArch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range d.Variants() {
		c, err := v.Layout.On(v.Arch[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Containers[0].Passphrase.File; got != "more/pass" {
			t.Errorf("flavor %q: the passphrase is in %s", v.FlavorLabel(), got)
		}
	}
}
