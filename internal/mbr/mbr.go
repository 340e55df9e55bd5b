// Package mbr writes partition tables of the kind that the IBM PC brought: four
// entries in the first sector of a disk, behind up to 440 bytes of boot code and
// a disk signature of 32 bits.
//
// More than four partitions hang on a chain. One of the four entries, the
// extended partition, reserves a range of the disk. In it each logical partition
// has a sector of its own in front, the extended boot record, which is formed like
// the first sector of the disk: its first entry is the logical partition, counted
// from that record, and its second entry leads to the next record, counted from
// the start of the extended partition. Logical partitions are numbered from 5.
//
// The form was never specified by anybody; the UEFI specification (2.10, section
// 5.2.1) describes the first sector, and libfdisk, by which the tests are judged,
// the chain. It knows nothing of what partitions are for; that is the layout's
// business.
package mbr

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// The measures of a table.
const (
	BootCodeLen  = 440        // bytes of the first sector that a boot loader may use
	Primaries    = 4          // entries in the first sector
	FirstLogical = 5          // number of the first logical partition
	MaxNumber    = 128        // more partitions than any kernel or tool takes
	MaxSector    = 1<<32 - 1  // the last sector that 32 bits can name
	idAt         = 440        // offset of the disk signature
	entriesAt    = 446        // offset of the four entries
	entrySize    = 16         // bytes
	link         = byte(0x05) // type of the entry that leads to the next record
)

// Types of an extended partition. Of the three, tables that are addressed by
// sector number use ExtendedLBA.
const (
	ExtendedCHS   = byte(0x05)
	ExtendedLBA   = byte(0x0F)
	ExtendedLinux = byte(0x85)
)

// IsExtended says whether a type is one of an extended partition, which no other
// partition may have.
func IsExtended(t byte) bool { return t == ExtendedCHS || t == ExtendedLBA || t == ExtendedLinux }

// A Table is a partition table: complete, and a value.
type Table struct {
	ID         uint32 // the disk signature; systems know the disk by it, so 0 is refused
	SectorSize int64  // 512 or 4096 bytes
	Sectors    int64  // of the whole disk
	// Partitions are the primary ones, numbers 1 to 4, and the logical ones,
	// numbers 5 and up without a gap, in the order of their places on the disk.
	Partitions []Partition
	// Extended holds the logical partitions; its Type is one of the extended
	// types and its Number one of 1 to 4. It is nil when there are none.
	Extended *Partition
}

// A Partition is one entry of a table.
type Partition struct {
	Number  int // "sda1"
	Type    byte
	Active  bool  // a BIOS starts from it
	Start   int64 // first sector
	Sectors int64
	// Record is the sector of a logical partition's extended boot record, somewhere
	// in front of it. The first one is the first sector of the extended partition.
	Record int64
}

// Logical says whether the partition lies in the extended one.
func (p Partition) Logical() bool { return p.Number >= FirstLogical }

func (p Partition) end() int64 { return p.Start + p.Sectors }

// A Piece is bytes of a disk: one sector's first 512.
type Piece struct {
	Off  int64 // from the disk's start
	Data []byte
}

// Encode gives the bytes of the table, in the order of their places. A bootCode
// of up to 440 bytes goes into the first sector; nil leaves zeros.
//
// It refuses a table whose partitions or records overlap, lie outside the disk or
// the extended partition, share a number, or cannot be said in 32 bits.
func (t Table) Encode(bootCode []byte) ([]Piece, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if len(bootCode) > BootCodeLen {
		return nil, fmt.Errorf("boot code of %d bytes is longer than %d", len(bootCode), BootCodeLen)
	}
	first := newRecord()
	copy(first, bootCode)
	binary.LittleEndian.PutUint32(first[idAt:], t.ID)
	put := func(p Partition) { p.put(first[entriesAt+entrySize*(p.Number-1):], 0) }
	for _, p := range t.Partitions {
		if !p.Logical() {
			put(p)
		}
	}
	out := []Piece{{0, first}}
	if t.Extended == nil {
		return out, nil
	}
	put(*t.Extended)
	logical := t.logical()
	for i, p := range logical {
		r := newRecord()
		p.put(r[entriesAt:], p.Record)
		if i+1 < len(logical) {
			next := logical[i+1]
			whole := Partition{Type: link, Start: next.Record, Sectors: next.end() - next.Record}
			whole.put(r[entriesAt+entrySize:], t.Extended.Start)
		}
		out = append(out, Piece{p.Record * t.SectorSize, r})
	}
	if len(logical) == 0 {
		// Readers look for a record there, so what an older system left must go.
		out = append(out, Piece{t.Extended.Start * t.SectorSize, newRecord()})
	}
	return out, nil
}

func newRecord() []byte {
	b := make([]byte, 512)
	b[510], b[511] = 0x55, 0xAA
	return b
}

func (t Table) logical() []Partition {
	var out []Partition
	for _, p := range t.Partitions {
		if p.Logical() {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Partition) int { return a.Number - b.Number })
	return out
}

