package iso

import (
	"encoding/binary"
)

// Types of descriptors.
const (
	descriptorBoot          = 0
	descriptorPrimary       = 1
	descriptorSupplementary = 2
	descriptorEnd           = 255
)

// descriptors are the volume descriptors, a block each (ECMA-119, 8). Total is how
// many blocks the image has.
func (im *Image) descriptors(total int64) []byte {
	rock, joliet := im.trees[0], im.trees[1]
	out := im.volume(rock, total)
	if im.boots() {
		b := descriptor(descriptorBoot)
		copy(b[7:], "EL TORITO SPECIFICATION")
		binary.LittleEndian.PutUint32(b[71:], uint32(im.catalog))
		out = append(out, b...)
	}
	out = append(out, im.volume(joliet, total)...)
	return append(out, descriptor(descriptorEnd)...)
}

func descriptor(kind byte) []byte {
	b := make([]byte, block)
	b[0] = kind
	copy(b[1:], "CD001")
	b[6] = 1
	return b
}

// volume describes one of the trees: primary (ECMA-119, 8.4) or Joliet's.
func (im *Image) volume(t *names, total int64) []byte {
	kind := byte(descriptorPrimary)
	if t.joliet {
		kind = descriptorSupplementary
	}
	b := descriptor(kind)
	text := func(at, length int, s string) {
		fill, data := []byte{' '}, []byte(s)
		if t.joliet {
			fill, data = []byte{0, ' '}, ucs2(s)
		}
		for i := range length / len(fill) {
			copy(b[at+i*len(fill):], fill)
		}
		copy(b[at:at+length], data)
	}
	text(8, 32, "")
	text(40, 32, im.o.Label)
	copy(b[80:], both32(nil, uint32(total)))
	if t.joliet {
		copy(b[88:], "%/E") // UCS-2, level 3
	}
	for _, at := range []int{120, 124} { // one volume of a set of one
		copy(b[at:], both16(nil, 1))
	}
	copy(b[128:], both16(nil, block))
	copy(b[132:], both32(nil, uint32(t.tableSize)))
	binary.LittleEndian.PutUint32(b[140:], uint32(t.tableL))
	binary.BigEndian.PutUint32(b[148:], uint32(t.tableM))
	root := im.root
	r := (&names{joliet: true}).record([]byte{0}, root, im.o.Epoch, t.at[root], t.size[root], false)
	copy(b[156:190], r)
	for _, f := range []struct{ at, length int }{{190, 128}, {318, 128}, {446, 128}, {574, 128}, {702, 37}, {739, 37}, {776, 37}} {
		text(f.at, f.length, "")
	}
	text(574, 128, "INGOT")
	for i := range 4 { // made, changed, void from, in force from
		date := longDate(im.o.Epoch)
		if i == 2 {
			date = append([]byte("0000000000000000"), 0)
		}
		copy(b[813+17*i:], date)
	}
	b[881] = 1
	return b
}
