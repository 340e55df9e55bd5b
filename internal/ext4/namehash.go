package ext4

import (
	"encoding/binary"
	"math/bits"
)

// A nameHash is the hash of directory entries that ext4 calls half MD4, of
// names as signed characters, which is what the superblock says. The state
// begins with the filesystem's seed.
type nameHash [4]uint32

func newNameHash(seed [16]byte) nameHash {
	if seed == [16]byte{} {
		return nameHash{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476} // MD4's own
	}
	var h nameHash
	for i := range h {
		h[i] = binary.LittleEndian.Uint32(seed[4*i:])
	}
	return h
}

// The largest hash is kept for "end of directory".
const hashEnd = 0xfffffffe

// of gives the hash, whose lowest bit is 0, and the minor hash of a name.
func (h nameHash) of(name string) (hash, minor uint32) {
	for len(name) > 0 {
		h.mix(nameWords(name))
		name = name[min(len(name), 32):]
	}
	hash = h[1] &^ 1
	if hash == hashEnd {
		hash -= 2
	}
	return hash, h[2]
}

// nameWords packs up to 32 characters into words, big end first. What is left
// is filled with the length of the name's rest, repeated in all four bytes.
func nameWords(s string) (words [8]uint32) {
	pad := uint32(len(s)) | uint32(len(s))<<8
	pad |= pad << 16
	for i := range words {
		w := pad
		for j := 4 * i; j < min(4*i+4, len(s)); j++ {
			w = w<<8 + uint32(int32(int8(s[j])))
		}
		words[i] = w
	}
	return words
}

// mix is the three rounds of MD4, each over eight words rather than sixteen.
func (h *nameHash) mix(in [8]uint32) {
	const (
		sqrt2 = 0x5a827999
		sqrt3 = 0x6ed9eba1
	)
	a, b, c, d := h[0], h[1], h[2], h[3]
	for _, i := range [...]int{0, 4} {
		a = bits.RotateLeft32(a+(d^(b&(c^d)))+in[i], 3)
		d = bits.RotateLeft32(d+(c^(a&(b^c)))+in[i+1], 7)
		c = bits.RotateLeft32(c+(b^(d&(a^b)))+in[i+2], 11)
		b = bits.RotateLeft32(b+(a^(c&(d^a)))+in[i+3], 19)
	}
	for _, i := range [...]int{1, 0} {
		a = bits.RotateLeft32(a+((b&c)+((b^c)&d))+in[i]+sqrt2, 3)
		d = bits.RotateLeft32(d+((a&b)+((a^b)&c))+in[i+2]+sqrt2, 5)
		c = bits.RotateLeft32(c+((d&a)+((d^a)&b))+in[i+4]+sqrt2, 9)
		b = bits.RotateLeft32(b+((c&d)+((c^d)&a))+in[i+6]+sqrt2, 13)
	}
	for _, i := range [...]int{3, 1} {
		j := i - 1
		a = bits.RotateLeft32(a+(b^c^d)+in[i]+sqrt3, 3)
		d = bits.RotateLeft32(d+(a^b^c)+in[i+4]+sqrt3, 9)
		c = bits.RotateLeft32(c+(d^a^b)+in[j]+sqrt3, 11)
		b = bits.RotateLeft32(b+(c^d^a)+in[j+4]+sqrt3, 15)
	}
	h[0] += a
	h[1] += b
	h[2] += c
	h[3] += d
}
