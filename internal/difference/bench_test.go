package difference

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/group"
	"ingot/internal/lock"
	"ingot/internal/place"
	"ingot/internal/repository"
	"ingot/internal/tree"
)

// large commits a group of 500 packages in 8 flavors, each of 20,000 files; version is that
// of 50 of the packages.
func large(t testing.TB, r *repository.Repository, version int) *repository.Group {
	t.Helper()
	l := lock.Lock{Definition: digest.Of(nil), Request: digest.Of(nil), Distro: "debian", Release: "bookworm",
		Archives: []lock.Archive{{Name: "debian", URL: "http://archive.example/debian", Suites: []string{"bookworm"}, Components: []string{"main"}}}}
	c := repository.Candidate{Name: "web", Content: repository.Content{Schema: 1, Main: "ingot.yaml"}}
	var err error
	if c.Branch, err = group.ParseVersion("/images.example@acme:main"); err != nil {
		t.Fatal(err)
	}
	add := func(b []byte) repository.Blob {
		u := repository.UploadOf("x", b)
		c.Uploads = append(c.Uploads, u)
		return u.Blob
	}
	var refs []distro.Ref
	var list []repository.Package
	var entries []tree.Entry
	entries = append(entries, tree.Entry{Kind: tree.Dir, Mode: 0o755, Owner: "step:install"}, tree.Entry{Path: "usr", Kind: tree.Dir, Mode: 0o755, Owner: "deb:p000"})
	for i := range 500 {
		name, v := fmt.Sprintf("p%03d", i), "1.0-1"
		if i%10 == 0 {
			v = fmt.Sprintf("1.0-%d", version)
		}
		b := add([]byte(name + v))
		refs = append(refs, distro.Ref{Name: name, Version: v, Arch: "amd64", Archive: "debian", Location: "pool/" + name + ".deb", Size: b.Size, SHA256: b.SHA256})
		c.Content.Blobs = append(c.Content.Blobs, repository.ContentBlob{Blob: b, Label: name})
		var text, log bytes.Buffer
		for n := version; n > 0; n-- {
			fmt.Fprintf(&text, "%s (1.0-%d) stable; urgency=medium\n\n  * Fix CVE-2024-%04d%d.\n\n -- A B <a@b.example>  Thu, 01 Jun 2023 10:00:00 +0000\n\n", name, n, i, n)
		}
		z := gzip.NewWriter(&log)
		_, _ = z.Write(text.Bytes())
		_ = z.Close()
		changes := add(log.Bytes())
		c.Content.Texts = append(c.Content.Texts, changes)
		list = append(list, repository.Package{Blob: b, Name: name, Version: v, Arch: "amd64", Source: name, SourceVersion: v, Changelog: &changes})
		for j := range 40 {
			entries = append(entries, tree.Entry{Path: fmt.Sprintf("usr/%s-file-with-a-name-%d", name, j), Kind: tree.File, Mode: 0o644, Owner: "deb:" + name, Content: tree.Content{Size: 1000, Digest: digest.Of([]byte(v))}})
		}
	}
	for f := range 8 {
		flavor := fmt.Sprintf("flag%d", f)
		l.Sets = append(l.Sets, lock.Set{Arch: "amd64", Purpose: "container", Flavor: flavor, Refs: refs})
		of := append(entries[:len(entries):len(entries)], tree.Entry{Path: "usr/zz-" + flavor, Kind: tree.Dir, Owner: "step:files"})
		tr, err := tree.New(of)
		if err != nil {
			t.Fatal(err)
		}
		files, owners, err := repository.Lists(tr)
		if err != nil {
			t.Fatal(err)
		}
		x := repository.Tree{Arch: "amd64", Purpose: "container", Flavor: flavor, Files: add(files), Owners: add(owners)}
		l.Seals = append(l.Seals, lock.Seal{Arch: "amd64", Purpose: "container", Flavor: flavor, SHA256: x.Files.SHA256})
		c.Content.Trees = append(c.Content.Trees, x)
		g, err := repository.FlavorOf("amd64", flavor)
		if err != nil {
			t.Fatal(err)
		}
		c.Flavors = append(c.Flavors, g)
	}
	c.Statement.Lock, c.Statement.Definition = l.Digest(), l.Definition
	c.Content.Lock, c.Content.Definition = add(lock.Encode(l)), add(nil)
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	c.Content.Packages = add(text)
	done, err := r.Commit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return load(t, r, done.Record)
}

func load(t testing.TB, r *repository.Repository, rec repository.Record) *repository.Group {
	t.Helper()
	g, err := r.Load(t.Context(), "web", rec)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func repositoryIn(t testing.TB) *repository.Repository {
	t.Helper()
	p, err := place.Open(t.TempDir(), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return &repository.Repository{Place: p, Now: time.Now}
}

var options = Options{Compare: debian.CompareVersions, Changelog: func(b []byte) ([]Entry, error) {
	list, err := debian.ReadChangelog(b)
	var out []Entry
	for _, e := range list {
		out = append(out, Entry{e.Version, e.Text})
	}
	return out, err
}}

func TestBetween(t *testing.T) {
	r := repositoryIn(t)
	before, after := large(t, r, 1), large(t, r, 3)
	d, err := Between(t.Context(), before, after, options)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Packages) != 50 || len(d.Sources) != 50 || len(d.Files) != 50*40 || len(d.Trees) != 8 {
		t.Fatalf("%d packages, %d sources, %d files, %d trees", len(d.Packages), len(d.Sources), len(d.Files), len(d.Trees))
	}
	for _, p := range d.Packages {
		if p.Action != "changed" || p.Old != "1.0-1" || p.New != "1.0-3" || p.Sets != nil {
			t.Errorf("%+v", p)
		}
	}
	for _, s := range d.Sources {
		if len(s.Entries) != 2 || len(s.CVEs) != 2 || s.Entries[0].Version != "1.0-3" || s.Undone {
			t.Errorf("%+v", s)
		}
	}
	for _, f := range d.Files {
		if f.Action != "changed" || f.Sets != nil {
			t.Fatalf("%+v", f)
		}
	}
	// The other way round the same is undone.
	if d, err = Between(t.Context(), after, before, options); err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Sources {
		if len(s.Entries) != 2 || !s.Undone {
			t.Errorf("%+v", s)
		}
	}
	// One flavor alone, and nothing against itself.
	one := options
	one.Takes = func(t repository.Tree) bool { return t.Flavor == "flag3" }
	if d, err = Between(t.Context(), before, after, one); err != nil || len(d.Trees) != 1 || len(d.Packages) != 50 {
		t.Errorf("one flavor: %d trees, %d packages, %v", len(d.Trees), len(d.Packages), err)
	}
	if d, err = Between(t.Context(), before, before, options); err != nil || len(d.Packages)+len(d.Files)+len(d.Sources)+len(d.Changes)+len(d.Sizes) > 0 {
		t.Errorf("against itself: %+v, %v", d, err)
	}
}

func BenchmarkBetween(b *testing.B) {
	r := repositoryIn(b)
	before, after := large(b, r, 1), large(b, r, 3)
	used, n := processorTime(b), 0
	for b.Loop() {
		n++
		x, y := load(b, r, before.Record), load(b, r, after.Record)
		if _, err := Between(b.Context(), x, y, options); err != nil {
			b.Fatal(err)
		}
	}
	// What others do on the machine counts in the time that passes, and not in this.
	b.ReportMetric((processorTime(b)-used).Seconds()*1000/float64(n), "processor-ms/op")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
