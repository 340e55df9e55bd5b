package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/artifact"
	"ingot/internal/catalog"
	"ingot/internal/client"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/server"
	"ingot/internal/sign"
)

var start = time.Date(2026, 9, 30, 6, 7, 8, 0, time.UTC)

// A shop is a server tree, its publisher, the real server of it on loopback, and a way to
// stand between the server and its clients.
type shop struct {
	t       *testing.T
	dir     string
	p       *server.Publisher
	clock   time.Time
	URL     string
	between atomic.Pointer[func(w http.ResponseWriter, r *http.Request, next http.Handler)]
	asked   atomic.Int64 // requests for blobs
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, dir: filepath.Join(t.TempDir(), "tree"), clock: start}
	place, err := server.CreateDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	s.p = &server.Publisher{Place: place, Key: newKey(t), Now: func() time.Time { return s.clock }}
	s.URL = s.serve()
	return s
}

func newKey(t *testing.T) *sign.Key {
	t.Helper()
	k, err := sign.NewKey("server", start.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// serve runs the server on an address of its own: another mirror.
func (s *shop) serve() string {
	s.t.Helper()
	h, err := server.NewHandler(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/blobs/") {
			s.asked.Add(1)
		}
		if f := s.between.Load(); f != nil {
			(*f)(w, r, h)
			return
		}
		h.ServeHTTP(w, r)
	}))
	s.t.Cleanup(func() { srv.Close(); _ = h.Close() })
	return srv.URL
}

func (s *shop) stand(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	if f == nil {
		s.between.Store(nil)
		return
	}
	s.between.Store(&f)
}

// offer publishes an image of one file.
func (s *shop) offer(name string, content []byte) catalog.File {
	s.t.Helper()
	dir := s.t.TempDir()
	file := name + "-amd64.tar"
	m := artifact.Manifest{
		Schema: 1, Name: name, Arch: "amd64", Format: "tar", File: file, Size: int64(len(content)), SHA256: digest.Of(content),
		Distro: "debian", Release: "bookworm", Epoch: 1, Lock: digest.Of(content),
	}
	data, err := json.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, file), content, 0o644), os.WriteFile(filepath.Join(dir, file+artifact.ManifestSuffix), data, 0o644)); err != nil {
		s.t.Fatal(err)
	}
	artifacts, err := server.Gather([]string{dir})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.p.Publish(s.t.Context(), server.Wish{Artifacts: artifacts}); err != nil {
		s.t.Fatal(err)
	}
	return catalog.File{Name: file, Size: m.Size, SHA256: m.SHA256}
}

// customer is a client that knows the shop's key.
func (s *shop) customer() *client.Server {
	s.t.Helper()
	ring, err := s.p.Key.Keyring()
	if err != nil {
		s.t.Fatal(err)
	}
	c := s.stranger()
	c.Trust.Keys = ring
	return c
}

// stranger is one that knows no key.
func (s *shop) stranger() *client.Server {
	return &client.Server{
		Mirrors: []string{s.URL}, Dir: filepath.Join(s.t.TempDir(), "servers"), Now: func() time.Time { return s.clock },
		Fetch: &fetch.Client{Attempts: 2, Stall: time.Minute, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }},
	}
}

