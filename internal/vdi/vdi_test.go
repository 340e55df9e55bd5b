package vdi

import (
	"encoding/binary"
	"os"
	"testing"

	"ingot/internal/disk"
	"ingot/internal/disk/disktest"
)

var (
	identity = [16]byte{0x1f, 0x2e, 0x3d, 0x4c, 0x5b, 0x6a, 0x79, 0x88, 0x97, 0xa6, 0xb5, 0xc4, 0xd3, 0xe2, 0xf1, 0x07}
	changed  = [16]byte{0x2f, 0x2e, 0x3d, 0x4c, 0x5b, 0x6a, 0x79, 0x88, 0x97, 0xa6, 0xb5, 0xc4, 0xd3, 0xe2, 0xf1, 0x07}
)

var format = disktest.Format{
	QEMU: "vdi", SevenZip: "VDI", Unit: block, Most: maxSize, Alone: true, Size: Size,
	Create: func(f *os.File, size int64, extents []disk.Extent, _ int) (disk.Image, error) {
		im, err := Create(f, size, extents, Options{ID: identity, Changed: changed})
		if err != nil {
			return nil, err
		}
		return im, nil
	},
}

func Test(t *testing.T) { format.Run(t) }

func Benchmark(b *testing.B) { format.Benchmark(b) }

// The fields that VirtualBox holds a header to and QEMU does not look at.
func TestHeader(t *testing.T) {
	b, err := os.ReadFile(format.Image(t, 70<<20, []disktest.Piece{{Off: 5 << 20, Data: []byte("x")}}, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		summary string
		at      int
		want    uint32
	}{
		{"length of the header", 72, 400},
		{"offset of the map", 340, 512},
		{"offset of the blocks", 344, block},
		{"sectors of the old geometry", 360, 512},
		{"blocks", 384, 70},
		{"blocks in the file", 388, 1},
		{"sectors of the geometry", 468, 512},
		{"fifth block", mapAt + 16, 0xffffffff},
		{"sixth block", mapAt + 20, 0},
		{"seventh block", mapAt + 24, 0xffffffff},
	} {
		if got := binary.LittleEndian.Uint32(b[test.at:]); got != test.want {
			t.Errorf("%s: %d, want %d", test.summary, got, test.want)
		}
	}
	if len(b) != 2*block {
		t.Errorf("the file has %d bytes", len(b))
	}
}

func TestIdentity(t *testing.T) {
	for _, o := range []Options{{ID: identity}, {Changed: changed}} {
		if _, err := Create(disktest.File(t), 1<<20, nil, o); err == nil {
			t.Errorf("%v is accepted", o)
		}
	}
}
