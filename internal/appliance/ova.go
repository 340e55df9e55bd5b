package appliance

import (
	"fmt"
	"os"

	"ingot/internal/disk"
	"ingot/internal/vmdk"
)

// CreateOVA makes an empty file the appliance of a disk of size bytes, of which at
// most the extents will be written: an archive as DSP0243 (Open Virtualization
// Format 1.1) has it, with the descriptor first, the manifest behind it, and then
// the disk. It is a [disk.Image]; workers compress, 0 is one a core.
func CreateOVA(f *os.File, size int64, extents []disk.Extent, m Machine, workers int) (disk.Image, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	im, err := newCarton(f, carton{
		name: m.Name + "-disk1.vmdk", epoch: m.Epoch,
		papers: func(of contents) ([]paper, error) {
			ovf, err := m.ovf(size, m.Name+"-disk1.vmdk", of.size, extents)
			if err != nil {
				return nil, err
			}
			return []paper{{m.Name + ".ovf", ovf}, {m.Name + ".mf", m.manifest(ovf, of)}}, nil
		},
	}, m.vmdk(size, extents, workers))
	if err != nil {
		return nil, fmt.Errorf("ova %s: %w", f.Name(), err)
	}
	return im, nil
}

// vmdk makes the disk that an OVF descriptor names.
func (m Machine) vmdk(size int64, extents []disk.Extent, workers int) func(disk.File) (disk.Image, error) {
	return func(f disk.File) (disk.Image, error) {
		return vmdk.Create(f, size, extents, vmdk.Options{
			Kind: vmdk.StreamOptimized, Adapter: vmdk.Adapter(m.Adapter), Hardware: m.Hardware,
			ID: m.ID("disk"), Name: m.Name + "-disk1.vmdk", Workers: workers,
		})
	}
}