func content(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func (s *shop) refuse(err error, code fault.Code, says string) {
	s.t.Helper()
	if fault.CodeOf(err) != code || err == nil || !strings.Contains(err.Error(), says) || fault.HintOf(err) == "" {
		s.t.Errorf("code %d, %v (hint %q); want code %d and %q", fault.CodeOf(err), err, fault.HintOf(err), code, says)
	}
}

func refresh(t *testing.T, c *client.Server) catalog.Catalog {
	t.Helper()
	got, err := c.Refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestKeys(t *testing.T) {
	s := newShop(t)
	s.offer("web", []byte("one"))
	other, err := newKey(t).Keyring()
	if err != nil {
		t.Fatal(err)
	}
	c := s.stranger()
	_, err = c.Refresh(t.Context())
	s.refuse(err, fault.Verification, "no key of http://127.0.0.1")
	c.Trust.Keys = other
	_, err = c.Refresh(t.Context())
	s.refuse(err, fault.Verification, "not signed by a trusted key")
	c.Trust = client.Trust{Fingerprint: other.Fingerprints()[0]}
	_, err = c.Refresh(t.Context())
	s.refuse(err, fault.Verification, "shows another key")
	c.Trust = client.Trust{Fingerprint: s.p.Key.Fingerprint()}
	refresh(t, c)

	// Pinned: nobody needs to say it again, and first use is over.
	c.Trust = client.Trust{FirstUse: true}
	refresh(t, c)
	c.Trust = client.Trust{}
	refresh(t, c)
	wrong := newShop(t)
	wrong.offer("web", []byte("evil"))
	c.Trust.FirstUse = true
	s.stand(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.ServeFile(w, r, filepath.Join(wrong.dir, r.URL.Path))
	})
	_, err = c.Refresh(t.Context())
	s.refuse(err, fault.Verification, "not signed by a trusted key")

	// A stranger that takes what is shown takes that.
	first := s.stranger()
	first.Trust.FirstUse = true
	var told []string
	first.Pinned = func(key, why string) { told = append(told, key, why) }
	refresh(t, first)
	if len(told) != 2 || told[0] != wrong.p.Key.Fingerprint() {
		t.Errorf("told %q", told)
	}
}

// TestRotation: clients of the old key go on by what it signed, however far behind they are.
func TestRotation(t *testing.T) {
	s := newShop(t)
	s.offer("web", []byte("one"))
	first := s.p.Key.Fingerprint()
	c := s.customer()
	refresh(t, c)
	c.Trust = client.Trust{}
	late := s.customer() // knows the first key, from a file
	for range 3 {
		next := newKey(t)
		if err := s.p.Rotate(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		s.p.Key = next
	}
	for _, k := range []*client.Server{c, late} {
		refresh(t, k)
		k.Trust = client.Trust{}
		refresh(t, k) // the new one is pinned
	}
	// Of an old key, its fingerprint is enough, also where its own file is there no more.
	oldest := late.Believed()
	if len(oldest) != 1 {
		t.Errorf("believed by %q", oldest)
	}
	only := s.stranger()
	only.Trust.Fingerprint = first
	refresh(t, only)
	if got := only.Believed(); len(got) != 4 || got[0] != first || got[3] != s.p.Key.Fingerprint() {
		t.Errorf("believed by %q", got)
	}
	if ok, err := only.Believes(only.Believed()); !ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	only.Trust.Fingerprint = newKey(t).Fingerprint()
	_, err := only.Refresh(t.Context())
	s.refuse(err, fault.Verification, "shows another key than")
	// A change that the old key did not sign is none.
	thief := newKey(t)
	document, err := catalog.Rotate("", newKey(t), thief, s.clock)
	if err != nil {
		t.Fatal(err)
	}
	stolen := refresh(t, c)
	stolen.Serial++
	signed, err := stolen.Sign(thief, s.clock)
	if err != nil {
		t.Fatal(err)
	}
	s.stand(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch {
		case strings.Contains(r.URL.Path, "rotation-"):
			_, _ = io.WriteString(w, document)
		case strings.HasSuffix(r.URL.Path, "index.asc"):
			_, _ = w.Write(signed)
		default:
			next.ServeHTTP(w, r)
		}
	})
	_, err = c.Refresh(t.Context())
	s.refuse(err, fault.Verification, "not signed by a trusted key")
}

func TestFreshness(t *testing.T) {
	s := newShop(t)
	s.offer("web", []byte("one"))
	c := s.customer()
	refresh(t, c)
	old, err := os.ReadFile(filepath.Join(s.dir, catalog.Path))
	if err != nil {
		t.Fatal(err)
	}
	s.clock = s.clock.Add(time.Hour)
	s.offer("web", []byte("two"))
	refresh(t, c)

	// A replay, of what was good once.
	play := func(data []byte) {
		s.stand(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.HasSuffix(r.URL.Path, "index.asc") {
				_, _ = w.Write(data)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	play(old)
	_, err = c.Refresh(t.Context())
	s.refuse(err, fault.Verification, "older index (serial 1 of 2026-09-30 06:07:08) than one that was seen before")
	// A mirror that is up to date goes on where one is behind.
	s.stand(nil)
	fresh := s.serve()
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(old) }))
	t.Cleanup(behind.Close)
	both := *c
	both.Mirrors = []string{c.Mirrors[0], behind.URL, fresh}
	s.stand(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Host == strings.TrimPrefix(s.URL, "http://") {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
	refresh(t, &both)
	s.stand(nil)
	// Two catalogs of one serial.
	now := refresh(t, c)
	now.Images[0].Versions[0].Pinned = true
	forked, err := now.Sign(s.p.Key, s.clock)
	if err != nil {
		t.Fatal(err)
	}
	play(forked)
	_, err = c.Refresh(t.Context())
	s.refuse(err, fault.Verification, "another index of serial 2")
	s.stand(nil)

	// A clock a year off, either way; an index past its date.
	s.clock = s.clock.Add(365 * 24 * time.Hour)
	_, err = c.Refresh(t.Context())
	s.refuse(err, fault.Verification, "the index is expired since")
	s.clock = start.Add(-365 * 24 * time.Hour)
	_, err = c.Refresh(t.Context())
	s.refuse(err, fault.Verification, "future")
	s.clock = start.Add(30 * time.Minute) // half an hour behind the publisher's
	refresh(t, c)
	s.clock = start.Add(2 * time.Hour)
	refresh(t, c)
	if _, err := s.p.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := refresh(t, c); got.Serial != 3 {
		t.Errorf("serial %d", got.Serial)
	}
}

// TestOtherTree: what one key signs for one tree is nothing for clients of another.
func TestOtherTree(t *testing.T) {
	s, other := newShop(t), newShop(t)
	other.p.Key = s.p.Key
	s.offer("web", []byte("good"))
	c := s.customer()
	refresh(t, c)
	for n := range 3 {
		other.offer("web", []byte{byte(n)}) // its serial is greater
	}
	h, err := server.NewHandler(other.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	s.stand(func(w http.ResponseWriter, r *http.Request, _ http.Handler) { h.ServeHTTP(w, r) })
	_, err = c.Refresh(t.Context())
	s.refuse(err, fault.Verification, "the index of another server tree")
	// Nor does the key follow that other tree's.
	next := newKey(t)
	if err := other.p.Rotate(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	_, err = c.Refresh(t.Context())
	s.refuse(err, fault.Verification, "the change of keys is of another server tree")
	s.stand(nil)
	refresh(t, c)
	// It stays the same tree when its key changes, and with it what is known of it.
	if err := s.p.Rotate(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	refresh(t, c)
}

// TestIndex: what comes instead of an index.
func TestIndex(t *testing.T) {
	s := newShop(t)
	s.offer("web", []byte("one"))
	whole, err := os.ReadFile(filepath.Join(s.dir, catalog.Path))
	if err != nil {
		t.Fatal(err)
	}
	for summary, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		code   fault.Code
	}{
		"nothing there": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, fault.Unreachable},
		"an error":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, fault.Unreachable},
		"a login page":  {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!DOCTYPE html><html>log in</html>") }, fault.Unreachable},
		"nothing in it": {func(http.ResponseWriter, *http.Request) {}, fault.Verification},
		"half of it":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(whole[:len(whole)/2]) }, fault.Verification},
		"another name in it": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(bytes.Replace(whole, []byte(`"web"`), []byte(`"wep"`), 1))
		}, fault.Verification},
		"something before":             {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(append([]byte("x\n"), whole...)) }, fault.Verification},
		"something after":              {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(append(bytes.Clone(whole), "x\n"...)) }, fault.Verification},
		"a redirect to another scheme": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "ftp://host/x", http.StatusFound) }, fault.Unreachable},
		"a redirect in a circle":       {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, fault.Unreachable},
	} {
		t.Run(summary, func(t *testing.T) {
			s.stand(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if strings.HasSuffix(r.URL.Path, "index.asc") {
					c.answer(w, r)
					return
				}
				next.ServeHTTP(w, r)
			})
			_, err := s.customer().Refresh(t.Context())
			if fault.CodeOf(err) != c.code {
				t.Errorf("code %d, %v", fault.CodeOf(err), err)
			}
		})
	}
	// To another host, one may go: what comes is verified all the same.
	s.stand(nil)
	other := s.serve()
	s.stand(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if "http://"+r.Host == s.URL {
			http.Redirect(w, r, other+r.URL.Path, http.StatusFound)
			return
		}
		next.ServeHTTP(w, r)
	})
	refresh(t, s.customer())
}

