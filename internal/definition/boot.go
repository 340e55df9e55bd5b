package definition

import (
	"slices"
	"strings"
	"time"
)

// maxMenu bounds how long a boot menu waits: what all loaders can say.
const maxMenu = 900 * time.Second

// loaderFirmware is what a loader starts by; nothing is whatever the layout does.
func loaderFirmware(loader string) []string {
	if loader == "systemd-boot" {
		return []string{"uefi"}
	}
	return nil
}

// boot reads how the image starts, before the layout is held against it.
func (l *loading) boot(doc *document, def *Definition) {
	b := doc.Boot
	def.Boot = Boot{Firmware: []string{"bios", "uefi"}, Loader: b.Loader.or("grub"), Secure: b.Secure.Value}
	only := loaderFirmware(def.Boot.Loader)
	if only != nil {
		def.Boot.Firmware = only
	}
	if b.Firmware != nil {
		def.Boot.Firmware = unique(l, "firmware", b.Firmware)
		for _, f := range b.Firmware {
			if f.Value != "" && only != nil && !slices.Contains(only, f.Value) {
				l.problem(f.At, "loader %s starts by %s alone, not by %s; grub starts by both", def.Boot.Loader, strings.Join(only, " and "), f.Value)
			}
		}
	}
	if n := b.Timeout.At; n != nil && b.Timeout.Value > 0 {
		if b.Timeout.Value%time.Second != 0 || b.Timeout.Value > maxMenu {
			l.problem(n, "timeout %s is not whole seconds up to 900s", quote(n.Value))
		}
		def.Boot.Timeout = int(b.Timeout.Value / time.Second)
	}
	if def.Boot.Loader == "systemd-boot" && slices.Contains([]string{"bullseye", "oldoldstable"}, def.Release) {
		l.problem(b.Loader.At, "loader systemd-boot has no package in %s that looks after it when kernels are updated: bookworm is the first release with one", def.Release)
	}
	if def.Boot.Secure && def.Boot.Loader != "grub" {
		l.problem(b.Secure.At, "secure is shim and GRUB as the distribution signed them, and loader is %s", def.Boot.Loader)
	}
}

// secure holds Secure Boot against the firmware, once the layout has had its say.
func (l *loading) secure(doc *document, def *Definition) {
	if !def.Boot.Secure || def.Boot.Loader != "grub" || slices.Contains(def.Boot.Firmware, "uefi") {
		return
	}
	why := "firmware leaves uefi out"
	if doc.Boot.Firmware == nil {
		why = "the layout has no partition of type esp with a vfat"
	}
	l.problem(doc.Boot.Secure.At, "Secure Boot is UEFI's, and %s", why)
}
