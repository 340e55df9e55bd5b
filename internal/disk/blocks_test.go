package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func create(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestBlocks(t *testing.T) {
	tests := []struct {
		summary string
		size    int64
		in      []Extent
		want    string // extents, count, total, each block's number and ordinal
	}{
		{"nothing", 100, nil, "[] 0 10"},
		{"a cut last block", 95, []Extent{{94, 1}}, "[{90 10}] 1 10 9:0"},
		{"two runs", 100, []Extent{{55, 10}, {1, 1}}, "[{0 10} {50 20}] 3 10 0:0 5:1 6:2"},
		{"an empty extent is none", 100, []Extent{{500, 0}}, "[] 0 10"},
		{"before the disk", 100, []Extent{{-5, 2}}, "extent of 2 bytes at -5 does not lie"},
		{"behind the disk", 100, []Extent{{100, 1}}, "does not lie in 100 bytes"},
		{"over the disk's end", 95, []Extent{{90, 6}}, "does not lie in 95 bytes"},
		{"no end at all", 95, []Extent{{90, 1<<63 - 1}}, "does not lie in 95 bytes"},
	}
	for _, test := range tests {
		got := ""
		b, err := NewBlocks(test.size, 10, test.in)
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprint(b.Extents(), b.Count(), b.Total())
			for n, ordinal := range b.All() {
				got += fmt.Sprintf(" %d:%d", n, ordinal)
			}
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.summary, got, test.want)
		}
	}
}

func TestRuns(t *testing.T) {
	b, err := NewBlocks(1000, 10, []Extent{{0, 51}, {300, 20}})
	if err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int64]string{
		1:    "[{0 0 1} {1 1 1} {2 2 1} {3 3 1} {4 4 1} {5 5 1} {30 6 1} {31 7 1}]",
		4:    "[{0 0 4} {4 4 2} {30 6 2}]",
		1000: "[{0 0 6} {30 6 2}]",
	} {
		if got := fmt.Sprint(slices.Collect(b.Runs(most))); got != want {
			t.Errorf("runs of %d are %s, want %s", most, got, want)
		}
	}
}

// What is written to a placed disk stands where its blocks were placed; nothing
// else of the file is touched, and nothing beside the blocks is taken.
func TestPlaced(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.Int64Range(1, 500).Draw(rt, "size")
		var extents []Extent
		for range rapid.IntRange(0, 5).Draw(rt, "extents") {
			off := rapid.Int64Range(0, size-1).Draw(rt, "offset")
			extents = append(extents, Extent{off, rapid.Int64Range(0, size-off).Draw(rt, "length")})
		}
		unit := rapid.Int64Range(1, 70).Draw(rt, "unit")
		stride := unit + rapid.SampledFrom([]int64{0, 0, 3}).Draw(rt, "gap")
		b, err := NewBlocks(size, unit, extents)
		if err != nil {
			rt.Fatal(err)
		}
		f := create(t)
		p, err := b.In(f, 7, stride)
		if err != nil {
			rt.Fatal(err)
		}
		want := make([]byte, p.End())
		for n, ordinal := range b.All() {
			for i := range unit {
				if at := n*unit + i; at < size {
					want[7+ordinal*stride+i] = byte(at%251 + 1)
				}
			}
		}
		for _, e := range extents {
			data := make([]byte, e.Len)
			for i := range data {
				data[i] = byte((e.Off+int64(i))%251 + 1)
			}
			if n, err := p.WriteAt(data, e.Off); err != nil || n != len(data) {
				rt.Fatalf("WriteAt gives %d, %v", n, err)
			}
		}
		// The rest of the blocks may be written too.
		for n := range b.All() {
			for at := n * unit; at < min(size, (n+1)*unit); at++ {
				if _, err := p.WriteAt([]byte{byte(at%251 + 1)}, at); err != nil {
					rt.Fatal(err)
				}
			}
		}
		got, err := os.ReadFile(f.Name())
		if err != nil || !bytes.Equal(got, want) {
			rt.Fatalf("file holds %v, want %v, %v", got, want, err)
		}
		planned := map[int64]bool{}
		for n := range b.All() {
			planned[n] = true
		}
		for at := int64(-1); at <= size; at++ {
			_, err := p.WriteAt([]byte{1}, at)
			if ok := at >= 0 && at < size && planned[at/unit]; ok != (err == nil) {
				rt.Fatalf("a write at %d: %v", at, err)
			}
		}
	})
}

// Blocks come in their order, zero ones never, for any number of workers.
func TestScratch(t *testing.T) {
	const unit = 1 << 18
	b, err := NewBlocks(40*unit-5, unit, []Extent{{0, 10 * unit}, {20 * unit, 20*unit - 5}})
	if err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{0, 1, 9} {
		f := create(t)
		s, err := NewScratch(f, b)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int64{39, 3, 4, 25} {
			if _, err := s.WriteAt([]byte{byte(at)}, at*unit+unit/2); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		packer := func() (Packer, error) {
			return func(b []byte) ([]byte, error) { return append([]byte("packed "), b[unit/2]), nil }, nil
		}
		err = s.Pack(t.Context(), workers, packer, func(n int64, packed []byte) error {
			got = append(got, fmt.Sprintf("%d:%q", n, packed))
			return nil
		})
		if want := `[3:"packed \x03" 4:"packed \x04" 25:"packed \x19" 39:"packed '"]`; err != nil || fmt.Sprint(got) != want {
			t.Errorf("%d workers give %v, %v", workers, got, err)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		if _, err := s.WriteAt([]byte{1}, 0); err == nil {
			t.Error("a closed scratch file takes writes")
		}
		left, err := os.ReadDir(filepath.Dir(f.Name()))
		if err != nil || len(left) != 1 {
			t.Errorf("left beside the image: %v, %v", left, err)
		}
	}
}

func TestScratchErrors(t *testing.T) {
	b, err := NewBlocks(1<<30, 1<<16, []Extent{{0, 50 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewScratch(create(t), b)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // a test's file
	for at := int64(0); at < 50<<20; at += 1 << 16 {
		if _, err := s.WriteAt([]byte{1}, at); err != nil {
			t.Fatal(err)
		}
	}
	same := func() (Packer, error) { return func(b []byte) ([]byte, error) { return b, nil }, nil }
	keep := func(int64, []byte) error { return nil }
	bad := errors.New("bad")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for summary, err := range map[string]error{
		"no packer":  s.Pack(t.Context(), 2, func() (Packer, error) { return nil, bad }, keep),
		"no packing": s.Pack(t.Context(), 2, func() (Packer, error) { return func([]byte) ([]byte, error) { return nil, bad }, nil }, keep),
		"no writing": s.Pack(t.Context(), 2, same, func(int64, []byte) error { return bad }),
	} {
		if !errors.Is(err, bad) {
			t.Errorf("%s gives %v", summary, err)
		}
	}
	if err := s.Pack(cancelled, 2, same, keep); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run gives %v", err)
	}
}
