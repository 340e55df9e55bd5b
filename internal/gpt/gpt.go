// Package gpt writes GUID partition tables, as the UEFI specification (2.10,
// chapter 5) lays them down: a protective MBR in the first sector, the primary
// header and entries behind it, and a copy of both at the end of the disk.
//
// It knows nothing of what partitions are for; that is the layout's business.
package gpt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"unicode/utf16"
)

// The fixed measures of a table.
const (
	entries     = 128                 // the least that the specification asks for, and what all tools write
	entrySize   = 128                 // bytes
	arraySize   = entries * entrySize // bytes of the partition array
	headerSize  = 92                  // bytes of the header that its checksum covers
	nameLength  = 36                  // UTF-16 units of a partition's name
	BootCodeLen = 440                 // bytes of the first sector that a boot loader may use
)

// A Table is a partition table: complete, and a value.
type Table struct {
	GUID       GUID
	SectorSize int64 // 512 or 4096 bytes
	Sectors    int64 // of the whole disk
	Partitions []Partition
}

// A Partition is one entry of a table.
type Partition struct {
	Number  int // 1 to 128: the place in the array, "sda1"
	Type    GUID
	GUID    GUID
	Name    string
	Attrs   uint64
	Start   int64 // first sector
	Sectors int64
}

// First is the first sector that a partition may use: behind the protective
// MBR, the header and the array.
func First(sectorSize int64) int64 { return 2 + arraySize/sectorSize }

// Last is the last sector that a partition may use on a disk of so many.
func Last(sectorSize, sectors int64) int64 { return sectors - 2 - arraySize/sectorSize }

// Encode gives the bytes of the table: head belongs at the disk's start, tail
// at its end. A bootCode of up to 440 bytes goes in front of the protective
// MBR's own table; nil leaves zeros.
//
// It refuses a table whose partitions overlap, lie outside the disk, share a
// number or a GUID, or have a name that does not fit.
func (t Table) Encode(bootCode []byte) (head, tail []byte, err error) {
	if err := t.check(); err != nil {
		return nil, nil, err
	}
	if len(bootCode) > BootCodeLen {
		return nil, nil, fmt.Errorf("boot code of %d bytes is longer than %d", len(bootCode), BootCodeLen)
	}
	ss := t.SectorSize
	array := t.array()
	first, last := First(ss), Last(ss, t.Sectors)

	head = make([]byte, first*ss)
	copy(head, bootCode)
	t.protect(head[:512])
	copy(head[ss:], t.header(1, t.Sectors-1, 2, array))
	copy(head[2*ss:], array)

	tail = make([]byte, (t.Sectors-1-last)*ss)
	copy(tail, array)
	copy(tail[int64(len(tail))-ss:], t.header(t.Sectors-1, 1, last+1, array))
	return head, tail, nil
}

func (t Table) check() error {
	if t.SectorSize != 512 && t.SectorSize != 4096 {
		return fmt.Errorf("partition table: sectors of %d bytes are neither 512 nor 4096", t.SectorSize)
	}
	first, last := First(t.SectorSize), Last(t.SectorSize, t.Sectors)
	if last < first {
		return fmt.Errorf("partition table: a disk of %d sectors is too small for one", t.Sectors)
	}
	numbers, guids := map[int]bool{}, map[GUID]bool{t.GUID: true}
	for _, p := range t.Partitions {
		units := utf16.Encode([]rune(p.Name))
		switch {
		case p.Number < 1 || p.Number > entries:
			return fmt.Errorf("partition %d: numbers go from 1 to %d", p.Number, entries)
		case numbers[p.Number]:
			return fmt.Errorf("partition %d: the number is used twice", p.Number)
		case p.Type == GUID{}:
			return fmt.Errorf("partition %d: no type", p.Number)
		case p.GUID == GUID{} || guids[p.GUID]:
			return fmt.Errorf("partition %d: GUID %s is empty or used twice", p.Number, p.GUID)
		case p.Sectors < 1 || p.Start < first || p.Start > last || p.Sectors > last-p.Start+1:
			return fmt.Errorf("partition %d: sectors %d to %d do not lie in %d to %d", p.Number, p.Start, p.Start+p.Sectors-1, first, last)
		case len(units) > nameLength || strings.ContainsRune(p.Name, 0):
			return fmt.Errorf("partition %d: name %q does not fit in %d UTF-16 units", p.Number, p.Name, nameLength)
		}
		numbers[p.Number], guids[p.GUID] = true, true
	}
	s := slices.Clone(t.Partitions)
	slices.SortFunc(s, func(a, b Partition) int { return int(min(1, max(-1, a.Start-b.Start))) })
	for i := 1; i < len(s); i++ {
		if s[i-1].Start+s[i-1].Sectors > s[i].Start {
			return fmt.Errorf("partitions %d and %d overlap", s[i-1].Number, s[i].Number)
		}
	}
	return nil
}

// protect writes the protective MBR: one partition of type 0xEE over the whole
// disk, or as much of it as 32 bits can say.
func (t Table) protect(mbr []byte) {
	e := mbr[446:]
	e[0] = 0 // not active: the specification wants it so
	e[1], e[2], e[3] = 0, 2, 0
	e[4] = 0xEE
	e[5], e[6], e[7] = 0xFF, 0xFF, 0xFF
	binary.LittleEndian.PutUint32(e[8:], 1)
	binary.LittleEndian.PutUint32(e[12:], uint32(min(t.Sectors-1, 0xFFFFFFFF)))
	mbr[510], mbr[511] = 0x55, 0xAA
}

func (t Table) array() []byte {
	b := make([]byte, arraySize)
	le := binary.LittleEndian
	for _, p := range t.Partitions {
		e := b[(p.Number-1)*entrySize:]
		p.Type.put(e)
		p.GUID.put(e[16:])
		le.PutUint64(e[32:], uint64(p.Start))
		le.PutUint64(e[40:], uint64(p.Start+p.Sectors-1))
		le.PutUint64(e[48:], p.Attrs)
		for i, u := range utf16.Encode([]rune(p.Name)) {
			le.PutUint16(e[56+2*i:], u)
		}
	}
	return b
}

func (t Table) header(self, other, arrayAt int64, array []byte) []byte {
	h := make([]byte, headerSize)
	le := binary.LittleEndian
	copy(h, "EFI PART")
	le.PutUint32(h[8:], 0x00010000)
	le.PutUint32(h[12:], headerSize)
	le.PutUint64(h[24:], uint64(self))
	le.PutUint64(h[32:], uint64(other))
	le.PutUint64(h[40:], uint64(First(t.SectorSize)))
	le.PutUint64(h[48:], uint64(Last(t.SectorSize, t.Sectors)))
	t.GUID.put(h[56:])
	le.PutUint64(h[72:], uint64(arrayAt))
	le.PutUint32(h[80:], entries)
	le.PutUint32(h[84:], entrySize)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(array))
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
	return h
}
