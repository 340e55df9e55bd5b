package compiler

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian/debtest"
	"ingot/internal/element"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/lock"
	"ingot/internal/sign"
	"ingot/internal/ui"
)

// then is the time of the archives that these tests make.
var then = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// A bench is an archive, a definition that uses it, and a compiler.
type bench struct {
	archive  *debtest.Archive
	dir      string
	compiler *Compiler
}

// base is what every definition here installs.
var base = debtest.Deb{Name: "base-files", Version: "12", Arch: "amd64", Fields: "Essential: yes"}

// debs makes packages of "name version" or "name version fields".
func debs(lines ...string) []debtest.Deb {
	out := []debtest.Deb{base}
	for _, line := range lines {
		f := append(strings.SplitN(line, " ", 3), "")
		out = append(out, debtest.Deb{Name: f[0], Version: f[1], Arch: "amd64", Fields: f[2]})
	}
	return out
}

func newBench(t *testing.T, packages ...string) *bench {
	t.Helper()
	b := &bench{archive: debtest.NewArchive(t, debtest.NewSigner(t, then.Add(-time.Hour))), dir: t.TempDir()}
	b.archive.Offer(t, then, debs(packages...)...)
	state := t.TempDir()
	b.compiler = &Compiler{
		Client: &fetch.Client{Backoff: time.Millisecond}, Indexes: filepath.Join(state, "indexes"), Seen: filepath.Join(state, "seen"),
		Now: then.Add(time.Hour), HostArch: "amd64",
	}
	b.write(t, "key.asc", string(b.archive.Signer.Key))
	return b
}

