package iso

import (
	"encoding/binary"
	"fmt"
	"time"
)

// measure is how many bytes a directory has: whole blocks, with room for every
// record that a file may need.
func (t *names) measure(d *node) int64 {
	return int64(len(t.directory(d, 0, func(n *node) int64 { return n.most })))
}

// directory is the extent of a directory (ECMA-119, 6.8): records that cross no
// block's end. Size says how many bytes a file has.
func (t *names) directory(d *node, epoch int64, size func(*node) int64) []byte {
	var out []byte
	put := func(r []byte) {
		if used := len(out) % block; used+len(r) > block {
			out = append(out, make([]byte, block-used)...)
		}
		out = append(out, r...)
	}
	put(t.record([]byte{0}, d, epoch, t.at[d], t.size[d], false))
	put(t.record([]byte{1}, d.up, epoch, t.at[d.up], t.size[d.up], false))
	for _, c := range t.order[d] {
		if c.file == nil {
			put(t.record(t.id[c], c, epoch, t.at[c], t.size[c], false))
			continue
		}
		at, left := c.at, size(c)
		for range extents(left) {
			n := min(left, maxExtent)
			left -= n
			put(t.record(t.id[c], c, epoch, at, n, left > 0))
			at += n / block
		}
	}
	return append(out, make([]byte, (block-len(out)%block)%block)...)
}

// Flags of a record.
const (
	flagDir  = 0x02
	flagMore = 0x80 // another record has the rest of the file
)

// record is a directory's record (ECMA-119, 9.1).
func (t *names) record(id []byte, n *node, epoch, at, size int64, more bool) []byte {
	b := make([]byte, 2, 255)
	b = both32(b, uint32(at))
	b = both32(b, uint32(size))
	b = append(b, shortDate(epoch)...)
	var flags byte
	if n.file == nil {
		flags |= flagDir
	}
	if more {
		flags |= flagMore
	}
	b = append(b, flags, 0, 0)
	b = both16(b, 1)
	b = append(b, byte(len(id)))
	b = append(b, id...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	if !t.joliet {
		b = append(b, rockRidge(id, n, epoch)...)
	}
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	b[0] = byte(len(b))
	return b
}

// rockRidge is what the record of a file says in a POSIX system's words (IEEE P1282,
// 4.1; SUSP, 5).
func rockRidge(id []byte, n *node, epoch int64) []byte {
	var b []byte
	dots := len(id) == 1 && id[0] <= 1
	self := dots && id[0] == 0
	if self && n.up == n {
		b = append(b, 'S', 'P', 7, 1, 0xBE, 0xEF, 0)
	}
	mode, links := uint32(0o40755), uint32(2)
	if n.file != nil {
		mode, links = 0o100644, 1
		if n.file.Mode != 0 {
			mode = 0o100000 | n.file.Mode&0o7777
		}
	}
	for _, c := range n.children {
		if c.file == nil {
			links++
		}
	}
	b = append(b, 'P', 'X', 44, 1)
	for _, v := range []uint32{mode, links, 0, 0, n.serial} {
		b = both32(b, v)
	}
	// Times of the content's change, of use, and of the attributes' change.
	b = append(b, 'T', 'F', 26, 1, 0x0E)
	for range 3 {
		b = append(b, shortDate(epoch)...)
	}
	switch {
	case !dots:
		b = append(b, 'N', 'M', byte(5+len(n.name)), 1, 0)
		b = append(b, n.name...)
	case self && n.up == n:
		const which, what = "IEEE_1282", "POSIX FILE SYSTEM SEMANTICS"
		b = append(b, 'E', 'R', byte(8+len(which)+len(what)), 1, byte(len(which)), byte(len(what)), 0, 1)
		b = append(append(b, which...), what...)
	}
	return b
}

// both32 and both16 write a number in both byte orders (ECMA-119, 7.3.3 and 7.2.3).
func both32(b []byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, n), n)
}

func both16(b []byte, n uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, n), n)
}

// dateOf is a time that both forms of dates can say.
func dateOf(epoch int64) (time.Time, error) {
	t := time.Unix(epoch, 0).UTC()
	if y := t.Year(); y < 1970 || y > 2155 {
		return t, fmt.Errorf("the year %d is not one of 1970 to 2155", y)
	}
	return t, nil
}

// shortDate is a time in a record (ECMA-119, 9.1.5).
func shortDate(epoch int64) []byte {
	t := time.Unix(epoch, 0).UTC()
	return []byte{byte(t.Year() - 1900), byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0}
}

// longDate is a time in a descriptor (ECMA-119, 8.4.26.1).
func longDate(epoch int64) []byte {
	return append([]byte(time.Unix(epoch, 0).UTC().Format("20060102150405")+"00"), 0)
}
