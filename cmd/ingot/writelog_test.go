package main_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// diskSector is the unit in which a disk is written whole or not at all, in bytes.
const diskSector = 512

// A piece is sectors that were written, and where in the log what was written lies.
type piece struct {
	at, n int64 // in sectors
	data  int64 // in bytes
}

// An epoch is what a disk was asked to write between two flushes: at a power cut any of it may
// be there, and any not.
type epoch []piece

// A writeLog is what a disk was asked for, in order: QEMU's blklogwrites, in the format of
// dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst of Linux).
type writeLog struct {
	io.ReaderAt
	epochs  []epoch // a flush follows each but the last, which may be empty
	entries int
}

const (
	logMagic   = 0x6a736677736872
	logFlush   = 1
	logDiscard = 4
	logMark    = 8
)

func readWriteLog(r io.ReaderAt) (*writeLog, error) {
	head := make([]byte, diskSector)
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if magic, version, size := le.Uint64(head), le.Uint64(head[8:]), le.Uint32(head[24:]); magic != logMagic || version != 1 || size != diskSector {
		return nil, fmt.Errorf("no log of writes: magic %x, version %d, sectors of %d bytes", magic, version, size)
	}
	l := &writeLog{ReaderAt: r, entries: int(le.Uint64(head[16:]))}
	var now epoch
	at := int64(diskSector)
	for i := range l.entries {
		if _, err := r.ReadAt(head, at); err != nil {
			return nil, fmt.Errorf("entry %d of the log: %w", i, err)
		}
		at += diskSector
		p := piece{int64(le.Uint64(head)), int64(le.Uint64(head[8:])), at}
		flags := le.Uint64(head[16:])
		if flags&(logDiscard|logMark) != 0 {
			return nil, fmt.Errorf("entry %d of the log: flags %d", i, flags)
		}
		if flags&logFlush != 0 { // before what the entry itself writes
			l.epochs, now = append(l.epochs, now), nil
		}
		if p.n > 0 {
			now = append(now, p)
			at += p.n * diskSector
		}
	}
	l.epochs = append(l.epochs, now)
	l.epochs = slices.DeleteFunc(l.epochs, func(e epoch) bool { return len(e) == 0 })
	return l, nil
}

// A cut is a state that a power cut may leave: whole epochs, and pieces of the next in their
// order.
type cut struct {
	name   string
	after  int     // epochs
	pieces []piece // of the next
}

// cuts are states of one epoch: all that can be had by breaking it off, and some, by chance, of
// a disk that writes in whatever order, and of whose writes of many sectors a part is there.
func (l *writeLog) cuts(chance *rand.Rand, i, most int) []cut {
	e := l.epochs[i]
	out := []cut{{fmt.Sprintf("epoch %d", i), i, nil}}
	ends := chance.Perm(len(e) - 1)
	for _, k := range ends[:min(len(ends), most)] {
		out = append(out, cut{fmt.Sprintf("epoch %d, the first %d of %d writes", i, k+1, len(e)), i, slices.Clone(e[:k+1])})
	}
	for k := range most {
		c := cut{fmt.Sprintf("epoch %d, disorder %d of %d writes", i, k, len(e)), i, nil}
		for _, p := range e {
			switch chance.IntN(8) {
			case 0, 1, 2:
			case 3: // torn: some of its sectors
				for s := range p.n {
					if chance.IntN(2) == 0 {
						c.pieces = append(c.pieces, piece{p.at + s, 1, p.data + s*diskSector})
					}
				}
			default:
				c.pieces = append(c.pieces, p)
			}
		}
		out = append(out, c)
	}
	return out
}

// A cutDisk is a file that is brought from state to state.
type cutDisk struct {
	file *os.File
	log  *writeLog
	done int // epochs
	undo []saved
}

type saved struct {
	at   int64 // in bytes
	data []byte
}

// to has the disk in a state; states come in the order of their epochs.
func (d *cutDisk) to(c cut) error {
	if c.after < d.done {
		return fmt.Errorf("%s is behind the disk, which is at %d", c.name, d.done)
	}
	for _, s := range slices.Backward(d.undo) {
		if _, err := d.file.WriteAt(s.data, s.at); err != nil {
			return err
		}
	}
	d.undo = nil
	for ; d.done < c.after; d.done++ {
		for _, p := range d.log.epochs[d.done] {
			if err := d.write(p, false); err != nil {
				return err
			}
		}
	}
	for _, p := range c.pieces {
		if err := d.write(p, true); err != nil {
			return err
		}
	}
	return nil
}

func (d *cutDisk) write(p piece, undo bool) error {
	if undo {
		old := make([]byte, p.n*diskSector)
		if _, err := d.file.ReadAt(old, p.at*diskSector); err != nil {
			return err
		}
		d.undo = append(d.undo, saved{p.at * diskSector, old})
	}
	data := make([]byte, p.n*diskSector)
	if _, err := d.log.ReadAt(data, p.data); err != nil {
		return err
	}
	_, err := d.file.WriteAt(data, p.at*diskSector)
	return err
}

