package debian

import (
	"bytes"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/distro"
)

// benchIndex is the Packages file that INGOT_BENCH_INDEX names.
func benchIndex(b *testing.B) []byte {
	b.Helper()
	path := os.Getenv("INGOT_BENCH_INDEX")
	if path == "" {
		b.Skip("INGOT_BENCH_INDEX=FILE, a Packages file, makes this run")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// cpu reports the processor time of a benchmark, which a busy machine does not
// distort as it does the time that passes.
func cpu(b *testing.B) func() {
	b.Helper()
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := used()
	return func() { b.ReportMetric(float64((used()-start).Microseconds())/1000/float64(b.N), "cpu-ms/op") }
}

func BenchmarkReadIndex(b *testing.B) {
	data := benchIndex(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		x, err := ReadIndex(bytes.NewReader(data), Source{Arch: "amd64"})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(x.Len()), "stanzas")
		b.ReportMetric(float64(len(x.rels)), "relations")
	}
}

func BenchmarkStanzas(b *testing.B) {
	data := benchIndex(b)
	b.SetBytes(int64(len(data)))
	defer cpu(b)()
	for b.Loop() {
		n := 0
		for range Stanzas(data) {
			n++
		}
		b.ReportMetric(float64(n), "stanzas")
	}
}

func BenchmarkNewUniverse(b *testing.B) {
	x, err := ReadIndex(bytes.NewReader(benchIndex(b)), Source{Arch: "amd64"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		if _, err := NewUniverse(Options{Arch: "amd64"}, x); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	x, err := ReadIndex(bytes.NewReader(benchIndex(b)), Source{Arch: "amd64"})
	if err != nil {
		b.Fatal(err)
	}
	u, err := NewUniverse(Options{Arch: "amd64"}, x)
	if err != nil {
		b.Fatal(err)
	}
	for _, bm := range []struct {
		name string
		req  distro.Request
	}{
		{"minbase", distro.Request{Start: "minbase"}},
		{"server", distro.Request{Start: "minbase", Packages: []string{"linux-image-cloud-amd64", "systemd-sysv", "nginx", "openssh-server", "initramfs-tools"}}},
		{"desktop", distro.Request{Packages: []string{"task-gnome-desktop"}, Recommends: true}},
		{"repair", distro.Request{Packages: []string{"exim4-daemon-light", "postfix"}}},
	} {
		bm.req.Arch = "amd64"
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			defer cpu(b)()
			for b.Loop() {
				refs, _ := u.Resolve(bm.req)
				b.ReportMetric(float64(len(refs)), "packages")
			}
		})
	}
}