// left is a directory as text: names and contents, of transfers their length.
func left(t *testing.T, dir string) string {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range found {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(f.Name(), ".ingot-pull-") {
			out = append(out, fmt.Sprintf("part %d", len(data)))
			continue
		}
		out = append(out, fmt.Sprintf("%s %d", f.Name(), len(data)))
	}
	return strings.Join(out, ", ")
}

func TestPull(t *testing.T) {
	s := newShop(t)
	whole := content(3<<20, 1)
	f := s.offer("web", whole)
	c := s.customer()
	refresh(t, c)
	dir := t.TempDir()
	pull := func() ([]client.Pulled, error) { return c.Pull(t.Context(), []catalog.File{f}, dir, true) }
	there := func(summary, want string) {
		t.Helper()
		if got := left(t, dir); got != want {
			t.Errorf("%s: there is %q, want %q", summary, got, want)
		}
	}
	// What was there stays until the new one is whole, whatever goes wrong.
	old := filepath.Join(dir, f.Name)
	if err := os.WriteFile(old, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	blobs := func(answer func(w http.ResponseWriter, r *http.Request)) {
		s.stand(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.HasPrefix(r.URL.Path, "/blobs/") {
				answer(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	for summary, k := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		code   fault.Code
	}{
		"gone":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, fault.Unreachable},
		"swapped": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content(3<<20, 2)) }, fault.Verification},
		"short":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(whole[:100]) }, fault.Verification},
		"long":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(append(bytes.Clone(whole), 0)) }, fault.Verification},
		"a lying size": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			_, _ = w.Write(whole[:5])
		}, fault.Verification},
		"without end": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(whole); err != nil {
					return
				}
			}
		}, fault.Verification},
	} {
		blobs(k.answer)
		_, err := pull()
		s.refuse(err, k.code, f.Name)
		there(summary, f.Name+" 3")
	}
	// A cut: the next pull, in another process, goes on where it was.
	const cut = 2 << 20
	blobs(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			w.WriteHeader(500)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
		_, _ = w.Write(whole[:cut])
		panic(http.ErrAbortHandler)
	})
	_, err := pull()
	s.refuse(err, fault.Unreachable, f.Name)
	var ranges []string
	s.stand(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		ranges = append(ranges, r.Header.Get("Range"))
		next.ServeHTTP(w, r)
	})
	got, err := pull()
	if err != nil || !got[0].New {
		t.Fatalf("%+v, %v", got, err)
	}
	if len(ranges) != 1 || !strings.HasPrefix(ranges[0], "bytes=") || ranges[0] == "bytes=0-" {
		t.Errorf("it asked for %q", ranges)
	}
	there("went on", fmt.Sprintf("%s %d", f.Name, len(whole)))
	if data, err := os.ReadFile(old); err != nil || !bytes.Equal(data, whole) {
		t.Error("it is another file")
	}
	if got, err = pull(); err != nil || got[0].New || len(ranges) != 1 {
		t.Errorf("again: %+v, %v, %q", got, err, ranges)
	}
	// A damaged beginning from an earlier time does not get in.
	if err := os.Remove(old); err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(dir, ".ingot-pull-"+f.SHA256.String())
	for summary, text := range map[string][]byte{"other bytes": content(1<<20, 3), "too many": content(4<<20, 3), "as many, others": content(3<<20, 3)} {
		if err := os.WriteFile(part, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := pull(); err != nil {
			t.Errorf("%s: %v", summary, err)
		}
		if data, err := os.ReadFile(old); err != nil || !bytes.Equal(data, whole) {
			t.Errorf("%s: it is another file", summary)
		}
		if err := os.Remove(old); err != nil {
			t.Fatal(err)
		}
	}
	// Nobody's link is followed.
	precious := filepath.Join(t.TempDir(), "precious")
	if err := errors.Join(os.WriteFile(precious, []byte("precious"), 0o644), os.Symlink(precious, part)); err != nil {
		t.Fatal(err)
	}
	if _, err := pull(); err == nil {
		t.Error("a link was followed")
	}
	if data, err := os.ReadFile(precious); err != nil || string(data) != "precious" {
		t.Errorf("%q, %v", data, err)
	}
}

