package debian

import (
	"bytes"
	"os"
	"testing"
)

// BenchmarkReadIndex reads the Packages file that INGOT_BENCH_INDEX names.
func BenchmarkReadIndex(b *testing.B) {
	path := os.Getenv("INGOT_BENCH_INDEX")
	if path == "" {
		b.Skip("set INGOT_BENCH_INDEX to a Packages file")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		x, err := ReadIndex(bytes.NewReader(data), Source{Arch: "amd64"})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(x.Len()), "stanzas")
		b.ReportMetric(float64(len(x.rels)), "relations")
	}
}
