package vm

import (
	"fmt"
	"slices"
)

// A Medium is what a machine takes a file for.
type Medium string

// The media.
const (
	HardDisk Medium = "disk"   // on virtio, the fastest
	CD       Medium = "cd"     // which nothing writes to
	USB      Medium = "usb"    // a stick
	SATA     Medium = "sata"   // a disk as VirtualBox has it, and metal
	IDE      Medium = "ide"    // a disk as Hyper-V's first generation and old machines have it
	NVMe     Medium = "nvme"   // a disk as metal has it
	PVSCSI   Medium = "pvscsi" // a disk on VMware's own controller
	SAS      Medium = "sas"    // a disk on VMware's LSI Logic SAS
	SCSI     Medium = "scsi"   // a disk on virtio's SCSI, as Incus and clouds have it
)

// Media are all of them.
func Media() []Medium { return []Medium{HardDisk, CD, USB, SATA, IDE, NVMe, PVSCSI, SAS, SCSI} }

func (m Medium) known() bool { return slices.Contains(Media(), m) }

// devices are the arguments of QEMU's -device that put a drive on a machine as a
// medium: the controller, if it needs one, and last the drive itself.
func (m Medium) devices(i int, drive string) []string {
	on := func(controller, device string) []string {
		id := fmt.Sprintf("%s%d", m, i)
		return []string{controller + ",id=" + id, fmt.Sprintf("%s,bus=%s.0,drive=%s", device, id, drive)}
	}
	switch m {
	case CD:
		return []string{"ide-cd,drive=" + drive}
	case USB:
		return on("qemu-xhci", "usb-storage,removable=on")
	case SATA:
		return on("ich9-ahci", "ide-hd")
	case IDE:
		return []string{"ide-hd,drive=" + drive}
	case NVMe:
		return []string{fmt.Sprintf("nvme,serial=disk%d,drive=%s", i, drive)}
	case PVSCSI:
		return on("pvscsi", "scsi-hd")
	case SAS:
		return on("mptsas1068", "scsi-hd")
	case SCSI:
		return on("virtio-scsi-pci", "scsi-hd")
	case HardDisk:
	}
	return []string{"virtio-blk-pci,drive=" + drive}
}
