package vmdk

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// noContent are content ids that mean something else: that there is no parent,
// and that nothing was written yet.
const noContent = 0xfffffffe

// descriptor is the text that describes the disk, as it stands in the file.
func descriptor(size int64, o Options) ([]byte, error) {
	if o.ID == [16]byte{} {
		return nil, fmt.Errorf("an image needs an identity")
	}
	if o.Adapter == "" {
		o.Adapter = LSILogic
	}
	switch o.Adapter {
	case IDE, LSILogic, BusLogic, PVSCSI:
	default:
		return nil, fmt.Errorf("adapter %q is none of ide, lsilogic, buslogic and pvscsi", o.Adapter)
	}
	if o.Hardware == 0 {
		o.Hardware = 7
	}
	if o.Hardware < 3 || o.Hardware > 99 {
		return nil, fmt.Errorf("hardware version %d is not between 3 and 99", o.Hardware)
	}
	if o.Name == "" {
		o.Name = "disk.vmdk"
	}
	if strings.ContainsFunc(o.Name, func(r rune) bool { return r < ' ' || r > '~' || r == '"' }) || len(o.Name) > 255 {
		return nil, fmt.Errorf("the descriptor cannot hold the name %q", o.Name)
	}
	// The last digits of the long content id are the short one.
	if binary.BigEndian.Uint32(o.ID[12:]) >= noContent {
		o.ID[12] = 0
	}
	access := "RW"
	if o.Kind == StreamOptimized {
		access = "RDONLY" // it cannot be written in place
	}
	cylinders, heads, sectors := geometry(size, o.Adapter)
	text := fmt.Sprintf(`# Disk DescriptorFile
version=1
CID=%x
parentCID=ffffffff
createType="%s"

# Extent description
%s %d SPARSE "%s"

# The Disk Data Base
#DDB

ddb.adapterType = "%s"
ddb.geometry.cylinders = "%d"
ddb.geometry.heads = "%d"
ddb.geometry.sectors = "%d"
ddb.longContentID = "%x"
ddb.virtualHWVersion = "%d"
`, o.ID[12:], o.Kind, access, size/sector, o.Name, o.Adapter, cylinders, heads, sectors, o.ID, o.Hardware)
	return []byte(text), nil
}

// geometry is what the adapter's firmware makes of a disk: ATA's largest for IDE,
// and for SCSI the translation by size.
func geometry(size int64, a Adapter) (cylinders, heads, sectors int64) {
	most := int64(65535)
	switch {
	case a == IDE:
		heads, sectors, most = 16, 63, 16383
	case size <= 1<<30:
		heads, sectors = 64, 32
	case size <= 2<<30:
		heads, sectors = 128, 32
	default:
		heads, sectors = 255, 63
	}
	return min(most, max(1, size/sector/(heads*sectors))), heads, sectors
}
