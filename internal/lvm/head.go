package lvm

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Places on a physical volume, in bytes.
const (
	labelAt    = sector // of the label; the first sector stays empty
	areaAt     = 4096   // of the metadata area, which fills all before the data
	areaSize   = DataStart - areaAt
	areaHead   = sector // of the area: its header; the text follows
	areaMagic  = " LVM2 x[5A%r0N*>"
	labelCRC   = 0xf597a6cf // LVM's checksums start from it
	labelType  = "LVM2 001"
	inUse      = 1 // of the header's extension: the physical volume is in a group
	extVersion = 2
)

// checksum is LVM's: a CRC-32 that starts from another value and is not inverted.
func checksum(b []byte) uint32 { return ^crc32.Update(^uint32(labelCRC), crc32.IEEETable, b) }

// heads are the label and the metadata area of each physical volume. All have the
// same text.
func (p *planner) heads() ([]Head, error) {
	text := p.text()
	if len(text) > (areaSize-areaHead)/2 {
		return nil, fmt.Errorf("its metadata of %d bytes leave no room for the next version of it", len(text))
	}
	var out []Head
	for i, pv := range p.group.PVs {
		b := make([]byte, areaAt+areaHead+len(text))
		pv.label(b[labelAt : labelAt+sector])
		area(b[areaAt:areaAt+areaHead], text)
		copy(b[areaAt+areaHead:], text)
		out = append(out, Head{PV: i, Data: b})
	}
	return out, nil
}

// label says what the device is, and where its data and metadata lie.
func (pv PV) label(b []byte) {
	le := binary.LittleEndian
	copy(b, "LABELONE")
	le.PutUint64(b[8:], labelAt/sector)
	le.PutUint32(b[20:], 32) // where the physical volume's header begins
	copy(b[24:], labelType)
	h := b[32:]
	copy(h, pv.ID.raw())
	le.PutUint64(h[32:], uint64(pv.Size))
	// Lists of places, each ended by an empty one: data, to the end; metadata.
	le.PutUint64(h[40:], DataStart)
	le.PutUint64(h[72:], areaAt)
	le.PutUint64(h[80:], areaSize)
	le.PutUint32(h[104:], extVersion)
	le.PutUint32(h[108:], inUse)
	le.PutUint32(b[16:], checksum(b[20:]))
}

// area is the header of a metadata area with one text in it.
func area(b []byte, text string) {
	le := binary.LittleEndian
	copy(b[4:], areaMagic)
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], areaAt)
	le.PutUint64(b[32:], areaSize)
	le.PutUint64(b[40:], areaHead) // from the area's start
	le.PutUint64(b[48:], uint64(len(text)))
	le.PutUint32(b[56:], checksum([]byte(text)))
	le.PutUint32(b, checksum(b[4:]))
}
