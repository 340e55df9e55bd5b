// Package disktest holds the writer of a disk format to what every one of them
// owes: QEMU reads back exactly what was written, the bytes depend on nothing but
// the disk, and what lies outside of the plan is refused. Only tests import it.
package disktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"ingot/internal/digest"
	"ingot/internal/disk"
	"ingot/internal/judge"
)

// A Format is a writer under test, with one set of options.
type Format struct {
	QEMU     string // QEMU's name of it
	SevenZip string // and 7-Zip's; empty when it cannot read it
	Unit     int64  // bytes of a block
	Most     int64  // the largest disk, in bytes
	NoCheck  bool   // qemu-img check knows nothing of it
	// Alone says that no scratch file is needed beside the image, so that Finish
	// has nothing to do that could be interrupted.
	Alone bool
	// Size is the size of a disk that has at least n bytes; nil is n itself.
	Size   func(n int64) int64
	Create func(f *os.File, size int64, extents []disk.Extent, workers int) (disk.Image, error)
}

// A Piece is data at a place of the disk.
type Piece struct {
	Off  int64
	Data []byte
}

// Plan is where pieces lie.
func Plan(pieces []Piece) []disk.Extent {
	var out []disk.Extent
	for _, p := range pieces {
		out = append(out, disk.Extent{Off: p.Off, Len: int64(len(p.Data))})
	}
	return out
}

// File is an empty file in a directory of its own.
func File(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// Noise is bytes that compress by about half when mixed, or not at all.
func Noise(seed uint64, n int, mixed bool) []byte {
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

// Image writes the pieces in their order into an image and gives its path.
func (f Format) Image(t testing.TB, size int64, pieces []Piece, workers int) string {
	t.Helper()
	file := File(t)
	im, err := f.Create(file, size, Plan(pieces), workers)
	if err != nil {
		t.Fatal(err)
	}
	write(t, im, pieces)
	return file.Name()
}

// Raw writes the pieces into a sparse file.
func Raw(t testing.TB, size int64, pieces []Piece) string {
	t.Helper()
	file := File(t)
	d, err := disk.NewRaw(file, size)
	if err != nil {
		t.Fatal(err)
	}
	write(t, d, pieces)
	return file.Name()
}

func write(t testing.TB, im disk.Image, pieces []Piece) {
	t.Helper()
	for _, p := range pieces {
		if n, err := im.WriteAt(p.Data, p.Off); err != nil || n != len(p.Data) {
			t.Fatalf("WriteAt gives %d, %v", n, err)
		}
	}
	if err := im.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
}

// Info is what QEMU says of an image.
type Info struct {
	Format         string          `json:"format"`
	VirtualSize    int64           `json:"virtual-size"`
	ClusterSize    int64           `json:"cluster-size"`
	FormatSpecific json.RawMessage `json:"format-specific"`
}

// Info asks QEMU about an image.
func (f Format) Info(t testing.TB, path string) Info {
	t.Helper()
	var info Info
	if err := json.Unmarshal([]byte(judge.Run(t, "qemu-img", "info", "--output=json", "-f", f.QEMU, path)), &info); err != nil {
		t.Fatal(err)
	}
	return info
}

// accept has QEMU check an image and compare it with the raw disk, size and all.
func (f Format) accept(t testing.TB, image, raw string) {
	t.Helper()
	f.check(t, image)
	out := judge.Run(t, "qemu-img", "compare", "-f", f.QEMU, "-F", "raw", image, raw)
	if strings.TrimSpace(out) != "Images are identical." { // else it warns of a size that differs
		t.Fatalf("qemu-img compare: %s", out)
	}
}

func (f Format) check(t testing.TB, image string) {
	t.Helper()
	if f.NoCheck {
		return
	}
	if out := judge.Run(t, "qemu-img", "check", "-f", f.QEMU, image); !strings.Contains(out, "No errors were found") {
		t.Fatalf("qemu-img check: %s", out)
	}
}

func (f Format) size(n int64) int64 {
	if f.Size == nil {
		return n
	}
	return f.Size(n)
}

// Run holds the format to all of it.
func (f Format) Run(t *testing.T) {
	t.Run("judges", f.judges)
	t.Run("bytes", f.sameBytes)
	t.Run("refusals", f.refusals)
	if !f.Alone {
		t.Run("cancel", f.cancel)
	}
	t.Run("random", f.random)
}

func (f Format) judges(t *testing.T) {
	tests := []struct {
		summary string
		size    int64
		pieces  []Piece
	}{
		{"nothing", 1 << 30, nil},
		{"one sector", 512, []Piece{{0, Noise(1, 512, false)}}},
		{"last bytes of an odd size", 10<<20 + 512, []Piece{{10<<20 - 100, Noise(1, 612, false)}}},
		{"no block is whole", 8 << 20, []Piece{{100, []byte("a")}, {1 << 20, []byte("b")}, {1<<20 + 65535, []byte("cd")}}},
		{"half compressible", 64 << 20, []Piece{{1 << 20, Noise(1, 10<<20, true)}, {30 << 20, Noise(2, 3<<20, true)}}},
		{"not compressible", 64 << 20, []Piece{{1 << 20, Noise(1, 10<<20, false)}}},
		{"text, noise, text", 64 << 20, []Piece{{0, bytes.Repeat([]byte("text "), 50000)}, {1 << 20, Noise(1, 1<<20, false)}, {2 << 20, bytes.Repeat([]byte("again "), 500000)}}},
		{"zeros only", 64 << 20, []Piece{{1 << 20, make([]byte, 1<<20)}}},
		{"far apart", 8 << 30, []Piece{{0, []byte("a")}, {1<<32 + 12345, Noise(3, 200000, true)}, {8<<30 - 1, []byte("z")}}},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			size := f.size(test.size)
			if size < test.size {
				t.Fatalf("%d bytes become %d", test.size, size)
			}
			f.accept(t, f.Image(t, size, test.pieces, 0), Raw(t, size, test.pieces))
		})
	}
	t.Run("large", f.large)
	t.Run("and back", f.back)
}

