package qcow2

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"ingot/internal/digest"
	"ingot/internal/disk"
	"ingot/internal/judge"
)

// A piece is data at a place of the disk.
type piece struct {
	off  int64
	data []byte
}

func create(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func plan(pieces []piece) []disk.Extent {
	var out []disk.Extent
	for _, p := range pieces {
		out = append(out, disk.Extent{Off: p.off, Len: int64(len(p.data))})
	}
	return out
}

// image writes the pieces in their order into a qcow2 and gives its path.
func image(t testing.TB, size int64, pieces []piece, extents []disk.Extent, o Options) string {
	t.Helper()
	f := create(t)
	im, err := Create(f, size, extents, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if n, err := im.WriteAt(p.data, p.off); err != nil || n != len(p.data) {
			t.Fatalf("WriteAt gives %d, %v", n, err)
		}
	}
	if err := im.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// raw writes the pieces into a sparse file.
func raw(t testing.TB, size int64, pieces []piece) string {
	t.Helper()
	f := create(t)
	d, err := disk.NewRaw(f, size)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if _, err := d.WriteAt(p.data, p.off); err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

// accept has QEMU's tool judge an image and compare it with a raw disk.
func accept(t testing.TB, qcow, raw string) {
	t.Helper()
	var check struct {
		Errors      int `json:"check-errors"`
		Leaks       int `json:"leaks"`
		Corruptions int `json:"corruptions"`
	}
	out := judge.Run(t, "qemu-img", "check", "--output=json", "-f", "qcow2", qcow)
	if err := json.Unmarshal([]byte(out), &check); err != nil || check.Errors+check.Leaks+check.Corruptions != 0 {
		t.Errorf("qemu-img check: %s %v", out, err)
	}
	judge.Run(t, "qemu-img", "compare", "-f", "qcow2", "-F", "raw", qcow, raw)
}

func digestOf(t testing.TB, path string) digest.Digest {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	d, _, err := digest.Reader(f)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// noise is bytes that compress by about half when mixed, or not at all.
func noise(seed uint64, n int, mixed bool) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	for i := 0; i < n; i += 4096 {
		if !mixed || i/4096%2 == 0 {
			_, _ = r.Read(b[i:min(n, i+4096)])
		} else {
			copy(b[i:min(n, i+4096)], bytes.Repeat([]byte("ingot "), 700))
		}
	}
	return b
}

var compressions = map[string]Compression{"none": None, "zlib": Zlib, "zstd": Zstd}

func TestJudgesAcceptImage(t *testing.T) {
	tests := []struct {
		summary string
		size    int64
		pieces  []piece
	}{
		{"nothing", 1 << 30, nil},
		{"one sector", 512, []piece{{0, noise(1, 512, false)}}},
		{"last bytes of an odd size", 10<<20 + 512, []piece{{10<<20 - 100, noise(1, 612, false)}}},
		{"no cluster is whole", 8 << 20, []piece{{100, []byte("a")}, {1 << 20, []byte("b")}, {1<<20 + 65535, []byte("cd")}}},
		{"half compressible", 64 << 20, []piece{{1 << 20, noise(1, 10<<20, true)}, {30 << 20, noise(2, 3<<20, true)}}},
		{"not compressible", 64 << 20, []piece{{1 << 20, noise(1, 10<<20, false)}}},
		{"text, noise, text", 64 << 20, []piece{{0, bytes.Repeat([]byte("text "), 50000)}, {1 << 20, noise(1, 1<<20, false)}, {2 << 20, bytes.Repeat([]byte("again "), 500000)}}},
		{"zeros only", 64 << 20, []piece{{1 << 20, make([]byte, 1<<20)}}},
		{"far apart on a large disk", 10 << 40, []piece{{0, []byte("a")}, {5<<40 + 12345, noise(3, 200000, true)}, {10<<40 - 1, []byte("z")}}},
	}
	for _, test := range tests {
		for name, c := range compressions {
			t.Run(test.summary+"/"+name, func(t *testing.T) {
				qcow := image(t, test.size, test.pieces, plan(test.pieces), Options{Compression: c})
				accept(t, qcow, raw(t, test.size, test.pieces))
			})
		}
	}
}

func TestInfo(t *testing.T) {
	for name, c := range compressions {
		path := image(t, 1<<30, nil, nil, Options{Compression: c})
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

// The order and size of writes, how many goroutines write, and how many
// compress, change no byte.
func TestSameBytes(t *testing.T) {
	data := noise(1, 20<<20, true)
	whole := []piece{{3 << 20, data}}
	for name, c := range compressions {
		want := digestOf(t, image(t, 64<<20, whole, plan(whole), Options{Compression: c, Workers: 1}))
		f := create(t)
		im, err := Create(f, 64<<20, plan(whole), Options{Compression: c, Workers: 7})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		const step = 12345
		for part := range 4 {
			wg.Go(func() {
				for i := (len(data) - 1) / step; i >= 0; i-- {
					if i%4 != part {
						continue
					}
					if _, err := im.WriteAt(data[i*step:min(len(data), (i+1)*step)], int64(3<<20+i*step)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if err := im.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := digestOf(t, f.Name()); got != want {
			t.Errorf("%s: another order of writes gives another file", name)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, size := range []int64{0, -512, 511, 1<<50 + 512} {
		if _, err := Create(create(t), size, nil, Options{}); err == nil {
			t.Errorf("size %d is accepted", size)
		}
	}
	for _, e := range []disk.Extent{{Off: -70000, Len: 10}, {Off: 1 << 20, Len: 1}, {Off: 0, Len: 1<<20 + 1}} {
		if _, err := Create(create(t), 1<<20, []disk.Extent{e}, Options{}); err == nil {
			t.Errorf("extent %v is accepted", e)
		}
	}
	im, err := Create(create(t), 1<<20, []disk.Extent{{Off: 0, Len: 10}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := im.WriteAt(make([]byte, 70000), 0); n != 65536 || err == nil {
		t.Errorf("a write out of the extents gives %d, %v", n, err)
	}
	for _, off := range []int64{-1, 1<<20 - 1} {
		if _, err := im.WriteAt(make([]byte, 2), off); err == nil {
			t.Errorf("a write at %d is accepted", off)
		}
	}
}

// An interrupted compression says so and leaves no scratch file.
func TestCancel(t *testing.T) {
	f := create(t)
	pieces := []piece{{0, noise(1, 30<<20, true)}}
	im, err := Create(f, 64<<20, plan(pieces), Options{Compression: Zstd})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := im.WriteAt(pieces[0].data, 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := im.Finish(ctx); !errors.Is(err, ctx.Err()) {
		t.Errorf("Finish gives %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(f.Name()))
	if err != nil || len(left) != 1 {
		t.Errorf("left beside the image: %v, %v", left, err)
	}
}

// Random writes into random extents: QEMU reads back what a raw disk holds.
func TestRandomImages(t *testing.T) {
	judge.Path(t, "qemu-img")
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		if runs++; runs > 30 { // each runs two programs
			return
		}
		size := rapid.Int64Range(1, 200_000).Draw(rt, "sectors") * 512
		var pieces []piece
		for range rapid.IntRange(0, 20).Draw(rt, "pieces") {
			off := rapid.Int64Range(0, size-1).Draw(rt, "offset")
			n := min(size-off, rapid.Int64Range(0, 300_000).Draw(rt, "length"))
			pieces = append(pieces, piece{off, noise(rapid.Uint64().Draw(rt, "seed"), int(n), rapid.Bool().Draw(rt, "mixed"))})
		}
		c := rapid.SampledFrom([]Compression{None, Zlib, Zstd}).Draw(rt, "compression")
		accept(t, image(t, size, pieces, plan(pieces), Options{Compression: c}), raw(t, size, pieces))
	})
}

func BenchmarkImage(b *testing.B) {
	data := noise(1, 400<<20, true)
	for name, c := range compressions {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				pieces := []piece{{1 << 20, data}}
				image(b, 1<<30, pieces, plan(pieces), Options{Compression: c})
			}
		})
	}
}
