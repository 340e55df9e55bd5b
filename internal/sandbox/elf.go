package sandbox

import (
	"encoding/binary"
	"fmt"
)

// An elf is how programs of an architecture look (elf(5), and the processor supplements of
// the System V ABI).
type elf struct {
	machine uint16 // e_machine
	bits    byte   // 32 or 64
	big     bool   // big-endian
	flags   uint32 // e_flags
	exit    string // machine code of exit(0)
}

// elves are Debian's architectures.
var elves = map[string]elf{
	"amd64":    {62, 64, false, 0, "\xb8\x3c\x00\x00\x00\x31\xff\x0f\x05"},                      // mov $60,%eax; xor %edi,%edi; syscall
	"arm64":    {183, 64, false, 0, "\xa8\x0b\x80\xd2\x00\x00\x80\xd2\x01\x00\x00\xd4"},         // mov x8,#93; mov x0,#0; svc #0
	"armel":    {40, 32, false, 0x05000200, "\x01\x70\xa0\xe3\x00\x00\xa0\xe3\x00\x00\x00\xef"}, // mov r7,#1; mov r0,#0; svc #0
	"armhf":    {40, 32, false, 0x05000400, "\x01\x70\xa0\xe3\x00\x00\xa0\xe3\x00\x00\x00\xef"}, // the same
	"i386":     {3, 32, false, 0, "\xb8\x01\x00\x00\x00\x31\xdb\xcd\x80"},                       // mov $1,%eax; xor %ebx,%ebx; int $0x80
	"loong64":  {258, 64, false, 0x43, "\x0b\x74\x81\x03\x04\x00\x80\x03\x00\x00\x2b\x00"},      // ori $a7,$zero,93; ori $a0,$zero,0; syscall 0
	"mips64el": {8, 64, false, 0x80000007, "\xc2\x13\x02\x24\x25\x20\x00\x00\x0c\x00\x00\x00"},  // li v0,5058; move a0,zero; syscall
	"ppc64el":  {21, 64, false, 2, "\x01\x00\x00\x38\x00\x00\x60\x38\x02\x00\x00\x44"},          // li r0,1; li r3,0; sc
	"riscv64":  {243, 64, false, 5, "\x93\x08\xd0\x05\x13\x05\x00\x00\x73\x00\x00\x00"},         // li a7,93; li a0,0; ecall
	"s390x":    {22, 64, true, 0, "\xa7\x28\x00\x00\x0a\x01"},                                   // lhi %r2,0; svc 1
}

func elfOf(arch string) (elf, error) {
	e, ok := elves[arch]
	if !ok {
		return e, fmt.Errorf("programs of architecture %q are not known", arch)
	}
	return e, nil
}

// order is the one of the bytes of a number.
func (e elf) order() binary.AppendByteOrder {
	if e.big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// sizes are those of the header and of an entry of the program headers.
func (e elf) sizes() (header, segment int) {
	if e.bits == 32 {
		return 52, 32
	}
	return 64, 56
}

// base is where the program is in memory: the first address that every kernel lets it have.
const base = 0x400000

// header is the ELF header of a program with one segment.
func (e elf) header() []byte {
	class, data := byte(e.bits/32), byte(1)
	if e.big {
		data = 2
	}
	o := e.order()
	h := append([]byte{0x7f, 'E', 'L', 'F', class, data, 1}, make([]byte, 9)...)
	head, segment := e.sizes()
	h = o.AppendUint16(h, 2) // ET_EXEC
	h = o.AppendUint16(h, e.machine)
	h = o.AppendUint32(h, 1)
	h = e.word(h, uint64(base+head+segment)) // where it starts
	h = e.word(h, uint64(head))              // where the program headers are
	h = e.word(h, 0)
	h = o.AppendUint32(h, e.flags)
	for _, n := range []int{head, segment, 1, 0, 0, 0} {
		h = o.AppendUint16(h, uint16(n))
	}
	return h
}

// word appends an address or an offset.
func (e elf) word(b []byte, n uint64) []byte {
	if e.bits == 32 {
		return e.order().AppendUint32(b, uint32(n))
	}
	return e.order().AppendUint64(b, n)
}

// program is one that exits with code 0 and does nothing else.
func (e elf) program() []byte {
	const load, readExecute, page = 1, 5, 0x10000
	o, p := e.order(), e.header()
	head, segment := e.sizes()
	size := uint64(head + segment + len(e.exit))
	p = o.AppendUint32(p, load)
	if e.bits == 64 {
		p = o.AppendUint32(p, readExecute)
	}
	for _, n := range []uint64{0, base, base, size, size} {
		p = e.word(p, n)
	}
	if e.bits == 32 {
		p = o.AppendUint32(p, readExecute)
	}
	p = e.word(p, page)
	return append(p, e.exit...)
}
