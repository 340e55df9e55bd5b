package server

import (
	"fmt"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/digest"
)

// many is a catalog of n images, each of two versions with three artifacts.
func many(n int) catalog.Catalog {
	var c catalog.Catalog
	for i := range n {
		image := catalog.Image{Name: fmt.Sprintf("image-%06d", i), Arch: "amd64", Channels: []catalog.Channel{{Name: "stable", Version: "20260930_0608", Past: []string{"20260930_0607"}}}}
		for v := range 2 {
			version := catalog.Version{Version: fmt.Sprintf("20260930_060%d", 7+v), Published: start, Distro: "debian", Release: "bookworm", Lock: digest.Of(fmt.Append(nil, i, v))}
			for _, format := range []string{"incus", "lxc", "qcow2"} {
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
	key, err := s.Place.Lock(b.Context(), func() {})
	if err != nil {
		b.Fatal(err)
	}
	key()
	if _, err := s.change(b.Context(), func(catalog.Catalog) (catalog.Catalog, error) { return many(10_000), nil }); err != nil {
		b.Fatal(err)
	}
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
	c, err := s.change(b.Context(), func(catalog.Catalog) (catalog.Catalog, error) { return many(10_000), nil })
	if err != nil {
		b.Fatal(err)
	}
	data := []byte(s.read(catalog.Path))
	b.SetBytes(int64(len(data)))
	ring := s.ring()
	for b.Loop() {
		got, _, err := catalog.Read("index", data, ring, s.clock)
		if err != nil || len(got.Images) != len(c.Images) {
			b.Fatal(err)
		}
	}
}
