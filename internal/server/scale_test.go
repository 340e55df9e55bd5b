package server

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/digest"
)

// many is a catalog of n images, each of some versions with artifacts of some formats.
func many(n, versions int, formats ...string) catalog.Catalog {
	var c catalog.Catalog
	for i := range n {
		image := catalog.Image{Name: fmt.Sprintf("image-%06d", i), Arch: "amd64", Channels: []catalog.Channel{{Name: "stable", Version: "20260930_0607"}}}
		for v := range versions {
			version := catalog.Version{Version: fmt.Sprintf("20260930_060%d", 7+v), Published: start, Distro: "debian", Release: "bookworm", Lock: digest.Of(fmt.Append(nil, i, v))}
			for _, format := range formats {
				a := catalog.Artifact{Format: format, Seal: digest.Of(nil)}
				for f := range 2 {
					d := digest.Of(fmt.Append(nil, i, v, format, f))
					a.Files = append(a.Files, catalog.File{Name: fmt.Sprintf("image-%06d.%s%d", i, format, f), Size: 1 << 20, SHA256: d})
				}
				if format == "incus" {
					a.Fingerprint = digest.Of(fmt.Append(nil, i, v))
				}
				version.Artifacts = append(version.Artifacts, a)
			}
			image.Versions = append(image.Versions, version)
		}
		c.Images = append(c.Images, image)
	}
	return c
}

// BenchmarkPublish publishes an image into a tree of ten thousand.
func BenchmarkPublish(b *testing.B) {
	s := newStage(b)
	if _, err := s.change(b.Context(), func(catalog.Catalog) (catalog.Catalog, error) { return many(10_000, 1, "lxc", "incus"), nil }); err != nil {
		b.Fatal(err)
	}
	defer processor(b)()
	for n := 0; b.Loop(); n++ {
		dir := b.TempDir()
		lxcPair(b, dir, "web", fmt.Sprint(n))
		s.clock = s.clock.Add(time.Minute)
		s.publish(dir, "")
	}
}

// BenchmarkRead reads a catalog of ten thousand images, as a client that lists them does.
func BenchmarkRead(b *testing.B) {
	s := newStage(b)
	c, err := s.change(b.Context(), func(catalog.Catalog) (catalog.Catalog, error) { return many(10_000, 1, "lxc", "incus"), nil })
	if err != nil {
		b.Fatal(err)
	}
	data := []byte(s.read(catalog.Path))
	b.SetBytes(int64(len(data)))
	ring := s.ring()
	defer processor(b)()
	for b.Loop() {
		got, _, err := catalog.Read("index", data, ring, s.clock)
		if err != nil || len(got.Images) != len(c.Images) {
			b.Fatal(err)
		}
	}
}

// processor adds the processor's time of one run: on a machine that does other things too
// it says more than a clock.
func processor(b *testing.B) func() {
	used := func() time.Duration {
		var r syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	start := used()
	return func() { b.ReportMetric((used()-start).Seconds()*1000/float64(b.N), "cpu-ms/op") }
}
