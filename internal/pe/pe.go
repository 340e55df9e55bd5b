// Package pe changes programs of UEFI, which have the form of Windows' programs (PE):
// it adds sections to one, and signs one.
//
// A unified kernel image is such a program: a stub of systemd's that finds kernel,
// initramfs and command line in sections of itself and starts them (UAPI group,
// Unified Kernel Image). [Image.Append] makes it of the stub.
//
// The firmware starts under Secure Boot what has a signature by a key that it knows.
// The signature (Authenticode) is a PKCS #7 message behind the program, about the
// digest of all but the few bytes that the signature itself changes. [Image.Sign] adds
// one. RSA signatures by PKCS #1 v1.5 have no chance in them, and no time is said, so
// one key makes one signature.
//
// An image is a list of pieces: kernels and initramfs are read when the image is, and
// are never in memory as a whole.
//
// The facts are those of Microsoft's "PE Format" and "Windows Authenticode Portable
// Executable Signature Format", and of the UEFI specification 2.10, 32.2 (what is
// signed), with RFC 2315 (PKCS #7).
package pe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// Places in the headers of a program with 64-bit addresses (PE32+).
const (
	newHeader     = 0x3C // u32 in the DOS header: where "PE\0\0" lies
	coffSections  = 4 + 2
	coffSymbols   = 4 + 8 // u32 where, u32 how many
	coffOptional  = 4 + 16
	optional      = 4 + 20 // where the optional header begins, from "PE\0\0"
	initialized   = 8      // u32, from the optional header on, as what follows
	sectionAlign  = 32
	fileAlign     = 36
	imageSize     = 56
	headersSize   = 60
	checkSum      = 64
	directories   = 108 // u32, how many; then 8 bytes for each
	certificates  = directories + 4 + 4*8
	leastOptional = directories + 4 + 5*8
	magic64       = 0x20B
	sectionHeader = 40
)

// Bounds of what is read: no loader or stub comes near.
const (
	maxProgram  = 64 << 20
	maxHeaders  = 64 << 10
	maxSections = 96 // the most that Windows takes
)

// A piece is a part of an image's file.
type piece struct {
	data []byte // or
	open func() (io.Reader, error)
	size int64
}

func (p piece) len() int64 {
	if p.open != nil {
		return p.size
	}
	return int64(len(p.data))
}

func (p piece) reader() (io.Reader, error) {
	if p.open == nil {
		return bytes.NewReader(p.data), nil
	}
	r, err := p.open()
	if err != nil {
		return nil, err
	}
	return io.LimitReader(r, p.size), nil
}

// An Image is a program. It does not change.
type Image struct {
	head   []byte // all headers
	pe     int    // where the PE header lies in it
	pieces []piece
}

// Parse takes a program, which it goes on to use.
func Parse(data []byte) (*Image, error) {
	le := binary.LittleEndian
	bad := func(why string, args ...any) error {
		return fmt.Errorf("pe: not a program of UEFI: "+why, args...)
	}
	if len(data) < newHeader+4 || data[0] != 'M' || data[1] != 'Z' || len(data) > maxProgram {
		return nil, bad("%d bytes that do not begin with MZ, or too many", len(data))
	}
	at := int64(le.Uint32(data[newHeader:]))
	if at < newHeader+4 || at+optional+leastOptional > int64(len(data)) || at > maxHeaders || string(data[at:at+4]) != "PE\x00\x00" {
		return nil, bad("it has no PE header")
	}
	im := &Image{pe: int(at)}
	opt := data[at+optional:]
	size := int64(le.Uint32(opt[headersSize:]))
	switch {
	case le.Uint16(opt) != magic64:
		return nil, bad("its addresses do not have 64 bits")
	case le.Uint32(opt[directories:]) < 5:
		return nil, bad("it has no place for signatures")
	case size > int64(len(data)) || size > maxHeaders || size < at+optional+leastOptional:
		return nil, bad("its headers have %d bytes", size)
	}
	im.head = bytes.Clone(data[:size])
	n, table := im.sections(), im.table()
	if n == 0 || n > maxSections || table < int(at)+optional+leastOptional || table+n*sectionHeader > len(im.head) {
		return nil, bad("its table of %d sections does not lie in its headers", n)
	}
	for _, align := range []int{sectionAlign, fileAlign} {
		if a := le.Uint32(opt[align:]); a == 0 || a&(a-1) != 0 || a > 1<<16 {
			return nil, bad("it is aligned to %d bytes", a)
		}
	}
	im.pieces = []piece{{data: data[size:]}}
	return im, nil
}

func (im *Image) sections() int {
	return int(binary.LittleEndian.Uint16(im.head[im.pe+coffSections:]))
}

// table is where the section headers lie.
func (im *Image) table() int {
	return im.pe + optional + int(binary.LittleEndian.Uint16(im.head[im.pe+coffOptional:]))
}

// field is a number of the optional header.
func (im *Image) field(at int) uint32 {
	return binary.LittleEndian.Uint32(im.head[im.pe+optional+at:])
}

// header gives the section's header.
func (im *Image) header(i int) []byte {
	at := im.table() + i*sectionHeader
	return im.head[at : at+sectionHeader]
}

