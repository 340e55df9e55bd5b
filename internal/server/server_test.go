package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/artifact"
	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/sign"
)

// start is when the first publication of a test is. gpgv goes by its own clock, so it is past.
var start = time.Date(2026, 9, 30, 6, 7, 8, 0, time.UTC)

// put writes an artifact with its manifest into a directory. Files are NAME=TEXT.
func put(t testing.TB, dir, name, lock, format string, files ...string) {
	t.Helper()
	m := artifact.Manifest{Schema: 1, Name: name, Arch: "amd64", Format: format, Distro: "debian", Release: "bookworm", Epoch: 1_750_000_000, Lock: digest.Of([]byte(lock)), Seal: digest.Of([]byte("seal of " + lock))}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		file, text, _ := strings.Cut(f, "=")
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		m.Files = append(m.Files, artifact.File{Name: file, Size: int64(len(text)), SHA256: digest.Of([]byte(text))})
	}
	m.File, m.Size, m.SHA256 = m.Files[0].Name, m.Files[0].Size, m.Files[0].SHA256
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, m.File+artifact.ManifestSuffix), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// lxcPair puts an LXC image whose root file system says a text.
func lxcPair(t testing.TB, dir, name, says string) {
	t.Helper()
	put(t, dir, name, says, "lxc", name+"-amd64.rootfs.tar.xz="+xzText("root of "+says), name+"-amd64.meta.tar.xz="+xzText("meta of "+says))
}

// xzText begins as a file of xz does, which is all that a publisher looks at.
func xzText(s string) string { return xzMagic + s }

// A stage is a tree in the making.
type stage struct {
	*Publisher
	t     testing.TB
	dir   string
	clock time.Time
}

func newStage(t testing.TB) *stage {
	t.Helper()
	key, err := sign.NewKey("ingot image server", start.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, dir: filepath.Join(t.TempDir(), "tree"), clock: start}
	place, err := CreateDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	s.Publisher = &Publisher{Place: place, Key: key, Now: func() time.Time { return s.clock }}
	return s
}

// publish publishes all artifacts of a directory.
func (s *stage) publish(dir, channel string) []Published {
	s.t.Helper()
	out, err := s.try(dir, channel)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *stage) try(dir, channel string) ([]Published, error) {
	artifacts, err := Gather([]string{dir})
	if err != nil {
		return nil, err
	}
	return s.Publish(s.t.Context(), Wish{Artifacts: artifacts, Channel: channel})
}

// ring is the key's.
func (s *stage) ring() *sign.Keyring {
	s.t.Helper()
	ring, err := s.Key.Keyring()
	if err != nil {
		s.t.Fatal(err)
	}
	return ring
}

// problems is what a walk through the tree finds.
func (s *stage) problems() []string {
	s.t.Helper()
	r, err := Verify(s.t.Context(), s.Place, s.ring(), s.Publisher, func(int64, int64) {})
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Problems
}

func (s *stage) sound() {
	s.t.Helper()
	if p := s.problems(); len(p) > 0 {
		s.t.Errorf("the tree is not sound:\n%s", strings.Join(p, "\n"))
	}
}

