package appliance

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"ingot/internal/disk"
	"ingot/internal/qcow2"
)

// A Box is what is said of a machine to Vagrant.
type Box struct {
	Machine
	// Provider is what runs it: "libvirt" or "virtualbox".
	Provider string
	// Share says that Vagrant may copy the user's directory into the machine by
	// rsync; else it does not try.
	Share bool
}

// CreateBox makes an empty file the box of a disk, as Vagrant's documentation ("Box
// file format") and that of its libvirt provider have it: an archive with
// metadata.json, a Vagrantfile, and the disk with whatever else its provider reads.
func CreateBox(f *os.File, size int64, extents []disk.Extent, b Box, workers int) (disk.Image, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	c := carton{epoch: b.Epoch}
	var create func(disk.File) (disk.Image, error)
	switch b.Provider {
	case "libvirt":
		c.name = "box.img"
		c.papers = func(contents) ([]paper, error) { return b.papers(size) }
		create = func(f disk.File) (disk.Image, error) {
			return qcow2.Create(f, size, extents, qcow2.Options{Compression: qcow2.Zlib, Workers: workers})
		}
	case "virtualbox":
		c.name = b.Name + "-disk1.vmdk"
		c.papers = func(of contents) ([]paper, error) {
			papers, err := b.papers(size)
			if err != nil {
				return nil, err
			}
			ovf, err := b.ovf(size, c.name, of.size, extents)
			return append(papers, paper{"box.ovf", ovf}), err
		}
		create = b.vmdk(size, extents, workers)
	default:
		return nil, fmt.Errorf("provider %q is none of libvirt and virtualbox", b.Provider)
	}
	im, err := newCarton(f, c, create)
	if err != nil {
		return nil, fmt.Errorf("box %s: %w", f.Name(), err)
	}
	return im, nil
}

// papers are those that Vagrant itself reads.
func (b Box) papers(size int64) ([]paper, error) {
	metadata := struct {
		Provider    string `json:"provider"`
		Arch        string `json:"architecture"`
		Format      string `json:"format,omitempty"`
		VirtualSize int64  `json:"virtual_size,omitempty"` // of the disk in GiB
	}{Provider: b.Provider, Arch: b.Arch}
	if b.Provider == "libvirt" {
		metadata.Format, metadata.VirtualSize = "qcow2", roundUp(size, 1<<30)>>30
	}
	data, err := json.Marshal(metadata)
	if err != nil {
		return nil, err
	}
	return []paper{{"metadata.json", append(data, '\n')}, {"Vagrantfile", b.vagrantfile()}}, nil
}

// vagrantfile are defaults that a user's own Vagrantfile stands over.
func (b Box) vagrantfile() []byte {
	share := `disabled: true`
	if b.Share {
		share = `type: "rsync"`
	}
	var settings []string
	if b.Provider == "virtualbox" {
		if b.UEFI {
			settings = append(settings, `p.customize ["modifyvm", :id, "--firmware", "efi"]`)
		}
		settings = append(settings, `p.check_guest_additions = false`)
	}
	settings = append([]string{fmt.Sprintf("p.cpus = %d", b.CPUs), fmt.Sprintf("p.memory = %d", b.Memory>>20)}, settings...)
	mac := ""
	if b.Provider == "virtualbox" {
		id := b.ID("network card")
		mac = fmt.Sprintf("  config.vm.base_mac = \"080027%X\"\n", id[:3]) // VirtualBox's own range
	}
	return fmt.Appendf(nil, `Vagrant.configure("2") do |config|
%s  config.vm.synced_folder ".", "/vagrant", %s
  config.vm.provider :%s do |p|
    %s
  end
end
`, mac, share, b.Provider, strings.Join(settings, "\n    "))
}