// TestReplace: a file that is none of the server's stays, unless it is said that it need not.
func TestReplace(t *testing.T) {
	s := newShop(t)
	f, also := s.offer("web", []byte("one")), s.offer("also", []byte("two"))
	c := s.customer()
	refresh(t, c)
	dir := t.TempDir()
	mine := filepath.Join(dir, f.Name)
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := c.Pull(t.Context(), []catalog.File{also, f}, dir, false)
	s.refuse(err, fault.Choice, f.Name)
	if n := s.asked.Load(); n != 0 {
		t.Errorf("%d blobs were fetched all the same", n)
	}
	// One that comes while it is fetched is not replaced either.
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}
	s.stand(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
			t.Error(err)
		}
		next.ServeHTTP(w, r)
	})
	_, err = c.Pull(t.Context(), []catalog.File{f}, dir, false)
	s.refuse(err, fault.Choice, f.Name)
	if data, err := os.ReadFile(mine); err != nil || string(data) != "mine" {
		t.Errorf("%q, %v", data, err)
	}
	s.stand(nil)
	got, err := c.Pull(t.Context(), []catalog.File{f}, dir, true)
	if data, e := os.ReadFile(mine); err != nil || e != nil || string(data) != "one" || !got[0].New {
		t.Errorf("%q, %v, %v, %+v", data, err, e, got)
	}
}