func (b *bench) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// define writes and loads a definition; keys that it needs and that more does not
// set are filled in.
func (b *bench) define(t *testing.T, more ...string) *definition.Definition {
	t.Helper()
	keys := map[string]string{
		"version": "1", "name": "web", "distro": "debian", "release": "test", "arch": "[amd64]", "start": "essential", "outputs": "[tar]",
		"archives": fmt.Sprintf("[{url: %q, key: ./key.asc}]", b.archive.URL),
	}
	for _, m := range more {
		key, value, _ := strings.Cut(m, ": ")
		keys[key] = value
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		fmt.Fprintf(&text, "%s: %s\n", key, keys[key])
	}
	b.write(t, definition.FileName, text.String())
	def, err := definition.Load(b.dir, definition.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// packages are those of a lock's set, as text.
func packages(l *lock.Lock) string {
	var out []string
	for _, r := range l.Sets[0].Refs {
		out = append(out, r.Name+" "+r.Version)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func TestCompile(t *testing.T) {
	b := newBench(t, "aa 1 Depends: bb", "bb 2", "cc 3")
	b.write(t, "run.sh", "#!/bin/sh\n")
	def := b.define(t, "packages: [aa]", "scripts: [{name: run, run: ./run.sh}]")
	l, err := b.compiler.Compile(t.Context(), def, nil, Move{})
	if err != nil {
		t.Fatal(err)
	}
	if got := packages(l); got != "aa 1, base-files 12, bb 2" {
		t.Errorf("chose %s", got)
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	a := debs("aa 1 Depends: bb")[1].Ref("debian")
	i := slices.IndexFunc(l.Sets[0].Refs, func(r distro.Ref) bool { return r.Name == "aa" })
	if d := diff.Diff(a, l.Sets[0].Refs[i]); d != "" {
		t.Errorf("reference (-want +got):\n%s", d)
	}
	if l.Epoch != then.Unix() || l.Distro != "debian" || l.Release != "test" || l.Definition != def.Digest() || l.Request != Request(def) {
		t.Errorf("the lock says %+v", l)
	}
	want := []lock.Archive{{Name: "debian", URL: b.archive.URL, Suites: []string{"test"}, Components: []string{"main"}, Key: "key.asc"}}
	if d := diff.Diff(want, l.Archives); d != "" {
		t.Errorf("archives (-want +got):\n%s", d)
	}
	if len(l.Indexes) != 1 || l.Indexes[0].Path != debtest.Index || l.Indexes[0].Date != then.Unix() {
		t.Errorf("indexes are %+v", l.Indexes)
	}
	var files []string
	for _, f := range l.Files {
		files = append(files, f.Path)
	}
	if got := strings.Join(files, " "); got != "key.asc run.sh" {
		t.Errorf("files are %s", got)
	}
	again, err := b.compiler.Compile(t.Context(), def, nil, Move{})
	if err != nil || string(lock.Encode(*again)) != string(lock.Encode(*l)) {
		t.Errorf("again, it differs: %v\n%s", err, diff.Diff(string(lock.Encode(*l)), string(lock.Encode(*again))))
	}
}

// closing calls a function when a response was read.
type closing struct{ then func() }

func (c closing) RoundTrip(r *http.Request) (*http.Response, error) {
	got, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		got.Body = closed{got.Body, c.then}
	}
	return got, err
}

type closed struct {
	io.ReadCloser
	then func()
}

func (c closed) Close() error {
	defer c.then()
	return c.ReadCloser.Close()
}

// What elements list comes on top of what the definition asks for, which stays as it is
// without them: also where the whole would be chosen otherwise.
func TestCompileElements(t *testing.T) {
	b := newBench(t, "app 1 Depends: small | big", "small 1", "big 1", "listed 1 Depends: big", "more 1")
	def := b.define(t, "packages: [app]")
	def.Elements = &definition.Elements{Hooks: &element.Hooks{}, Listed: []string{"listed"}, Packages: []string{"more"}, Station: []distro.Ref{base.Ref("debian")}}
	l, err := b.compiler.Compile(t.Context(), def, nil, Move{})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, s := range l.Sets {
		fmt.Fprintf(&got, "%s, asked %s:", s.Name(), s.Asked)
		for _, r := range s.Refs {
			got.WriteString(" " + r.Name)
		}
		got.WriteString("\n")
	}
	want := "amd64 container-base, asked [app]: app base-files small\namd64 container, asked [app listed more]: app base-files big listed more small\n"
	if d := diff.Diff(want, got.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	// A lock with both, and a station of archives that the image has not, can be read.
	again, err := lock.Decode(lock.Encode(*l))
	if err != nil || again.Digest() != l.Digest() || again.Station[0].Archive != "debian" {
		t.Errorf("read again: %+v, %v", again, err)
	}
	before := Request(def)
	if def.Elements.Listed = append(def.Elements.Listed, "more"); Request(def) == before {
		t.Error("another list does not choose anew")
	}
}

// A lock has every file of its elements: also those in whose place another element's came
// when they were merged, which scripts find in the element's own directory.
func TestLockHasElementsWhole(t *testing.T) {
	b := newBench(t)
	for name, text := range map[string]string{"a/README.rst": "a", "b/README.rst": "b", "a/pkg-map": "{}", "a/install.d/10-a": "#!/bin/sh\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(b.dir, "elements", name)), 0o755); err != nil {
			t.Fatal(err)
		}
		b.write(t, "elements/"+name, text)
	}
	path, err := element.Open(element.Dir(filepath.Join(b.dir, "elements")))
	if err != nil {
		t.Fatal(err)
	}
	lockFiles := func() string {
		def := b.define(t)
		set, err := element.Expand(path, []string{"a", "b"}, element.Options{SkipBase: true, Arch: "amd64", Given: []string{"operating-system"}, By: "the test"})
		if err != nil {
			t.Fatal(err)
		}
		hooks, err := element.Merge(set)
		if err != nil {
			t.Fatal(err)
		}
		def.Elements = &definition.Elements{Hooks: hooks}
		files, err := lock.Files(def)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, f := range files {
			if strings.HasPrefix(f.Path, ".element") {
				out = append(out, f.Path+" "+f.SHA256.Short())
			}
		}
		return strings.Join(out, "\n")
	}
	short := func(text string) string { return " " + digest.Of([]byte(text)).Short() }
	want := ".element/a/README.rst" + short("a") + "\n.elements/README.rst" + short("b") + "\n.elements/install.d/10-a" + short("#!/bin/sh\n") + "\n.elements/pkg-map" + short("{}")
	if d := diff.Diff(want, lockFiles()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	b.write(t, "elements/a/README.rst", "another")
	if got := lockFiles(); got == want {
		t.Error("a file that was not merged changes nothing")
	}
}

func TestCompileIsInterrupted(t *testing.T) {
	b := newBench(t, "aa 1")
	def := b.define(t, "packages: [aa]")
	if _, err := b.compiler.Compile(t.Context(), def, nil, Move{}); err != nil {
		t.Fatal(err)
	}
	// The indexes are there: after the one request nothing looks at the network again.
	ctx, cancel := context.WithCancel(t.Context())
	b.compiler.Client = &fetch.Client{Transport: closing{cancel}}
	if l, err := b.compiler.Compile(ctx, def, nil, Move{}); fault.CodeOf(err) != fault.Interrupted {
		t.Errorf("it went on: %v, %v", l != nil, err)
	}
	b.compiler.Client = &fetch.Client{}
	files, _, err := b.compiler.readIndexes(t.Context(), must(b.compiler.archives(def)), []string{"amd64"}, &lock.Lock{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(ctx, files); fault.CodeOf(err) != fault.Interrupted {
		t.Errorf("indexes are read: %v", err)
	}
	if err := b.compiler.resolve(ctx, def, &lock.Lock{}, files, must(readAll(t.Context(), files)), nil, Move{}, &members{}); fault.CodeOf(err) != fault.Interrupted {
		t.Errorf("packages are chosen: %v", err)
	}
}

// readDebian reads Debian's own main archive from a mirror that is named, with the bench's
// suite and key, and gives the lock that has it.
func (b *bench) readDebian(t *testing.T, mirror string) (*lock.Lock, error) {
	t.Helper()
	ring, err := sign.ReadKeyring("key.asc", b.archive.Signer.Key)
	if err != nil {
		t.Fatal(err)
	}
	b.compiler.Mirrors.Flag = mirror
	archives := must(b.compiler.archives(&definition.Definition{Release: "test"}))[:1]
	archives[0].Suites, archives[0].Keys = []string{"test"}, ring
	l := &lock.Lock{}
	_, _, err = b.compiler.readIndexes(t.Context(), archives, []string{"amd64"}, l)
	return l, err
}

// A mirror that asks for a password is fetched from, and the password goes nowhere else.
func TestCompileKeepsPasswords(t *testing.T) {
	b := newBench(t)
	open := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, password, _ := r.BasicAuth(); name != "joe" || password != "s3cret" || !open {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		b.archive.ServeHTTP(w, r)
	}))
	defer server.Close()
	var said bytes.Buffer
	b.compiler.Progress = ui.New(ui.Options{Mode: ui.Plain, Out: &said, Verbose: true})
	mirror := strings.Replace(server.URL, "://", "://joe:s3cret@", 1) + "/debian"
	l, err := b.readDebian(t, mirror)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := l.Archives[0].URL, server.URL+"/debian"; got != want || strings.Contains(string(lock.Encode(*l)), "s3cret") {
		t.Errorf("the lock has %s, want %s", got, want)
	}
	if got := b.compiler.Mirrors.Roots(l.Archives[0]); !slices.Equal(got, []string{mirror}) {
		t.Errorf("packages of the lock come from %s", got)
	}
	open = false
	_, err = b.readDebian(t, mirror)
	if fault.CodeOf(err) != fault.Unreachable {
		t.Errorf("a mirror that says no: %v", err)
	}
	b.compiler.Progress.Close()
	if all := fmt.Sprint(said.String(), err, fault.HintOf(err)); strings.Contains(all, "s3cret") {
		t.Errorf("it says %s", all)
	}
}

// Debian's own archives are the same ones on every mirror: an older release that another
// plays back is refused.
func TestCompileFromAnotherMirror(t *testing.T) {
	b := newBench(t)
	other := debtest.NewArchive(t, b.archive.Signer)
	other.Offer(t, then.Add(-time.Minute), debs()...)
	l, err := b.readDebian(t, b.archive.URL)
	if err != nil || l.Archives[0].URL != b.archive.URL {
		t.Fatalf("the lock has %+v, %v", l.Archives, err)
	}
	if _, err := b.readDebian(t, other.URL); fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), "that was read before") {
		t.Errorf("an older release: %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestCompileRefuses(t *testing.T) {
	flip := func(data []byte) []byte { data[len(data)/2] ^= 1; return data }
	for _, c := range []struct {
		summary string
		define  []string
		happens func(*bench)
		want    string
		code    fault.Code
	}{
		{"a package that is not there", []string{"packages: [nothing]"}, nil, "nothing", fault.NotFound},
		{"a version that is not there", []string{`packages: ["aa=9"]`}, nil, "a", fault.NotFound},
		{"a package that the starting set needs, removed", []string{"remove: [base-files]"}, nil, "base-files", fault.NotFound},
		{"packages that exclude each other", []string{"packages: [aa, xx]"}, nil, "xx 1 conflicts with aa", fault.NotFound},
		{"no network wanted", nil, func(b *bench) { b.compiler.Offline = true }, "this run is offline", fault.Unreachable},
		{"no network", nil, func(b *bench) { b.compiler.Client.Transport = nobody{} }, "", fault.Unreachable},
		{"another key", nil, func(b *bench) {
			b.archive.Signer = debtest.NewSigner(t, then.Add(-time.Hour))
			b.archive.Offer(t, then, debs()...)
		}, "InRelease", fault.Verification},
		{"a signature that is damaged", nil, func(b *bench) { b.archive.Change("dists/test/InRelease", flip) }, "InRelease", fault.Verification},
		{"an index that is damaged", nil, func(b *bench) { b.archive.Change(debtest.Index, flip) }, "Packages", fault.Verification},
		{"an expired suite", nil, func(b *bench) {
			b.archive.Fields = "Valid-Until: Fri, 20 Nov 2026 12:30:00 UTC\n"
			b.archive.Offer(t, then, debs()...)
		}, "expired", fault.Verification},
		{"a key that is none", nil, func(b *bench) { b.write(t, "key.asc", "hello") }, "archive key key.asc", fault.Definition},
		{"a key that went away", nil, func(b *bench) { _ = os.Remove(filepath.Join(b.dir, "key.asc")) }, "key.asc", fault.Definition},
	} {
		t.Run(c.summary, func(t *testing.T) {
			b := newBench(t, "aa 1", "xx 1 Conflicts: aa")
			def := b.define(t, c.define...)
			if c.happens != nil {
				c.happens(b)
			}
			_, err := b.compiler.Compile(t.Context(), def, nil, Move{})
			if err == nil || !strings.Contains(err.Error(), c.want) || fault.CodeOf(err) != c.code {
				t.Errorf("error is %v with code %d, want %q and %d", err, fault.CodeOf(err), c.want, c.code)
			}
		})
	}
}

// What of a starting set cannot be left out is said with a remedy that is one.
func TestRemedyOfRemoved(t *testing.T) {
	b := newBench(t, "apt 1", "core 1 Depends: below\nEssential: yes", "below 1", "required 1 Priority: required")
	const less = ", or start from 'essential'"
	for _, c := range []struct {
		start, remove string
		less          bool
	}{
		{"minbase", "required", true},
		{"minbase", "apt", true},
		{"minbase", "core", false},
		{"essential", "core", false},
	} {
		_, err := b.compiler.Compile(t.Context(), b.define(t, "start: "+c.start, "remove: ["+c.remove+"]"), nil, Move{})
		if hint := fault.HintOf(err); fault.CodeOf(err) != fault.NotFound || !strings.HasPrefix(hint, "take it out of 'remove'") || strings.HasSuffix(hint, less) != c.less {
			t.Errorf("%s without %s: %v; hint: %s", c.start, c.remove, err, hint)
		}
	}
}

// nobody answers.
type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) { return nil, os.ErrDeadlineExceeded }

func TestCompileAcceptsExpired(t *testing.T) {
	for _, c := range []struct {
		summary string
		flag    bool
		archive string
	}{
		{"by the definition", false, "{url: %q, key: ./key.asc, check-valid-until: false}"},
		{"by the user", true, "{url: %q, key: ./key.asc}"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			b := newBench(t)
			b.archive.Fields = "Valid-Until: Fri, 20 Nov 2026 12:30:00 UTC\n"
			b.archive.Offer(t, then, debs()...)
			b.compiler.AcceptExpired = c.flag
			l, err := b.compiler.Compile(t.Context(), b.define(t, "archives: ["+fmt.Sprintf(c.archive, b.archive.URL)+"]"), nil, Move{})
			if err != nil || !l.Archives[0].Expired {
				t.Errorf("the lock does not say so: %v", err)
			}
		})
	}
}

// TestMove has newer versions come, and looks which of them a new lock takes.
func TestMove(t *testing.T) {
	for _, c := range []struct {
		summary string
		define  string
		offer   []string
		move    Move
		want    string
	}{
		{"old ones stay", "packages: [aa, bb]", []string{"aa 1", "aa 2", "bb 1", "bb 2"}, Move{}, "aa 1, base-files 12, bb 1"},
		{"all move", "packages: [aa, bb]", []string{"aa 1", "aa 2", "bb 1", "bb 2"}, Move{All: true}, "aa 2, base-files 12, bb 2"},
		{"one moves", "packages: [aa, bb]", []string{"aa 1", "aa 2", "bb 1", "bb 2"}, Move{Packages: []string{"aa"}}, "aa 2, base-files 12, bb 1"},
		{"old ones that are gone move", "packages: [aa, bb]", []string{"aa 2", "bb 1", "bb 2"}, Move{}, "aa 2, base-files 12, bb 1"},
		{"old ones stay beside a new package", "packages: [aa, bb, cc]", []string{"aa 1", "aa 2", "bb 1", "bb 2", "cc 5"}, Move{}, "aa 1, base-files 12, bb 1, cc 5"},
		{"what nobody asks for any more goes", "packages: [bb]", []string{"aa 1", "aa 2", "bb 1", "bb 2"}, Move{}, "base-files 12, bb 1"},
		{"a version that is asked for", `packages: ["aa=2", bb]`, []string{"aa 1", "aa 2", "bb 1", "bb 2"}, Move{}, "aa 2, base-files 12, bb 1"},
		{"one that a new package needs newer", "packages: [aa, bb, cc]", []string{"aa 1", "aa 2", "bb 1", "bb 2", "cc 5 Depends: aa (>= 2)"}, Move{}, "aa 2, base-files 12, bb 1, cc 5"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			b := newBench(t, "aa 1", "bb 1")
			old, err := b.compiler.Compile(t.Context(), b.define(t, "packages: [aa, bb]"), nil, Move{})
			if err != nil {
				t.Fatal(err)
			}
			b.archive.Offer(t, then.Add(time.Minute), debs(c.offer...)...)
			l, err := b.compiler.Compile(t.Context(), b.define(t, c.define), old, c.move)
			if err != nil {
				t.Fatal(err)
			}
			if got := packages(l); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// What scripts asked for stays in a lock that is written anew, unless it is to move, and
// but for what goes with other indexes.
func TestMoveDownloads(t *testing.T) {
	file := func(place string) lock.Download {
		return lock.Download{Address: "http://a.example/" + place, Size: 1, SHA256: digest.Of([]byte(place))}
	}
	all := []lock.Download{file("debian/dists/x/InRelease"), file("debian/pool/main/a/aa_1_all.deb"), file("site.tar.gz")}
	for _, c := range []struct {
		summary string
		offer   []string
		move    Move
		want    []lock.Download
	}{
		{"the same indexes", nil, Move{}, all},
		{"other indexes", []string{"aa 1", "aa 2"}, Move{}, all[2:]},
		{"one moves", []string{"aa 1", "aa 2"}, Move{Packages: []string{"aa"}}, all[2:]},
		{"all move", nil, Move{All: true}, nil},
	} {
		t.Run(c.summary, func(t *testing.T) {
			b := newBench(t, "aa 1")
			old, err := b.compiler.Compile(t.Context(), b.define(t, "packages: [aa]"), nil, Move{})
			if err != nil {
				t.Fatal(err)
			}
			old.Downloads = all
			if c.offer != nil {
				b.archive.Offer(t, then.Add(time.Minute), debs(c.offer...)...)
			}
			l, err := b.compiler.Compile(t.Context(), b.define(t, "packages: [aa]"), old, c.move)
			if err != nil {
				t.Fatal(err)
			}
			if d := diff.Diff(c.want, l.Downloads); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestSettle changes a definition and looks what becomes of its lock.
func TestSettle(t *testing.T) {
	const script = "scripts: [{name: run, run: ./run.sh}]"
	for _, c := range []struct {
		summary string
		happens func(*bench)
		define  []string
		state   State
	}{
		{"nothing", nil, []string{script}, Fits},
		{"a script", func(b *bench) { b.write(t, "run.sh", "#!/bin/sh\n:\n") }, []string{script}, Files},
		{"a file more", func(b *bench) { b.write(t, "more", "") }, []string{script, "files: [{path: /more, source: ./more}]"}, Files},
		{"the host's name", nil, []string{script, "hostname: other"}, Files},
		{"the key's bytes", func(b *bench) { b.write(t, "key.asc", string(b.archive.Signer.Key)+"\n") }, []string{script}, Files},
		{"a package", nil, []string{script, "packages: [aa]"}, Stale},
		{"no lock", func(b *bench) { _ = os.Remove(filepath.Join(b.dir, lock.FileName)) }, []string{script}, NotLocked},
	} {
		t.Run(c.summary, func(t *testing.T) {
			b := newBench(t, "aa 1")
			b.write(t, "run.sh", "#!/bin/sh\n")
			path := filepath.Join(b.dir, lock.FileName)
			old, changed, err := b.compiler.Settle(t.Context(), b.define(t, script), path, false)
			if err != nil || !changed {
				t.Fatalf("changed %v: %v", changed, err)
			}
			old.Seals = []lock.Seal{{Arch: "amd64", Purpose: "container", SHA256: old.Definition}}
			if err := lock.Write(path, *old); err != nil {
				t.Fatal(err)
			}
			if c.happens != nil {
				c.happens(b)
			}
			def := b.define(t, c.define...)
			b.archive.Asked()

			_, _, err = b.compiler.Settle(t.Context(), def, path, true)
			if c.state == Fits && err != nil {
				t.Errorf("a strict build refuses: %v", err)
			}
			if c.state != Fits && (fault.CodeOf(err) != fault.Verification || fault.HintOf(err) == "") {
				t.Errorf("a strict build says %v", err)
			}
			if n := b.archive.Asked(); n != 0 {
				t.Errorf("a strict build asked the archive %d times", n)
			}

			l, changed, err := b.compiler.Settle(t.Context(), def, path, false)
			if err != nil {
				t.Fatal(err)
			}
			if changed != (c.state != Fits) {
				t.Errorf("changed is %v", changed)
			}
			if asked := b.archive.Asked() > 0; asked != (c.state == Stale || c.state == NotLocked) {
				t.Errorf("the archive was asked: %v", asked)
			}
			if sealed := len(l.Seals) > 0; sealed != (c.state == Fits) {
				t.Errorf("sealed is %v", sealed)
			}
			if state, err := Compare(def, l); state != Fits || err != nil {
				t.Errorf("the new lock is in state %v: %v", state, err)
			}
		})
	}
}

func TestSettleRefusesDamagedLock(t *testing.T) {
	b := newBench(t)
	b.write(t, lock.FileName, "ingot lock 1\n")
	_, _, err := b.compiler.Settle(t.Context(), b.define(t), filepath.Join(b.dir, lock.FileName), false)
	if err == nil || !strings.Contains(err.Error(), lock.FileName) {
		t.Errorf("error is %v", err)
	}
}

// TestRequest looks which changes of a definition have packages chosen anew.
func TestRequest(t *testing.T) {
	b := newBench(t)
	b.write(t, "x.sh", "#!/bin/sh\n")
	before := Request(b.define(t))
	for _, c := range []struct {
		define string
		anew   bool
	}{
		{"name: other", false},
		{"hostname: other", false},
		{"scripts: [{name: x, run: ./x.sh}]", false},
		{"files: [{path: /x, content: x}]", false},
		{"services: {enable: [x]}", false},
		{"kernel: {arguments: [quiet]}", false},
		{"kernel: {console: ttyS1}", false},
		{"outputs: [tar.zst, dir]", false},
		{"locale: C", false},
		{"users: [{name: x}]", true}, // the essential set cannot make any
		{"tests: [{run: x}]", false},
		{"outputs: [tar.xz]", true},
		{"outputs: [raw]", true},
		{"packages: [xx]", true},
		{"remove: [xx]", true},
		{"recommends: true", true},
		{"release: trixie", true},
		{"arch: [arm64]", true},
		{"start: minbase", true},
		{`archives: [{url: "http://other.example/debian", key: ./key.asc}]`, true},
		{"kernel: {package: xx}", true},
		{"boot: {firmware: [uefi]}", true},
		{"locale: de_DE.UTF-8", true},
		{"timezone: Europe/Paris", true},
		{"users: [{name: x, sudo: true}]", true},
	} {
		if anew := Request(b.define(t, c.define)) != before; anew != c.anew {
			t.Errorf("%s: packages are chosen anew: %v", c.define, anew)
		}
	}
	disk := Request(b.define(t, "outputs: [raw]"))
	for define, anew := range map[string]bool{
		"layout: hybrid": false, "layout: hybrid-lvm": true, "layout: efi": true, "boot: {secure: true}": true, "boot: {timeout: 3s}": false, "boot: {loader: systemd-boot}": true, "boot: {loader: uki}": true, "boot: {loader: none}": true,
	} {
		if got := Request(b.define(t, "outputs: [raw]", define)) != disk; got != anew {
			t.Errorf("a disk with %s: packages are chosen anew: %v", define, got)
		}
	}
	if Request(b.define(t, "outputs: [raw, vmdk]")) == disk {
		t.Error("a vmdk, whose machines need other drivers: packages are not chosen anew")
	}
	moved := &bench{archive: b.archive, dir: t.TempDir()}
	moved.write(t, "key.asc", "key")
	if Request(moved.define(t)) != before {
		t.Error("the directory of a definition matters")
	}
}

func TestArchiveNames(t *testing.T) {
	for _, c := range []struct{ urls, want string }{
		{"http://a.example/debian http://a.example/debian-security/", "debian debian-security"},
		{"http://a.example/debian http://b.example/Debian", "debian-1 debian-2"},
		{"http://a.example/x_y.z/~me", "me"},
		{"http://a.example/~ http://a.example/b", "1 b"},
		{"http://a.example/a-2 http://a.example/a http://b.example/a", "a-2 a-3 a-4"},
		{"http://a.example/a http://b.example/a http://a.example/a-2", "a-1 a-3 a-2"},
		{"http://a.example/~ http://a.example/1", "2 1"},
	} {
		var all []definition.Archive
		for _, u := range strings.Fields(c.urls) {
			all = append(all, definition.Archive{URL: u})
		}
		if s := strings.Join(archiveNames(all), " "); s != c.want {
			t.Errorf("%s: got %s, want %s", c.urls, s, c.want)
		}
	}
}
