package vhdx

import (
	"os"
	"testing"

	"ingot/internal/disk"
	"ingot/internal/disk/disktest"
)

var (
	identity = GUID{0x1f, 0x2e, 0x3d, 0x4c, 0x5b, 0x6a, 0x79, 0x88, 0x97, 0xa6, 0xb5, 0xc4, 0xd3, 0xe2, 0xf1, 0x07}
	content  = GUID{0x2f, 0x2e, 0x3d, 0x4c, 0x5b, 0x6a, 0x79, 0x88, 0x97, 0xa6, 0xb5, 0xc4, 0xd3, 0xe2, 0xf1, 0x07}
)

var format = disktest.Format{
	QEMU: "vhdx", SevenZip: "VHDX", Unit: mib, Most: maxSize, Alone: true, Size: Size,
	Create: func(f *os.File, size int64, extents []disk.Extent, _ int) (disk.Image, error) {
		im, err := Create(f, size, extents, Options{ID: identity, Content: content})
		if err != nil {
			return nil, err
		}
		return im, nil
	},
}

func Test(t *testing.T) { format.Run(t) }

func Benchmark(b *testing.B) { format.Benchmark(b) }

// Entries of bitmaps stand between those of blocks, and none behind the last one;
// large disks have larger blocks rather than more of them.
func TestTable(t *testing.T) {
	for _, test := range []struct{ size, block, entries int64 }{
		{512, mib, 1},
		{chunk, mib, 4096},
		{chunk + 512, mib, 4098},
		{3 * chunk, mib, 3*4096 + 2},
		{1 << 40, mib, 1<<20 + 255},
		{1<<40 + 512, 2 * mib, 1<<19 + 1 + 256},
		{maxSize, 64 * mib, 1<<20 + 1<<14 - 1},
	} {
		im, err := create(disktest.File(t), test.size, nil, Options{ID: identity, Content: content})
		if err != nil {
			t.Fatal(err)
		}
		if im.block != test.block || im.entries() != test.entries {
			t.Errorf("%d bytes: blocks of %d, %d entries", test.size, im.block, im.entries())
		}
	}
}

func TestIdentity(t *testing.T) {
	for _, o := range []Options{{ID: identity}, {Content: content}} {
		if _, err := Create(disktest.File(t), 1<<20, nil, o); err == nil {
			t.Errorf("%v is accepted", o)
		}
	}
}