// TestLargeIndex: who is shown an endless index needs no memory for it.
func TestLargeIndex(t *testing.T) {
	s := newShop(t)
	s.offer("web", []byte("one"))
	c := s.customer()
	line := bytes.Repeat([]byte("x"), 1023)
	line = append(line, '\n')
	s.stand(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !strings.HasSuffix(r.URL.Path, "index.asc") {
			next.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n")
		for range 64 << 10 {
			_, _ = w.Write(line)
		}
		_, _ = io.WriteString(w, "-----BEGIN PGP SIGNATURE-----\n\n=twTO\n-----END PGP SIGNATURE-----\n")
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := c.Refresh(t.Context())
	runtime.ReadMemStats(&after)
	if fault.CodeOf(err) != fault.Verification {
		t.Fatal(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("an index of 64 MiB took %d MiB", n>>20)
	}
}

// TestTogether: many pulls of one image at once fetch it once.
func TestTogether(t *testing.T) {
	s := newShop(t)
	f := s.offer("web", content(1<<20, 1))
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 8 {
		c := s.customer()
		all.Go(func() {
			if _, err := c.Pull(t.Context(), []catalog.File{f, f}, dir, false); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := s.asked.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
	if got := left(t, dir); got != f.Name+" 1048576" {
		t.Errorf("left %s", got)
	}
}

// TestName: what is shown of a server holds no password.
func TestName(t *testing.T) {
	c := client.Server{Mirrors: []string{"https://u:hush@host:8443/x", "https://other"}}
	if got := c.Name(); got != "https://host:8443/x" {
		t.Errorf("it is called %q", got)
	}
}

// TestWaiting: who waits for another's look at a server can be stopped.
func TestWaiting(t *testing.T) {
	s := newShop(t)
	s.offer("web", content(10, 1))
	c := s.customer()
	hold := make(chan struct{})
	in := make(chan struct{})
	s.stand(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		close(in)
		<-hold
		next.ServeHTTP(w, r)
	})
	first := make(chan error, 1)
	go func() { _, err := c.Refresh(t.Context()); first <- err }()
	<-in
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go func() { _, err := c.Refresh(ctx); second <- err }()
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("the second: %v", err)
	}
	s.stand(nil)
	close(hold)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestAddress(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"https://images.example/": "https://images.example", "http://h:8/x/": "http://h:8/x", "images.example": "https://images.example", "localhost:8443": "https://localhost:8443",
		dir: "file://" + dir, "": "", "ftp://h/": "", "https://": "", "https://h/?x=1": "", "nothing/there": "", "a b": "", "word": "",
	} {
		got, err := client.Address(text)
		if got != want || (want == "") != (fault.CodeOf(err) == fault.Usage) {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}
