package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/definition"
	"ingot/internal/element"
	"ingot/internal/fault"
)

// The layout of an element is held against what the definition says of firmware, which has
// the last word, and its mistakes are the definition's.
func TestElementLayout(t *testing.T) {
	const disk = "- local_loop: {name: image0}\n- partitioning:\n    base: image0\n    label: gpt\n    partitions:\n"
	const esp = "    - {name: esp, type: esp, size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {}}}}\n"
	const bios = "    - {name: bios, type: bios, size: 1MiB}\n"
	const root = "    - {name: root, size: fit, mkfs: {type: ext4, mount: {mount_point: /, fstab: {}}}}\n"
	both := []string{"bios", "uefi"}
	for _, c := range []struct {
		summary, loader string
		firmware        []string
		text            string
		want            string // the firmware, or the error
	}{
		{"nothing said", "grub", both, disk + esp + root, "uefi"},
		{"nothing said, both there", "grub", both, disk + bios + esp + root, "bios uefi"},
		{"one said, both there", "grub", []string{"bios"}, disk + bios + esp + root, "bios"},
		{"one said that is not there", "grub", []string{"bios"}, disk + esp + root, "firmware asks for bios"},
		{"one needed that is not there", "uki", []string{"uefi"}, disk + bios + root, "firmware asks for uefi"},
		{"one that needs no place", "extlinux", []string{"bios"}, disk + esp + root, "bios"},
		{"/boot that GRUB cannot read", "grub", both, disk + bios + "    - {name: root, size: fit, luks: {name: crypt, mkfs: {type: ext4, mount: {mount_point: /, fstab: {}}}}}\n", "GRUB cannot open"},
		{"kernels that no update reaches", "systemd-boot", []string{"uefi"}, disk + "    - {name: esp, type: esp, size: 64MiB, mkfs: {type: vfat}}\n" + root, "mount it at /boot/efi"},
		{"no YAML", "grub", both, "nonsense: [", "no YAML"},
		{"no layout", "grub", both, "- local_loop: {name: image0, sise: 1}\n", "sise"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "mine")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "block-device-default.yaml"), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			path, err := element.Open(element.Dir(filepath.Dir(dir)))
			if err != nil {
				t.Fatal(err)
			}
			set, err := element.Expand(path, []string{"mine"}, element.Options{SkipBase: true, Arch: "amd64", Given: []string{"operating-system"}, By: "the test"})
			if err != nil {
				t.Fatal(err)
			}
			def := &definition.Definition{Arch: []string{"amd64"}, Outputs: []definition.Output{{Format: "raw"}}, Boot: definition.Boot{Loader: c.loader, Firmware: c.firmware}}
			err = elementLayout(def, set, "amd64")
			switch {
			case err == nil && strings.Join(def.Boot.Firmware, " ") != c.want:
				t.Errorf("it starts by %v, want %s", def.Boot.Firmware, c.want)
			case err != nil && (!strings.Contains(err.Error(), c.want) || fault.CodeOf(err) != fault.Definition):
				t.Errorf("code %d: %v, want %s", fault.CodeOf(err), err, c.want)
			}
		})
	}
}

// Without a lock nobody knows what layout an element has, and a drawing says so.
func TestLayoutOfElementsWithoutALock(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("INGOT_HOME", filepath.Join(dir, "home"))
	t.Setenv("INGOT_CACHE", filepath.Join(dir, "cache"))
	t.Chdir(dir)
	for text, warned := range map[string]bool{"elements: [cloud-init]\n": true, "elements: [cloud-init]\nlayout: efi\n": false, "": false} {
		text = "version: 1\nname: web\ndistro: debian\nrelease: bookworm\noutputs: [raw]\n" + text
		if err := os.WriteFile("ingot.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, talk bytes.Buffer
		code := run([]string{"ingot", "layout", "show"}, strings.NewReader(""), &out, &talk)
		if code != 0 || strings.Contains(talk.String(), "an element may say another layout") != warned || !strings.Contains(out.String(), "GPT") {
			t.Errorf("%s: code %d\n%s%s", text, code, out.String(), talk.String())
		}
	}
}
