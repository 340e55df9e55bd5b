package supply

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/store"
)

// exported gives an archive whose packages a supply has, and an export of a lock
// of all of them.
func exported(t *testing.T) (*archive, *lock.Lock, []byte) {
	t.Helper()
	a := newArchive(t, 6)
	s := supplyIn(t, t.TempDir(), a)
	l := a.lock(6)
	if err := s.Fetch(t.Context(), Packages(l), Meter{}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	c, err := Export(t.Context(), s.Store, &b, []*lock.Lock{l})
	if err != nil || c.Blobs != 6 {
		t.Fatalf("%+v %v", c, err)
	}
	return a, l, b.Bytes()
}

func TestExportAndImport(t *testing.T) {
	a, l, file := exported(t)
	s := supplyIn(t, t.TempDir(), nil)
	c, err := Import(t.Context(), s.Store, bytes.NewReader(file))
	if err != nil || c.New != 6 || c.Blobs != 6 || len(c.Locks) != 1 || c.Locks[0].Digest() != l.Digest() {
		t.Fatalf("%+v %v", c, err)
	}
	whole(t, s, a.refs)

	// Again it brings nothing.
	if c, err := Import(t.Context(), s.Store, bytes.NewReader(file)); err != nil || c.New != 0 || c.Blobs != 6 {
		t.Errorf("%+v %v", c, err)
	}
	// It is kept for a while, and no longer.
	for _, x := range []struct{ days, missing int }{{-1, 0}, {1, 6}} {
		if _, err := s.Store.Collect(t.Context(), Keeps(time.Now().AddDate(0, 0, x.days)), false); err != nil || len(s.Missing(a.refs)) != x.missing {
			t.Errorf("used %d days before the cut, %d are missing, want %d; %v", x.days, len(s.Missing(a.refs)), x.missing, err)
		}
	}
}

// TestExportBytes: the same locks give the same bytes, in whatever order and
// however often they are named, from whichever store.
func TestExportBytes(t *testing.T) {
	a, l, file := exported(t)
	s := supplyIn(t, t.TempDir(), a)
	sealed := *l
	sealed.Seals = []lock.Seal{{Arch: "amd64", Purpose: "machine", SHA256: digest.Of([]byte("tree"))}}
	small := a.lock(3)
	if err := s.Fetch(t.Context(), a.refs, Meter{}); err != nil {
		t.Fatal(err)
	}
	export := func(locks ...*lock.Lock) string {
		t.Helper()
		var b bytes.Buffer
		if _, err := Export(t.Context(), s.Store, &b, locks); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if export(l, l) != string(file) {
		t.Error("one lock, twice, gives other bytes")
	}
	if export(l, small) != export(small, l, small) {
		t.Error("another order gives other bytes")
	}
	if export(l, &sealed) != export(&sealed) {
		t.Error("the lock with seals is not the one that is taken")
	}
	var names strings.Builder
	for r := tar.NewReader(strings.NewReader(export(l, small))); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		fmt.Fprintf(&names, "%s %o %d %d %q %d\n", strings.Trim(strings.NewReplacer("a", "", "b", "", "c", "", "d", "", "e", "", "f", "").Replace(filepath.Dir(h.Name)), "/"), h.Mode, h.Uid, h.Gid, h.Uname, h.ModTime.Unix())
	}
	want := ". 444 0 0 \"\" 0\n" + strings.Repeat("loks 444 0 0 \"\" 0\n", 2) + strings.Repeat("los 444 0 0 \"\" 0\n", 6)
	if names.String() != want {
		t.Errorf("got:\n%swant:\n%s", names.String(), want)
	}
}

func TestExportFails(t *testing.T) {
	a := newArchive(t, 4)
	for _, c := range []struct {
		summary string
		damage  func(path string) error
		code    fault.Code
	}{
		{"a package that is not there", os.Remove, fault.NotFound},
		{"a package that is cut off", func(p string) error { return os.Truncate(p, 10) }, fault.NotFound},
		{"a damaged package", func(p string) error {
			return os.WriteFile(p, bytes.Repeat([]byte("x"), int(a.refs[1].Size)), 0o600)
		}, fault.Verification},
	} {
		s := supplyIn(t, t.TempDir(), a)
		if err := s.Fetch(t.Context(), a.refs, Meter{}); err != nil {
			t.Fatal(err)
		}
		path := s.Store.Path(a.refs[1].SHA256)
		if err := errors.Join(os.Chmod(path, 0o600), c.damage(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		_, err := Export(t.Context(), s.Store, io.Discard, []*lock.Lock{a.lock(4)})
		if fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), "pack01 1.0-1 all") {
			t.Errorf("%s: %v", c.summary, err)
		}
		if s.Store.Has(a.refs[1].SHA256, a.refs[1].Size) {
			t.Errorf("%s: it stayed", c.summary)
		}
	}
}

// A part is one entry of a tar that is made to be wrong.
type part struct {
	header tar.Header
	data   []byte
}

func parts(t *testing.T, file []byte) []part {
	t.Helper()
	var out []part
	for r := tar.NewReader(bytes.NewReader(file)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, part{*h, data})
	}
}

