package qcow2

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"ingot/internal/disk"
	"ingot/internal/disk/disktest"
	"ingot/internal/judge"
)

var compressions = map[string]Compression{"none": None, "zlib": Zlib, "zstd": Zstd}

func format(c Compression) disktest.Format {
	f := disktest.Format{
		QEMU: "qcow2", SevenZip: "QCOW", Unit: cluster, Most: maxSize, Alone: c == None,
		Create: func(f *os.File, size int64, extents []disk.Extent, workers int) (disk.Image, error) {
			im, err := Create(f, size, extents, Options{Compression: c, Workers: workers})
			if err != nil {
				return nil, err
			}
			return im, nil
		},
	}
	if c == Zstd {
		f.SevenZip = "" // it knows no zstd in there
	}
	return f
}

func Test(t *testing.T) {
	for name, c := range compressions {
		t.Run(name, func(t *testing.T) { format(c).Run(t) })
	}
}

func TestInfo(t *testing.T) {
	for name, c := range compressions {
		f := format(c)
		path := f.Image(t, 1<<30, nil, 0)
		var info struct {
			VirtualSize    int64 `json:"virtual-size"`
			ClusterSize    int64 `json:"cluster-size"`
			FormatSpecific struct {
				Data struct {
					Compat          string
					CompressionType string `json:"compression-type"`
					RefcountBits    int    `json:"refcount-bits"`
					Corrupt         bool
				}
			} `json:"format-specific"`
		}
		if err := json.Unmarshal([]byte(judge.Run(t, "qemu-img", "info", "--output=json", path)), &info); err != nil {
			t.Fatal(err)
		}
		kind := "zlib" // what an image without compressed clusters says too
		if c == Zstd {
			kind = "zstd"
		}
		want := fmt.Sprintf("{1073741824 65536 {{1.1 %s 16 false}}}", kind)
		if got := fmt.Sprint(info); got != want {
			t.Errorf("%s: qemu-img info gives %s, want %s", name, got, want)
		}
	}
}

func BenchmarkImage(b *testing.B) {
	for name, c := range compressions {
		b.Run(name, func(b *testing.B) { format(c).Benchmark(b) })
	}
}
