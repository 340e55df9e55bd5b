package seed

import "ingot/internal/template"

// FirmwareNames are what a file of a seed is called among the firmware's files (QEMU's
// fw_cfg), and none where its kind goes another way. Flatcar knows Ignition's by another
// name than Fedora's CoreOS, and each leaves the other's alone.
func FirmwareNames(kind template.Seed, file string) []string {
	switch kind {
	case template.Ignition:
		return []string{"opt/com.coreos/config", "opt/org.flatcar-linux/config"}
	case template.Credentials:
		return []string{"opt/io.systemd.credentials/" + file}
	default:
		return nil
	}
}