// back has two programs that know nothing of each other get the disk's bytes out
// of an image.
func (f Format) back(t *testing.T) {
	pieces := []Piece{{3<<20 + 7, Noise(4, 5<<20, true)}, {50 << 20, Noise(5, 1000, false)}}
	size := f.size(70 << 20)
	image, want := f.Image(t, size, pieces, 0), digestOf(t, Raw(t, size, pieces))
	raw := filepath.Join(t.TempDir(), "raw")
	judge.Run(t, "qemu-img", "convert", "-f", f.QEMU, "-O", "raw", image, raw)
	if digestOf(t, raw) != want {
		t.Error("converted back by QEMU it is another disk")
	}
	if f.SevenZip == "" {
		return
	}
	dir := t.TempDir()
	judge.Run(t, "7zz", "x", "-t"+f.SevenZip, "-o"+dir, image)
	out, err := os.ReadDir(dir)
	if err != nil || len(out) != 1 {
		t.Fatalf("7-Zip makes %v of it, %v", out, err)
	}
	if digestOf(t, filepath.Join(dir, out[0].Name())) != want {
		t.Error("extracted by 7-Zip it is another disk")
	}
}

// large looks at some places of disks that QEMU takes a minute to compare whole.
func (f Format) large(t *testing.T) {
	for _, size := range []int64{f.size(1 << 40), f.Most} {
		var pieces []Piece
		var ask []string
		for i, off := range []int64{0, size/2 + 12345, size - 700_000} {
			pieces = append(pieces, Piece{off, bytes.Repeat([]byte{byte('a' + i)}, 700_000)})
			ask = append(ask, "-c", fmt.Sprintf("read -P %d %d 700000", 'a'+i, off))
		}
		for _, off := range []int64{10 << 20, size / 4, size/2 + 10<<20, size - 10<<20} {
			ask = append(ask, "-c", fmt.Sprintf("read -P 0 %d 700000", off))
		}
		path := f.Image(t, size, pieces, 0)
		if got := f.Info(t, path); got.VirtualSize != size || got.Format != f.QEMU {
			t.Errorf("a disk of %d bytes is %v", size, got)
		}
		f.check(t, path)
		out := judge.Run(t, "qemu-io", append([]string{"-r", "-f", f.QEMU, path}, ask...)...)
		if strings.Contains(out, "failed") || strings.Count(out, "read 700000/700000 bytes") != len(ask)/2 {
			t.Errorf("a disk of %d bytes: %s", size, out)
		}
		if judge.At() == judge.Full && size <= 1<<40 {
			f.accept(t, path, Raw(t, size, pieces))
		}
	}
}

