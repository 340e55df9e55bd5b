package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/flavor"
	"ingot/internal/group"
	"ingot/internal/judge"
	"ingot/internal/lock"
	"ingot/internal/place"
	"ingot/internal/place/placetest"
	"ingot/internal/sign"
	"ingot/internal/store"
	"ingot/internal/tree"
)

// clock goes on by an hour a call, unless it is set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { c.at = c.at.Add(time.Hour); return c.at }

func in(t testing.TB, p place.Place) *Repository {
	t.Helper()
	c := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	return &Repository{Place: p, Now: c.now}
}

func directory(t testing.TB) *Repository {
	t.Helper()
	p, err := place.Open(filepath.Join(t.TempDir(), "groups"), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return in(t, p)
}

func branch(t testing.TB, text string) group.Version {
	t.Helper()
	v, err := group.ParseVersion(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// candidate is a small group: packages by name, each a blob whose text is the name, in a set for
// each flavor.
func candidate(t testing.TB, packages string, flavors ...string) Candidate {
	t.Helper()
	l := lock.Lock{Definition: digest.Of([]byte("definition")), Request: digest.Of([]byte("request")), Distro: "debian", Release: "bookworm",
		Archives: []lock.Archive{{Name: "debian", URL: "http://archive.example/debian", Suites: []string{"bookworm"}, Components: []string{"main"}}}}
	c := Candidate{Name: "web", Branch: branch(t, "/images.example@acme:main"), Content: Content{Schema: 1, Main: "ingot.yaml", Blobs: []ContentBlob{}, Texts: []Blob{}}}
	add := func(label, text string) Blob {
		u := UploadOf(label, []byte(text))
		c.Uploads = append(c.Uploads, u)
		return u.Blob
	}
	var refs []distro.Ref
	for _, name := range strings.Fields(packages) {
		b := add(name, "package "+name)
		name, version, _ := strings.Cut(name, "=")
		refs = append(refs, distro.Ref{Name: "pkg-" + name, Version: or(version, "1.0-1"), Arch: "amd64", Archive: "debian", Location: "pool/" + name + ".deb", Size: b.Size, SHA256: b.SHA256})
		c.Content.Blobs = append(c.Content.Blobs, ContentBlob{b, name})
	}
	if len(flavors) == 0 {
		flavors = []string{""}
	}
	for _, f := range flavors {
		l.Sets = append(l.Sets, lock.Set{Arch: "amd64", Purpose: "container", Flavor: f, Refs: refs})
		tr, err := tree.New([]tree.Entry{{Kind: tree.Dir, Mode: 0o755, Owner: "step:install"}, {Path: "made-for-" + f + strings.ReplaceAll(packages, "/", "_"), Kind: tree.File, Mode: 0o644, Owner: "deb:bash", Content: tree.Content{Digest: digest.Of(nil)}}})
		if err != nil {
			t.Fatal(err)
		}
		files, owners, err := Lists(tr)
		if err != nil {
			t.Fatal(err)
		}
		set := Tree{Arch: "amd64", Purpose: "container", Flavor: f, Files: add("files", string(files)), Owners: add("owners", string(owners)), Count: tr.Len()}
		l.Seals = append(l.Seals, lock.Seal{Arch: "amd64", Purpose: "container", Flavor: f, SHA256: set.Files.SHA256})
		c.Content.Trees = append(c.Content.Trees, set)
		g, err := FlavorOf("amd64", f)
		if err != nil {
			t.Fatal(err)
		}
		c.Flavors = append(c.Flavors, g)
	}
	c.Statement.Lock, c.Statement.Definition = l.Digest(), l.Definition
	c.Content.Lock = add("lock", string(lock.Encode(l)))
	c.Content.Definition = add("definition", "")
	c.Content.Packages = add("packages", "[]")
	return c
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func commit(t testing.TB, r *Repository, c Candidate) Record {
	t.Helper()
	done, err := r.Commit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return done.Record
}

// versions are those of group web, oldest first.
func versions(t testing.TB, r *Repository) string {
	t.Helper()
	x, _, err := r.index(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	list := slices.Clone(x.Records)
	slices.SortFunc(list, func(a, b Record) int { return a.Version.Compare(b.Version) })
	var out []string
	for _, rec := range list {
		out = append(out, rec.Version.String())
	}
	return strings.Join(out, "\n")
}

func TestVersions(t *testing.T) {
	r := directory(t)
	with := func(c Candidate, change func(c *Candidate)) Candidate { change(&c); return c }
	upstream := func(c *Candidate) { c.Upstream = "1.4" }
	shadow := func(c *Candidate) { c.Branch = branch(t, "/images.example@acme:main//stable") }
	commit(t, r, candidate(t, "a"))
	commit(t, r, candidate(t, "a b"))
	commit(t, r, with(candidate(t, "a c"), upstream))
	commit(t, r, with(candidate(t, "a c d"), upstream))
	commit(t, r, with(candidate(t, "a c e"), func(c *Candidate) {
		c.Upstream, c.Statement.Definition = "1.4", digest.Of([]byte("another"))
	}))
	// A clock that goes back changes nothing about what is newest.
	before := r.Now
	r.Now = func() time.Time { return time.Unix(1, 0) }
	commit(t, r, candidate(t, "a f"))
	commit(t, r, with(candidate(t, "a f g"), shadow))
	commit(t, r, with(candidate(t, "a f h"), func(c *Candidate) { shadow(c); c.Upstream = "1.4" }))
	r.Now = before
	want := `/images.example@acme:main/1-1-1
/images.example@acme:main/2-1-1
/images.example@acme:main/1.4-1-1
/images.example@acme:main/1.4-1-2
/images.example@acme:main/1.4-2-1
/images.example@acme:main/3-1-1
/images.example@acme:main//stable/1-0.1-1
/images.example@acme:main//stable/1.4-0.1-1`
	if got := versions(t, r); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}

	// The same again is the same version.
	done, err := r.Commit(t.Context(), candidate(t, "a f"))
	if err != nil || !done.Old || done.Record.Version.String() != "/images.example@acme:main/3-1-1" {
		t.Errorf("again: %+v, %v", done, err)
	}
	if got := versions(t, r); got != want {
		t.Errorf("again, there are:\n%s", got)
	}
}

func TestFlavorsAreStable(t *testing.T) {
	r := directory(t)
	commit(t, r, candidate(t, "a", "vmware", "!vmware"))
	_, err := r.Commit(t.Context(), candidate(t, "b", "vmware", "xen"))
	if fault.CodeOf(err) != fault.Choice || !strings.Contains(err.Error(), "new: [xen is: x86_64]; missing: [!vmware is: x86_64]") {
		t.Errorf("%v", err)
	}
	c := candidate(t, "b", "vmware", "xen")
	c.Change = true
	commit(t, r, c)
	commit(t, r, candidate(t, "c", "xen", "vmware"))
	if got := strings.Count(versions(t, r), "\n"); got != 2 {
		t.Errorf("%d versions", got+1)
	}
}

// everywhere runs a test in each kind of repository; f opens it as another process would.
func everywhere(t *testing.T, test func(t *testing.T, open func() *Repository)) {
	t.Helper()
	run := func(name, text string, env place.Getenv) {
		t.Run(name, func(t *testing.T) {
			test(t, func() *Repository {
				p, err := place.Open(text, env)
				if err != nil {
					t.Fatal(err)
				}
				return in(t, p)
			})
		})
	}
	run("directory", filepath.Join(t.TempDir(), "groups"), func(string) string { return "" })
	if judge.At() == judge.Plain {
		return
	}
	s3 := placetest.S3(t)
	for k, v := range s3.Env {
		t.Setenv(k, v)
	}
	run("s3", "s3://images/groups", s3.Getenv)
	oci := placetest.OCI(t, false)
	run("oci", "oci://"+oci.Host+"/groups", oci.Getenv)
}

// TestWriters has several commit at once: each gets a version of its own, which holds
// what he committed.
func TestWriters(t *testing.T) {
	everywhere(t, func(t *testing.T, open func() *Repository) {
		const writers, each = 3, 2
		var all sync.WaitGroup
		errs := make(chan error, writers)
		for w := range writers {
			r := open()
			var list []Candidate
			for i := range each {
				list = append(list, candidate(t, fmt.Sprintf("common own%d-%d", w, i)))
			}
			all.Go(func() {
				for _, c := range list {
					if _, err := r.Commit(t.Context(), c); err != nil {
						errs <- err
					}
				}
			})
		}
		all.Wait()
		close(errs)
		for err := range errs {
			t.Error(err)
		}
		r := open()
		x, err := r.Index(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		seen, locks := map[string]bool{}, map[digest.Digest]bool{}
		for _, rec := range x.Records {
			g, err := r.Load(t.Context(), "web", rec)
			if err != nil {
				t.Fatal(err)
			}
			whole(t, r, g)
			seen[rec.Version.String()], locks[g.Statement.Lock] = true, true
		}
		if len(seen) != writers*each || len(locks) != writers*each {
			t.Errorf("%d versions of %d locks, want %d", len(seen), len(locks), writers*each)
		}
	})
}

// whole reads every blob of a group.
func whole(t *testing.T, r *Repository, g *Group) {
	t.Helper()
	for _, b := range g.Content.all() {
		if _, err := r.Read(t.Context(), b.Blob); err != nil {
			t.Errorf("%s of %s: %v", b.Label, g, err)
		}
	}
}

// A mortal place ends at one of its writings: before it, or when it is done and nobody
// hears of it any more. From then on it does nothing.
type mortal struct {
	place.Place
	left  int
	after bool
	mu    sync.Mutex
}

var errDead = errors.New("killed")

func (m *mortal) write(f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left--; m.left > 0 {
		return f()
	}
	if m.left == 0 && m.after {
		_ = f()
	}
	return errDead
}

func (m *mortal) Put(ctx context.Context, name string, body *io.SectionReader, when place.Condition) (i place.Info, err error) {
	err = m.write(func() (err error) { i, err = m.Place.Put(ctx, name, body, when); return err })
	return i, err
}

func (m *mortal) Remove(ctx context.Context, name string) error {
	return m.write(func() error { return m.Place.Remove(ctx, name) })
}

// TestKilled ends a commit at each of its writings: whoever looks sees the old versions,
// whole, or these and the new one, whole; and the next commit works.
func TestKilled(t *testing.T) {
	everywhere(t, func(t *testing.T, open func() *Repository) {
		commit(t, open(), candidate(t, "a b"))
		for round, done := 0, false; !done; round++ {
			for _, after := range []bool{false, true} {
				r := open()
				before := versions(t, r)
				m := &mortal{Place: r.Place, left: round + 1, after: after}
				dying := &Repository{Place: m, Now: r.Now}
				c := candidate(t, fmt.Sprintf("a b%d-%v c", round, after))
				_, err := dying.Commit(t.Context(), c)
				if done = err == nil; done && m.left <= 0 {
					done = false // only the note of it being there was left
				}
				r = open()
				now := versions(t, r)
				if now != before && now != before+"\n"+lastLine(now) {
					t.Fatalf("killed at writing %d: there is\n%s\nand was\n%s", round+1, now, before)
				}
				x, _, err := r.index(t.Context(), "web")
				if err != nil {
					t.Fatal(err)
				}
				last := x.Records[len(x.Records)-1]
				g, err := r.Load(t.Context(), "web", last)
				if err != nil {
					t.Fatalf("killed at writing %d: %v", round+1, err)
				}
				whole(t, r, g)
			}
			if round > 60 {
				t.Fatal("a commit has no end")
			}
		}
		r := open()
		if _, err := r.Collect(t.Context(), false, false); fault.CodeOf(err) != fault.Busy {
			t.Errorf("the dead may be alive: %v", err)
		}
		if _, err := r.Collect(t.Context(), false, true); err != nil {
			t.Fatal(err)
		}
		x, err := r.Index(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range x.Records {
			g, err := r.Load(t.Context(), "web", rec)
			if err != nil {
				t.Fatal(err)
			}
			whole(t, r, g)
		}
		commit(t, r, candidate(t, "a last"))
	})
}

func lastLine(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }

func TestCollect(t *testing.T) {
	r := directory(t)
	commit(t, r, candidate(t, "common old"))
	second := commit(t, r, candidate(t, "common new"))
	has := func(name string) bool {
		ok, err := r.has(t.Context(), BlobOf([]byte("package "+name)))
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	x, err := r.Index(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	old := x.Old(1, time.Time{})
	if len(old) != 1 || x.Old(2, time.Time{}) != nil {
		t.Fatalf("old ones are %v", old)
	}
	// The older of the two is as old as that, and what is newer than a time does not go.
	rev, _ := old[0].Version.Revision()
	if at := time.UnixMilli(rev.Time); len(x.Old(1, at)) != 0 || len(x.Old(1, at.Add(time.Millisecond))) != 1 || len(x.Old(1, at.AddDate(9, 0, 0))) != 1 {
		t.Errorf("before %v: %v", at, x.Old(1, at))
	}
	if err := r.Remove(t.Context(), "web", []group.Version{old[0].Version}); err != nil {
		t.Fatal(err)
	}
	if c, err := r.Collect(t.Context(), true, false); err != nil || c.Removed == 0 || !has("old") {
		t.Errorf("dry: %+v, %v", c, err)
	}
	c, err := r.Collect(t.Context(), false, false)
	if err != nil || c.Removed == 0 || c.Versions != 1 || has("old") || !has("new") || !has("common") {
		t.Errorf("%+v, %v", c, err)
	}
	g, err := r.Load(t.Context(), "web", second)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, r, g)

	// Nobody collects while somebody writes, and the other way round.
	_, done, err := r.writing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Collect(t.Context(), false, false); fault.CodeOf(err) != fault.Busy {
		t.Errorf("collected while somebody wrote: %v", err)
	}
	done()
	if done, err = r.collecting(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(t.Context(), candidate(t, "late")); fault.CodeOf(err) != fault.Busy {
		t.Errorf("wrote while somebody collected: %v", err)
	}
	done()
	// The last version gone, the group is.
	if err := r.Remove(t.Context(), "web", []group.Version{second.Version}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Index(t.Context(), "web"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("an empty group: %v", err)
	}
}

// newKey makes a key pair.
func newKey(t testing.TB, name string) (*sign.Key, *sign.Keyring) {
	t.Helper()
	k, err := sign.NewKey(name, time.Unix(1700000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := k.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	return k, ring
}

// TestCommittedAgain: what was damaged or lost is whole when it is committed once more, also
// by another version.
func TestCommittedAgain(t *testing.T) {
	r := directory(t)
	rec := commit(t, r, candidate(t, "a b"))
	g, err := r.Load(t.Context(), "web", rec)
	if err != nil {
		t.Fatal(err)
	}
	lost := BlobOf([]byte("package a")).object()
	if err := r.Place.Remove(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	if done, err := r.Commit(t.Context(), candidate(t, "a b")); err != nil || !done.Old {
		t.Fatalf("%+v, %v", done, err)
	}
	whole(t, r, g)
	for _, packages := range []string{"a b", "a c"} {
		if err := os.WriteFile(filepath.Join(r.Place.String(), lost), []byte("PACKAGE a"), 0o644); err != nil {
			t.Fatal(err)
		}
		commit(t, r, candidate(t, packages))
		whole(t, r, g)
	}
}

// TestCollectedMeanwhile: who was taken for dead while he wrote, by force or by a clock that is
// wrong, does not name what is gone.
func TestCollectedMeanwhile(t *testing.T) {
	r := directory(t)
	commit(t, r, candidate(t, "z"))
	before := versions(t, r)
	c := candidate(t, "a b")
	var once sync.Once
	c.Brought = func(Upload) {
		once.Do(func() {
			other := &Repository{Place: r.Place, Now: func() time.Time { return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) }}
			if _, err := other.Collect(t.Context(), false, false); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := r.Commit(t.Context(), c); fault.CodeOf(err) != fault.Busy || fault.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	if got := versions(t, r); got != before {
		t.Errorf("there are\n%s", got)
	}
	c.Brought = nil
	rec := commit(t, r, c)
	g, err := r.Load(t.Context(), "web", rec)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, r, g)
}

// forced collects by force while an index is written: the writer is no more heeded by then, and
// what he brought goes.
type forced struct {
	place.Place
	collect func()
}

func (f *forced) Put(ctx context.Context, name string, body *io.SectionReader, when place.Condition) (place.Info, error) {
	if strings.HasPrefix(name, "groups/") && f.collect != nil {
		collect := f.collect
		f.collect = nil
		collect()
	}
	return f.Place.Put(ctx, name, body, when)
}

// TestCollectedByForce: what a version names is there, also where somebody collected by force
// between the last look for him and the writing of the index.
func TestCollectedByForce(t *testing.T) {
	r := directory(t)
	commit(t, r, candidate(t, "z"))
	bare := r.Place
	f := &forced{Place: bare}
	r.Place = f
	other := &Repository{Place: bare, Now: r.Now}
	collect := func() {
		if _, err := other.Collect(t.Context(), false, true); err != nil {
			t.Error(err)
		}
	}
	f.collect = collect
	g, err := r.Load(t.Context(), "web", commit(t, r, candidate(t, "a b")))
	if err != nil {
		t.Fatal(err)
	}
	whole(t, r, g)

	// While he is still at it nothing can be brought, which is told; another commit is in nobody's way.
	f.collect = func() {
		collect()
		if _, err := bare.Put(t.Context(), collecting, place.Text(other.note()), place.New); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Commit(t.Context(), candidate(t, "c")); fault.CodeOf(err) != fault.Busy || !strings.Contains(fault.HintOf(err), "group rm") {
		t.Errorf("%v", err)
	}
	if err := bare.Remove(t.Context(), collecting); err != nil {
		t.Fatal(err)
	}
	if g, err = r.Load(t.Context(), "web", commit(t, r, candidate(t, "c"))); err != nil {
		t.Fatal(err)
	}
	whole(t, r, g)
}

func TestSigned(t *testing.T) {
	r := directory(t)
	ours, ring := newKey(t, "ours")
	theirs, other := newKey(t, "theirs")
	c := candidate(t, "a")
	c.Key = ours
	signed := commit(t, r, c)
	plain := commit(t, r, candidate(t, "b"))
	c = candidate(t, "c")
	c.Key = theirs
	strange := commit(t, r, c)
	for _, x := range []struct {
		what string
		keys *sign.Keyring
		rec  Record
		code fault.Code
		says string
	}{
		{"signed, key known", ring, signed, fault.Done, ""},
		{"signed, no key", nil, signed, fault.Done, ""},
		{"unsigned, no key", nil, plain, fault.Done, ""},
		{"unsigned, key known", ring, plain, fault.Verification, "is not signed"},
		{"signed by another", ring, strange, fault.Verification, "not signed by a trusted key"},
		{"either key", sign.Join(ring, other), strange, fault.Done, ""},
	} {
		r.Keys = x.keys
		g, err := r.Load(t.Context(), "web", x.rec)
		if fault.CodeOf(err) != x.code || err != nil && !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v", x.what, err)
		}
		if err == nil && x.keys != nil && len(g.Statement.Signers) != 1 {
			t.Errorf("%s: signers %v", x.what, g.Statement.Signers)
		}
	}
}

// TestSignedNext: versions that nobody signed, or somebody else, do not keep signed ones out,
// and are not taken for them.
func TestSignedNext(t *testing.T) {
	ours, ring := newKey(t, "ours")
	theirs, _ := newKey(t, "theirs")
	for summary, before := range map[string]*sign.Key{"unsigned": nil, "by another": theirs} {
		for _, packages := range []string{"a", "b"} {
			t.Run(summary+" "+packages, func(t *testing.T) {
				r := directory(t)
				c := candidate(t, "a")
				c.Key = before
				old := commit(t, r, c)
				r.Keys = ring
				c = candidate(t, packages)
				c.Key = ours
				done, err := r.Commit(t.Context(), c)
				if err != nil || done.Old || done.Record.Version.Compare(old.Version) <= 0 {
					t.Fatalf("%+v, %v", done, err)
				}
				if _, err := r.Load(t.Context(), "web", done.Record); err != nil {
					t.Error(err)
				}
				if done, err = r.Commit(t.Context(), c); err != nil || !done.Old {
					t.Errorf("once more: %+v, %v", done, err)
				}
			})
		}
	}
	t.Run("no key is known", func(t *testing.T) {
		r := directory(t)
		commit(t, r, candidate(t, "a"))
		c := candidate(t, "a")
		c.Key = ours
		if done, err := r.Commit(t.Context(), c); err != nil || done.Old {
			t.Errorf("it is not signed: %+v, %v", done, err)
		}
	})
}

// TestIndexLies: an index is not signed, so what it says of flavors is held to statements.
func TestIndexLies(t *testing.T) {
	r := directory(t)
	rec := commit(t, r, candidate(t, "a", "vmware", "!vmware"))
	g, err := r.Load(t.Context(), "web", rec)
	if err != nil {
		t.Fatal(err)
	}
	x, err := r.Index(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Agrees(g); err != nil {
		t.Error(err)
	}
	x.Flavors[1], err = FlavorOf("amd64", "xen")
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Agrees(g); fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), "other flavors") {
		t.Errorf("%v", err)
	}
}

// TestTampered changes each object of a group in turn: no change is believed.
func TestTampered(t *testing.T) {
	r := directory(t)
	key, ring := newKey(t, "ours")
	r.Keys = ring
	c := candidate(t, "a b")
	c.Key = key
	first := commit(t, r, c)
	c = candidate(t, "a c")
	c.Key = key
	second := commit(t, r, c)
	root := r.Place.String()
	objects, err := r.Place.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	read := func() error {
		x, err := r.Index(t.Context(), "web")
		if err != nil {
			return err
		}
		for _, rec := range x.Records {
			g, err := r.Load(t.Context(), "web", rec)
			if err != nil {
				return err
			}
			s, err := store.Open(t.TempDir())
			if err != nil {
				return err
			}
			if err := g.Fetch(t.Context(), s, func(int64) {}); err != nil {
				return err
			}
			for _, b := range g.Content.all() {
				if _, err := r.Read(t.Context(), b.Blob); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		path := filepath.Join(root, o)
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, now := range map[string][]byte{"a byte more": append(slices.Clone(was), 'x'), "cut off": was[:len(was)/2], "a bit": flipped(was)} {
			if bytes.Equal(was, now) {
				continue
			}
			if err := os.WriteFile(path, now, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := read(); fault.CodeOf(err) != fault.Verification && o != mark {
				t.Errorf("%s, %s: %v", o, what, err)
			} else if err == nil {
				t.Errorf("%s, %s: nobody saw it", o, what)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := read(); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s missing: %v", o, err)
		}
		if err := os.WriteFile(path, was, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	// An index that calls one version by the name of another: whoever can write it can
	// compute its sum.
	x, mark, err := r.index(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	for i := range x.Records {
		if x.Records[i].Version.Equal(second.Version) {
			x.Records[i].Statement = first.Statement
		}
	}
	if _, err := r.Place.Put(t.Context(), indexName("web"), place.Text(x.encode()), place.Was(mark)); err != nil {
		t.Fatal(err)
	}
	if err := read(); fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), "of another version") {
		t.Errorf("an old version under a new name: %v", err)
	}
}

func flipped(b []byte) []byte {
	b = slices.Clone(b)
	if len(b) > 0 {
		b[len(b)/2] ^= 1
	}
	return b
}

// TestPromoted takes a group to another repository, and there is all of it.
func TestPromoted(t *testing.T) {
	everywhere(t, func(t *testing.T, open func() *Repository) {
		from, to := directory(t), open()
		rec := commit(t, from, candidate(t, "a b", "vmware", "!vmware"))
		g, err := from.Load(t.Context(), "web", rec)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			c, err := g.Candidate(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			rev, _ := rec.Version.Revision()
			c.Branch, c.Revision = branch(t, "/images.example@acme:stable"), &rev
			rec := commit(t, to, c)
			if rec.Version.String() != "/images.example@acme:stable/1-1-1" {
				t.Errorf("it became %s", rec.Version)
			}
			h, err := to.Load(t.Context(), "web", rec)
			if err != nil {
				t.Fatal(err)
			}
			whole(t, to, h)
			if v, ok := h.Statement.Origin(); !ok || v.String() != "/images.example@acme:main/1-1-1" || h.Statement.Lock != g.Statement.Lock {
				t.Errorf("it comes from %s", v)
			}
		}
		// Another lock of the same revision counts a build more.
		c := candidate(t, "z", "vmware", "!vmware")
		rev, _ := rec.Version.Revision()
		c.Branch, c.Revision = branch(t, "/images.example@acme:stable"), &rev
		if rec := commit(t, to, c); rec.Version.String() != "/images.example@acme:stable/1-1-2" {
			t.Errorf("another lock became %s", rec.Version)
		}
	})
}

func TestFiles(t *testing.T) {
	tr, err := tree.New([]tree.Entry{
		{Kind: tree.Dir, Mode: 0o755, Owner: "step:install"},
		{Path: "a \"quoted\"\nname", Kind: tree.File, Mode: 0o644, Owner: "deb:bash", Content: tree.Content{Size: 12, Digest: digest.Of(nil)}},
		{Path: "var", Kind: tree.Dir, Mode: 0o755, Owner: "deb:base-files"},
		{Path: "var/x y", Kind: tree.Symlink, Link: "a b", Owner: "step:script setup"},
	})
	if err != nil {
		t.Fatal(err)
	}
	files, owners, err := Lists(tr)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for f, err := range Files(files, owners) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "%q %s %d %s\n", f.Path, f.Kind, f.Size(), OwnerName(f.Owner))
	}
	want := `"/" dir 0 scripts of packages
"/a \"quoted\"\nname" file 12 package bash
"/var" dir 0 package base-files
"/var/x y" symlink 0 script setup
`
	if got.String() != want {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
	bad := func(files, owners string) error {
		for _, err := range Files([]byte(files), []byte(owners)) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	for what, err := range map[string]error{
		"too few owners": bad(string(files), "1 deb:x\n"), "too many": bad(string(files), string(owners)+"1 deb:x\n"),
		"a long run": bad(string(files), "9 deb:x\n"), "no number": bad(string(files), "x deb:x\n"), "no list": bad("file\n", "1 deb:x\n"),
	} {
		if fault.CodeOf(err) != fault.Verification {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := Lists(mustTree(t, tree.Entry{Kind: tree.Dir})); err == nil {
		t.Error("a file that nobody owns was listed")
	}
}

func mustTree(t *testing.T, e ...tree.Entry) tree.Tree {
	t.Helper()
	tr, err := tree.New(e)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// many is an index of some versions in eight flavors.
func many(t testing.TB, n int) *Index {
	t.Helper()
	x := &Index{Name: "web"}
	all := []int{}
	for _, f := range []string{"!dom0,!domU,!xen,!vmware", "!dom0,!domU,!xen,vmware", "!dom0,!domU,xen,!vmware", "!dom0,domU,xen,!vmware"} {
		for _, arch := range []string{"x86", "x86_64"} {
			g, err := flavor.Parse(f + " is: " + arch)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, x.place(g))
		}
	}
	on := []group.Version{branch(t, "/images.example@acme:devel"), branch(t, "/images.example@acme:stable")}
	for i := range n {
		v := on[i%2].At(group.Revision{Upstream: fmt.Sprint(i/2 + 1), Source: group.Serial{1}, Build: group.Serial{1}, Time: int64(1700000000000 + i)})
		x.Records = append(x.Records, Record{v, all, BlobOf([]byte(fmt.Sprint(i)))})
	}
	return x
}

func TestIndex(t *testing.T) {
	x := many(t, 100)
	text := x.encode()
	y, err := decodeIndex("web", text)
	if err != nil || !bytes.Equal(y.encode(), text) || len(y.Records) != 100 {
		t.Errorf("%v: %d records", err, len(y.Records))
	}
	for _, cut := range []int{0, 1, len(text) / 2, len(text) - 1} {
		if _, err := decodeIndex("web", text[:cut]); err == nil {
			t.Errorf("cut after %d it is read", cut)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add(many(f, 5).encode())
	f.Add([]byte(indexFirst))
	f.Fuzz(func(t *testing.T, text []byte) {
		signed := slices.Concat(text, fmt.Appendf(nil, "sum %s\n", digest.Of(text)))
		for _, b := range [][]byte{text, signed} {
			x, err := decodeIndex("web", b)
			if err != nil {
				continue
			}
			y, err := decodeIndex("web", x.encode())
			if err != nil || len(x.Records) != len(y.Records) {
				t.Errorf("%q became %q: %v", b, x.encode(), err)
			}
		}
	})
}

// BenchmarkSelect reads an index of 10,000 versions in 8 flavors from a directory and
// finds one.
func BenchmarkSelect(b *testing.B) {
	r := directory(b)
	if err := r.check(b.Context(), true); err != nil {
		b.Fatal(err)
	}
	if _, err := r.Place.Put(b.Context(), indexName("web"), place.Text(many(b, 10_000).encode()), place.Always); err != nil {
		b.Fatal(err)
	}
	for _, text := range []string{"web[vmware is: x86_64]", "web=images.example@acme:stable", "web=4000[xen]"} {
		b.Run(text, func(b *testing.B) {
			spec, err := group.ParseSpec(text)
			if err != nil {
				b.Fatal(err)
			}
			used, n := processorTime(b), 0
			for b.Loop() {
				n++
				x, err := r.Index(b.Context(), "web")
				if err != nil {
					b.Fatal(err)
				}
				s := group.Search{Labels: []group.Label{{Host: "images.example", Namespace: "acme", Tag: "devel"}}, Query: flavor.Query{Rule: flavor.Installed, All: true}}
				if found, err := s.Find(x.Stock(), spec); err != nil || len(found) == 0 {
					b.Fatalf("%v %v", found, err)
				}
			}
			b.ReportMetric((processorTime(b)-used).Seconds()*1000/float64(n), "processor-ms/op")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