// distinct leaves out of states those whose disks are alike: of a sum over all sectors of
// hashes, which a write changes by what it changes. Before is the disk before all writes.
func (l *writeLog) distinct(before io.ReaderAt, cuts []cut) ([]cut, error) {
	seed := maphash.MakeSeed()
	slices.SortStableFunc(cuts, func(a, b cut) int { return cmp.Compare(a.after, b.after) })
	hash := func(at int64, data []byte) uint64 {
		var h maphash.Hash
		h.SetSeed(seed)
		var place [8]byte
		binary.LittleEndian.PutUint64(place[:], uint64(at))
		_, _ = h.Write(place[:]) // never fails
		_, _ = h.Write(data)
		return h.Sum64()
	}
	was := map[int64]uint64{}
	var sum uint64
	// put gives what a piece changes of the sum, and of the sectors.
	put := func(p piece, now func(int64) (uint64, error), set func(int64, uint64)) error {
		data := make([]byte, p.n*diskSector)
		if _, err := l.ReadAt(data, p.data); err != nil {
			return err
		}
		for i := range p.n {
			old, err := now(p.at + i)
			if err != nil {
				return err
			}
			h := hash(p.at+i, data[i*diskSector:][:diskSector])
			sum += h - old
			set(p.at+i, h)
		}
		return nil
	}
	now := func(at int64) (uint64, error) {
		if h, ok := was[at]; ok {
			return h, nil
		}
		data := make([]byte, diskSector)
		_, err := before.ReadAt(data, at*diskSector)
		return hash(at, data), err
	}
	seen, done := map[uint64]bool{}, 0
	var out []cut
	for _, c := range cuts {
		for ; done < c.after; done++ {
			for _, p := range l.epochs[done] {
				if err := put(p, now, func(at int64, h uint64) { was[at] = h }); err != nil {
					return nil, err
				}
			}
		}
		whole, over := sum, map[int64]uint64{}
		for _, p := range c.pieces {
			if err := put(p, func(at int64) (uint64, error) {
				if h, ok := over[at]; ok {
					return h, nil
				}
				return now(at)
			}, func(at int64, h uint64) { over[at] = h }); err != nil {
				return nil, err
			}
		}
		if !seen[sum] {
			seen[sum] = true
			out = append(out, c)
		}
		sum = whole
	}
	return out, nil
}

// TestWriteLog has a log of five writes and three flushes, and a disk in states of it.
func TestWriteLog(t *testing.T) {
	var b bytes.Buffer
	fill := func(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n*diskSector) }
	padded := func(words ...uint64) {
		p := make([]byte, diskSector)
		for i, w := range words {
			binary.LittleEndian.PutUint64(p[8*i:], w)
		}
		b.Write(p)
	}
	writes := []struct {
		at, n uint64
		what  byte
	}{{1, 1, 'a'}, {3, 2, 'b'}, {0, 0, 0}, {1, 1, 'c'}, {0, 0, 0}, {0, 0, 0}, {2, 1, 'd'}, {2, 1, 'e'}}
	padded(logMagic, 1, uint64(len(writes)), diskSector)
	for _, w := range writes {
		if w.n == 0 {
			padded(0, 0, logFlush)
			continue
		}
		padded(w.at, w.n, 0)
		b.Write(fill(w.what, int(w.n)))
	}
	l, err := readWriteLog(bytes.NewReader(b.Bytes()))
	if err != nil || len(l.epochs) != 3 || len(l.epochs[0]) != 2 || len(l.epochs[1]) != 1 || len(l.epochs[2]) != 2 {
		t.Fatal(l, err)
	}
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, fill('.', 5), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	torn := piece{4, 1, l.epochs[0][1].data + diskSector}
	all := []cut{
		{"none", 0, nil}, {"the second", 0, []piece{torn}}, {"first", 0, l.epochs[0][:1]}, {"one", 1, nil}, {"one again", 0, l.epochs[0]},
		{"two", 2, nil}, {"twice", 2, l.epochs[2]}, {"all", 3, nil},
	}
	got, err := l.distinct(f, all)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	d := &cutDisk{file: f, log: l}
	for _, c := range got {
		if err := d.to(c); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := c.name + " "
		for i := 0; i < len(data); i += diskSector {
			text += string(data[i])
		}
		said = append(said, text)
	}
	want := []string{"none .....", "the second ....b", "first .a...", "one again .a.bb", "two .c.bb", "twice .cebb"}
	if !slices.Equal(said, want) {
		t.Errorf("%q and not %q", said, want)
	}
	chance := rand.New(rand.NewPCG(1, 1))
	for i := range l.epochs {
		for _, c := range l.cuts(chance, i, 3) {
			if c.after != i {
				t.Errorf("%+v", c)
			}
		}
	}
}
