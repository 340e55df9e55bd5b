package layout

import (
	"fmt"

	"ingot/internal/blockdevice"
)

// fillTables puts partition tables on the disks, and the BIOS' part of the boot loader on
// the one that is started from.
func (b *builder) fillTables() error {
	for i, d := range b.fitted.Disks {
		if d.Disk.Table == nil {
			continue
		}
		var code []byte
		if i == 0 {
			var err error
			if code, err = b.fillCore(d); err != nil {
				return err
			}
		}
		if err := b.fillTable(i, d, code); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) fillTable(n int, d blockdevice.FittedDisk, code []byte) error {
	var active *blockdevice.Partition
	if n == 0 {
		active = b.starting()
	}
	if d.Disk.Table.Label == blockdevice.MBR {
		table := d.MBR(b.signature(d.Disk.Table))
		for i, p := range table.Partitions {
			if active != nil {
				table.Partitions[i].Active = p.Number == active.Number
			}
		}
		pieces, err := table.Encode(code)
		if err != nil {
			return fmt.Errorf("layout: %w", err)
		}
		for _, p := range pieces {
			b.image.pieces = append(b.image.pieces, piece{n, p.Off, p.Data})
		}
		return nil
	}
	table := d.GPT(b.tableID(d.Disk.Table), b.identityOf)
	for i, p := range table.Partitions {
		if active != nil && p.Number == active.Number {
			table.Partitions[i].Attrs |= legacyBoot
		}
	}
	head, tail, err := table.Encode(code)
	if err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	b.image.pieces = append(b.image.pieces, piece{n, 0, head}, piece{n, d.Size - int64(len(tail)), tail})
	return nil
}

// legacyBoot is the attribute of a GPT's partition that a BIOS' code starts (UEFI
// specification 2.10, table 5.8).
const legacyBoot = 1 << 2

// fillCore puts GRUB's core image into its partition, or between an MBR and the first
// partition, and gives the code for the first sector.
func (b *builder) fillCore(d blockdevice.FittedDisk) (code []byte, err error) {
	if x := b.Loader.Extlinux(); x != nil {
		return x.Code(d.Disk.Table.Label == blockdevice.GPT), nil
	}
	if b.Loader.CoreSize() == 0 {
		return nil, nil
	}
	place := d.Gap()
	if p := b.BIOSBoot(); p != nil {
		_, place = b.fitted.Place(p)
	}
	if place.Len < b.Loader.CoreSize() {
		return nil, fmt.Errorf("layout: GRUB's %d bytes for a BIOS have %d bytes of room: a GPT needs a partition of type bios, an MBR 1 MiB before the first partition", b.Loader.CoreSize(), place.Len)
	}
	code, core := b.Loader.At(place.Off)
	b.image.pieces = append(b.image.pieces, piece{0, place.Off, core})
	return code, nil
}
