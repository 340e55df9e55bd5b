package appliance

import (
	"encoding/json"
	"fmt"
)

// Glance is what OpenStack's image service is told of a disk: the body of "create
// image" of its API, version 2. The properties are those of Glance's own definitions
// and of Nova's ("Useful image properties").
func Glance(size int64, m Machine) ([]byte, error) {
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "i386": "i686"}[m.Arch]
	if arch == "" {
		arch = m.Arch
	}
	body := struct {
		Name       string `json:"name"`
		Format     string `json:"disk_format"`
		Container  string `json:"container_format"`
		MinDisk    int64  `json:"min_disk"` // GiB
		MinRAM     int64  `json:"min_ram"`  // MiB
		Arch       string `json:"architecture"`
		Type       string `json:"os_type"`
		Distro     string `json:"os_distro"`
		Version    string `json:"os_version,omitempty"`
		Firmware   string `json:"hw_firmware_type"`
		Machine    string `json:"hw_machine_type,omitempty"`
		SecureBoot string `json:"os_secure_boot,omitempty"`
		DiskBus    string `json:"hw_disk_bus"`
		Network    string `json:"hw_vif_model"`
		Random     string `json:"hw_rng_model"`
	}{
		Name: m.Name, Format: "qcow2", Container: "bare", MinDisk: roundUp(size, 1<<30) >> 30, MinRAM: m.Memory >> 20,
		Arch: arch, Type: "linux", Distro: m.Distro, Version: m.Version, Firmware: "bios",
		DiskBus: "virtio", Network: "virtio", Random: "virtio",
	}
	if m.UEFI {
		body.Firmware = "uefi"
	}
	if m.Secure && m.UEFI {
		body.SecureBoot = "required"
		if m.Arch == "amd64" {
			body.Machine = "q35" // Nova starts no other one so
		}
	}
	data, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("glance: %w", err)
	}
	return append(data, '\n'), nil
}