func join(t *testing.T, parts []part) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, p := range parts {
		if err := w.WriteHeader(&p.header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(p.data); err != nil && p.header.Typeflag == tar.TypeReg {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHostileImport(t *testing.T) {
	a, l, file := exported(t)
	const mark, theLock, blob = 0, 1, 2
	reg := func(name, text string) part {
		return part{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text))}, []byte(text)}
	}
	lie := func(name string, change func(l *lock.Lock)) func(p []part) []part {
		return func(p []part) []part {
			m := *l
			change(&m)
			text := string(lock.Encode(m))
			if name == "" {
				name = lockPlace + m.Digest().String() + lockSuffix
			}
			p[theLock] = reg(name, text)
			return p
		}
	}
	for _, c := range []struct {
		summary string
		change  func(p []part) []part
		says    string
	}{
		{"nothing", func([]part) []part { return nil }, "no export"},
		{"no mark", func(p []part) []part { return p[1:] }, "no export"},
		{"another version", func(p []part) []part { p[mark] = reg(exportMark, "ingot export 2\n"); return p }, "another version"},
		{"a blob of other bytes", func(p []part) []part {
			p[blob].data = bytes.Repeat([]byte("x"), len(p[blob].data))
			return p
		}, "has digest"},
		{"a blob of another size", func(p []part) []part { p[blob] = reg(p[blob].header.Name, "x"); return p }, "bytes, its lock says"},
		{"a blob that no lock names", func(p []part) []part {
			return append(p, reg(blobPlace+digest.Of([]byte("evil")).String(), "evil"))
		}, "named by none"},
		{"a blob twice", func(p []part) []part { return append(p, p[blob]) }, "comes twice"},
		{"a blob missing", func(p []part) []part { return append(p[:blob:blob], p[blob+1:]...) }, "lacks 1 packages"},
		{"no blobs", func(p []part) []part { return p[:blob] }, "lacks 6 packages"},
		{"a path out of the store", func(p []part) []part { return append(p, reg("../../etc/passwd", "root::0:0::/:")) }, "no place"},
		{"a path out of the blobs", func(p []part) []part { return append(p, reg(blobPlace+"../refs/x", "x")) }, "no name of a blob"},
		{"an absolute path", func(p []part) []part { return append(p, reg("/etc/passwd", "x")) }, "no place"},
		{"a symbolic link", func(p []part) []part {
			return append(p, part{header: tar.Header{Typeflag: tar.TypeSymlink, Name: p[blob].header.Name, Linkname: "/etc/shadow"}})
		}, "not a regular file"},
		{"a hard link", func(p []part) []part {
			return append(p, part{header: tar.Header{Typeflag: tar.TypeLink, Name: p[blob].header.Name, Linkname: "/etc/shadow"}})
		}, "not a regular file"},
		{"a device", func(p []part) []part {
			return append(p, part{header: tar.Header{Typeflag: tar.TypeChar, Name: p[blob].header.Name}})
		}, "not a regular file"},
		{"a directory", func(p []part) []part {
			return append(p[:1:1], append([]part{{header: tar.Header{Typeflag: tar.TypeDir, Name: "locks/"}}}, p[1:]...)...)
		}, "not a regular file"},
		{"a lock after blobs", func(p []part) []part { return append(p, p[theLock]) }, "after blobs"},
		{"a lock that is none", func(p []part) []part { p[theLock] = reg(p[theLock].header.Name, "ingot lock 1\n"); return p }, "lock"},
		{"a lock under another's name", lie(lockPlace+digest.Of(nil).String()+lockSuffix, func(*lock.Lock) {}), "has digest"},
		{"a lock without a name", lie(lockPlace+"x"+lockSuffix, func(*lock.Lock) {}), "no name of a lock"},
		{"a lock with a size for all the disk", lie("", func(m *lock.Lock) {
			m.Tools = append(m.Tools[:0:0], m.Tools...)
			m.Tools[0].Size = 1 << 42
		}), "bytes, its lock says"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			dir := t.TempDir()
			s := supplyIn(t, dir, nil)
			_, err := Import(t.Context(), s.Store, bytes.NewReader(join(t, c.change(parts(t, file)))))
			full := strings.HasSuffix(c.summary, "all the disk") && fault.CodeOf(err) == fault.Preflight // where it has no room for it
			if !full && (fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
			sound(t, s, a)
		})
	}
	t.Run("cut off", func(t *testing.T) {
		// Behind the last blob is only the mark of the end.
		for n := 0; n < len(file)-1024; n += 512 + n/9 {
			s := supplyIn(t, t.TempDir(), nil)
			if _, err := Import(t.Context(), s.Store, bytes.NewReader(file[:n])); fault.CodeOf(err) != fault.Verification {
				t.Errorf("after %d bytes: %v", n, err)
			}
			sound(t, s, a)
		}
	})
	t.Run("not even a tar", func(t *testing.T) {
		s := supplyIn(t, t.TempDir(), nil)
		if _, err := Import(t.Context(), s.Store, strings.NewReader(strings.Repeat("not a tar\n", 1000))); fault.CodeOf(err) != fault.Verification {
			t.Error(err)
		}
	})
	t.Run("an error of the disk is none of the file", func(t *testing.T) {
		dir := t.TempDir()
		s := supplyIn(t, dir, nil)
		if err := errors.Join(s.Store.Make(), os.RemoveAll(filepath.Join(dir, "home", "store", "tmp"))); err != nil {
			t.Fatal(err)
		}
		if _, err := Import(t.Context(), s.Store, bytes.NewReader(file)); err == nil || fault.CodeOf(err) == fault.Verification {
			t.Error(err)
		}
	})
}

