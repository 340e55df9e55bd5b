package definition

import (
	"path"
	"slices"
	"strings"
	"time"

	"ingot/internal/blockdevice"
)

// maxMenu bounds how long a boot menu waits: what all loaders can say.
const maxMenu = 900 * time.Second

// loaderFirmware is what a loader starts by; nothing is whatever the layout does.
func loaderFirmware(loader string) []string {
	switch {
	case onESP(loader):
		return []string{"uefi"}
	case loader == "extlinux":
		return []string{"bios"}
	case loader == "none":
		return []string{blockdevice.Direct}
	}
	return nil
}

// onESP says whether a loader reads kernels from the EFI system partition.
func onESP(loader string) bool { return loader == "systemd-boot" || loader == "uki" }

// anywhere says whether a loader needs no partition or gap of its own.
func anywhere(loader string) bool { return loader == "extlinux" || loader == "none" }

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
				if def.Boot.Loader == "none" {
					l.problem(f.At, "with loader none nothing on the disk starts, and %s has nothing to do; leave firmware out", f.Value)
					continue
				}
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
	if def.Boot.Loader == "none" && doc.Layout.At == nil {
		def.Layout.Text = "whole-disk"
	}
	if (onESP(def.Boot.Loader) || def.Boot.Loader == "extlinux") && slices.Contains([]string{"bullseye", "oldoldstable"}, def.Release) {
		l.problem(b.Loader.At, "loader %s does not work with the packages of %s: bookworm is the first release that has what it needs", def.Boot.Loader, def.Release)
	}
	l.sign(doc, def)
	switch {
	case !def.Boot.Secure || def.Boot.Loader == "grub":
	case def.Boot.Loader != "systemd-boot":
		l.problem(b.Secure.At, "secure is shim with GRUB or systemd-boot as the distribution signed them, and loader is %s; sign has uki start under Secure Boot, with a key of your own", def.Boot.Loader)
	case slices.Contains([]string{"bullseye", "oldoldstable", "bookworm", "oldstable"}, def.Release):
		l.problem(b.Secure.At, "%s has no signed systemd-boot: trixie is the first release that has one; grub starts under Secure Boot in all", def.Release)
	}
}

// sign reads whose signature what starts is to have.
func (l *loading) sign(doc *document, def *Definition) {
	s := doc.Boot.Sign
	if s.At == nil {
		return
	}
	if def.Boot.Loader != "uki" {
		l.problem(s.At, "sign needs loader uki: a signature is of all that starts, and loader %s reads more than one file", def.Boot.Loader)
	}
	def.Boot.Sign, def.Boot.Signed = &Sign{Key: s.Key.Value}, true
	def.Boot.Sign.Certificate, _ = l.named("certificate", s.Certificate, false)
	if src := l.origin[s.Key.At]; src != nil && !path.IsAbs(s.Key.Value) && s.Key.Value != "" {
		def.Boot.Sign.Key = beside(src, s.Key.Value)
	}
	l.ask(def, "secret", def.Boot.Sign.Key, s.Key.At)
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
