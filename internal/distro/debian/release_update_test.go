package debian

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"ingot/internal/digest"
	"ingot/internal/distro/debian/debtest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/lock"
	"ingot/internal/sign"
)

// then is the time of the archives that these tests make.
var then = time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)

// A signer makes Release files believed.
type signer struct {
	*debtest.Signer
	ring *sign.Keyring
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	s := debtest.NewSigner(t, then.Add(-24*time.Hour))
	ring, err := sign.ReadKeyring("test", s.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{s, ring}
}

// A site is an archive that is served over HTTP: files by path, and the paths that were
// asked for.
type site struct {
	signer *signer
	files  map[string][]byte
	mu     sync.Mutex
	asked  []string
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/debian/")
	s.asked = append(s.asked, name)
	b, ok := s.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// put adds an index of a suite, in gzip's and xz's name, with its by-hash path.
func (s *site) put(dir, path, text string) string {
	lines := ""
	for _, suffix := range []string{".xz", ".gz"} {
		b := []byte(text + suffix)
		hash := digest.Of(b).String()
		s.files[join(dir, path+suffix)] = b
		s.files[join(dir, path[:strings.LastIndexByte("/"+path, '/')]+"by-hash/SHA256/"+hash)] = b
		lines += fmt.Sprintf(" %s %d %s\n", hash, len(b), path+suffix)
	}
	return lines
}

// release signs and adds a suite's InRelease.
func (s *site) release(t *testing.T, dir, text string) {
	t.Helper()
	s.files[join(dir, "InRelease")] = s.signer.Sign(t, text)
}

const fields = "Origin: Test\nSuite: unstable\nCodename: sid\nDate: Fri, 20 Nov 2026 12:00:00 UTC\nAcquire-By-Hash: yes\n" +
	"Architectures: amd64 arm64\nComponents: main contrib\n"

// newSite is an archive with one suite, sid, of two components for two
// architectures.
func newSite(t *testing.T, by *signer, fields string) *site {
	t.Helper()
	s := &site{signer: by, files: map[string][]byte{}}
	text := fields + "SHA256:\n"
	for _, c := range []string{"main", "contrib"} {
		for _, a := range []string{"amd64", "arm64", "all"} {
			text += s.put("dists/sid", c+"/binary-"+a+"/Packages", c+" "+a)
		}
	}
	s.release(t, "dists/sid", text)
	return s
}

func quick() *fetch.Client {
	return &fetch.Client{Stall: time.Minute, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

func TestUpdate(t *testing.T) {
	key := newSigner(t)
	edit := func(name string, change func([]byte) []byte) func(*site) {
		return func(s *site) {
			for path, b := range s.files {
				if strings.HasPrefix(path, name) {
					s.files[path] = change(bytes.Clone(b))
				}
			}
		}
	}
	flip := func(b []byte) []byte {
		b[len(b)/2] ^= 1
		return b
	}
	half := func(b []byte) []byte { return b[:len(b)/2] }
	drop := func(part string) func(*site) {
		return func(s *site) {
			for path := range s.files {
				if strings.Contains(path, part) {
					delete(s.files, path)
				}
			}
		}
	}
	detached := func(s *site) {
		b, _ := clearsign.Decode(s.files["dists/sid/InRelease"])
		delete(s.files, "dists/sid/InRelease")
		s.files["dists/sid/Release"] = append(b.Plaintext, '\n')
		var sig bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&sig, s.signer.Entity, bytes.NewReader(s.files["dists/sid/Release"]), s.signer.Config); err != nil {
			t.Fatal(err)
		}
		s.files["dists/sid/Release.gpg"] = sig.Bytes()
	}
	const byHash = "dists/sid/main/binary-amd64/by-hash/SHA256/"
	const plain = "t sid main amd64 dists/sid/main/binary-amd64/Packages.gz \"main amd64.gz\"\n"
	for _, test := range []struct {
		summary    string
		fields     string // "" is fields
		change     func(*site)
		suite      string // "" is sid
		components string // "" is main
		arches     string // "" is amd64
		accept     bool
		want       string
		notes      string
		code       fault.Code
		err, hint  string
	}{
		{summary: "a suite", want: plain},
		{summary: "components and architectures, in order", components: "contrib main", arches: "arm64 amd64", want: `
t sid contrib arm64 dists/sid/contrib/binary-arm64/Packages.gz "contrib arm64.gz"
t sid contrib amd64 dists/sid/contrib/binary-amd64/Packages.gz "contrib amd64.gz"
t sid main arm64 dists/sid/main/binary-arm64/Packages.gz "main arm64.gz"
t sid main amd64 dists/sid/main/binary-amd64/Packages.gz "main amd64.gz"
`},
		{summary: "packages for all apart", fields: strings.Replace(fields, "amd64", "all amd64", 1), want: `
t sid main all dists/sid/main/binary-all/Packages.gz "main all.gz"
` + plain},
		{summary: "packages for all within the others", fields: strings.Replace(fields, "Architectures: amd64", "No-Support-for-Architecture-all: Packages\nArchitectures: all amd64", 1), want: plain},
		{summary: "an architecture that the suite has not", arches: "amd64 s390x", code: fault.NotFound, err: "no archive has packages for architecture s390x in sid", hint: "there are: amd64, arm64",
			notes: "suite sid of archive t has no packages for architecture s390x in main\n"},
		{summary: "a component that the suite has not", components: "main non-free", code: fault.NotFound,
			err: "suite sid of archive t has no component \"non-free\"", hint: "it has: main, contrib"},
		{summary: "a suite that is not there", suite: "nosuch", code: fault.Unreachable, err: "cannot fetch dists/nosuch/InRelease: SITE/debian: answered 404 not found"},
		{summary: "a suite that leads elsewhere", suite: "../../x", code: fault.Definition, err: "is not a name"},
		{summary: "without by-hash", change: drop("by-hash"), want: plain},
		{summary: "by-hash alone", change: drop("/Packages"), want: plain},
		{summary: "xz alone", change: func(s *site) {
			for path, b := range s.files {
				if strings.HasSuffix(string(b), ".gz") {
					delete(s.files, path)
				}
			}
		}, want: "t sid main amd64 dists/sid/main/binary-amd64/Packages.xz \"main amd64.xz\"\n"},
		{summary: "a Release file with its signature apart", change: detached, want: plain},
		{summary: "a Release file without its signature", change: func(s *site) {
			detached(s)
			delete(s.files, "dists/sid/Release.gpg")
		}, code: fault.Unreachable, err: "cannot fetch dists/sid/Release.gpg"},
		{summary: "a changed Release file", change: func(s *site) {
			detached(s)
			edit("dists/sid/Release", flip)(s)
		}, code: fault.Verification, err: "dists/sid/Release of archive t"},
		{summary: "a changed InRelease", change: edit("dists/sid/InRelease", flip), code: fault.Verification, err: "dists/sid/InRelease of archive t: bad signature"},
		{summary: "a cut InRelease", change: edit("dists/sid/InRelease", half), code: fault.Verification, err: "dists/sid/InRelease of archive t: ends before its signature: it is cut off"},
		{summary: "an empty InRelease", change: edit("dists/sid/InRelease", func([]byte) []byte { return nil }), code: fault.Verification, err: "dists/sid/InRelease of archive t: does not start with a clear-signed message"},
		{summary: "a stranger's InRelease", change: func(s *site) {
			s.signer = newSigner(t)
			s.release(t, "dists/sid", fields)
		}, code: fault.Verification, err: "dists/sid/InRelease of archive t: not signed by a trusted key: key ", hint: "key:"},
		{summary: "a login page", change: edit("dists/sid/InRelease", func([]byte) []byte { return []byte("<html><body>Welcome to the hotel") }),
			code: fault.Unreachable, err: "web page"},
		{summary: "a changed index", change: func(s *site) {
			edit(byHash, flip)(s)
			edit("dists/sid/main/binary-amd64/Packages", flip)(s)
		}, code: fault.Verification, err: "dists/sid/main/binary-amd64/Packages.gz is not what its index says"},
		{summary: "a cut index", change: func(s *site) {
			edit(byHash, half)(s)
			edit("dists/sid/main/binary-amd64/Packages", half)(s)
		}, code: fault.Verification, err: "dists/sid/main/binary-amd64/Packages.gz is not what its index says: SITE/debian/" + byHash},
		{summary: "an index changed under its name only", change: edit("dists/sid/main/binary-amd64/Packages", flip), want: plain},
		{summary: "an index changed under its digest only", change: edit(byHash, flip), want: plain},
		{summary: "another suite", fields: strings.NewReplacer("unstable", "stable", "sid", "trixie").Replace(fields), code: fault.Verification,
			err: `dists/sid/InRelease of archive t is of suite "stable" ("trixie")`},
		{summary: "expired", fields: fields + "Valid-Until: Sat, 21 Nov 2026 00:30:00 UTC\n", code: fault.Verification,
			err: "dists/sid/InRelease of archive t expired on 2026-11-21 00:30:00 UTC, 30 minutes ago", hint: "check-valid-until: false"},
		{summary: "expired, and accepted", fields: fields + "Valid-Until: Sat, 21 Nov 2026 00:30:00 UTC\n", accept: true,
			want: strings.Replace(plain, "\n", " expired\n", 1), notes: "dists/sid/InRelease of archive t expired on 2026-11-21 00:30:00 UTC and is used all the same\n"},
		{summary: "of the future", fields: strings.Replace(fields, "20 Nov", "22 Nov", 1), accept: true, code: fault.Verification,
			err: "dists/sid/InRelease of archive t is dated 2026-11-22 12:00:00, which is 35 hours ahead"},
		{summary: "no digests", change: func(s *site) { s.release(t, "dists/sid", fields) }, code: fault.Verification,
			err: "dists/sid/InRelease of archive t has no SHA256 digests"},
		{summary: "an archive without components", suite: "./", components: "-", change: func(s *site) {
			s.release(t, "", fields+"SHA256:\n"+s.put("", "Packages", "flat"))
		}, want: "t ./  amd64 Packages.gz \"flat.gz\"\n"},
		{summary: "an archive without components, in a directory", suite: "a/b/", components: "-", change: func(s *site) {
			s.release(t, "a/b", fields+"SHA256:\n"+s.put("a/b", "Packages", "flat"))
		}, want: "t a/b/  amd64 a/b/Packages.gz \"flat.gz\"\n"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			def := func(s, d string) string {
				if s == "" {
					return d
				}
				return s
			}
			s := newSite(t, key, def(test.fields, fields))
			if test.change != nil {
				test.change(s)
			}
			server := httptest.NewServer(s)
			defer server.Close()
			dir := t.TempDir()
			notes := ""
			u := Updater{Client: quick(), Cache: dir + "/cache", Seen: dir + "/seen", Now: then, Note: func(n string) { notes += n + "\n" }}
			a := Archive{
				Archive: lock.Archive{Name: "t", URL: "http://example.org/debian", Suites: []string{def(test.suite, "sid")}, Components: strings.Fields(strings.Trim(def(test.components, "main"), "-"))},
				Roots:   []string{server.URL + "/debian"}, Keys: key.ring, AcceptExpired: test.accept,
			}
			arches := strings.Fields(def(test.arches, "amd64"))
			found, err := u.Update(t.Context(), []Archive{a}, arches)
			msg := strings.ReplaceAll(fmt.Sprint(err), server.URL, "SITE")
			if fault.CodeOf(err) != test.code || test.err != "" && !strings.Contains(msg, test.err) || !strings.Contains(fault.HintOf(err), test.hint) {
				t.Fatalf("exit code %d, want %d: %s; hint: %s", fault.CodeOf(err), test.code, msg, fault.HintOf(err))
			}
			if got, want := describe(t, found), strings.TrimPrefix(test.want, "\n"); got != want {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
			if notes != test.notes {
				t.Errorf("notes:\n%swant:\n%s", notes, test.notes)
			}
			kept, _ := os.ReadDir(u.Cache)
			for _, e := range kept {
				b, err := os.ReadFile(filepath.Join(u.Cache, e.Name()))
				if err != nil || digest.Of(b).String() != e.Name() {
					t.Errorf("the cache keeps %s, which is not that: %q", e.Name(), b)
				}
			}
			if test.code == fault.Verification && len(kept) > 0 {
				t.Errorf("%d files were kept", len(kept))
			}
		})
	}
}

// describe is a list of indexes as text, with what their files hold.
func describe(t *testing.T, found []IndexFile) string {
	t.Helper()
	var b strings.Builder
	for _, x := range found {
		text, err := os.ReadFile(x.File)
		if err != nil || digest.Of(text) != x.SHA256 || int64(len(text)) != x.Size {
			t.Errorf("%s is not what it should be: %v", x.Path, err)
		}
		l := x.Lock()
		fmt.Fprintf(&b, "%s %s %s %s %s %q", l.Archive, l.Suite, l.Component, l.Arch, l.Path, text)
		if x.Expired {
			b.WriteString(" expired")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestUpdateAgain: what is in the cache is not fetched, what is broken there is, and no
// release older than the last is believed.
func TestUpdateAgain(t *testing.T) {
	key := newSigner(t)
	s := newSite(t, key, fields)
	server := httptest.NewServer(s)
	defer server.Close()
	dir := t.TempDir()
	u := Updater{Client: quick(), Cache: dir + "/cache", Seen: dir + "/seen", Now: then}
	a := Archive{Archive: lock.Archive{Name: "t", URL: server.URL + "/debian", Suites: []string{"sid"}, Components: []string{"main"}},
		Roots: []string{server.URL + "/debian"}, Keys: key.ring}
	update := func() ([]IndexFile, int, error) {
		s.mu.Lock()
		s.asked = nil
		s.mu.Unlock()
		found, err := u.Update(t.Context(), []Archive{a}, []string{"amd64"})
		return found, len(s.asked), err
	}
	found, n, err := update()
	if err != nil || n != 2 {
		t.Fatalf("first: %d requests, %v", n, err)
	}
	if _, n, err = update(); err != nil || n != 1 {
		t.Errorf("again: %d requests, want that of InRelease alone: %v", n, err)
	}
	if err := os.WriteFile(found[0].File, []byte("broken"), 0o644); err != nil {
		t.Fatal(err)
	}
	again, n, err := update()
	if err != nil || n != 2 || describe(t, again) != describe(t, found) {
		t.Errorf("with a broken cache: %d requests, %v", n, err)
	}

	older := newSite(t, key, strings.Replace(fields, "20 Nov", "19 Nov", 1))
	s.mu.Lock()
	s.files = older.files
	s.mu.Unlock()
	if _, _, err = update(); fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(),
		"dists/sid/InRelease of archive t is dated 2026-11-19 12:00:00, older than the one of 2026-11-20 12:00:00 that was read before") {
		t.Errorf("an older release: %v", err)
	}
}

// TestUpdateFromAnotherMirror: an archive that is recorded as the mirror it was fetched
// from is the same on another, so no older release of it is believed there.
func TestUpdateFromAnotherMirror(t *testing.T) {
	key := newSigner(t)
	const own = "http://example.org/debian"
	for _, test := range []struct {
		summary  string
		was, now string // the archive's own URL; "" is the mirror's
		another  bool   // mirror
		refused  bool
	}{
		{"another mirror", own, own, true, true},
		{"the same mirror", own, own, false, true},
		{"the same mirror, seen when each had its own record", "", own, false, true},
		{"another archive", own, "http://example.net/debian", true, false},
	} {
		t.Run(test.summary, func(t *testing.T) {
			dir := t.TempDir()
			newer, older := newSite(t, key, fields), newSite(t, key, strings.Replace(fields, "20 Nov", "19 Nov", 1))
			first, second := httptest.NewServer(newer), httptest.NewServer(older)
			defer first.Close()
			defer second.Close()
			update := func(own, mirror string) error {
				u := Updater{Client: quick(), Cache: dir + "/cache", Seen: dir + "/seen", Now: then}
				_, err := u.Update(t.Context(), []Archive{{
					Archive: lock.Archive{Name: "t", URL: mirror + "/debian", Suites: []string{"sid"}, Components: []string{"main"}},
					Own:     own, Roots: []string{mirror + "/debian"}, Keys: key.ring,
				}}, []string{"amd64"})
				return err
			}
			if err := update(test.was, first.URL); err != nil {
				t.Fatal(err)
			}
			at := second.URL
			if !test.another {
				at, newer.files = first.URL, older.files
			}
			err := update(test.now, at)
			refused := fault.CodeOf(err) == fault.Verification && strings.Contains(err.Error(), "older than the one of 2026-11-20 12:00:00 that was read before")
			if refused != test.refused || !refused && err != nil {
				t.Errorf("an older release: %v", err)
			}
		})
	}
}

// TestUpdateMirrors: an archive is read from the first mirror that has it, and its indexes
// from the mirror that its release came from.
func TestUpdateMirrors(t *testing.T) {
	key := newSigner(t)
	empty, full := &site{}, newSite(t, key, fields)
	first, second := httptest.NewServer(empty), httptest.NewServer(full)
	defer first.Close()
	defer second.Close()
	dir := t.TempDir()
	u := Updater{Client: quick(), Cache: dir + "/cache", Seen: dir + "/seen", Now: then}
	a := Archive{Archive: lock.Archive{Name: "t", URL: "http://example.org/debian", Suites: []string{"sid"}, Components: []string{"main"}},
		Roots: []string{first.URL + "/debian", second.URL + "/debian"}, Keys: key.ring}
	if _, err := u.Update(t.Context(), []Archive{a}, []string{"amd64"}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(empty.asked, []string{"dists/sid/InRelease"}) {
		t.Errorf("the empty mirror was asked for %v", empty.asked)
	}
	if len(a.Roots) != 2 || !strings.HasPrefix(a.Roots[0], first.URL) {
		t.Errorf("the caller's roots were changed: %v", a.Roots)
	}
}
