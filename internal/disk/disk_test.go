package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestRound(t *testing.T) {
	tests := []struct {
		summary string
		in      []Extent
		want    string
	}{
		{"nothing", nil, "[]"},
		{"empty ones vanish", []Extent{{5, 0}, {7, -1}}, "[]"},
		{"widened", []Extent{{5, 1}, {25, 6}}, "[{0 10} {20 20}]"},
		{"touching ones join", []Extent{{10, 10}, {0, 10}}, "[{0 20}]"},
		{"overlapping ones join", []Extent{{0, 35}, {11, 3}, {38, 5}}, "[{0 50}]"},
	}
	for _, test := range tests {
		if got := fmt.Sprint(Round(test.in, 10)); got != test.want {
			t.Errorf("%s: %s, want %s", test.summary, got, test.want)
		}
	}
}

func TestRegionStaysInside(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // a test's file
	d, err := NewRaw(f, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []Extent{{-1, 5}, {0, 101}, {90, 11}, {5, -1}} {
		if _, err := Part(d, bad); err == nil {
			t.Errorf("part %v is accepted", bad)
		}
	}
	r, err := Part(d, Extent{40, 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		off int64
		n   int
	}{{-1, 1}, {20, 1}, {15, 6}} {
		if _, err := r.WriteAt(make([]byte, bad.n), bad.off); err == nil {
			t.Errorf("write of %d bytes at %d is accepted", bad.n, bad.off)
		}
	}
	if _, err := r.WriteAt([]byte("here"), 16); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil || len(b) != 100 || string(b[56:60]) != "here" {
		t.Errorf("file holds %q, %v", b, err)
	}
}
