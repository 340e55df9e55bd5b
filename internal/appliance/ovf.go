package appliance

import (
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/disk"
)

// The facts are those of DMTF's DSP0243 1.1 (the envelope), CIM's
// CIM_ResourceAllocationSettingData (resource types) and CIM_OperatingSystem (OSType),
// and of VMware's extensions as its own tool writes them: VirtualSystemType vmx-NN,
// vmw:osType, vmw:Config.

// ovf is the descriptor of a machine whose disk of size bytes stands in a file of so
// many. It has the same length whatever that is.
func (m Machine) ovf(size int64, file string, fileSize int64, extents []disk.Extent) ([]byte, error) {
	longest, err := m.envelope(size, file, math.MaxInt64, extents)
	if err != nil {
		return nil, err
	}
	text, err := m.envelope(size, file, fileSize, extents)
	if err != nil {
		return nil, err
	}
	return append(text, bytes.Repeat([]byte("\n"), len(longest)-len(text))...), nil
}

// manifest has a digest of every other file (DSP0243, 5.1; the digest is that of
// 2.0, which readers of 1.1 know too).
func (m Machine) manifest(ovf []byte, of contents) []byte {
	return fmt.Appendf(nil, "SHA256(%s.ovf)= %x\nSHA256(%s-disk1.vmdk)= %s\n", m.Name, sha256.Sum256(ovf), m.Name, of.sum)
}

func (m Machine) envelope(size int64, file string, fileSize int64, extents []disk.Extent) ([]byte, error) {
	items, err := m.items()
	if err != nil {
		return nil, err
	}
	var populated int64
	for _, e := range disk.Round(extents, 1) {
		populated += e.Len
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:href="%s" ovf:id="file1" ovf:size="%d"/>
  </References>
  <DiskSection>
    <Info>The disk of the machine</Info>
    <Disk ovf:capacity="%d" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized" ovf:populatedSize="%d"/>
  </DiskSection>
  <NetworkSection>
    <Info>The network of the machine</Info>
    <Network ovf:name="nat">
      <Description>A network with DHCP</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="%s">
    <Info>A virtual machine</Info>
    <Name>%s</Name>
    <OperatingSystemSection ovf:id="%d"%s vmw:osType="%s">
      <Info>The operating system of the machine</Info>
      <Description>%s</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>What the machine needs</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>%s</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-%02d</vssd:VirtualSystemType>
      </System>
`, file, fileSize, size, populated, m.Name, m.Name, m.osType(), m.osVersion(), escape(m.guestOS()), escape(m.Title), m.Name, m.Hardware)
	for i, item := range items {
		item.write(&b, i+1)
	}
	for _, c := range m.config() {
		fmt.Fprintf(&b, "      <vmw:Config ovf:required=\"false\" vmw:key=%q vmw:value=%q/>\n", c[0], c[1])
	}
	b.WriteString("    </VirtualHardwareSection>\n  </VirtualSystem>\n</Envelope>\n")
	return b.Bytes(), nil
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a builder takes all
	return b.String()
}

// config is what only VMware's products are told.
func (m Machine) config() [][2]string {
	if !m.UEFI {
		return [][2]string{{"firmware", "bios"}}
	}
	return [][2]string{{"firmware", "efi"}, {"bootOptions.efiSecureBootEnabled", strconv.FormatBool(m.Secure)}}
}

// An item is a part of the machine: elements of CIM's
// ResourceAllocationSettingData, which stand in the order of their names.
type item [][2]string

func (i item) write(b *bytes.Buffer, id int) {
	all := append(slices.Clone(i), [2]string{"InstanceID", strconv.Itoa(id)})
	slices.SortFunc(all, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	b.WriteString("      <Item>\n")
	for _, e := range all {
		fmt.Fprintf(b, "        <rasd:%s>%s</rasd:%s>\n", e[0], escape(e[1]), e[0])
	}
	b.WriteString("      </Item>\n")
}

// controllers are resource type and subtype of what a disk hangs on.
var controllers = map[string][2]string{
	"ide":      {"5", "PIIX4"},
	"lsilogic": {"6", "lsilogic"},
	"buslogic": {"6", "buslogic"},
	"pvscsi":   {"6", "VirtualSCSI"},
}

// networkCards are resource subtypes.
var networkCards = map[string]string{"vmxnet3": "VmxNet3", "e1000": "E1000", "e1000e": "E1000e", "virtio": "virtio"}

func (m Machine) items() ([]item, error) {
	controller, ok := controllers[m.Adapter]
	if !ok {
		return nil, fmt.Errorf("adapter %q is none of ide, lsilogic, buslogic and pvscsi", m.Adapter)
	}
	card, ok := networkCards[m.NetworkCard]
	if !ok {
		return nil, fmt.Errorf("network card %q is none of vmxnet3, e1000, e1000e and virtio", m.NetworkCard)
	}
	return []item{
		{{"ElementName", fmt.Sprintf("%d virtual CPU(s)", m.CPUs)}, {"AllocationUnits", "hertz * 10^6"}, {"ResourceType", "3"}, {"VirtualQuantity", strconv.Itoa(m.CPUs)}},
		{{"ElementName", fmt.Sprintf("%dMB of memory", m.Memory>>20)}, {"AllocationUnits", "byte * 2^20"}, {"ResourceType", "4"}, {"VirtualQuantity", strconv.FormatInt(m.Memory>>20, 10)}},
		{{"ElementName", "Controller 0"}, {"Address", "0"}, {"ResourceType", controller[0]}, {"ResourceSubType", controller[1]}},
		{{"ElementName", "Disk 1"}, {"AddressOnParent", "0"}, {"Parent", "3"}, {"HostResource", "ovf:/disk/vmdisk1"}, {"ResourceType", "17"}},
		{{"ElementName", "Network 1"}, {"AddressOnParent", "7"}, {"AutomaticAllocation", "true"}, {"Connection", "nat"}, {"ResourceType", "10"}, {"ResourceSubType", card}},
	}, nil
}

// osType is CIM's number of the operating system.
func (m Machine) osType() int {
	wide := 0
	if m.Arch == "amd64" {
		wide = 1
	}
	if m.Distro == "debian" {
		return 95 + wide
	}
	return [...]int{36, 101}[wide] // Linux, Linux of 64 bits
}

func (m Machine) osVersion() string {
	if m.Version == "" {
		return ""
	}
	return ` ovf:version="` + escape(m.Version) + `"`
}

// guestOS is what VMware calls the system: the newest name that both are of, the
// release and the products that have such hardware first. One that a product does not
// know it refuses or takes for any other.
func (m Machine) guestOS() string {
	if m.GuestOS != "" {
		return m.GuestOS
	}
	bits := map[string]string{"amd64": "_64Guest"}[m.Arch]
	if bits == "" {
		bits = "Guest"
	}
	if m.Distro != "debian" {
		return "other3xLinux" + strings.Replace(bits, "_", "", 1)
	}
	name := "debian10"
	// Hardware 17 came with ESXi 7.0 and 20 with 8.0.
	if m.Hardware >= 17 {
		name = "debian11"
	}
	if m.Hardware >= 20 && m.Release != "bullseye" {
		name = "debian12"
	}
	return name + bits
}
