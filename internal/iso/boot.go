package iso

import (
	"encoding/binary"

	"ingot/internal/gpt"
)

// Platforms of the boot catalog.
const (
	platformBIOS = 0
	platformUEFI = 0xEF
)

// entries is the boot catalog (El Torito, 2). Uefi is the block of the FAT volume.
func (im *Image) entries(uefi int64) []byte {
	le := binary.LittleEndian
	b := make([]byte, block)
	validation := b[:32]
	validation[0], validation[1] = 1, platformBIOS
	if im.program == nil {
		validation[1] = platformUEFI
	}
	validation[30], validation[31] = 0x55, 0xAA
	var sum uint16
	for i := 0; i < 32; i += 2 {
		sum += le.Uint16(validation[i:])
	}
	le.PutUint16(validation[28:], -sum) // all words of it make 0

	// An entry of a program without emulation of a floppy, loaded where the BIOS sees
	// fit.
	entry := func(e []byte, sectors, at int64) {
		e[0] = 0x88
		le.PutUint16(e[6:], uint16(sectors))
		le.PutUint32(e[8:], uint32(at))
	}
	var size int64 // in sectors; 0 is up to the end of the CD, where it cannot be said
	if im.o.UEFI != nil {
		if size = im.o.UEFI.Size() / sector; size > 0xFFFF {
			size = 0
		}
	}
	switch {
	case im.program == nil:
		entry(b[32:], size, uefi)
	case im.o.UEFI == nil:
		entry(b[32:], 4, im.program.at)
	default:
		entry(b[32:], 4, im.program.at)
		b[64], b[65] = 0x91, platformUEFI // the last section
		le.PutUint16(b[66:], 1)           // of one entry
		entry(b[96:], size, uefi)
	}
	return b
}

// inform fills in the table in a BIOS program that says where it lies: what mkisofs
// calls a boot information table, and GRUB's cdboot.S and isolinux read.
func inform(program []byte, at int64) {
	le := binary.LittleEndian
	var sum uint32
	for i := 64; i < len(program); i += 4 {
		var word [4]byte
		copy(word[:], program[i:])
		sum += le.Uint32(word[:])
	}
	clear(program[8:64])
	for i, v := range []uint32{system, uint32(at), uint32(len(program)), sum} {
		le.PutUint32(program[8+4*i:], v)
	}
}

// Types of partitions.
var (
	linuxData = gpt.GUID{0x0F, 0xC6, 0x3D, 0xAF, 0x84, 0x83, 0x47, 0x72, 0x8E, 0x79, 0x3D, 0x69, 0xD8, 0x47, 0x7D, 0xE4}
	efiSystem = gpt.GUID{0xC1, 0x2A, 0x73, 0x28, 0xF8, 0x1F, 0x11, 0xD2, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B}
)

// readOnly is bit 60 of a partition's attributes.
const readOnly = 1 << 60

// table is the partition table of a disk that holds the image: files up to block
// end, the FAT volume from block uefi.
func (im *Image) table(total, end, uefi int64, code []byte) (head, tail []byte, err error) {
	const n = block / sector
	t := gpt.Table{GUID: im.o.Disk, SectorSize: sector, Sectors: total * n, Partitions: []gpt.Partition{
		{Number: 1, Type: linuxData, GUID: im.o.ISOPart, Name: "iso9660", Attrs: readOnly, Start: system * n, Sectors: (end - system) * n},
	}}
	if im.o.UEFI != nil {
		t.Partitions = append(t.Partitions, gpt.Partition{
			Number: 2, Type: efiSystem, GUID: im.o.UEFIPart, Name: "esp", Start: uefi * n, Sectors: im.o.UEFI.Size() / sector,
		})
	}
	if head, tail, err = t.Encode(code); err != nil {
		return nil, nil, err
	}
	if code != nil {
		// Some BIOSes start no disk that has no active partition. The protective one must
		// not be active (UEFI 2.10, 5.2.3); an empty one does as well.
		head[446+16] = 0x80
	}
	return head, tail, nil
}