// put writes the entry; its start is counted from a sector.
func (p Partition) put(e []byte, from int64) {
	if p.Active {
		e[0] = 0x80
	}
	chs(e[1:], p.Start)
	e[4] = p.Type
	chs(e[5:], p.end()-1)
	binary.LittleEndian.PutUint32(e[8:], uint32(p.Start-from))
	binary.LittleEndian.PutUint32(e[12:], uint32(p.Sectors))
}

// The geometry that systems assume of a disk that has none.
const (
	heads   = 255
	perHead = 63 // sectors of one track
	maxCyl  = 1023
)

// chs writes the old address of a sector, as cylinder, head and sector. Sectors
// behind what it can say have the last address of all.
func chs(b []byte, sector int64) {
	c, h, s := sector/(heads*perHead), sector/perHead%heads, sector%perHead+1
	if c > maxCyl {
		c, h, s = maxCyl, heads-1, perHead
	}
	b[0], b[1], b[2] = byte(h), byte(s)|byte(c>>8<<6), byte(c)
}

func (t Table) check() error {
	if t.SectorSize != 512 && t.SectorSize != 4096 {
		return fmt.Errorf("partition table: sectors of %d bytes are neither 512 nor 4096", t.SectorSize)
	}
	if t.Sectors < 1 || t.Sectors > 1<<54 {
		return fmt.Errorf("partition table: a disk of %d sectors", t.Sectors)
	}
	if t.ID == 0 {
		return fmt.Errorf("partition table: no disk signature")
	}
	all := slices.Clone(t.Partitions)
	if x := t.Extended; x != nil {
		if !IsExtended(x.Type) {
			return fmt.Errorf("partition %d: type %#02x is not one of an extended partition", x.Number, x.Type)
		}
		if x.Logical() {
			return fmt.Errorf("partition %d: an extended partition has a number from 1 to %d", x.Number, Primaries)
		}
		all = append(all, *x)
	}
	numbers, active := map[int]bool{}, 0
	for _, p := range all {
		extended := t.Extended != nil && p == *t.Extended
		switch {
		case p.Number < 1 || p.Number > MaxNumber:
			return fmt.Errorf("partition %d: numbers go from 1 to %d", p.Number, MaxNumber)
		case numbers[p.Number]:
			return fmt.Errorf("partition %d: the number is used twice", p.Number)
		case p.Type == 0:
			return fmt.Errorf("partition %d: type 0 means that there is no partition", p.Number)
		case IsExtended(p.Type) && !extended:
			return fmt.Errorf("partition %d: type %#02x is one of an extended partition", p.Number, p.Type)
		case p.Sectors < 1 || p.Start < 1 || p.Start >= t.Sectors || p.Sectors > t.Sectors-p.Start:
			return fmt.Errorf("partition %d: sectors %d to %d do not lie in 1 to %d", p.Number, p.Start, p.Start+p.Sectors-1, t.Sectors-1)
		case p.Start > MaxSector || p.Sectors > MaxSector:
			return fmt.Errorf("partition %d: %d sectors at %d cannot be said in 32 bits", p.Number, p.Sectors, p.Start)
		}
		numbers[p.Number] = true
		if p.Active {
			active++
		}
	}
	if active > 1 {
		return fmt.Errorf("%d partitions are active, of which a BIOS could start one", active)
	}
	return t.checkPlaces()
}

// checkPlaces looks for overlaps and follows the chain.
func (t Table) checkPlaces() error {
	logical := t.logical()
	if len(logical) > 0 && t.Extended == nil {
		return fmt.Errorf("partition %d: there is no extended partition for it", logical[0].Number)
	}
	for i, p := range logical {
		x, from := t.Extended, t.Extended.Start
		if i > 0 {
			from = logical[i-1].end()
		}
		switch {
		case p.Number != FirstLogical+i:
			return fmt.Errorf("partition %d: the chain has no partition %d", p.Number, FirstLogical+i)
		case i == 0 && p.Record != x.Start:
			return fmt.Errorf("partition %d: its record lies at %d, not at the start of the extended partition, %d", p.Number, p.Record, x.Start)
		case p.Record < from || p.Record >= p.Start:
			return fmt.Errorf("partition %d: its record at %d does not lie between %d and its start, %d", p.Number, p.Record, from, p.Start)
		case p.end() > x.end():
			return fmt.Errorf("partition %d: it ends behind the extended partition", p.Number)
		}
	}
	var flat []Partition
	for _, p := range t.Partitions {
		if !p.Logical() {
			flat = append(flat, p)
		}
	}
	if t.Extended != nil {
		flat = append(flat, *t.Extended)
	}
	slices.SortFunc(flat, func(a, b Partition) int { return int(min(1, max(-1, a.Start-b.Start))) })
	for i := 1; i < len(flat); i++ {
		if flat[i-1].end() > flat[i].Start {
			return fmt.Errorf("partitions %d and %d overlap", flat[i-1].Number, flat[i].Number)
		}
	}
	return nil
}