// The order and size of writes, how many goroutines write, and how many
// compress, change no byte.
func (f Format) sameBytes(t *testing.T) {
	data := Noise(1, 20<<20, true)
	whole := []Piece{{3 << 20, data}}
	size := f.size(64 << 20)
	want := digestOf(t, f.Image(t, size, whole, 1))
	file := File(t)
	im, err := f.Create(file, size, Plan(whole), 7)
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
	if got := digestOf(t, file.Name()); got != want {
		t.Error("another order of writes gives another file")
	}
}

func (f Format) refusals(t *testing.T) {
	for _, size := range []int64{0, -512, 511, f.size(1<<20) + 1, f.Most + 512} {
		if _, err := f.Create(File(t), size, nil, 0); err == nil {
			t.Errorf("size %d is accepted", size)
		}
	}
	size := f.size(16 << 20)
	for _, e := range []disk.Extent{{Off: -70000, Len: 10}, {Off: -1, Len: 2}, {Off: size, Len: 1}, {Off: 0, Len: size + 1}, {Off: 5, Len: 1<<63 - 1}} {
		if _, err := f.Create(File(t), size, []disk.Extent{e}, 0); err == nil {
			t.Errorf("extent %v is accepted", e)
		}
	}
	im, err := f.Create(File(t), size, []disk.Extent{{Off: 0, Len: 10}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close() //nolint:errcheck // a test's file
	if im.Size() != size {
		t.Errorf("a disk of %d bytes has %d", size, im.Size())
	}
	if f.Unit > 0 {
		if n, err := im.WriteAt(make([]byte, f.Unit+10), 0); int64(n) != f.Unit || err == nil {
			t.Errorf("a write out of the extents gives %d, %v", n, err)
		}
	}
	for _, off := range []int64{-1, size - 1} {
		if _, err := im.WriteAt(make([]byte, 2), off); err == nil {
			t.Errorf("a write at %d is accepted", off)
		}
	}
}

// An interrupted image says so and leaves no scratch file.
func (f Format) cancel(t *testing.T) {
	file := File(t)
	pieces := []Piece{{0, Noise(1, 30<<20, true)}}
	im, err := f.Create(file, f.size(64<<20), Plan(pieces), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := im.WriteAt(pieces[0].Data, 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := im.Finish(ctx); !errors.Is(err, ctx.Err()) {
		t.Errorf("Finish gives %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(file.Name()))
	if err != nil || len(left) != 1 {
		t.Errorf("left beside the image: %v, %v", left, err)
	}
}

// Random writes into random extents: QEMU reads back what a raw disk holds.
func (f Format) random(t *testing.T) {
	judge.Path(t, "qemu-img")
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		if runs++; runs > 30 { // each runs two programs
			return
		}
		size := f.size(rapid.Int64Range(1, 200_000).Draw(rt, "sectors") * 512)
		var pieces []Piece
		for range rapid.IntRange(0, 20).Draw(rt, "pieces") {
			off := rapid.Int64Range(0, size-1).Draw(rt, "offset")
			n := min(size-off, rapid.Int64Range(0, 300_000).Draw(rt, "length"))
			pieces = append(pieces, Piece{off, Noise(rapid.Uint64().Draw(rt, "seed"), int(n), rapid.Bool().Draw(rt, "mixed"))})
		}
		f.accept(t, f.Image(t, size, pieces, 0), Raw(t, size, pieces))
	})
}

// Benchmark writes 400 MB that compress by half.
func (f Format) Benchmark(b *testing.B) {
	pieces := []Piece{{1 << 20, Noise(1, 400<<20, true)}}
	b.SetBytes(400 << 20)
	for b.Loop() {
		f.Image(b, f.size(1<<30), pieces, 0)
	}
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
