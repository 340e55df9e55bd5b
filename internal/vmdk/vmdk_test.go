package vmdk

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"ingot/internal/disk"
	"ingot/internal/disk/disktest"
)

var identity = [16]byte{0x1f, 0x2e, 0x3d, 0x4c, 0x5b, 0x6a, 0x79, 0x88, 0x97, 0xa6, 0xb5, 0xc4, 0xd3, 0xe2, 0xf1, 0x07}

func format(k Kind) disktest.Format {
	return disktest.Format{
		QEMU: "vmdk", SevenZip: "VMDK", Unit: grain, Most: maxSize, Alone: k == MonolithicSparse,
		Create: func(f *os.File, size int64, extents []disk.Extent, workers int) (disk.Image, error) {
			im, err := Create(f, size, extents, Options{Kind: k, ID: identity, Workers: workers})
			if err != nil {
				return nil, err
			}
			return im, nil
		},
	}
}

func TestMonolithicSparse(t *testing.T) { format(MonolithicSparse).Run(t) }

func TestStreamOptimized(t *testing.T) { format(StreamOptimized).Run(t) }

func BenchmarkMonolithicSparse(b *testing.B) { format(MonolithicSparse).Benchmark(b) }

func BenchmarkStreamOptimized(b *testing.B) { format(StreamOptimized).Benchmark(b) }

func TestInfo(t *testing.T) {
	for _, k := range []Kind{MonolithicSparse, StreamOptimized} {
		f := format(k)
		info := f.Info(t, f.Image(t, 1<<30, []disktest.Piece{{Off: 0, Data: []byte("x")}}, 0))
		var data struct {
			Data struct {
				CID        uint32
				ParentCID  uint32 `json:"parent-cid"`
				CreateType string `json:"create-type"`
				Extents    []struct {
					Compressed  bool
					VirtualSize int64 `json:"virtual-size"`
				}
			}
		}
		if err := json.Unmarshal(info.FormatSpecific, &data); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(info.Format, info.VirtualSize, info.ClusterSize, data)
		want := fmt.Sprintf("vmdk1073741824 65536 {{%d 4294967295 %s [{%t 1073741824}]}}", 0xd3e2f107, k, k == StreamOptimized)
		if got != want {
			t.Errorf("qemu-img info gives %s, want %s", got, want)
		}
	}
}

func TestDescriptor(t *testing.T) {
	got, err := descriptor(3<<30, Options{Kind: StreamOptimized, Adapter: PVSCSI, Hardware: 13, ID: identity, Name: "web-amd64.vmdk"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `# Disk DescriptorFile
version=1
CID=d3e2f107
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RDONLY 6291456 SPARSE "web-amd64.vmdk"

# The Disk Data Base
#DDB

ddb.adapterType = "pvscsi"
ddb.geometry.cylinders = "391"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.longContentID = "1f2e3d4c5b6a798897a6b5c4d3e2f107"
ddb.virtualHWVersion = "13"
`
	if string(got) != want {
		t.Errorf("descriptor is\n%s, want\n%s", got, want)
	}
	none := [16]byte{12: 0xff, 13: 0xff, 14: 0xff, 15: 0xfe}
	got, err = descriptor(512, Options{ID: none})
	if err != nil || !strings.Contains(string(got), "\nCID=00fffffe\n") || !strings.Contains(string(got), `RW 1 SPARSE "disk.vmdk"`) {
		t.Errorf("descriptor is\n%s, %v", got, err)
	}
	for problem, o := range map[string]Options{
		"identity": {},
		"adapter":  {ID: identity, Adapter: "scsi"},
		"hardware": {ID: identity, Hardware: 100},
		"name":     {ID: identity, Name: "a\"\nb"},
	} {
		if _, err := Create(disktest.File(t), 1<<20, nil, o); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("a wrong %s gives %v", problem, err)
		}
	}
	if long, err := descriptor(maxSize, Options{ID: identity, Name: strings.Repeat("n", 255)}); err != nil || len(long) > descriptorSectors*sector {
		t.Errorf("a long descriptor has %d bytes, %v", len(long), err)
	}
}

func TestGeometry(t *testing.T) {
	tests := []struct {
		size int64
		a    Adapter
		want string
	}{
		{512, IDE, "1 16 63"},
		{1 << 30, IDE, "2080 16 63"},
		{20 << 30, IDE, "16383 16 63"},
		{1 << 30, LSILogic, "1024 64 32"},
		{1<<30 + 512, LSILogic, "512 128 32"},
		{2<<30 + 512, BusLogic, "261 255 63"},
		{maxSize, PVSCSI, "65535 255 63"},
	}
	for _, test := range tests {
		c, h, s := geometry(test.size, test.a)
		if got := fmt.Sprint(c, h, s); got != test.want {
			t.Errorf("%d bytes on %s: %s, want %s", test.size, test.a, got, test.want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]int64{1: grain, grain: grain, grain + 1: 2 * grain} {
		if got := Size(n); got != want {
			t.Errorf("%d bytes become %d, want %d", n, got, want)
		}
	}
}

// A disk may be planned whole where its grains still fit in the file; behind its
// tables they don't at the very end.
func TestGrainsBeyondFile(t *testing.T) {
	_, err := Create(disktest.File(t), maxSize, []disk.Extent{{Off: 0, Len: maxSize}}, Options{ID: identity})
	if err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Errorf("a full disk of 2 TiB gives %v", err)
	}
}
