package blockdevice

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"ingot/internal/spell"
)

// A FormDoc says what a short form stands for.
type FormDoc struct {
	Name, Doc string
}

// Forms are the short forms: names that stand for a description.
var Forms = []FormDoc{
	{"hybrid", "starts by BIOS and by UEFI: a BIOS boot partition, an EFI system partition, and the root, last, on GPT"},
	{"efi", "starts by UEFI: an EFI system partition and the root, on GPT"},
	{"bios", "starts by BIOS: a BIOS boot partition and the root, on GPT"},
	{"hybrid-lvm", "as hybrid, with the root on a logical volume that fills a group"},
	{"whole-disk", "a file system without a partition table, for what brings its own kernel"},
}

func formNames() []string {
	var out []string
	for _, f := range Forms {
		out = append(out, f.Name)
	}
	return out
}

// The parts of the short forms, in the language itself.
const (
	diskText = `- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
`
	biosText = `    - {name: bios, type: bios, size: fit, least: 1MiB}
`
	// The machine runs without its ESP: it is mounted while somebody looks, so that
	// a crash seldom finds it open, and a missing one stops nothing. 64 MiB are
	// enough for FAT32 with its smallest clusters, which firmware expects on a disk,
	// and for a few kernels.
	espText = `    - name: esp
      type: esp
      size: fit
      least: 64MiB
      mkfs:
        type: vfat
        label: ESP
        mount:
          mount_point: /boot/efi
          fstab: {by: uuid, options: "umask=0077,nofail,x-systemd.automount,x-systemd.idle-timeout=1min", fsck-passno: 0}
`
	rootText = `    - name: root
      type: root
      size: 100%
      mkfs:
        type: ext4
        label: root
        mount:
          mount_point: /
          fstab: {by: uuid, options: "errors=remount-ro,x-systemd.growfs", fsck-passno: 1}
`
	volumesText = `    - {name: volumes, type: lvm, size: 100%}
- lvm:
    name: lvm
    pvs: [{name: pv, base: volumes}]
    vgs: [{name: system, base: [pv]}]
    lvs:
    - name: root
      base: system
      extents: 100%FREE
      mkfs:
        type: ext4
        label: root
        mount:
          mount_point: /
          fstab: {by: uuid, options: "errors=remount-ro,x-systemd.growfs", fsck-passno: 1}
`
	wholeText = `- local_loop:
    name: image0
    mkfs:
      name: mkfs_root
      type: ext4
      label: root
      mount:
        mount_point: /
        fstab: {by: uuid, options: "errors=remount-ro,x-systemd.growfs", fsck-passno: 1}
`
)

// FormText is what a short form stands for on an architecture and some firmware,
// in the language itself.
func FormText(name string, params Params) (string, error) {
	if !slices.Contains(formNames(), name) {
		return "", fmt.Errorf("no layout is called %s: there are %s", quote(name), strings.Join(formNames(), ", "))
	}
	if name == "whole-disk" {
		return wholeText, nil
	}
	wants := func(firmware string) bool {
		return len(params.Firmware) == 0 || slices.Contains(params.Firmware, firmware)
	}
	has := slices.Contains(withBIOS, params.Arch)
	bios := has && wants("bios") && name != "efi"
	esp := wants("uefi") && name != "bios"
	if name == "bios" && !has {
		return "", fmt.Errorf("layout bios starts by a BIOS, which %s machines do not have", params.Arch)
	}
	if !bios && !esp {
		return "", fmt.Errorf("layout %s does not start by firmware %s on %s", name, strings.Join(params.Firmware, ", "), params.Arch)
	}
	text := diskText
	if bios {
		text += biosText
	}
	if esp {
		text += espText
	}
	if name == "hybrid-lvm" {
		return text + volumesText, nil
	}
	return text + rootText, nil
}

// form reads a short form, all of whose nodes stand where its name does.
func (p *parser) form(n *yaml.Node) (*Config, error) {
	text, err := FormText(n.Value, p.params)
	if err != nil {
		q := Problem{At: n, Message: err.Error(), Suggestion: spell.Nearest(n.Value, formNames())}
		if q.Suggestion != "" && q.Suggestion != n.Value {
			q.Message += fmt.Sprintf("; did you mean %q?", q.Suggestion)
		} else {
			q.Suggestion = ""
		}
		return nil, Problems{q}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("layout %s: %w", n.Value, err)
	}
	c, err := p.whole(doc.Content[0])
	for i := range p.problems {
		p.problems[i].At = n
	}
	if err != nil {
		return nil, err
	}
	for _, node := range c.Nodes {
		h := node.Head()
		h.At, h.values = n, nil
	}
	for _, t := range p.tables {
		t.At, t.values = n, nil
	}
	c.Form = n.Value
	return c, nil
}
