package store

import (
	"context"
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

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/fault"
)

func of(s string) digest.Digest { return digest.Of([]byte(s)) }

func open(t *testing.T, home string) *Store {
	t.Helper()
	s, err := Open(home)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put makes a blob of a text.
func put(s *Store, text string) error {
	p, err := s.Create()
	if err != nil {
		return err
	}
	defer p.Discard()
	if _, err := p.Write([]byte(text)); err != nil {
		return err
	}
	return p.Commit(of(text))
}

func mustPut(t *testing.T, s *Store, texts ...string) {
	t.Helper()
	for _, x := range texts {
		if err := put(s, x); err != nil {
			t.Fatal(err)
		}
	}
}

// texts are the store's blobs, sorted and joined. A blob whose bytes are not
// those of its name fails the test.
func texts(t *testing.T, s *Store) string {
	t.Helper()
	blobs, err := s.Blobs()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, b := range blobs {
		data, err := os.ReadFile(s.Path(b.Digest))
		if err != nil {
			t.Fatal(err)
		}
		if digest.Of(data) != b.Digest || int64(len(data)) != b.Size {
			t.Errorf("blob %s holds %d bytes with digest %s", b.Digest, len(data), digest.Of(data))
		}
		out = append(out, string(data))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// tidy fails when something half written is left.
func tidy(t *testing.T, s *Store) {
	t.Helper()
	for _, d := range []string{"tmp", "leases"} {
		if left, _ := filepath.Glob(filepath.Join(s.dir, d, ".*")); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	}
}

func TestCommit(t *testing.T) {
	s := open(t, t.TempDir())
	for _, c := range []struct {
		summary string
		do      func(p *Pending) error
		code    fault.Code
		want    string
	}{
		{"what was written", func(p *Pending) error {
			_, err := io.WriteString(p, "a")
			return errors.Join(err, p.Commit(of("a")))
		}, fault.Done, "a"},
		{"the same again", func(p *Pending) error {
			_, err := io.WriteString(p, "a")
			return errors.Join(err, p.Commit(of("a")))
		}, fault.Done, "a"},
		{"other bytes", func(p *Pending) error {
			_, err := io.WriteString(p, "x")
			return errors.Join(err, p.Commit(of("b")))
		}, fault.Verification, "a"},
		{"too few bytes", func(p *Pending) error {
			_, err := io.WriteString(p, "long enou")
			return errors.Join(err, p.Commit(of("long enough")))
		}, fault.Verification, "a"},
		{"begun anew", func(p *Pending) error {
			_, err := io.WriteString(p, "a false start")
			err = errors.Join(err, p.Restart())
			_, e := io.WriteString(p, "b")
			return errors.Join(err, e, p.Commit(of("b")))
		}, fault.Done, "a b"},
		{"nothing", func(p *Pending) error { return p.Commit(of("")) }, fault.Done, " a b"},
		{"forgotten", func(p *Pending) error {
			_, err := io.WriteString(p, "c")
			p.Discard()
			return err
		}, fault.Done, " a b"},
		{"forgotten, then committed", func(p *Pending) error {
			_, _ = io.WriteString(p, "c")
			p.Discard()
			return p.Commit(of("c"))
		}, fault.Failed, " a b"},
	} {
		p, err := s.Create()
		if err != nil {
			t.Fatal(err)
		}
		err = c.do(p)
		p.Discard()
		if fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.summary, err)
		}
		if got := texts(t, s); got != c.want {
			t.Errorf("%s: the store has %q, want %q", c.summary, got, c.want)
		}
	}
	tidy(t, s)
	if err := s.Flush(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(s.Path(of("a"))); err != nil || info.Mode() != 0o444 {
		t.Errorf("a blob has mode %v %v", info.Mode(), err)
	}
}

func TestDamage(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("good"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		summary string
		do      func(path string) error
		code    fault.Code
		has     bool // of any size, before it is verified
		after   bool // the blob is there after it was verified
	}{
		{"whole", func(string) error { return nil }, fault.Done, true, true},
		{"other bytes", func(p string) error { return os.WriteFile(p, []byte("evil"), 0o600) }, fault.Verification, true, false},
		{"cut off", func(p string) error { return os.Truncate(p, 2) }, fault.Verification, true, false},
		{"empty", func(p string) error { return os.Truncate(p, 0) }, fault.Verification, true, false},
		{"zeros at the end", func(p string) error { return os.Truncate(p, 9999) }, fault.Verification, true, false},
		{"gone", os.Remove, fault.Failed, false, false},
		{"a link elsewhere", func(p string) error { return errors.Join(os.Remove(p), os.Symlink(outside, p)) }, fault.Verification, false, false},
		{"a pipe", func(p string) error { return errors.Join(os.Remove(p), unix.Mkfifo(p, 0o600)) }, fault.Verification, false, false},
		{"a directory", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, fault.Verification, false, false},
	} {
		t.Run(c.summary, func(t *testing.T) {
			home := t.TempDir()
			mustPut(t, open(t, home), "good")
			s := open(t, home) // who did not write it
			if err := errors.Join(os.Chmod(s.Path(of("good")), 0o600), c.do(s.Path(of("good")))); err != nil && c.summary != "gone" {
				t.Fatal(err)
			}
			if s.Has(of("good"), -1) != c.has {
				t.Error("Has says", !c.has)
			}
			f, err := s.OpenVerified(of("good"))
			if err == nil {
				data, _ := io.ReadAll(f)
				if string(data) != "good" {
					t.Errorf("opened as verified: %q", data)
				}
				_ = f.Close()
			}
			if fault.CodeOf(err) != c.code {
				t.Errorf("%v, want code %d", err, c.code)
			}
			if s.Has(of("good"), 4) != c.after {
				t.Error("afterwards, Has says", !c.after)
			}
			if c.summary == "a directory" {
				// Nobody's but the user's to remove: he is told where it lies.
				for what, err := range map[string]error{"read": err, "write": put(s, "good")} {
					if fault.CodeOf(err) != fault.Verification || !strings.Contains(fmt.Sprint(err), s.Path(of("good"))+" is a directory") || fault.HintOf(err) == "" {
						t.Errorf("%s: %v; hint: %s", what, err, fault.HintOf(err))
					}
				}
				if blobs, err := s.Blobs(); err != nil || len(blobs) != 0 {
					t.Errorf("it is counted among the blobs: %v, %v", blobs, err)
				}
				if _, err := s.Collect(t.Context(), func(Ref) bool { return true }, false); err != nil {
					t.Errorf("nothing can be collected: %v", err)
				}
				return
			}
			mustPut(t, s, "good")
			if got := texts(t, s); got != "good" || s.Verify(of("good")) != nil {
				t.Errorf("put again, the store has %q", got)
			}
		})
	}
}

// TestDamagedAndReplaced has one process find damage that another has mended
// already: the mended blob stays.
func TestDamagedAndReplaced(t *testing.T) {
	s := open(t, t.TempDir())
	mustPut(t, s, "good")
	if err := errors.Join(os.Chmod(s.Path(of("good")), 0o600), os.WriteFile(s.Path(of("good")), []byte("evil"), 0o600)); err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(of("good"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	mustPut(t, s, "good")
	if err := s.verify(of("good"), f); fault.CodeOf(err) != fault.Verification {
		t.Errorf("the damaged file: %v", err)
	}
	if got := texts(t, s); got != "good" {
		t.Errorf("the store has %q", got)
	}
}

func refOf(name string, needs ...string) Ref {
	r := Ref{Name: name, Path: "/src/a \"b\"\n/" + name + ".lock", Lock: of("lock " + name)}
	for _, n := range needs {
		r.Needs = append(r.Needs, Need{Blob{of(n), int64(len(n))}, n + " 1.0 amd64"})
	}
	return r
}

func TestReferences(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := t.Context()
	for _, r := range []Ref{refOf("web", "b", "a", "a"), refOf("db"), refOf("web", "c")} {
		if err := s.SetRef(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	refs, err := s.Refs()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, r := range refs {
		fmt.Fprintf(&got, "%s %q %s", r.Name, r.Path, r.Lock.Short())
		for _, n := range r.Needs {
			fmt.Fprintf(&got, " %s:%d:%s", n.Digest.Short(), n.Size, n.Label)
		}
		got.WriteString("\n")
	}
	want := fmt.Sprintf("db %q %s\nweb %q %s %s:1:c 1.0 amd64\n", "/src/a \"b\"\n/db.lock", of("lock db").Short(), "/src/a \"b\"\n/web.lock", of("lock web").Short(), of("c").Short())
	if got.String() != want {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}

	// Written again it is used again, and nothing else.
	path := filepath.Join(s.dir, "refs", "web")
	before, _ := os.Stat(path)
	if err := os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := s.SetRef(ctx, refOf("web", "c")); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(path)
	if r, err := s.Ref("web"); err != nil || r.Used.Before(time.Now().Add(-time.Hour)) || !os.SameFile(before, after) {
		t.Errorf("used at %v, %v; the same file: %v", r.Used, err, os.SameFile(before, after))
	}

	for _, name := range []string{"", ".", "..", ".x", "a/b", "../x", "a b", strings.Repeat("x", 300)} {
		if err := s.SetRef(ctx, Ref{Name: name}); err == nil {
			t.Errorf("%q became a reference", name)
		}
	}
	if err := errors.Join(s.RemoveRef("web"), s.RemoveRef("web")); err != nil {
		t.Error(err)
	}
	if _, err := s.Ref("web"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a removed reference: %v", err)
	}
}

// TestDamagedReference: what it named must not be collected.
func TestDamagedReference(t *testing.T) {
	whole := string(refOf("r", "a", "b").encode())
	for summary, text := range map[string]string{
		"empty": "", "cut off": whole[:len(whole)/2], "a line less": strings.Replace(whole, whole[strings.Index(whole, "blob"):strings.LastIndex(whole, "blob")], "", 1),
		"zeros": strings.Repeat("\x00", len(whole)), "not ended": strings.TrimSuffix(whole, "\n"), "more": whole + whole,
	} {
		s := open(t, t.TempDir())
		mustPut(t, s, "a", "b", "c")
		if err := os.WriteFile(filepath.Join(s.dir, "refs", "r"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Collect(t.Context(), func(Ref) bool { return true }, false)
		if fault.CodeOf(err) != fault.Verification || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", summary, err)
		}
		if got := texts(t, s); got != "a b c" {
			t.Errorf("%s: the store has %q", summary, got)
		}
	}
}

func FuzzReference(f *testing.F) {
	f.Add(refOf("r", "a", "b").encode())
	f.Add(refOf("r").encode())
	f.Add([]byte(refFirst + "sum x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		// A sum is no signature: with the right one the rest counts.
		signed := slices.Concat(text, fmt.Appendf(nil, "sum %s\n", digest.Of(text)))
		for _, b := range [][]byte{text, signed} {
			r, err := decodeRef(b)
			if err != nil {
				continue
			}
			again, err := decodeRef(r.encode())
			if err != nil || again.Path != r.Path || again.Lock != r.Lock || !slices.Equal(again.Needs, r.Needs) {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
	})
}

func TestCollect(t *testing.T) {
	for _, c := range []struct {
		summary string
		blobs   string
		refs    []string // NAME: blobs; a name that begins with "old" is refused
		leases  []string // blobs each
		dead    string   // blobs of the lease of a process that is gone
		dry     bool
		want    string // blobs after it
		removed int
		leased  int
	}{
		{"nothing at all", "", nil, nil, "", false, "", 0, 0},
		{"no reference", "a b", nil, nil, "", false, "", 2, 0},
		{"all held", "a b", []string{"x: a b"}, nil, "", false, "a b", 0, 0},
		{"one not held", "a b c", []string{"x: a", "y: a c"}, nil, "", false, "a c", 1, 0},
		{"an old reference", "a b c", []string{"x: a", "old: a b"}, nil, "", false, "a", 2, 0},
		{"a dry run", "a b c", []string{"x: a", "old: a b"}, nil, "", true, "a b c", 2, 0},
		{"a reference to what is not there", "a", []string{"x: a b"}, nil, "", false, "a", 0, 0},
		{"leased", "a b c", []string{"old: a"}, []string{"a", "a b"}, "", false, "a b", 1, 2},
		{"leased and held", "a b", []string{"x: a"}, []string{"a"}, "", false, "a", 1, 0},
		{"leased by the dead", "a b", nil, []string{"a"}, "b", false, "a", 1, 1},
	} {
		t.Run(c.summary, func(t *testing.T) {
			s := open(t, t.TempDir())
			ctx := t.Context()
			mustPut(t, s, strings.Fields(c.blobs)...)
			for _, r := range c.refs {
				name, needs, _ := strings.Cut(r, ": ")
				if err := s.SetRef(ctx, refOf(name, strings.Fields(needs)...)); err != nil {
					t.Fatal(err)
				}
			}
			var held []*Lease
			for _, l := range c.leases {
				held = append(held, lease(t, s, l))
			}
			if c.dead != "" {
				kill(t, lease(t, s, c.dead))
			}
			keep := func(r Ref) bool { return !strings.HasPrefix(r.Name, "old") }
			got, err := s.Collect(ctx, keep, c.dry)
			if err != nil {
				t.Fatal(err)
			}
			if left := texts(t, s); left != c.want {
				t.Errorf("left %q, want %q", left, c.want)
			}
			if len(got.Removed) != c.removed || got.Freed != int64(c.removed) || got.Leased != c.leased || int64(got.Kept) != got.Size || got.Kept+c.removed != len(strings.Fields(c.blobs)) {
				t.Errorf("it says %+v", got)
			}
			for _, l := range held {
				l.Release()
				l.Release()
			}
			tidy(t, s)
			if c.dry {
				return
			}
			// Once more, when nobody is left.
			if _, err := s.Collect(ctx, func(Ref) bool { return false }, false); err != nil || texts(t, s) != "" {
				t.Errorf("at last the store has %q, %v", texts(t, s), err)
			}
		})
	}
}

func lease(t *testing.T, s *Store, blobs string) *Lease {
	t.Helper()
	var d []digest.Digest
	for _, b := range strings.Fields(blobs) {
		d = append(d, of(b))
	}
	l, err := s.Lease(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// kill leaves a lease as the kernel does when its process dies: its file, without
// the lock.
func kill(t *testing.T, l *Lease) {
	t.Helper()
	if err := l.file.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestForeign keeps what is not the store's.
func TestForeign(t *testing.T) {
	s := open(t, t.TempDir())
	mustPut(t, s, "a")
	top := filepath.Join(s.dir, "blobs")
	if err := errors.Join(
		os.WriteFile(filepath.Join(top, of("a").String()[:2], "notes"), nil, 0o600),
		os.Mkdir(filepath.Join(top, "zz"), 0o700),
		os.WriteFile(filepath.Join(top, "zz", of("b").String()), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Collect(t.Context(), func(Ref) bool { return true }, false); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(top, "*", "*"))
	if len(left) != 2 {
		t.Errorf("left %q", left)
	}
}

func TestWaitsForTheLock(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Make(); err != nil {
		t.Fatal(err)
	}
	unlock, err := s.lock(t.Context(), unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Lease(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted while it waits: %v", err)
	}
	got := make(chan error)
	go func() { got <- s.SetRef(t.Context(), refOf("x")) }()
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// Who only looks makes nothing.
func TestLookingMakesNothing(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	s := open(t, home)
	blobs, err := s.Blobs()
	refs, refsErr := s.Refs()
	_, collectErr := s.Collect(t.Context(), func(Ref) bool { return true }, false)
	if err := errors.Join(err, refsErr, collectErr); err != nil || len(blobs)+len(refs) > 0 {
		t.Errorf("%v, %v: %v", blobs, refs, err)
	}
	if _, err := s.Open(of("a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a blob of no store: %v", err)
	}
	if _, err := os.Lstat(home); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it made %s: %v", home, err)
	}
	mustPut(t, s, "a")
	if s.Verify(of("a")) != nil {
		t.Error("the first to write makes no store")
	}
}
