package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// elementsDisk builds what does not go together with the others: another layout, another
// source of cloud-init's data, and the CD that the element iso makes of a kernel and its
// initramfs beside the image.
func (c *court) elementsDisk(t *testing.T) {
	judge.Needs(t, judge.Full)
	p := c.project(t, nil)
	p.env = []string{"DIB_RELEASE=bookworm", "DIB_APT_SOURCES_CONF=default:deb http://ftp.debian.org/debian bookworm main", "INGOT_MIRROR_DEBIAN=" + p.mirror, "DIB_BOOT_ISO_KERNEL_CMDLINE_ARGS=console=ttyS0"}
	p.must(t, "disk-image-create", "-n", "-u", "-o", "img", "-t", "tar,qcow2", "vm", "block-device-gpt", "debian-minimal", "cloud-init", "cloud-init-nocloud", "iso", "baremetal")
	look(t, p, "img").want(t, `
		package cloud-init isolinux syslinux-common grub-efi-amd64-signed shim-signed grub-pc
		file /etc/cloud/cloud.cfg.d/91-dib-cloud-init-datasources.cfg 0644 0:0 datasource_list: [  NoCloud, None ]
		file /var/lib/cloud/seed/nocloud/user-data 0644 0:0 `+`
		file /var/lib/cloud/seed/nocloud/meta-data 0644 0:0 `+`
		file /etc/fstab 0644 0:0 LABEL=cloudimg-rootfs / ext4 defaults 0 1
		same @.vmlinuz /boot/vmlinuz-
		same @.initrd /boot/initrd.img-
		none /tmp/bootloader_files`)
	t.Run("cd", func(t *testing.T) {
		dir := t.TempDir()
		judge.Run(t, "xorriso", "-osirrox", "on", "-indev", p.path("img-boot.iso"), "-extract", "/", dir)
		for name, want := range map[string]string{"vmlinuz": p.read(t, "img.vmlinuz"), "initrd": p.read(t, "img.initrd")} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || string(data) != want {
				t.Errorf("its %s is another one, of %d bytes: %v", name, len(data), err)
			}
		}
		cfg, err := os.ReadFile(filepath.Join(dir, "isolinux/isolinux.cfg"))
		if err != nil || !strings.Contains(string(cfg), "append initrd=/initrd root=LABEL= console=ttyS0 --") {
			t.Errorf("isolinux is told %q: %v", cfg, err)
		}
		c.kernel(t, `Linux version 6\.1\.`, "-cdrom", p.path("img-boot.iso"), "-boot", "d")
	})
	t.Run("disk", func(t *testing.T) {
		p.must(t, "boot", "img.qcow2", "--timeout", bootPatience, "--expect", "debian login:")
	})
}