// sound holds what a refused import left: blobs of the right digest, none that the
// archive does not have, no reference, nothing half written.
func sound(t *testing.T, s *Supply, a *archive) {
	t.Helper()
	known := map[digest.Digest]bool{}
	for _, r := range a.refs {
		known[r.SHA256] = true
	}
	blobs, err := s.Store.Blobs()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		if err := s.Store.Verify(b.Digest); err != nil || !known[b.Digest] {
			t.Errorf("blob %s: %v", b.Digest, err)
		}
	}
	if refs, err := s.Store.Refs(); err != nil || len(refs) > 0 {
		t.Errorf("references %v, %v", refs, err)
	}
	for _, d := range []string{"tmp", "leases"} {
		if left, _ := filepath.Glob(filepath.Join(s.Store.Dir(), d, ".*")); len(left) > 0 {
			t.Errorf("left %q", left)
		}
	}
}

func FuzzImport(f *testing.F) {
	a := &archive{}
	deb := makeDeb("a1", "1", "x")
	a.refs = []distro.Ref{{Name: "a1", Version: "1", Arch: "all", Archive: "debian", Location: "a1.deb", Size: int64(len(deb)), SHA256: digest.Of(deb)}}
	l := a.lock(1)
	l.Sets = nil
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, x := range []struct {
		name string
		data []byte
	}{{exportMark, []byte(exportText)}, {lockPlace + l.Digest().String() + lockSuffix, lock.Encode(*l)}, {blobPlace + digest.Of(deb).String(), deb}} {
		if err := putFile(w, x.name, x.data); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()/2])
	f.Add([]byte("not a tar"))
	home, err := os.MkdirTemp("/dev/shm", "ingot-fuzz-") // no disk to wait for
	if err != nil {
		home = f.TempDir()
	}
	f.Cleanup(func() { _ = os.RemoveAll(home) })
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		s, err := store.Open(home)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Import(t.Context(), s, bytes.NewReader(data))
		if code := fault.CodeOf(err); err != nil && code != fault.Verification && code != fault.Preflight {
			t.Errorf("%v", err)
		}
		for _, l := range c.Locks {
			for _, r := range Packages(l) {
				if err == nil && s.Verify(r.SHA256) != nil {
					t.Errorf("an import without error lacks %s", r.Name)
				}
			}
		}
	})
}
