package vmdk

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/zlib"

	"ingot/internal/disk/disktest"
)

// A stream optimized image is read as it comes, without a seek: from marker to
// marker, by nothing but what the markers say. The tables that pass by must point
// to what passed by.
func TestReadAsStream(t *testing.T) {
	const size = 3*perTable*grain + 5*grain
	pieces := []disktest.Piece{
		{Off: 100, Data: disktest.Noise(1, 3*grain, true)},
		{Off: 2*perTable*grain - grain/2, Data: disktest.Noise(2, 2*grain, false)},
		{Off: size - 10, Data: []byte("0123456789")},
	}
	want := make([]byte, size)
	for _, p := range pieces {
		copy(want[p.Off:], p.Data)
	}
	f, err := os.Open(format(StreamOptimized).Image(t, size, pieces, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := &sectors{t: t, r: bufio.NewReader(f)}
	head := r.read(1)
	le := binary.LittleEndian
	r.read(int64(le.Uint64(head[64:])) - 1)

	got := make([]byte, size)
	grains := map[uint32]uint32{}    // number on the disk to sector of the file
	var tables, directories []uint32 // where they began
	pointed := map[uint32]bool{}
	kinds := ""
	for {
		at := r.at
		m := r.read(1)
		val, length, kind := le.Uint64(m), le.Uint32(m[8:]), le.Uint32(m[12:])
		if length > 0 {
			data := append(m[12:], r.read((int64(length)+12+sector-1)/sector-1)...)
			z, err := zlib.NewReader(bytes.NewReader(data[:length]))
			if err != nil {
				t.Fatal(err)
			}
			one, err := io.ReadAll(z)
			if err != nil || len(one) != grain {
				t.Fatalf("grain at %d has %d bytes, %v", val, len(one), err)
			}
			copy(got[val*sector:], one)
			grains[uint32(val/grainSectors)] = at
			continue
		}
		if val == 0 {
			break
		}
		at = r.at
		data := r.read(int64(val))
		switch kind {
		case markTable:
			kinds += "t"
			tables = append(tables, at)
			for i := range perTable {
				if e := le.Uint32(data[i*4:]); e != 0 {
					pointed[e] = true
				}
			}
		case markDirectory:
			kinds += "d"
			directories = append(directories, at)
			var in []uint32
			for i := 0; i < len(data); i += 4 {
				if e := le.Uint32(data[i:]); e != 0 {
					in = append(in, e)
				}
			}
			if len(in) != len(tables) {
				t.Errorf("directory points to %v, tables are %v", in, tables)
			}
		case markFooter:
			kinds += "f"
			if at := le.Uint64(data[56:]); at != uint64(directories[0]) {
				t.Errorf("footer says that the directory is at %d, it is at %d", at, directories[0])
			}
			copy(data[56:64], head[56:64])
			if !bytes.Equal(data, head) {
				t.Error("the footer is another header")
			}
		default:
			t.Fatalf("marker of kind %d", kind)
		}
	}
	if _, err := r.r.ReadByte(); err != io.EOF || kinds != "ttttdf" {
		t.Errorf("metadata are %q; after the end comes %v", kinds, err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the disk reads as another")
	}
	for n, at := range grains {
		if !pointed[at] {
			t.Errorf("nothing points to grain %d", n)
		}
	}
	if len(pointed) != len(grains) {
		t.Errorf("tables point to %d grains of %d", len(pointed), len(grains))
	}
}

type sectors struct {
	t  *testing.T
	r  *bufio.Reader
	at uint32
}

func (s *sectors) read(n int64) []byte {
	s.t.Helper()
	b := make([]byte, n*sector)
	if _, err := io.ReadFull(s.r, b); err != nil {
		s.t.Fatal(err)
	}
	s.at += uint32(n)
	return b
}
