package debian

import (
	"bytes"
	"math/bits"
)

// symbols gives names small numbers, in the order in which they are first seen.
// A name is not copied: its symbol remembers where it lies in the text.
type symbols struct {
	at    []symbol
	table []uint32 // symbol+1 by hash; 0 is free
}

type symbol struct {
	chunk, off uint32
	len        uint16
	hash       uint32
}

// intern is the number of a name that lies at off in the given chunk.
func (t *symbols) intern(chunks [][]byte, name []byte, chunk, off uint32) uint32 {
	if 2*len(t.at) >= len(t.table) {
		t.grow()
	}
	h := hashName(name)
	mask := uint32(len(t.table) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		n := t.table[i]
		if n == 0 {
			t.at = append(t.at, symbol{chunk, off, uint16(len(name)), h})
			t.table[i] = uint32(len(t.at))
			return uint32(len(t.at) - 1)
		}
		if s := &t.at[n-1]; s.hash == h && int(s.len) == len(name) && bytes.Equal(s.text(chunks), name) {
			return n - 1
		}
	}
}

func (s *symbol) text(chunks [][]byte) []byte {
	return chunks[s.chunk][s.off : s.off+uint32(s.len)]
}

// expect makes room for n names.
func (t *symbols) expect(n int) {
	t.at = make([]symbol, 0, n)
	t.resize(1 << bits.Len(uint(2*n)))
}

func (t *symbols) grow() { t.resize(max(1<<10, 4*len(t.table))) }

func (t *symbols) resize(size int) {
	t.table = make([]uint32, size)
	mask := uint32(size - 1)
	for n := range t.at {
		i := t.at[n].hash & mask
		for t.table[i] != 0 {
			i = (i + 1) & mask
		}
		t.table[i] = uint32(n + 1)
	}
}

// hashName mixes a name eight bytes at a time.
func hashName(b []byte) uint32 {
	h := uint64(len(b)) * 0x9e3779b97f4a7c15
	for len(b) >= 8 {
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		h = (h ^ w) * 0xff51afd7ed558ccd
		h ^= h >> 32
		b = b[8:]
	}
	var w uint64
	for i, c := range b {
		w |= uint64(c) << (8 * i)
	}
	h = (h ^ w) * 0xc4ceb9fe1a85ec53
	return uint32(h ^ h>>29 ^ h>>47)
}

// find is the number of a name, if it has one.
func (t *symbols) find(chunks [][]byte, name []byte) (uint32, bool) {
	if len(t.table) == 0 {
		return 0, false
	}
	h := hashName(name)
	mask := uint32(len(t.table) - 1)
	for i := h & mask; t.table[i] != 0; i = (i + 1) & mask {
		n := t.table[i] - 1
		if s := &t.at[n]; s.hash == h && int(s.len) == len(name) && bytes.Equal(s.text(chunks), name) {
			return n, true
		}
	}
	return 0, false
}
