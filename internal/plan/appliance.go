package plan

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"ingot/internal/appliance"
	"ingot/internal/boot"
	"ingot/internal/disk"
	"ingot/internal/fault"
	"ingot/internal/layout"
)

// appliance makes an empty file an appliance of an output's format.
func (w *worker) appliance(o Output, f *os.File, image *layout.Image) (disk.Image, error) {
	size, extents, m := image.Size(), image.Extents(), w.machine(o)
	switch o.Format {
	case "ova":
		m.Adapter, m.NetworkCard, m.Hardware, m.GuestOS = o.Adapter, o.Machine.Card, o.Machine.Hardware, o.Machine.GuestOS
		if err := w.needDrivers(o, drivers[o.Adapter], drivers[o.Machine.Card]); err != nil {
			return nil, err
		}
		return appliance.CreateOVA(f, size, extents, m, 0)
	case "vagrant":
		// What VirtualBox has and Debian's kernel for clouds too.
		m.Adapter, m.NetworkCard, m.Hardware = "ide", "virtio", 10
		if o.Type == "virtualbox" {
			if err := w.needDrivers(o, "ata_piix", "virtio_net"); err != nil {
				return nil, err
			}
		}
		if accounts, err := w.read(w.tree, "etc/passwd"); err != nil || !strings.Contains("\n"+string(accounts), "\nvagrant:") {
			w.Progress.Warnf("Vagrant logs in as the user vagrant, whom the image does not have: add one with sudo and a key under users")
		}
		_, share := w.tree.Lookup("usr/bin/rsync")
		return appliance.CreateBox(f, size, extents, appliance.Box{Machine: m, Provider: o.Type, Share: share}, 0)
	case "xva":
		return appliance.CreateXVA(f, appliance.XVASize(size), extents, m)
	case "gce":
		return appliance.CreateGCE(f, size, extents, w.plan.Lock.Epoch, 0)
	}
	return nil, fmt.Errorf("no writer for format %s", o.Format)
}

// machine is what an appliance says of the machine.
func (w *worker) machine(o Output) appliance.Machine {
	def := w.plan.Definition
	m := appliance.Machine{
		Name: def.Name + "-" + w.chain.Arch, Arch: w.chain.Arch, Distro: def.Distro, Release: def.Release,
		Version: w.osRelease(w.tree, "VERSION_ID"), Title: w.osRelease(w.tree, "PRETTY_NAME"), CPUs: o.Machine.CPUs, Memory: o.Machine.Memory,
		// Where a disk starts both ways, VMware is told the one that it chooses for new
		// machines, and the others the one that needs no firmware to be installed.
		UEFI: slices.Contains(def.Boot.Firmware, "uefi") && (o.Format == "ova" || def.Boot.Secure || !slices.Contains(def.Boot.Firmware, "bios")),
		ID:   func(label string) [16]byte { return w.plan.derive(w.chain, o, label) }, Epoch: w.plan.Lock.Epoch,
	}
	m.Secure = m.UEFI && def.Boot.Secure
	return m
}

// drivers are the kernel's modules for what an appliance's machine has.
var drivers = map[string]string{
	"ide": "ata_piix", "lsilogic": "mptspi", "buslogic": "BusLogic", "pvscsi": "vmw_pvscsi",
	"vmxnet3": "vmxnet3", "e1000": "e1000", "e1000e": "e1000e", "virtio": "virtio_net",
}

// needDrivers refuses a machine with devices that the image's newest kernel does not
// drive.
func (w *worker) needDrivers(o Output, needs ...string) error {
	kernels := boot.Kernels(w.tree)
	if len(kernels) == 0 {
		return noKernel()
	}
	lacks, err := w.lacking(w.tree, kernels[0], needs)
	if err != nil || len(lacks) == 0 {
		return err
	}
	return fault.Newf(fault.Preflight, "output %s: the image's kernel %s has no driver %s for the machine's devices", o.Format, kernels[0].Version, strings.Join(lacks, ", ")).
		WithHint("choose others with adapter and network-card, or another kernel: kernel: {package: linux-image-%s}", w.chain.Arch)
}

// writeGlance writes the second file of an image for OpenStack: what its image
// service is told.
func (w *worker) writeGlance(o Output, to io.Writer, size int64) error {
	data, err := appliance.Glance(size, w.machine(o))
	if err != nil {
		return err
	}
	_, err = to.Write(data)
	return err
}
