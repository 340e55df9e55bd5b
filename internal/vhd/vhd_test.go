package vhd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/disk"
	"ingot/internal/disk/disktest"
	"ingot/internal/judge"
)

var identity = [16]byte{0x1f, 0x2e, 0x3d, 0x4c, 0x5b, 0x6a, 0x79, 0x88, 0x97, 0xa6, 0xb5, 0xc4, 0xd3, 0xe2, 0xf1, 0x07}

func format(o Options) disktest.Format {
	o.ID, o.Time = identity, 1731000000
	f := disktest.Format{
		QEMU: "vpc", SevenZip: "VHD", Unit: block, Most: maxSize, NoCheck: true, Alone: true,
		Size: func(n int64) int64 { return Size(n, o) },
		Create: func(f *os.File, size int64, extents []disk.Extent, _ int) (disk.Image, error) {
			im, err := Create(f, size, extents, o)
			if err != nil {
				return nil, err
			}
			return im, nil
		},
	}
	if o.Fixed {
		f.Unit = 0
	}
	return f
}

func TestDynamic(t *testing.T) { format(Options{}).Run(t) }

func TestDynamicWholeMiB(t *testing.T) { format(Options{WholeMiB: true}).Run(t) }

func TestFixed(t *testing.T) { format(Options{Fixed: true}).Run(t) }

func BenchmarkDynamic(b *testing.B) { format(Options{}).Benchmark(b) }

func BenchmarkFixed(b *testing.B) { format(Options{Fixed: true}).Benchmark(b) }

// What Azure asks for: a fixed image whose size in the footer is a whole number of
// mebibytes, and is all of the file but the footer.
func TestAzure(t *testing.T) {
	f := format(Options{Fixed: true, WholeMiB: true})
	f.Run(t)
	const content = 3<<30 + 12345
	size := f.Size(content)
	path := f.Image(t, size, []disktest.Piece{{Off: content - 1, Data: []byte("z")}}, 0)
	footer, length := lastFooter(t, path)
	if current := int64(binary.BigEndian.Uint64(footer[48:])); size != 3<<30+mib || current != size || length != size+512 {
		t.Errorf("%d bytes are a disk of %d in a file of %d; the footer says %d", content, size, length, current)
	}
}

func TestFooter(t *testing.T) {
	f := format(Options{})
	b, err := os.ReadFile(f.Image(t, 5<<20, nil, 0))
	if err != nil {
		t.Fatal(err)
	}
	first, last := b[:512], b[len(b)-512:]
	if string(first) != string(last) {
		t.Error("the footer's copy is another")
	}
	const want = "63 6f 6e 65 63 74 69 78 00 00 00 02 00 01 00 00 00 00 00 00 00 00 02 00 2e bf b3 40 71 65 6d 32 " +
		"00 05 00 03 57 69 32 6b 00 00 00 00 00 50 00 00 00 00 00 00 00 50 00 00 00 96 04 11 00 00 00 03 " +
		"ff ff ee 96 1f 2e 3d 4c 5b 6a 79 88 97 a6 b5 c4 d3 e2 f1 07"
	if got := fmt.Sprintf("% x", first[:84]); got != want {
		t.Errorf("footer is\n%s, want\n%s", got, want)
	}
	for _, part := range [][]byte{first, b[512:1536]} {
		at := 64
		if string(part[:8]) == "cxsparse" {
			at = 36
		}
		sum := binary.BigEndian.Uint32(part[at:])
		clear(part[at : at+4])
		if got := checksum(part); got != sum {
			t.Errorf("checksum is %x, want %x", sum, got)
		}
	}
	if out := judge.Run(t, "qemu-img", "info", f.Image(t, 5<<20, nil, 0)); strings.Contains(out, "checksum") {
		t.Errorf("qemu-img info: %s", out)
	}
}

func TestTimestamp(t *testing.T) {
	for unix, want := range map[int64]uint32{-1: 0, 946684800: 0, 946684801: 1, 1 << 40: 1<<32 - 1} {
		if got := timestamp(unix); got != want {
			t.Errorf("%d becomes %d, want %d", unix, got, want)
		}
	}
}

// QEMU's program gives its images the geometry of the first size, from the wanted
// one on, whose geometry is no smaller.
func TestGeometry(t *testing.T) {
	judge.Path(t, "qemu-img")
	sizes := []int64{512, 1 << 20, 5 << 20, 100 << 20, 504 << 20, 505 << 20, 1 << 30, 30 << 30, 31 << 30, 33 << 30, 40 << 30, 127 << 30}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		sizes = append(sizes, r.Int64N(1<<(21+r.IntN(16)))/sector*sector+sector)
	}
	for _, size := range sizes {
		path := filepath.Join(t.TempDir(), "disk")
		judge.Run(t, "qemu-img", "create", "-f", "vpc", "-o", "force_size=off", path, fmt.Sprint(size))
		footer, _ := lastFooter(t, path)
		got := geometry(size)
		for n := size; product(got) < size/sector; n += sector {
			got = geometry(n)
		}
		if want := footer[56:60]; !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %v, want %v", size, got, want)
		}
	}
	for size, want := range map[int64]string{512: "0 4 17", maxSize: "65535 16 255"} {
		b := geometry(size)
		if got := fmt.Sprint(binary.BigEndian.Uint16(b), b[2], b[3]); got != want {
			t.Errorf("%d bytes: %s, want %s", size, got, want)
		}
	}
}

func product(g []byte) int64 {
	return int64(binary.BigEndian.Uint16(g)) * int64(g[2]) * int64(g[3])
}

// lastFooter reads the footer at the end of a file, and tells the file's length.
func lastFooter(t *testing.T, path string) ([]byte, int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, footerBytes)
	if _, err := f.ReadAt(b, end-footerBytes); err != nil {
		t.Fatal(err)
	}
	return b, end
}

func TestRefusals(t *testing.T) {
	for summary, o := range map[string]Options{
		"no identity":     {},
		"half a MiB over": {ID: identity, Fixed: true, WholeMiB: true},
	} {
		if _, err := Create(disktest.File(t), 1<<20+512<<10, nil, o); err == nil {
			t.Errorf("%s is accepted", summary)
		}
	}
}
