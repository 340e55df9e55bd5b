package delta

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime/debug"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ingot/internal/digest"
)

// block is what files are aligned to, at the least.
const block = 512

// Make writes the change set that turns one file into another, and says what it does.
// Neither may be changed meanwhile.
func Make(ctx context.Context, before, after *os.File, w io.Writer) (h Header, err error) {
	a, closeA, err := mapped(before)
	if err != nil {
		return h, err
	}
	defer closeA()
	b, closeB, err := mapped(after)
	if err != nil {
		return h, err
	}
	defer closeB()
	// Whoever cuts a file off while it is mapped makes the reader fault.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot read the files: they were changed meanwhile: %v", r)
		}
	}()
	h = Header{File{Size: int64(len(a))}, File{Size: int64(len(b))}}
	var g errgroup.Group
	g.Go(func() error { return sum(&h.Old.SHA256, a) })
	g.Go(func() error { return sum(&h.New.SHA256, b) })
	t := newTable(a)
	if err := g.Wait(); err != nil {
		return h, err
	}
	whole := sha256.New()
	out := io.MultiWriter(w, whole)
	if _, err := out.Write(h.text()); err != nil {
		return h, err
	}
	z, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderCRC(false))
	if err != nil {
		return h, err
	}
	m := &maker{old: a, new: b, table: t, w: bufio.NewWriterSize(z, 1<<16)}
	err = m.run(ctx)
	if err = errors.Join(err, m.w.Flush(), z.Close()); err != nil {
		return h, err
	}
	_, err = w.Write(whole.Sum(nil))
	return h, err
}

// sum hashes a mapped file, in a goroutine of its own.
func sum(into *digest.Digest, b []byte) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot read the files: they were changed meanwhile: %v", r)
		}
	}()
	*into = digest.Of(b)
	return nil
}

func mapped(f *os.File) (b []byte, unmap func(), err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() == 0 {
		return nil, func() {}, nil
	}
	b, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read %s: %w", f.Name(), err)
	}
	return b, func() { _ = unix.Munmap(b) }, nil
}

// A table finds a block of the old file by its hash: the places of blocks, plus one, by
// open addressing. Of equal blocks it has the first few.
type table struct {
	old   []byte
	slots []uint32
	mask  uint64
}

func newTable(old []byte) *table {
	n := len(old) / block
	size := 1
	for size < 2*n {
		size <<= 1
	}
	t := &table{old: old, slots: make([]uint32, size), mask: uint64(size - 1)}
	if n >= 1<<32-1 {
		n = 1<<32 - 2
	}
	for i := range n {
		b := old[i*block : (i+1)*block]
		if isZero(b) {
			continue
		}
		h := hashOf(b)
		for try := range uint64(8) {
			s := &t.slots[(h+try)&t.mask]
			if *s == 0 {
				*s = uint32(i + 1)
				break
			}
		}
	}
	return t
}

// find gives where the old file has a block; -1 is nowhere.
func (t *table) find(b []byte, hash uint64) int {
	for try := range uint64(8) {
		s := t.slots[(hash+try)&t.mask]
		if s == 0 {
			return -1
		}
		if at := int(s-1) * block; bytes.Equal(t.old[at:at+block], b) {
			return at
		}
	}
	return -1
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// hashOf is what processors compute fastest, and the same in every run.
func hashOf(b []byte) uint64 { return uint64(crc32.Checksum(b, castagnoli)) }

var zeros [block]byte

func isZero(b []byte) bool { return b[0] == 0 && bytes.Equal(b, zeros[:len(b)]) }

// A maker goes through the new file, block by block.
type maker struct {
	old, new []byte
	table    *table
	w        *bufio.Writer

	op        int // that is being gathered
	at        int // where it begins in the new file
	from      int // and in the old one
	alignment int // how far in front the old file was, when both were last alike
}

func (m *maker) run(ctx context.Context) error {
	m.op = -1
	for at := 0; at < len(m.new); at += block {
		if at%(16<<20) == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		end := min(at+block, len(m.new))
		op, from := m.choose(at, m.new[at:end])
		if op != m.op || op != opData && op != opZero && from != m.from+(at-m.at) {
			if err := m.flush(at); err != nil {
				return err
			}
			m.op, m.at, m.from = op, at, from
		}
	}
	return m.flush(len(m.new))
}

// choose says how to write a block of the new file.
func (m *maker) choose(at int, b []byte) (op, from int) {
	if isZero(b) {
		return opZero, 0
	}
	if from := at + m.alignment; m.same(from, b) {
		return opCopy, from
	}
	if len(b) == block {
		if from := m.table.find(b, hashOf(b)); from >= 0 {
			m.alignment = from - at
			return opCopy, from
		}
	}
	// What lies where the last match would go on, or at the same place, in whichever more is
	// alike.
	best, most := 0, len(b)/2
	for _, from := range []int{at + m.alignment, at} {
		if n := m.alike(from, b); n > most {
			best, most, op = from, n, opAdd
		}
	}
	if op == opAdd {
		return opAdd, best
	}
	return opData, 0
}

func (m *maker) same(from int, b []byte) bool {
	return from >= 0 && from+len(b) <= len(m.old) && bytes.Equal(m.old[from:from+len(b)], b)
}

// alike counts bytes that are the same.
func (m *maker) alike(from int, b []byte) int {
	if from < 0 || from+len(b) > len(m.old) {
		return 0
	}
	n := 0
	for i, c := range m.old[from : from+len(b)] {
		if c == b[i] {
			n++
		}
	}
	return n
}

// flush writes the operation that was gathered, which ends here.
func (m *maker) flush(end int) error {
	if m.op < 0 {
		return nil
	}
	var head []byte
	head = append(head, byte(m.op))
	if m.op == opCopy || m.op == opAdd {
		head = binary.AppendUvarint(head, uint64(m.from))
	}
	head = binary.AppendUvarint(head, uint64(end-m.at))
	if _, err := m.w.Write(head); err != nil {
		return err
	}
	switch m.op {
	case opData:
		_, err := m.w.Write(m.new[m.at:end])
		return err
	case opAdd:
		for i := m.at; i < end; i++ {
			if err := m.w.WriteByte(m.new[i] - m.old[m.from+i-m.at]); err != nil {
				return err
			}
		}
	}
	return nil
}
