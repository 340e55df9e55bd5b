package blockdevice

import (
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