// Size is how many bytes the image's file has.
func (im *Image) Size() int64 {
	n := int64(len(im.head))
	for _, p := range im.pieces {
		n += p.len()
	}
	return n
}

// Open reads the image's file.
func (im *Image) Open() (io.Reader, error) {
	readers := []io.Reader{bytes.NewReader(im.head)}
	for _, p := range im.pieces {
		r, err := p.reader()
		if err != nil {
			return nil, err
		}
		readers = append(readers, r)
	}
	return io.MultiReader(readers...), nil
}

// A Section is a part of a program that is loaded into memory, under a name.
type Section struct {
	Name string // of 1 to 8 bytes
	Data []byte
	// Open, where it is set, gives what is not kept in memory: Size bytes.
	Open func() (io.Reader, error)
	Size int64
	// Memory is how many bytes it takes in memory, where that is more.
	Memory int64
	// Code says that it is run.
	Code bool
}

// What a section is, in its header.
const (
	isCode     = 0x00000020
	isData     = 0x00000040
	executable = 0x20000000
	readable   = 0x40000000
)

// page is what sections are aligned to in memory, at the least.
const page = 4096

// Has says whether the image has a section of a name.
func (im *Image) Has(name string) bool {
	for i := range im.sections() {
		if string(bytes.TrimRight(im.header(i)[:8], "\x00")) == name {
			return true
		}
	}
	return false
}

// Append gives the image with more sections behind those that it has. Symbols and
// signatures, which no longer fit, are dropped.
func (im *Image) Append(more ...Section) (*Image, error) {
	le := binary.LittleEndian
	out := &Image{head: slices.Clone(im.head), pe: im.pe}
	n, table := im.sections(), im.table()
	if end := table + (n+len(more))*sectionHeader; end > len(im.head) {
		return nil, fmt.Errorf("pe: the program's headers have no room for %d more sections", len(more))
	}
	inFile, inMemory := int64(im.field(fileAlign)), max(int64(im.field(sectionAlign)), page)
	end, top := int64(len(im.head)), int64(0)
	for i := range n {
		h := im.header(i)
		virtual, address, raw, offset := int64(le.Uint32(h[8:])), int64(le.Uint32(h[12:])), int64(le.Uint32(h[16:])), int64(le.Uint32(h[20:]))
		top = max(top, address+max(virtual, raw))
		if raw > 0 {
			if offset < int64(len(im.head)) || offset+raw > im.Size() {
				return nil, fmt.Errorf("pe: section %d does not lie in the file", i)
			}
			end = max(end, offset+raw)
		}
	}
	// What is behind the sections goes.
	old := im.pieces[0].data
	if len(im.pieces) != 1 || end-int64(len(im.head)) > int64(len(old)) {
		return nil, fmt.Errorf("pe: sections can be added once only")
	}
	out.pieces = []piece{{data: old[:end-int64(len(im.head))]}}
	initializedSize := int64(im.field(initialized))
	for i, s := range more {
		size := piece{data: s.Data, open: s.Open, size: s.Size}.len()
		if len(s.Name) == 0 || len(s.Name) > 8 || im.Has(s.Name) {
			return nil, fmt.Errorf("pe: section %q has no good name, or one that is there", s.Name)
		}
		pad := -end & (inFile - 1)
		out.pieces = append(out.pieces, piece{data: make([]byte, pad)}, piece{data: s.Data, open: s.Open, size: s.Size})
		end += pad
		top += -top & (inMemory - 1)
		raw := (size + inFile - 1) &^ (inFile - 1)
		memory := max(size, s.Memory)
		if end+raw >= 1<<32 || top+memory >= 1<<31 {
			return nil, fmt.Errorf("pe: section %s of %d bytes makes the program too large", s.Name, size)
		}
		h := out.head[table+(n+i)*sectionHeader:][:sectionHeader]
		clear(h)
		copy(h, s.Name)
		le.PutUint32(h[8:], uint32(memory))
		le.PutUint32(h[12:], uint32(top))
		le.PutUint32(h[16:], uint32(raw))
		le.PutUint32(h[20:], uint32(end))
		kind := uint32(isData | readable)
		if s.Code {
			kind = isCode | executable | readable
		}
		le.PutUint32(h[36:], kind)
		initializedSize += raw
		end += size
		top += memory
	}
	out.pieces = append(out.pieces, piece{data: make([]byte, -end&(inFile-1))})
	le.PutUint16(out.head[im.pe+coffSections:], uint16(n+len(more)))
	clear(out.head[im.pe+coffSymbols:][:8])
	opt := out.head[im.pe+optional:]
	le.PutUint32(opt[initialized:], uint32(initializedSize))
	align := int64(im.field(sectionAlign))
	le.PutUint32(opt[imageSize:], uint32((top+align-1)&^(align-1)))
	le.PutUint32(opt[checkSum:], 0) // which UEFI does not look at
	clear(opt[certificates:][:8])
	return out, nil
}

// ImageSize is how many bytes a program takes in memory.
func (im *Image) ImageSize() int64 { return int64(im.field(imageSize)) }
