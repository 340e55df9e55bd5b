package main_test

import (
	"os"
	"testing"

	"ingot/internal/judge"
)

// elementsGrow builds a disk of trixie with volumes, whose layout comes from an element, puts
// it on a larger disk, starts it, and has it say that the volume has grown that growvols was to
// grow.
func (c *court) elementsGrow(t *testing.T) {
	judge.Needs(t, judge.Full)
	p := c.project(t, map[string]string{})
	p.env = []string{
		"DIB_RELEASE=trixie", "DIB_APT_SOURCES_CONF=default:deb http://ftp.debian.org/debian trixie main", "INGOT_MIRROR_DEBIAN=" + p.mirror,
		"DIB_DEV_USER_USERNAME=ops", "DIB_DEV_USER_PASSWORD=hunter2", "DIB_DEV_USER_SHELL=/bin/bash", "DIB_GROWVOLS_TRIGGER=systemd", "DIB_GROWVOLS_ARGS=/home=100%",
	}
	p.must(t, "disk-image-create", "-n", "-u", "-o", "img", "-t", "qcow2", "--image-size", "44", "vm", "debian-minimal", "devuser", "block-device-efi-lvm", "growvols")
	disk, vars := p.path("img.qcow2"), p.path("vars.fd")
	judge.Run(t, "qemu-img", "check", "-q", "-f", "qcow2", disk)
	judge.Run(t, "qemu-img", "resize", "-q", "-f", "qcow2", disk, "+20G")
	data, err := os.ReadFile(judge.File(t, "/usr/share/OVMF/OVMF_VARS_4M.fd"))
	if err == nil {
		err = os.WriteFile(vars, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.converse(t, []exchange{
		{"login: $", "ops"},
		{"Password: $", "hunter2"},
		{`\$ $`, "until test $(df --output=size /home | tail -1) -gt 20000000; do sleep 1; done; echo; echo has grown $(findmnt -no SOURCE,FSTYPE /home)"},
		{`^has grown /dev/mapper/vg-lv_home xfs`, ""},
	}, "-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+judge.File(t, "/usr/share/OVMF/OVMF_CODE_4M.fd"), "-drive", "if=pflash,format=raw,unit=1,file="+vars,
		"-drive", "if=none,id=d,format=qcow2,file="+disk, "-device", "virtio-blk-pci,drive=d")
}
