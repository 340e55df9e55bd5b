package vmdk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"

	"ingot/internal/disk"
)

// streamOverhead is where the first grain stands, in sectors.
const streamOverhead = grainSectors

// Types of markers. One of no type and no size ends the stream.
const (
	markTable     = 1
	markDirectory = 2
	markFooter    = 3
)

// A stream is a stream optimized image being written from its begin to its end.
type stream struct {
	w         *bufio.Writer
	at        int64 // sector that is written next
	directory []uint32
	table     []uint32 // entries of the table that is being filled
	current   int64    // its number
	used      bool     // it points to something
}

func (im *Image) writeStream(ctx context.Context) error {
	s := &stream{
		w:         bufio.NewWriterSize(io.NewOffsetWriter(im.f, 0), 1<<20),
		directory: make([]uint32, tables(im.size)),
		table:     make([]uint32, perTable),
	}
	h := header{
		version:     3,
		flags:       newlineTest | grainsPacked | markers,
		capacity:    im.size / sector,
		descriptor:  descriptorAt,
		directory:   directoryLast,
		overhead:    streamOverhead,
		compression: deflate,
	}
	if err := writeHead(s.w, h, im.descriptor); err != nil {
		return err
	}
	s.at = descriptorAt + descriptorSectors
	if err := s.pad(int(streamOverhead-s.at) * sector); err != nil {
		return err
	}
	s.at = streamOverhead
	if err := im.scratch.Pack(ctx, im.o.Workers, newPacker, s.put); err != nil {
		return err
	}
	return s.finish(h)
}

// level makes grains as small as zlib's own default does, to half a percent, in
// half its time; the levels below are faster and larger by 2 to 4 percent.
const level = 7

// newPacker makes what compresses a grain into a zlib stream of its own.
func newPacker() (disk.Packer, error) {
	w, err := zlib.NewWriterLevel(io.Discard, level)
	if err != nil {
		return nil, err
	}
	return func(b []byte) ([]byte, error) {
		out := bytes.NewBuffer(make([]byte, 0, grain))
		w.Reset(out)
		if _, err := w.Write(b); err != nil {
			return nil, err
		}
		err := w.Close()
		return out.Bytes(), err
	}, nil
}

// put writes a grain behind its marker: its place on the disk, in sectors, and
// how long its data are. Grains come in order, so a table is full when one of
// another table comes.
func (s *stream) put(n int64, packed []byte) error {
	if s.at >= maxSize/sector {
		return fmt.Errorf("compressed grains do not fit in the first 2 TiB of the file")
	}
	if n/perTable != s.current {
		if err := s.flushTable(); err != nil {
			return err
		}
		s.current = n / perTable
	}
	s.table[n%perTable] = uint32(s.at)
	s.used = true
	mark := binary.LittleEndian.AppendUint64(nil, uint64(n*grainSectors))
	mark = binary.LittleEndian.AppendUint32(mark, uint32(len(packed)))
	if _, err := s.w.Write(mark); err != nil {
		return err
	}
	return s.write(packed, len(mark))
}

// flushTable writes the current table, if it points to anything.
func (s *stream) flushTable() error {
	if !s.used {
		return nil
	}
	if err := s.mark(markTable, tableSectors); err != nil {
		return err
	}
	s.directory[s.current] = uint32(s.at)
	err := s.entries(s.table)
	clear(s.table)
	s.used = false
	return err
}

// finish writes what follows the grains: the last table, the directory, the
// header that knows where it is, and the end of the stream.
func (s *stream) finish(h header) error {
	if err := s.flushTable(); err != nil {
		return err
	}
	if err := s.mark(markDirectory, (int64(len(s.directory))*4+sector-1)/sector); err != nil {
		return err
	}
	h.directory = uint64(s.at)
	if err := s.entries(s.directory); err != nil {
		return err
	}
	if err := s.mark(markFooter, 1); err != nil {
		return err
	}
	if err := s.write(h.bytes(), 0); err != nil {
		return err
	}
	if err := s.mark(0, 0); err != nil {
		return err
	}
	return s.w.Flush()
}

// mark announces sectors of metadata.
func (s *stream) mark(kind uint32, sectors int64) error {
	m := binary.LittleEndian.AppendUint64(nil, uint64(sectors))
	m = binary.LittleEndian.AppendUint32(m, 0) // grains have a size here
	m = binary.LittleEndian.AppendUint32(m, kind)
	return s.write(m, 0)
}

func (s *stream) entries(e []uint32) error {
	b := make([]byte, 0, len(e)*4)
	for _, at := range e {
		b = binary.LittleEndian.AppendUint32(b, at)
	}
	return s.write(b, 0)
}

// write writes bytes, of which so many stand in the stream already, and fills
// the last sector.
func (s *stream) write(b []byte, before int) error {
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	n := before + len(b)
	s.at += int64((n + sector - 1) / sector)
	return s.pad(-n & (sector - 1))
}

var zeros [streamOverhead * sector]byte

func (s *stream) pad(n int) error {
	_, err := s.w.Write(zeros[:n])
	return err
}
