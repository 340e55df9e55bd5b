package blockdevice

import (
	"ingot/internal/disk"
	"ingot/internal/gpt"
	"ingot/internal/mbr"
)

// MBR is the disk's partition table, of which only the signature was missing.
func (d FittedDisk) MBR(signature uint32) mbr.Table {
	sector := d.Disk.BlockSize
	t := mbr.Table{ID: signature, SectorSize: sector, Sectors: d.Size / sector}
	entry := 1 // the first that no primary partition has
	for _, p := range d.Partitions {
		t.Partitions = append(t.Partitions, mbr.Partition{
			Number: p.Partition.Number, Type: p.Partition.Type.MBR, Active: p.Partition.Boot,
			Start: p.Place.Off / sector, Sectors: p.Place.Len / sector, Record: p.Record / sector,
		})
		if p.Partition.Primary {
			entry++
		}
	}
	if x := d.Extended; x.Len > 0 {
		t.Extended = &mbr.Partition{Number: entry, Type: mbr.ExtendedLBA, Start: x.Off / sector, Sectors: x.Len / sector}
	}
	return t
}

// GPT is the disk's partition table, of which only the identities were missing: the
// table's, and each partition's.
func (d FittedDisk) GPT(table gpt.GUID, identity func(*Partition) gpt.GUID) gpt.Table {
	sector := d.Disk.BlockSize
	t := gpt.Table{GUID: table, SectorSize: sector, Sectors: d.Size / sector}
	for _, p := range d.Partitions {
		t.Partitions = append(t.Partitions, gpt.Partition{
			Number: p.Partition.Number, Type: p.Partition.Type.GPT, GUID: identity(p.Partition), Name: p.Partition.Name,
			Start: p.Place.Off / sector, Sectors: p.Place.Len / sector,
		})
	}
	return t
}

// Gap is what lies between an MBR and the first partition, where GRUB puts its core
// image when it starts from a BIOS. On GPT it is empty: there is a partition for it.
func (d FittedDisk) Gap() disk.Extent {
	if d.Disk.Table == nil || d.Disk.Table.Label != MBR || len(d.Partitions) == 0 {
		return disk.Extent{}
	}
	end := d.Partitions[0].Place.Off
	if !d.Partitions[0].Partition.Primary {
		end = d.Extended.Off
	}
	return disk.Extent{Off: d.Disk.BlockSize, Len: end - d.Disk.BlockSize}
}