func (s *stage) read(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// names are what a client can fetch, by name: all but what begins with a dot, links
// followed.
func (s *stage) names(under string) []string {
	s.t.Helper()
	var out []string
	var walk func(dir string)
	walk = func(dir string) {
		found, err := os.ReadDir(filepath.Join(s.dir, dir))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, f := range found {
			name := filepath.Join(dir, f.Name())
			if strings.HasPrefix(f.Name(), ".") {
				continue
			}
			info, err := os.Stat(filepath.Join(s.dir, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue // a link to what is not there
			}
			if err != nil {
				s.t.Fatal(err)
			}
			if info.IsDir() {
				walk(name)
			} else {
				out = append(out, name)
			}
		}
	}
	walk(under)
	slices.Sort(out)
	return out
}

// gpgv judges every signature in the tree.
func (s *stage) gpgv() {
	s.t.Helper()
	// A keyring as gpgv reads it is the key's packets.
	ring := filepath.Join(s.t.TempDir(), "key.gpg")
	armored := filepath.Join(s.dir, "key.asc")
	packets, err := sign.Dearmor([]byte(s.read("key.asc")))
	if err != nil {
		s.t.Fatal(armored, err)
	}
	if err := os.WriteFile(ring, packets, 0o644); err != nil {
		s.t.Fatal(err)
	}
	n := 0
	seen := map[string]bool{}
	for _, name := range s.names(".") {
		if seen[s.read(name)] {
			continue // another level's, and the same
		}
		seen[s.read(name)] = true
		path := filepath.Join(s.dir, name)
		switch {
		case name == "key.asc", strings.HasPrefix(filepath.Base(name), "rotation-"):
			continue
		case strings.HasSuffix(name, ".sjson"), name == catalog.Path, name == "index.asc":
			judge.Run(s.t, "gpgv", "--keyring", ring, path)
		case strings.HasSuffix(name, ".asc"), strings.HasSuffix(name, ".gpg"):
			judge.Run(s.t, "gpgv", "--keyring", ring, path, strings.TrimSuffix(strings.TrimSuffix(path, ".asc"), ".gpg"))
		default:
			continue
		}
		n++
	}
	if n < 8 {
		s.t.Errorf("only %d signatures", n)
	}
}

func TestPublish(t *testing.T) { everywhere(t, publishTest) }

func publishTest(t *testing.T, s *stage) {
	art := t.TempDir()
	lxcPair(t, art, "web", "one")
	put(t, art, "web", "one", "qcow2", "web-amd64.qcow2=a disk")
	first := s.publish(art, "")
	if len(first) != 1 || !first[0].New || first[0].Version.Version != "20260930_0607" {
		t.Errorf("%+v", first)
	}
	const dir = "images/debian/bookworm/amd64/web/20260930_0607/"
	want := []string{
		dir + "SHA256SUMS", dir + "SHA256SUMS.asc", dir + "meta.tar.xz", dir + "meta.tar.xz.asc", dir + "rootfs.tar.xz", dir + "rootfs.tar.xz.asc",
		dir + "web-amd64.meta.tar.xz", dir + "web-amd64.qcow2", dir + "web-amd64.qcow2.manifest.json", dir + "web-amd64.rootfs.tar.xz", dir + "web-amd64.rootfs.tar.xz.manifest.json",
	}
	if d := cmp.Diff(want, s.names("images")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := len(s.names("blobs")); got != 5 {
		t.Errorf("%d blobs", got)
	}
	line := "debian;bookworm;amd64;web;20260930_0607;/" + dir + "\n"
	for _, mode := range []string{"system", "user"} {
		for _, level := range []string{"", ".1", ".2", ".3", ".4", ".5", ".6", ".7"} {
			if got := s.read("meta/1.0/index-" + mode + level); got != line {
				t.Errorf("index-%s%s is %q", mode, level, got)
			}
		}
	}
	judge.RunIn(t, filepath.Join(s.dir, dir), "sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS")
	s.sound()
	s.gpgv()

	// Once more: nothing changes. More of the same lock joins. Another lock is a version.
	serial := s.read(catalog.Path)
	if again := s.publish(art, ""); again[0].New || again[0].Joined || s.read(catalog.Path) != serial {
		t.Errorf("once more: %+v", again)
	}
	put(t, art, "web", "one", "vmdk", "web-amd64.vmdk=another disk")
	if more := s.publish(art, ""); more[0].New || !more[0].Joined {
		t.Errorf("more: %+v", more)
	}
	if !slices.Contains(s.names("images"), dir+"web-amd64.vmdk") {
		t.Error("the new file has no name")
	}
	s.clock = s.clock.Add(time.Hour)
	two := t.TempDir()
	lxcPair(t, two, "web", "two")
	s.publish(two, "testing")
	const newer = "images/debian/bookworm/amd64/web/20260930_0707/"
	both := line + "debian;bookworm;amd64;web@testing;20260930_0707;/" + newer + "\n"
	if got := s.read("meta/1.0/index-user.7"); got != both {
		t.Errorf("with testing: %q", got)
	}
	if _, err := s.Promote(t.Context(), "web", "testing", "stable"); err != nil {
		t.Fatal(err)
	}
	if got := s.read("meta/1.0/index-system"); !strings.HasPrefix(got, "debian;bookworm;amd64;web;20260930_0707;/"+newer+"\n") {
		t.Errorf("promoted: %q", got)
	}
	s.sound()
	s.gpgv()
}

func TestRefuse(t *testing.T) {
	s := newStage(t)
	bad := func(summary string, code fault.Code, says string, make func(dir string)) {
		t.Helper()
		dir := t.TempDir()
		make(dir)
		_, err := s.try(dir, "")
		if fault.CodeOf(err) != code || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: code %d, %v", summary, fault.CodeOf(err), err)
		}
		if _, err := os.Stat(filepath.Join(s.dir, catalog.Path)); err == nil {
			t.Errorf("%s: there is an index", summary)
		}
	}
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bad("nothing there", fault.NotFound, "there is no artifact in", func(string) {})
	bad("a changed file", fault.Verification, "not what its manifest says", func(dir string) {
		lxcPair(t, dir, "web", "one")
		write(dir, "web-amd64.meta.tar.xz", "META of one")
	})
	bad("a longer file", fault.Verification, "not what its manifest says", func(dir string) {
		lxcPair(t, dir, "web", "one")
		write(dir, "web-amd64.meta.tar.xz", xzText("meta of one and more"))
	})
	bad("a missing file", fault.NotFound, "cannot read", func(dir string) {
		lxcPair(t, dir, "web", "one")
		if err := os.Remove(filepath.Join(dir, "web-amd64.meta.tar.xz")); err != nil {
			t.Fatal(err)
		}
	})
	bad("no manifest", fault.Verification, "is no manifest", func(dir string) { write(dir, "x"+artifact.ManifestSuffix, "{") })
	bad("a manifest of tomorrow", fault.Verification, "schema 2", func(dir string) { write(dir, "x"+artifact.ManifestSuffix, `{"schema":2}`) })
	bad("a manifest that leaves its directory", fault.Verification, "no file's name", func(dir string) {
		put(t, dir, "web", "x", "tar", "web=x")
		data, err := os.ReadFile(filepath.Join(dir, "web"+artifact.ManifestSuffix))
		if err != nil {
			t.Fatal(err)
		}
		write(dir, "web"+artifact.ManifestSuffix, strings.ReplaceAll(string(data), `"file":"web"`, `"file":"../web"`))
	})
	bad("a name that is none", fault.Verification, "cannot be a name", func(dir string) { put(t, dir, "we;b", "x", "tar", "web=x") })
	bad("two locks", fault.Choice, "of two locks", func(dir string) {
		put(t, dir, "web", "one", "tar", "a=x")
		put(t, dir, "web", "two", "squashfs", "b=y")
	})
	bad("a directory", fault.Usage, "is a directory", func(dir string) { put(t, dir, "web", "one", "oci-layout", "a=x") })
	bad("metadata that are none", fault.Verification, "web-amd64.incus.tar.xz: ", func(dir string) {
		put(t, dir, "web", "one", "incus", "web-amd64.rootfs.squashfs=x", "web-amd64.incus.tar.xz=y")
	})
}

// TestForeign: a tree that somebody else signed, or that was changed, is not signed anew.
func TestForeign(t *testing.T) {
	s := newStage(t)
	art := t.TempDir()
	lxcPair(t, art, "web", "one")
	s.publish(art, "")
	index := filepath.Join(s.dir, catalog.Path)
	good := s.read(catalog.Path)
	if err := os.WriteFile(index, []byte(strings.Replace(good, `"name":"web"`, `"name":"wep"`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	lxcPair(t, art, "db", "two")
	if _, err := s.try(filepath.Join(art, "db-amd64.meta.tar.xz"), ""); fault.CodeOf(err) != fault.Verification {
		t.Errorf("a changed index: %v", err)
	}
	if err := os.WriteFile(index, []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	other := newStage(t)
	other.Place = s.Place
	if _, err := other.try(filepath.Join(art, "db-amd64.rootfs.tar.xz"), ""); fault.CodeOf(err) != fault.Verification || !strings.Contains(fault.HintOf(err), "--sign-key") {
		t.Errorf("another key: %v", err)
	}
	s.publish(filepath.Join(art, "db-amd64.meta.tar.xz"), "")
	s.sound()
}

// TestVerify damages a tree in every way, and has each found.
func TestVerify(t *testing.T) {
	const dir = "images/debian/bookworm/amd64/web/20260930_0607/"
	for summary, c := range map[string]struct {
		damage func(s *stage, path func(string) string) error
		want   string
	}{
		"a blob's byte": {func(s *stage, path func(string) string) error {
			return os.WriteFile(path(s.names("blobs")[0]), bytes.Repeat([]byte("x"), len(s.read(s.names("blobs")[0]))), 0o644)
		}, "has the digest"},
		"a blob's length": {func(s *stage, path func(string) string) error { return os.Truncate(path(s.names("blobs")[0]), 3) }, "has 3 bytes instead of"},
		"no blob":         {func(s *stage, path func(string) string) error { return os.Remove(path(s.names("blobs")[0])) }, "blob "},
		"no name":         {func(_ *stage, path func(string) string) error { return os.Remove(path(dir + "rootfs.tar.xz")) }, dir + "rootfs.tar.xz: no such file"},
		"another file":    {func(_ *stage, path func(string) string) error { return swap(path(dir+"rootfs.tar.xz"), "evil") }, "is another file than the blob"},
		"no signature":    {func(_ *stage, path func(string) string) error { return os.Remove(path(dir + "meta.tar.xz.asc")) }, "meta.tar.xz.asc"},
		"a line": {func(_ *stage, path func(string) string) error {
			return swap(path("meta/1.0/index-user"), "debian;x;y;z;1;/evil/\n")
		}, "meta/1.0/index-user is another"},
		"a stream":          {func(_ *stage, path func(string) string) error { return swap(path("streams/v1/images.json"), "{}") }, "streams/v1/images.json is another"},
		"a signed stream":   {func(_ *stage, path func(string) string) error { return swap(path("streams/v1/images.sjson"), "{}") }, "streams/v1/images.sjson"},
		"a stream's":        {func(_ *stage, path func(string) string) error { return swap(path("streams/v1/index.json.gpg"), "x") }, "streams/v1/index.json.gpg"},
		"the key":           {func(_ *stage, path func(string) string) error { return swap(path("key.asc"), "x") }, "key.asc"},
		"the key's second":  {func(_ *stage, path func(string) string) error { return swap(path("pks/lookup"), "x") }, "pks/lookup"},
		"checksums":         {func(_ *stage, path func(string) string) error { return swap(path(dir+"SHA256SUMS"), "x") }, "SHA256SUMS"},
		"a date gone by":    {func(s *stage, _ func(string) string) error { s.clock = s.clock.Add(91 * 24 * time.Hour); return nil }, "the index is expired"},
		"a level's is gone": {func(_ *stage, path func(string) string) error { return os.Remove(path("meta/1.0/index-system.3")) }, "meta/1.0/index-system.3"},
	} {
		t.Run(summary, func(t *testing.T) {
			s := newStage(t)
			art := t.TempDir()
			lxcPair(t, art, "web", "one")
			s.publish(art, "")
			s.sound()
			if err := c.damage(s, func(name string) string { return filepath.Join(s.dir, name) }); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(s.problems(), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("found %q, not %q", got, c.want)
			}
		})
	}
}

// TestMend: what is missing or wrong of a version is right again when its artifacts are published
// once more, and nothing else is written.
func TestMend(t *testing.T) { everywhere(t, mendTest) }

func mendTest(t *testing.T, s *stage) {
	const dir = "images/debian/bookworm/amd64/web/20260930_0607/"
	art := t.TempDir()
	lxcPair(t, art, "web", "one")
	s.publish(art, "")
	before := s.read(catalog.Path)
	for _, name := range []string{"rootfs.tar.xz", "web-amd64.meta.tar.xz", "meta.tar.xz.asc", "SHA256SUMS", "SHA256SUMS.asc"} {
		for summary, damage := range map[string]func(string) error{
			"no": os.Remove, "another": func(path string) error { return swap(path, "evil") },
		} {
			if err := damage(filepath.Join(s.dir, dir+name)); err != nil {
				t.Fatal(err)
			}
			if len(s.problems()) == 0 {
				t.Errorf("%s %s is no problem", summary, name)
			}
			s.clock = s.clock.Add(time.Minute)
			s.publish(art, "")
			s.sound()
		}
	}
	if s.read(catalog.Path) != before {
		t.Error("there is a new index")
	}
	asc := s.read(dir + "SHA256SUMS.asc")
	s.clock = s.clock.Add(time.Minute)
	s.publish(art, "")
	if s.read(dir+"SHA256SUMS.asc") != asc {
		t.Error("what was right was signed again")
	}
}

// TestClock: a publisher whose clock went back.
func TestClock(t *testing.T) { everywhere(t, clockTest) }

func clockTest(t *testing.T, s *stage) {
	one, two, three := t.TempDir(), t.TempDir(), t.TempDir()
	lxcPair(t, one, "web", "one")
	lxcPair(t, two, "web", "two")
	lxcPair(t, three, "web", "three")
	s.publish(one, "")
	s.clock = start.Add(-30 * time.Minute)
	s.publish(two, "")
	c, err := s.load()
	if err != nil || !c.Created.Equal(start) {
		t.Errorf("a little back, the index is of %v, %v", c.Created, err)
	}
	blobs := len(s.names("blobs"))
	other := newStage(t)
	other.clock = start.Add(300 * time.Hour)
	other.publish(one, "")
	other.clock = start
	_, err = other.try(three, "")
	if fault.CodeOf(err) != fault.Preflight || !strings.Contains(fault.HintOf(err), "server sign") || !strings.Contains(err.Error(), "2026-09-30 06:07:08") {
		t.Errorf("far back: code %d, %v, %s", fault.CodeOf(err), err, fault.HintOf(err))
	}
	if n := len(other.names("blobs")); n >= blobs {
		t.Error("it has copied all the same")
	}
	if c, err = other.Renew(t.Context()); err != nil || !c.Created.Equal(start) {
		t.Errorf("signed anew, the index is of %v, %v", c.Created, err)
	}
	other.publish(three, "")
	other.sound()
}

func mustKey(t *testing.T, born time.Time) *sign.Key {
	t.Helper()
	k, err := sign.NewKey("ingot image server", born)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestUnsignable: a tree of another key gets no blob.
func TestUnsignable(t *testing.T) {
	s := newStage(t)
	one, two := t.TempDir(), t.TempDir()
	lxcPair(t, one, "web", "one")
	lxcPair(t, two, "web", "two")
	s.publish(one, "")
	before := s.names("blobs")
	s.Publisher = &Publisher{Place: s.Place, Key: mustKey(t, start.Add(-time.Hour)), Now: s.Now}
	if _, err := s.try(two, ""); fault.CodeOf(err) != fault.Verification {
		t.Error(err)
	}
	if after := s.names("blobs"); !slices.Equal(after, before) {
		t.Errorf("there are %d blobs, and were %d", len(after), len(before))
	}
}

// TestEvil: what somebody else wrote into a tree gets no signature of the publisher's, and what
// was damaged is whole again when it is published once more.
func TestEvil(t *testing.T) {
	const dir = "images/debian/bookworm/amd64/web/20260930_0607/"
	next, err := sign.NewKey("next", start.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for verb, do := range map[string]func(s *stage) error{
		"sign":   func(s *stage) error { _, err := s.Renew(t.Context()); return err },
		"rotate": func(s *stage) error { return s.Rotate(t.Context(), next) },
	} {
		t.Run(verb, func(t *testing.T) {
			s := newStage(t)
			art := t.TempDir()
			lxcPair(t, art, "web", "one")
			s.publish(art, "")
			at := func(name string) string { return filepath.Join(s.dir, name) }
			root := catalog.BlobPath(digest.Of([]byte(xzText("root of one"))))
			// As long as the good one, and it looks as if it had to be signed anew.
			if err := errors.Join(swap(at(root), xzText("evil of one")), swap(at(dir+"SHA256SUMS.asc"), "x")); err != nil {
				t.Fatal(err)
			}
			before := s.read(dir + "rootfs.tar.xz.asc")
			if err := do(s); fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), "blob") {
				t.Errorf("an evil blob: %v", err)
			}
			if s.read(dir+"rootfs.tar.xz.asc") != before {
				t.Error("an evil blob was signed")
			}
			// Publishing it again puts the good one there.
			s.publish(art, "")
			if got := s.read(root); got != xzText("root of one") {
				t.Errorf("the blob says %q", got)
			}
			s.sound()
			// Likewise the sums, with names that lead elsewhere.
			if err := errors.Join(swap(at(dir+"SHA256SUMS"), "evil"), swap(at(dir+"SHA256SUMS.asc"), "x")); err != nil {
				t.Fatal(err)
			}
			if err := do(s); err != nil {
				t.Fatal(err)
			}
			if verb == "rotate" {
				s.Key = next
			}
			judge.RunIn(t, filepath.Join(s.dir, dir), "sha256sum", "--strict", "--quiet", "-c", "SHA256SUMS")
			s.sound()
		})
	}
	t.Run("publish", func(t *testing.T) {
		s := newStage(t)
		art := t.TempDir()
		put(t, art, "web", "one", "tar", "web.tar=a tar")
		s.publish(art, "")
		blob := filepath.Join(s.dir, catalog.BlobPath(digest.Of([]byte("a tar"))))
		// In place: then all names of it are damaged.
		if err := os.WriteFile(blob, []byte("a rat"), 0o644); err != nil {
			t.Fatal(err)
		}
		s.publish(art, "")
		if got := s.read(dir + "web.tar"); got != "a tar" {
			t.Errorf("it says %q", got)
		}
		s.sound()
	})
	t.Run("an index as an artifact", func(t *testing.T) {
		s := newStage(t)
		art := t.TempDir()
		put(t, art, "web", "one", "lxc", "web.rootfs.tar.xz=debian;bookworm;amd64;web;1;/evil/\n", "web.meta.tar.xz="+xzText("meta"))
		if _, err := s.try(art, ""); fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), "web.rootfs.tar.xz is no file of xz") {
			t.Errorf("%v", err)
		}
		if got, _ := filepath.Glob(filepath.Join(s.dir, "images", "*", "*", "*", "*", "*", "*.asc")); len(got) > 0 {
			t.Errorf("it is signed: %q", got)
		}
	})
	t.Run("before it is published", func(t *testing.T) {
		s := newStage(t)
		art := t.TempDir()
		lxcPair(t, art, "web", "one")
		blob := filepath.Join(s.dir, catalog.BlobPath(digest.Of([]byte(xzText("root of one")))))
		if err := errors.Join(os.MkdirAll(filepath.Dir(blob), 0o755), os.WriteFile(blob, []byte(xzText("evil of one")), 0o644)); err != nil {
			t.Fatal(err)
		}
		s.publish(art, "")
		s.sound()
		s.gpgv()
	})
}

// TestFoundIsFlushed: the name of a blob that a killed publisher left is flushed before an
// index names it.
func TestFoundIsFlushed(t *testing.T) {
	s := newStage(t)
	blob := catalog.BlobPath(digest.Of([]byte("x")))
	if err := s.Place.Put(blob, func(w io.Writer) error { _, err := w.Write([]byte("x")); return err }); err != nil {
		t.Fatal(err)
	}
	second, err := OpenDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Size(blob); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Dir(blob), "blobs/sha256", "blobs", "."} {
		if !second.dirty[dir] {
			t.Errorf("%s is not flushed", dir)
		}
	}
}

// swap puts another file in the place of one.
func swap(path, text string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func TestPrune(t *testing.T) { everywhere(t, pruneTest) }

func pruneTest(t *testing.T, s *stage) {
	for n := range 4 {
		art := t.TempDir()
		lxcPair(t, art, "web", fmt.Sprint(n))
		s.publish(art, "")
		s.clock = s.clock.Add(time.Hour)
	}
	if got := len(s.names("blobs")); got != 12 {
		t.Fatalf("%d blobs", got)
	}
	before := s.read(catalog.Path)
	policy := catalog.Policy{Keep: 2}
	dry, err := s.Prune(t.Context(), policy, Grace, true)
	if err != nil || len(dry.Dropped) != 2 || s.read(catalog.Path) != before {
		t.Errorf("dry: %+v, %v", dry, err)
	}
	got, err := s.Prune(t.Context(), policy, Grace, false)
	if err != nil || len(got.Dropped) != 2 || got.Removed != 0 || got.Waiting != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if n := strings.Count(s.read("meta/1.0/index-system"), "\n"); n != 1 {
		t.Errorf("%d lines", n)
	}
	if len(s.names("blobs")) != 12 || len(s.names("images")) != 36 {
		t.Error("files went before the grace period was over")
	}
	s.sound()
	s.clock = s.clock.Add(Grace)
	old := s.clock.Add(-2 * Grace) // what was of use then
	for _, b := range append(s.names("blobs"), s.names("images")...) {
		if err := os.Chtimes(filepath.Join(s.dir, b), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if got, err = s.Prune(t.Context(), policy, Grace, false); err != nil || len(got.Dropped) != 0 || got.Removed != 6 || got.Waiting != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if len(s.names("blobs")) != 6 || len(s.names("images")) != 18 {
		t.Errorf("left %q", s.names("."))
	}
	s.sound()
	s.gpgv()
	// What a publisher that was killed left goes after the grace period, not before.
	left := filepath.Join(s.dir, catalog.BlobPath(digest.Of([]byte("left"))))
	if err := os.MkdirAll(filepath.Dir(left), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("left"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(left, s.clock, s.clock); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Prune(t.Context(), policy, Grace, false); err != nil || got.Removed != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	s.clock = s.clock.Add(Grace)
	if got, err = s.Prune(t.Context(), policy, Grace, false); err != nil || got.Removed != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	s.sound()
}

func TestRotateKeys(t *testing.T) { everywhere(t, rotateKeysTest) }

func rotateKeysTest(t *testing.T, s *stage) {
	art := t.TempDir()
	lxcPair(t, art, "web", "one")
	s.publish(art, "")
	next, err := sign.NewKey("next", start.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	old := s.Key
	if err := s.Rotate(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if s.Key != old {
		t.Error("the publisher's key changed by itself")
	}
	if _, err := s.try(art, ""); fault.CodeOf(err) != fault.Verification {
		t.Errorf("the old key still signs: %v", err)
	}
	document := s.read(catalog.RotationPath(old.Fingerprint()))
	ring, err := old.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	follows, err := catalog.Rotated("", []byte(document), ring, s.clock)
	if err != nil || follows.Fingerprints()[0] != next.Fingerprint() {
		t.Errorf("%v, %v", follows, err)
	}
	s.Key = next
	s.sound()
	s.gpgv()
}
