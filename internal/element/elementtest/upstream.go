// Package elementtest gives tests the elements that ship with diskimage-builder.
package elementtest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/element"
	"ingot/internal/fetch"
	"ingot/internal/tree"
)

// Upstream is a directory of the elements that Debian's package of diskimage-builder has in
// a release: fetched, verified and unpacked as an image's packages are.
func Upstream(t *testing.T, release string) string {
	t.Helper()
	dir := t.TempDir()
	keys, err := debian.ArchiveKeys()
	if err != nil {
		t.Fatal(err)
	}
	at := debian.DefaultArchives(release)[0]
	at.Suites = at.Suites[:1]
	m := debian.Mirrors{Env: os.Getenv("INGOT_MIRROR_DEBIAN"), Host: debian.AptSources("/")}
	// A mirror may be frozen, and what is read here matters for no image.
	archives := []debian.Archive{{Archive: at, Roots: m.Roots(at), Keys: keys, AcceptExpired: true}}
	client := &fetch.Client{}
	u := debian.Updater{Client: client, Cache: filepath.Join(dir, "cache"), Seen: filepath.Join(dir, "seen"), Now: time.Now()}
	files, err := u.Update(t.Context(), archives, []string{"amd64"})
	if err != nil {
		t.Fatal(err)
	}
	var indexes []*debian.Index
	for _, x := range files {
		f, err := os.Open(x.File)
		if err != nil {
			t.Fatal(err)
		}
		index, err := debian.ReadIndex(f, x.Source)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		indexes = append(indexes, index)
	}
	universe, err := debian.NewUniverse(debian.Options{Arch: "amd64"}, indexes...)
	if err != nil {
		t.Fatal(err)
	}
	refs, err := universe.Resolve(distro.Request{Arch: "amd64", Packages: []string{element.ShippedPackage}})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(refs, func(r distro.Ref) bool { return r.Name == element.ShippedPackage })
	if i < 0 {
		t.Fatalf("%s has no %s", release, element.ShippedPackage)
	}
	deb := filepath.Join(dir, "package.deb")
	if _, err := client.Save(t.Context(), debian.Want(archives[0].Roots, refs[i]), deb); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s has %s %s", release, element.ShippedPackage, refs[i].Version)
	return unpacked(t, refs[i], deb, filepath.Join(dir, "unpacked"))
}

// A memory is a pack that is never written.
type memory struct{ bytes.Buffer }

func (m *memory) Name() string { return "memory" }
func (m *memory) Size() int64  { return int64(m.Len()) }

// unpacked writes the elements of a package file and gives their directory.
func unpacked(t *testing.T, ref distro.Ref, deb, to string) string {
	t.Helper()
	f, err := os.Open(deb)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := debian.Debian{}.Inspect(t.Context(), ref, f)
	if err != nil {
		t.Fatal(err)
	}
	var pack memory
	u, err := debian.Debian{}.Unpack(t.Context(), p, f, &pack)
	if err != nil {
		t.Fatal(err)
	}
	const elements = element.ShippedDir
	for e := range u.Tree.All() {
		if e.Path != elements && !strings.HasPrefix(e.Path, elements+"/") {
			continue
		}
		at := filepath.Join(to, e.Path)
		switch e.Kind {
		case tree.Dir:
			err = os.MkdirAll(at, 0o755)
		case tree.File:
			err = os.WriteFile(at, pack.Bytes()[e.Content.Offset:e.Content.Offset+e.Content.Size], fs.FileMode(e.Mode))
		case tree.Symlink:
			err = os.Symlink(e.Link, at)
		default:
			t.Errorf("%s is a %s", e.Path, e.Kind)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(to, elements)
}
