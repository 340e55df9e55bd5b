package supply

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ingot/internal/cache"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/lock"
	"ingot/internal/sandbox"
	"ingot/internal/store"
	"ingot/internal/tree"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// makeDeb makes a package (deb(5)) of one file.
func makeDeb(name, version, content string) []byte {
	pack := func(path, text string) []byte {
		var b bytes.Buffer
		t := tar.NewWriter(&b)
		_ = t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./" + path, Mode: 0o644, Size: int64(len(text))})
		_, _ = io.WriteString(t, text)
		_ = t.Close()
		return b.Bytes()
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{
		{"debian-binary", []byte("2.0\n")},
		{"control.tar", pack("control", fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\n", name, version))},
		{"data.tar", pack("usr/share/"+name, content)},
	} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.data))
		b.Write(m.data)
		if len(m.data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// An archive is packages behind a server on loopback.
type archive struct {
	refs  []distro.Ref
	debs  map[string][]byte // by location
	url   string
	asked atomic.Int64
}

func newArchive(t *testing.T, n int) *archive {
	t.Helper()
	a := &archive{debs: map[string][]byte{}}
	for i := range n {
		name := fmt.Sprintf("pack%02d", i)
		deb := makeDeb(name, "1.0-1", strings.Repeat("the content of "+name+"\n", 1+i*100))
		ref := distro.Ref{
			Name: name, Version: "1.0-1", Arch: "all", Archive: "debian", Location: "pool/main/p/" + name + "_1%3a1.0+b1~x_all.deb", // "%" is a letter of the name here
			Size: int64(len(deb)), SHA256: digest.Of(deb),
		}
		a.refs = append(a.refs, ref)
		a.debs[ref.Location] = deb
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deb, ok := a.debs[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		a.asked.Add(1)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(deb))
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

// lock is a lock of the archive's first n packages.
func (a *archive) lock(n int) *lock.Lock {
	return &lock.Lock{
		Definition: digest.Of([]byte("definition")), Request: digest.Of([]byte("request")), Distro: "debian", Release: "bookworm", Epoch: 1731000000,
		Archives: []lock.Archive{{Name: "debian", URL: "http://archive.example/debian", Suites: []string{"bookworm"}, Components: []string{"main"}}},
		Sets: []lock.Set{
			{Arch: "amd64", Purpose: "container", Refs: a.refs[:n/2]},
			{Arch: "amd64", Purpose: "machine", Refs: a.refs[:n-1]},
		},
		Tools: a.refs[n-1 : n],
	}
}

// supply is one with store and cache of its own in a directory; a is its mirror
// unless it is nil.
func supplyIn(t *testing.T, dir string, a *archive) *Supply {
	t.Helper()
	st, err := store.Open(filepath.Join(dir, "home"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(filepath.Join(dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	s := &Supply{Store: st, Cache: c, Client: &fetch.Client{Backoff: time.Millisecond}, Distro: debian.Debian{}}
	if a != nil {
		s.Mirrors = func(string) []string { return []string{a.url} }
	}
	return s
}

// contents reads every file of packages out of the cache and gives them as text,
// the first line of each.
func contents(s *Supply, us []distro.Unpacked) (string, error) {
	var b strings.Builder
	r := tree.NewReader(s.Cache)
	defer func() { _ = r.Close() }()
	for _, u := range us {
		for e := range u.Tree.All() {
			if e.Kind != tree.File {
				continue
			}
			c, err := r.Content(e.Content)
			if err != nil {
				return "", err
			}
			data, err := io.ReadAll(c)
			if err != nil {
				return "", err
			}
			if digest.Of(data) != e.Content.Digest {
				return "", fmt.Errorf("%s: its bytes are not those of its digest", e.Path)
			}
			line, _, _ := strings.Cut(string(data), "\n")
			fmt.Fprintf(&b, "%s %s: %s\n", u.Ref.Name, e.Path, line)
		}
	}
	return b.String(), nil
}

func wanted(refs []distro.Ref) string {
	var b strings.Builder
	for _, r := range refs {
		fmt.Fprintf(&b, "%s usr/share/%s: the content of %s\n", r.Name, r.Name, r.Name)
	}
	return b.String()
}

// whole supplies packages and holds what comes against what was asked for.
func whole(t *testing.T, s *Supply, refs []distro.Ref) {
	t.Helper()
	us, err := s.Unpacked(t.Context(), refs, Meter{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := contents(s, us); err != nil || got != wanted(refs) {
		t.Errorf("got:\n%s%v\nwant:\n%s", got, err, wanted(refs))
	}
}

func TestUnpacked(t *testing.T) {
	a := newArchive(t, 8)
	dir := t.TempDir()
	s := supplyIn(t, dir, a)
	if n := len(s.Missing(a.refs)); n != 8 {
		t.Errorf("%d are missing", n)
	}
	var mu sync.Mutex
	var bytes int64
	seen := map[bool]int{}
	m := Meter{
		Fetched: func(n int64) { mu.Lock(); bytes += n; mu.Unlock() },
		Unpacked: func(_ distro.Ref, cached bool) {
			mu.Lock()
			seen[cached]++
			mu.Unlock()
		},
	}
	twice := append(append([]distro.Ref{}, a.refs...), a.refs[0])
	us, err := s.Unpacked(t.Context(), twice, m)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := contents(s, us); err != nil || got != wanted(twice) {
		t.Errorf("%v %s", err, got)
	}
	var size int64
	for _, r := range a.refs {
		size += r.Size
	}
	if a.asked.Load() != 8 || bytes != size || seen[true]+seen[false] != 8 {
		t.Errorf("%d requests, %d bytes of %d, %v", a.asked.Load(), bytes, size, seen)
	}
	// Offline, from the store, and once more from the cache.
	if err := os.RemoveAll(filepath.Join(dir, "cache")); err != nil {
		t.Fatal(err)
	}
	s = supplyIn(t, dir, nil)
	whole(t, s, a.refs)
	whole(t, s, a.refs)
	if a.asked.Load() != 8 {
		t.Error("asked the mirror when all was there")
	}
	u, err := s.Unpacked(t.Context(), a.refs[:1], Meter{Unpacked: func(_ distro.Ref, cached bool) {
		if !cached {
			t.Error("unpacked what the cache has")
		}
	}})
	if err != nil || string(u[0].Control["control"].Data) == "" || len(u[0].Order) == 0 {
		t.Errorf("out of the cache: %+v %v", u, err)
	}
}

func TestOffline(t *testing.T) {
	a := newArchive(t, 3)
	s := supplyIn(t, t.TempDir(), nil)
	_, err := s.Unpacked(t.Context(), a.refs, Meter{})
	if fault.CodeOf(err) != fault.Unreachable || !strings.Contains(err.Error(), "pack00 1.0-1 and 2 more") || fault.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
}

// TestDamage damages what lies in store and cache between two runs.
func TestDamage(t *testing.T) {
	a := newArchive(t, 2)
	bad := a.refs[0]
	evil := bytes.Repeat([]byte("x"), int(bad.Size))
	blob := func(s *Supply) string { return s.Store.Path(bad.SHA256) }
	entry := func(s *Supply, name string) string { return filepath.Join(s.Cache.Dir(), "entries", name) }
	write := func(path string, data []byte) error {
		return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, data, 0o600))
	}
	uncache := func(s *Supply) error { return os.RemoveAll(filepath.Join(s.Cache.Dir(), "entries")) }
	for _, c := range []struct {
		summary string
		damage  func(s *Supply) error
		offline bool
		code    fault.Code
		asks    int64
	}{
		{"a blob of the right size, not unpacked: fetched again", func(s *Supply) error { return errors.Join(uncache(s), write(blob(s), evil)) }, false, fault.Done, 1},
		{"the same, offline: refused", func(s *Supply) error { return errors.Join(uncache(s), write(blob(s), evil)) }, true, fault.Verification, 0},
		{"a blob cut off: fetched again", func(s *Supply) error { return write(blob(s), evil[:9]) }, false, fault.Done, 1},
		{"the same, offline: missing", func(s *Supply) error { return write(blob(s), evil[:9]) }, true, fault.Unreachable, 0},
		{"a blob of the right size, unpacked: not read", func(s *Supply) error { return write(blob(s), evil) }, true, fault.Done, 0},
		{"the pack gone: unpacked again", func(s *Supply) error { return os.Remove(entry(s, packName(bad))) }, true, fault.Done, 0},
		{"the pack cut off: unpacked again", func(s *Supply) error { return os.Truncate(entry(s, packName(bad)), 5) }, true, fault.Done, 0},
		{"the tree gone: unpacked again", func(s *Supply) error { return os.Remove(entry(s, treeName(bad))) }, true, fault.Done, 0},
		{"the tree zeros: unpacked again", func(s *Supply) error { return write(entry(s, treeName(bad)), make([]byte, 999)) }, true, fault.Done, 0},
		{"the tree of another form: unpacked again", func(s *Supply) error { return s.Cache.Put(treeName(bad), []byte("?")) }, true, fault.Done, 0},
	} {
		t.Run(c.summary, func(t *testing.T) {
			dir := t.TempDir()
			whole(t, supplyIn(t, dir, a), a.refs)
			before := a.asked.Load()
			mirror := a
			if c.offline {
				mirror = nil
			}
			s := supplyIn(t, dir, mirror)
			if err := c.damage(s); err != nil {
				t.Fatal(err)
			}
			us, err := s.Unpacked(t.Context(), a.refs, Meter{})
			if fault.CodeOf(err) != c.code {
				t.Fatalf("%v, want code %d", err, c.code)
			}
			if got := a.asked.Load() - before; got != c.asks {
				t.Errorf("the mirror was asked %d times, want %d", got, c.asks)
			}
			if err == nil {
				if got, err := contents(s, us); err != nil || got != wanted(a.refs) {
					t.Errorf("%v %s", err, got)
				}
				return
			}
			if !strings.Contains(err.Error(), "pack00 1.0-1") {
				t.Errorf("it does not name the package: %v", err)
			}
			whole(t, supplyIn(t, dir, a), a.refs) // the next run, with a mirror
		})
	}
}

// TestMirrorGivesOtherBytes: nothing of them stays.
func TestMirrorGivesOtherBytes(t *testing.T) {
	a := newArchive(t, 2)
	good := a.debs[a.refs[0].Location]
	a.debs[a.refs[0].Location] = bytes.Repeat([]byte("x"), len(good))
	dir := t.TempDir()
	s := supplyIn(t, dir, a)
	if _, err := s.Unpacked(t.Context(), a.refs, Meter{}); fault.CodeOf(err) != fault.Verification {
		t.Errorf("%v", err)
	}
	if s.Store.Has(a.refs[0].SHA256, -1) || s.Cache.Has(packName(a.refs[0])) {
		t.Error("something of it stayed")
	}
	a.debs[a.refs[0].Location] = good
	whole(t, supplyIn(t, dir, a), a.refs)
}

// TestCollectWhileSupplying has one process collect all that nobody holds, again
// and again, while another fetches and unpacks under a hold that has no lock file.
func TestCollectWhileSupplying(t *testing.T) {
	a := newArchive(t, 20)
	dir := t.TempDir()
	l := a.lock(20)
	ctx, stop := context.WithCancel(t.Context())
	collected := make(chan error)
	rounds := 0
	go func() {
		st, err := store.Open(filepath.Join(dir, "home"))
		for err == nil && ctx.Err() == nil {
			_, err = st.Collect(ctx, func(store.Ref) bool { return false }, false)
			rounds++
		}
		if ctx.Err() != nil {
			err = nil
		}
		collected <- err
	}()
	for i := range 4 {
		s := supplyIn(t, dir, a)
		release, err := s.Hold(t.Context(), filepath.Join(dir, "ingot.lock"), l)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 { // from the store alone: nothing may have gone between
			if err := s.Fetch(t.Context(), Packages(l), Meter{}); err != nil {
				t.Fatal(err)
			}
			s.Mirrors = nil
			if err := os.RemoveAll(filepath.Join(dir, "cache", "entries")); err != nil {
				t.Fatal(err)
			}
		}
		whole(t, s, Packages(l))
		if m := s.Missing(Packages(l)); len(m) > 0 {
			t.Errorf("round %d: %d packages were collected under the hold", i, len(m))
		}
		release()
	}
	stop()
	if err := <-collected; err != nil {
		t.Error(err)
	}
	if rounds < 10 {
		t.Errorf("only %d collections ran meanwhile", rounds)
	}
	s := supplyIn(t, dir, nil)
	if _, err := s.Store.Collect(t.Context(), func(store.Ref) bool { return false }, false); err != nil || len(s.Missing(a.refs)) != 20 {
		t.Errorf("%d packages are gone when nobody holds them, want 20; %v", len(s.Missing(a.refs)), err)
	}
}

// TestEmptiedCache empties the cache again and again while packages are supplied
// and read: what is read is right, or missing.
func TestEmptiedCache(t *testing.T) {
	a := newArchive(t, 12)
	dir := t.TempDir()
	whole(t, supplyIn(t, dir, a), a.refs)
	ctx, stop := context.WithCancel(t.Context())
	emptied := make(chan bool)
	go func() {
		defer close(emptied)
		for ctx.Err() == nil {
			_ = os.RemoveAll(filepath.Join(dir, "cache"))
		}
	}()
	// The kernel's words for a directory that goes away while it is written to.
	clean := []error{cache.ErrMissing, fs.ErrNotExist, fs.ErrExist, syscall.EPERM}
	missed, right := 0, 0
	for right+missed < 20 {
		s := supplyIn(t, t.TempDir(), nil)
		if c, err := cache.Open(filepath.Join(dir, "cache")); err == nil {
			s.Cache = c
		} else {
			continue
		}
		var err error
		if s.Store, err = store.Open(filepath.Join(dir, "home")); err != nil {
			t.Fatal(err)
		}
		us, err := s.Unpacked(t.Context(), a.refs, Meter{})
		var got string
		if err == nil {
			got, err = contents(s, us)
		}
		switch {
		case err == nil && got != wanted(a.refs):
			t.Fatalf("read %s", got)
		case err == nil:
			right++
		case !slices.ContainsFunc(clean, func(e error) bool { return errors.Is(err, e) }):
			t.Fatalf("%v (code %d)", err, fault.CodeOf(err))
		default:
			missed++
		}
	}
	stop()
	<-emptied
	t.Logf("right %d times, missing %d times", right, missed)
	s := supplyIn(t, dir, nil)
	whole(t, s, a.refs)
	for _, r := range a.refs {
		if err := s.Store.Verify(r.SHA256); err != nil {
			t.Error(err)
		}
	}
}

// TestTwoAtOnce has several processes, as far as store and cache can tell, fetch
// and unpack the same packages.
func TestTwoAtOnce(t *testing.T) {
	a := newArchive(t, 12)
	dir := t.TempDir()
	errs := make(chan error)
	for range 4 {
		s := supplyIn(t, dir, a)
		go func() {
			us, err := s.Unpacked(context.Background(), a.refs, Meter{})
			var got string
			if err == nil {
				got, err = contents(s, us)
			}
			if err == nil && got != wanted(a.refs) {
				err = errors.New(got)
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestNoRoom(t *testing.T) {
	a := newArchive(t, 1)
	a.refs[0].Size = 1 << 60
	_, err := supplyIn(t, t.TempDir(), a).Unpacked(t.Context(), a.refs, Meter{})
	if fault.CodeOf(err) != fault.Preflight || fault.HintOf(err) == "" || a.asked.Load() != 0 {
		t.Errorf("%v; %d requests", err, a.asked.Load())
	}
}

// TestNoRoomToUnpack has a package in the store that is larger than any disk, unpacked.
func TestNoRoomToUnpack(t *testing.T) {
	a := newArchive(t, 2)
	s := supplyIn(t, t.TempDir(), a)
	if err := s.Fetch(t.Context(), a.refs, Meter{}); err != nil {
		t.Fatal(err)
	}
	large := &a.refs[1]
	large.Size = 1 << 43
	path := s.Store.Path(large.SHA256)
	if err := errors.Join(os.Chmod(path, 0o600), os.Truncate(path, large.Size)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // it is not read: that takes hours
	defer cancel()
	_, err := s.Unpacked(ctx, a.refs, Meter{})
	if fault.CodeOf(err) != fault.Preflight || !strings.Contains(fault.HintOf(err), cache.Variable) || s.Cache.Has(treeName(a.refs[0])) {
		t.Errorf("%v; something was unpacked: %v", err, s.Cache.Has(treeName(a.refs[0])))
	}
	if err := s.Fetch(ctx, a.refs, Meter{}); err != nil {
		t.Errorf("what needs no unpacking: %v", err)
	}
}

func TestHold(t *testing.T) {
	a := newArchive(t, 6)
	dir := t.TempDir()
	path := filepath.Join(dir, "ingot.lock")
	s := supplyIn(t, dir, a)
	old, now := a.lock(6), a.lock(4)
	hold := func(l *lock.Lock) {
		t.Helper()
		if err := lock.Write(path, *l); err != nil {
			t.Fatal(err)
		}
		release, err := s.Hold(t.Context(), path, l)
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	hold(old)
	whole(t, s, Packages(old))
	hold(now)
	left := func(days int) int {
		t.Helper()
		// The references were used now; time goes on instead.
		if _, err := s.Store.Collect(t.Context(), Keeps(time.Now().AddDate(0, 0, days)), false); err != nil {
			t.Fatal(err)
		}
		return len(a.refs) - len(s.Missing(a.refs))
	}
	for _, c := range []struct {
		summary string
		do      func() error
		days    int // that the last use lies before the cut
		want    int // packages left
	}{
		{"both locks of the file are kept for a while", func() error { return nil }, -1, 6},
		{"then the one that it is no more goes", func() error { return nil }, 1, 4},
		{"a lock with seals is the same lock", func() error {
			l := *now
			l.Seals = []lock.Seal{{Arch: "amd64", Purpose: "machine", SHA256: digest.Of([]byte("tree"))}}
			p, err := s.Store.Create()
			if err != nil {
				return err
			}
			if _, err := p.Write([]byte("tree")); err != nil {
				return err
			}
			hold(&l)
			return p.Commit(l.Seals[0].SHA256)
		}, 1, 4},
		{"and its list stays with it", func() error { return s.Store.Verify(digest.Of([]byte("tree"))) }, 1, 4},
		{"a lock that cannot be read is kept for a while", func() error { return os.WriteFile(path, []byte("<<<<<<< HEAD"), 0o600) }, -1, 4},
		{"one that is gone is as well", func() error { return os.Remove(path) }, -1, 4},
		{"and no longer", func() error { return nil }, 1, 0},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		if got := left(c.days); got != c.want {
			t.Errorf("%s: %d packages are left, want %d", c.summary, got, c.want)
		}
	}
}
