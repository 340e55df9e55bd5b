package server

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/client"
	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/page"
	"ingot/internal/sign"
)

// A far is a server with a tree, what stands in front of it, and a cache of it.
type far struct {
	*stage
	front *atomic.Pointer[http.Handler]
	blobs atomic.Int64 // how often one was asked for

	cache   *Cache
	handler *Handler
	notes   []string
	mu      sync.Mutex
}

// cached is a tree with one image on a server, and an empty cache of it.
func cached(t *testing.T) *far {
	t.Helper()
	s, h := served(t)
	f := &far{stage: s, front: new(atomic.Pointer[http.Handler])}
	through := http.Handler(h)
	f.front.Store(&through)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/blobs/") {
			f.blobs.Add(1)
		}
		(*f.front.Load()).ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	dir, err := CreateDir(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return s.clock }
	up := &client.Server{Mirrors: []string{srv.URL}, Trust: client.Trust{Keys: s.ring()}, Dir: t.TempDir(), Fetch: &fetch.Client{Attempts: 1, Backoff: time.Millisecond}, Now: now}
	f.cache = &Cache{Upstream: up, Dir: dir, Now: now, Note: func(text string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.notes = append(f.notes, text)
	}}
	if f.handler, err = NewHandler(dir.path); err != nil {
		t.Fatal(err)
	}
	f.handler.Through = f.cache
	t.Cleanup(func() { _ = f.handler.Close() })
	return f
}

// start starts the cache, or starts it anew.
func (f *far) start() error {
	ctx, cancel := context.WithCancel(f.t.Context())
	f.t.Cleanup(cancel)
	return f.cache.Start(ctx)
}

func (f *far) mustStart() {
	f.t.Helper()
	if err := f.start(); err != nil {
		f.t.Fatal(err)
	}
}

// get asks the cache.
func (f *far) get(name string) string {
	f.t.Helper()
	r := ask(f.handler, "GET /"+name)
	if r.StatusCode != http.StatusOK {
		f.t.Errorf("%s: %d", name, r.StatusCode)
	}
	return body(r)
}

// off is a server that does not answer.
func (f *far) off() (undo func()) {
	return between(f.front, func(http.Handler) http.HandlerFunc {
		return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	})
}

const webRoot = "images/debian/bookworm/amd64/web/20260930_0607/rootfs.tar.xz"

// TestCache: a cache gives what the server has, gets each blob once, goes on without the server, and
// follows it.
func TestCache(t *testing.T) {
	f := cached(t)
	f.mustStart()
	all := f.names(".")
	if len(all) < 30 {
		t.Fatal(all)
	}
	var many sync.WaitGroup
	for range 4 {
		many.Go(func() {
			for _, name := range all {
				if got := f.get(name); got != f.read(name) {
					t.Errorf("%s is another file, of %d bytes", name, len(got))
				}
			}
		})
	}
	many.Wait()
	if n, want := f.blobs.Load(), int64(len(f.names("blobs"))); n != want {
		t.Errorf("blobs were fetched %d times, and there are %d", n, want)
	}
	for _, name := range []string{"nothing", "images/nothing", "images/debian/bookworm/amd64/web/20260930_0607/nothing", "blobs/sha256/aa/" + strings.Repeat("a", 64), ".tokens", "images/../.tokens", "images/x/SHA256SUMS"} {
		if r := ask(f.handler, "GET /"+name); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", name, r.StatusCode)
		}
	}

	undo := f.off()
	f.clock = f.clock.Add(time.Hour)
	for _, name := range all {
		if got := f.get(name); got != f.read(name) {
			t.Errorf("without the server %s is another file", name)
		}
	}
	if len(f.notes) == 0 || !strings.Contains(f.notes[0], "goes on with what is here") {
		t.Errorf("it says %q", f.notes)
	}
	f.mustStart() // and starts anew without it
	undo()

	// What is published there is seen when the time is over, and in all dialects at once.
	two := t.TempDir()
	lxcPair(t, two, "web", "two")
	f.publish(two, "")
	f.clock = f.clock.Add(cacheFresh / 2)
	f.get("index.asc") // which does not ask
	f.clock = f.clock.Add(2 * cacheFresh)
	for _, name := range []string{"meta/1.0/index-system.7", "meta/1.0/index-system.7.asc", "streams/v1/images.json", catalog.Path} {
		if f.get(name) != f.read(name) {
			t.Errorf("%s is the old one", name)
		}
	}
	for _, name := range f.names("images") {
		if f.get(name) != f.read(name) {
			t.Errorf("%s is another file: %q", name, f.notes)
		}
	}

	// So are changes of keys, several at once.
	for range 2 {
		next := mustKey(t, start.Add(-time.Minute))
		if err := f.Rotate(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		f.Key = next
	}
	f.clock = f.clock.Add(2 * cacheFresh)
	for _, name := range []string{"key.asc", catalog.Path} {
		if f.get(name) != f.read(name) {
			t.Errorf("%s is the old one: %q", name, f.notes)
		}
	}
}

// TestCacheWhileFetching: who asks gets what has come, and the rest when it comes; and its last byte when all
// is known to be right.
func TestCacheWhileFetching(t *testing.T) {
	f := cached(t)
	f.mustStart()
	whole := f.read(webRoot)
	half, goOn := make(chan bool), make(chan bool)
	wrong := ""
	between(f.front, func(next http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, "/blobs/") {
				next.ServeHTTP(w, r)
				return
			}
			text := whole[:len(whole)-len(wrong)] + wrong
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
			_, _ = io.WriteString(w, text[:5])
			_ = http.NewResponseController(w).Flush()
			for _, c := range []chan bool{half, goOn} {
				select {
				case c <- true:
				case <-r.Context().Done():
				}
			}
			_, _ = io.WriteString(w, text[5:])
		}
	})
	srv := httptest.NewServer(f.handler)
	defer srv.Close()
	r, err := http.Get(srv.URL + "/" + webRoot)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	<-half
	first := make([]byte, 5)
	if _, err := io.ReadFull(r.Body, first); err != nil || string(first) != whole[:5] {
		t.Fatalf("%q, %v", first, err)
	}
	// One that gives up takes nothing from others.
	ctx, cancel := context.WithCancel(t.Context())
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/"+webRoot, nil)
	if err != nil {
		t.Fatal(err)
	}
	if gone, err := http.DefaultClient.Do(q); err == nil {
		cancel()
		_ = gone.Body.Close()
	}
	cancel()
	<-goOn
	rest, err := io.ReadAll(r.Body)
	if err != nil || string(rest) != whole[5:] {
		t.Errorf("%q, %v", rest, err)
	}
	// Of a part of it that is here, and one that is asked for by its size alone.
	if r := ask(f.handler, "GET /"+webRoot, "Range: bytes=2-4"); r.StatusCode != http.StatusPartialContent || body(r) != whole[2:5] {
		t.Errorf("a part: %d", r.StatusCode)
	}
	n := f.blobs.Load()
	meta := "images/debian/bookworm/amd64/web/20260930_0607/meta.tar.xz"
	if r := ask(f.handler, "HEAD /"+meta); r.StatusCode != http.StatusOK || r.ContentLength != int64(len(f.read(meta))) || f.blobs.Load() != n {
		t.Errorf("its size: %d, %d, or it was fetched", r.StatusCode, r.ContentLength)
	}

	// One that turns out wrong ends short, and is not kept.
	if err := os.RemoveAll(filepath.Join(f.cache.Dir.path, "blobs")); err != nil {
		t.Fatal(err)
	}
	wrong = "x"
	r, err = http.Get(srv.URL + "/" + webRoot)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	go func() {
		for {
			select {
			case <-half:
			case <-goOn:
			case <-t.Context().Done():
				return
			}
		}
	}()
	if got, err := io.ReadAll(r.Body); err == nil || len(got) >= len(whole) {
		t.Errorf("it gave %q, %v", got, err)
	}
	if left, err := os.ReadDir(filepath.Join(f.cache.Dir.path, "blobs")); err == nil && len(left) > 0 {
		_ = filepath.WalkDir(filepath.Join(f.cache.Dir.path, "blobs"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				t.Errorf("%s was kept", path)
			}
			return err
		})
	}
}

// TestCacheRefuses: what nobody vouches for is not served.
func TestCacheRefuses(t *testing.T) {
	t.Run("nothing there", func(t *testing.T) {
		f := cached(t)
		f.off()
		if err := f.start(); fault.CodeOf(err) != fault.Unreachable || !strings.Contains(fault.HintOf(err), "--cache-of") || strings.Contains(fault.HintOf(err), "--from") {
			t.Errorf("it says %v, %s", err, fault.HintOf(err))
		}
	})
	t.Run("another key", func(t *testing.T) {
		f := cached(t)
		ring, err := mustKey(t, start.Add(-time.Hour)).Keyring()
		if err != nil {
			t.Fatal(err)
		}
		f.cache.Upstream.(*client.Server).Trust.Keys = ring
		if err := f.start(); fault.CodeOf(err) != fault.Verification {
			t.Errorf("it says %v", err)
		}
	})
	for _, summary := range []string{"another key's tree", "another tree of that key"} {
		t.Run(summary, func(t *testing.T) {
			f := cached(t)
			other := newStage(t)
			if summary == "another tree of that key" {
				other.Key = f.Key
			}
			art := t.TempDir()
			lxcPair(t, art, "web", "other")
			other.publish(art, "")
			f.cache.Dir = other.Place.(*Dir)
			before := census(t, other.dir)
			if err := f.start(); fault.CodeOf(err) != fault.Verification || !strings.Contains(fault.HintOf(err), "a cache of that server") {
				t.Errorf("it says %v, %s", err, fault.HintOf(err))
			}
			if after := census(t, other.dir); len(after) != len(before) || after[catalog.Path] != before[catalog.Path] {
				t.Error("the tree was changed")
			}
		})
	}
	for summary, damage := range map[string]func(name, text string) string{
		"an index": func(name, text string) string {
			if name == "meta/1.0/index-system" {
				return strings.Replace(text, "web", "wed", 1)
			}
			return text
		},
		"a signature": func(name, text string) string {
			if name == "streams/v1/images.json.gpg" {
				return ""
			}
			return text
		},
		"a key": func(name, text string) string {
			if name == "key.asc" {
				key, _ := sign.NewKey("other", start.Add(-time.Hour))
				public, _ := key.Public()
				return string(public)
			}
			return text
		},
	} {
		t.Run(summary, func(t *testing.T) {
			f := cached(t)
			between(f.front, func(next http.Handler) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					a := ask(next, "GET "+r.URL.Path)
					w.WriteHeader(a.StatusCode)
					_, _ = io.WriteString(w, damage(strings.TrimPrefix(r.URL.Path, "/"), body(a)))
				}
			})
			if err := f.start(); fault.CodeOf(err) != fault.Verification {
				t.Errorf("it says %v", err)
			}
			if _, err := os.Stat(filepath.Join(f.cache.Dir.path, catalog.Path)); !errors.Is(err, fs.ErrNotExist) {
				t.Error("it has an index")
			}
		})
	}
	t.Run("checksums", func(t *testing.T) {
		f := cached(t)
		f.mustStart()
		between(f.front, func(http.Handler) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "evil") }
		})
		for _, name := range []string{"SHA256SUMS.asc", "rootfs.tar.xz.asc"} {
			if r := ask(f.handler, "GET /"+filepath.Dir(webRoot)+"/"+name); r.StatusCode != http.StatusBadGateway {
				t.Errorf("%s: %d", name, r.StatusCode)
			}
		}
	})
	t.Run("older", func(t *testing.T) {
		f := cached(t)
		old := f.read(catalog.Path)
		two := t.TempDir()
		lxcPair(t, two, "web", "two")
		f.clock = f.clock.Add(time.Hour)
		f.publish(two, "")
		f.mustStart()
		between(f.front, func(next http.Handler) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/"+catalog.Path {
					_, _ = io.WriteString(w, old)
					return
				}
				next.ServeHTTP(w, r)
			}
		})
		f.clock = f.clock.Add(time.Hour)
		if f.get(catalog.Path) != f.read(catalog.Path) || len(f.notes) != 1 {
			t.Errorf("it took the old one: %q", f.notes)
		}
	})
}

// TestCachePage: people see what changed, which the manifests say.
func TestCachePage(t *testing.T) {
	f := cached(t)
	two := t.TempDir()
	lxcPair(t, two, "web", "two")
	f.publish(two, "")
	f.mustStart()
	f.handler.Page = &page.Pages{Source: f.handler}
	far, err := NewHandler(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	far.Page = &page.Pages{Source: far}
	for _, path := range []string{"/", "/image/web"} {
		here, there := ask(f.handler, "GET "+path), ask(far, "GET "+path)
		if text := body(here); here.StatusCode != http.StatusOK || !strings.Contains(text, "web") || text != body(there) {
			t.Errorf("%s: %d, or it is another page", path, here.StatusCode)
		}
	}
}

// TestCacheSize: blobs that nobody asked for longest go first, and come again.
func TestCacheSize(t *testing.T) {
	f := cached(t)
	big := t.TempDir()
	put(t, big, "big", "big", "tar", "big-amd64.tar="+strings.Repeat("x", 3000))
	f.publish(big, "")
	f.cache.Size = 3500
	f.mustStart()
	f.get(webRoot)
	blobs := func() (n int, size int64) {
		err := f.cache.Dir.Walk("blobs", func(_ string, s int64, _ time.Time) error { n++; size += s; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return n, size
	}
	if n, _ := blobs(); n != 1 {
		t.Errorf("%d blobs", n)
	}
	name := "images/debian/bookworm/amd64/big/20260930_0607/big-amd64.tar"
	for range 2 {
		if got := f.get(name); got != strings.Repeat("x", 3000) {
			t.Errorf("it is %d bytes", len(got))
		}
		f.get(filepath.Dir(name) + "/big-amd64.tar.manifest.json")
		if _, size := blobs(); size > 3500 {
			t.Errorf("%d bytes are kept", size)
		}
		f.get(webRoot)
	}
	if f.get(webRoot) != f.read(webRoot) {
		t.Error("it is another file")
	}
}

// TestCacheAnew: who was given bytes that turned out wrong gets nothing more, also if the right ones are
// there when he comes back for the rest; and who reads goes on where the blob has gone meanwhile.
func TestCacheAnew(t *testing.T) {
	whole := strings.Repeat("right", 20)
	for _, wrong := range []bool{false, true} {
		d, err := draft.Create(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		g := newFilling(catalog.File{Name: "x", Size: int64(len(whole)), SHA256: digest.Of([]byte(whole))})
		gone := func() (io.ReadSeekCloser, error) { return nil, fs.ErrNotExist }
		r := &filled{size: g.want.Size, begin: func() *filling { return g }, open: gone}
		to := g.into(d)
		first := whole
		if wrong {
			first = strings.Repeat("wrong", 20)
		}
		if _, err := io.WriteString(to, first); err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 5)
		if _, err := io.ReadFull(r, head); err != nil || string(head) != first[:5] {
			t.Fatalf("%q, %v", head, err)
		}
		if wrong {
			if err := to.Reset(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(to, whole); err != nil {
				t.Fatal(err)
			}
		}
		d.Discard()
		g.end(nil)
		rest, err := io.ReadAll(r)
		if wrong && (!errors.Is(err, errAnew) || len(rest) > 0) {
			t.Errorf("after wrong bytes it gives %q, %v", rest, err)
		}
		if !wrong && (err != nil || string(rest) != whole[5:]) {
			t.Errorf("it gives %q, %v", rest, err)
		}
		if err := r.Close(); err != nil || g.file != nil {
			t.Errorf("%v, or it is open", err)
		}
	}
}

// TestCacheResigned: what another key has signed is not taken, whatever key the other server shows beside it
// and although its catalog says the same.
func TestCacheResigned(t *testing.T) {
	f := cached(t)
	c, err := f.load()
	if err != nil {
		t.Fatal(err)
	}
	evil := *f.Publisher
	evil.Key = mustKey(t, start.Add(-time.Hour))
	state, err := evil.state(c)
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64 // how often the catalog was asked for
	between(f.front, func(next http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			name := strings.TrimPrefix(r.URL.Path, "/")
			first := name == catalog.Path && n.Add(1) == 1 // which is for who verifies
			if data, ok := state[name]; ok && !first {
				_, _ = w.Write(data)
				return
			}
			next.ServeHTTP(w, r)
		}
	})
	if err := f.start(); fault.CodeOf(err) != fault.Verification || fault.HintOf(err) == "" {
		t.Errorf("it says %v, %s", err, fault.HintOf(err))
	}
	if _, err := os.Stat(filepath.Join(f.cache.Dir.path, catalog.Path)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("it has an index")
	}
}

// TestCacheElse: a directory that is another server's is not served in place of one that does not answer.
func TestCacheElse(t *testing.T) {
	f := cached(t)
	f.mustStart()
	for range 2 {
		next := mustKey(t, start.Add(-time.Minute))
		if err := f.Rotate(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		f.Key = next
	}
	f.mustStart()
	f.off()
	f.mustStart() // by the key that was given, which the others follow
	f.cache.Upstream.(*client.Server).Trust.Keys = f.ring()
	f.mustStart()
	ring, err := mustKey(t, start.Add(-time.Hour)).Keyring()
	if err != nil {
		t.Fatal(err)
	}
	f.cache.Upstream.(*client.Server).Trust.Keys = ring
	if err := f.start(); fault.CodeOf(err) != fault.Unreachable {
		t.Errorf("it says %v", err)
	}
}

// TestCacheBeside: checksums and signatures beside a version follow the other server's, and what it has none
// of is not asked for.
func TestCacheBeside(t *testing.T) {
	f := cached(t)
	f.mustStart()
	dir := filepath.Dir(webRoot) + "/"
	same := func() {
		t.Helper()
		for _, name := range []string{"SHA256SUMS", "SHA256SUMS.asc", "rootfs.tar.xz.asc"} {
			if f.get(dir+name) != f.read(dir+name) {
				t.Errorf("%s is another file: %q", name, f.notes)
			}
		}
	}
	same()
	more := t.TempDir()
	put(t, more, "web", "one", "tar", "web-amd64.tar=more")
	f.publish(more, "")
	f.clock = f.clock.Add(2 * cacheFresh)
	f.get(catalog.Path)
	same()
	next := mustKey(t, start.Add(-time.Minute))
	if err := f.Rotate(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	f.Key = next
	f.clock = f.clock.Add(2 * cacheFresh)
	f.get(catalog.Path)
	same()
	undo := f.off()
	same()
	undo()

	// What is let go stays for who has an older index, by all its names.
	two := t.TempDir()
	lxcPair(t, two, "web", "two")
	f.publish(two, "")
	if _, err := f.Prune(t.Context(), catalog.Policy{Keep: 1}, Grace, false); err != nil {
		t.Fatal(err)
	}
	f.clock = f.clock.Add(2 * cacheFresh)
	for _, name := range []string{webRoot, dir + "meta.tar.xz", dir + "SHA256SUMS", dir + "rootfs.tar.xz.asc"} {
		if f.get(name) != f.read(name) {
			t.Errorf("%s is another file", name)
		}
	}

	asked := ""
	between(f.front, func(http.Handler) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			asked += r.URL.Path + "\n"
			panic(http.ErrAbortHandler)
		}
	})
	for _, name := range []string{"images/x/SHA256SUMS", dir + "nothing.asc", dir + "x/SHA256SUMS"} {
		if r := ask(f.handler, "GET /"+name); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", name, r.StatusCode)
		}
	}
	if asked != "" {
		t.Errorf("it asked for %s", asked)
	}
}

// TestCacheSlow: who asks waits for a while, and what comes slowly comes all the same.
func TestCacheSlow(t *testing.T) {
	f := cached(t)
	f.cache.wait = 10 * time.Millisecond
	f.mustStart()
	before := f.read(catalog.Path)
	two := t.TempDir()
	lxcPair(t, two, "web", "two")
	f.publish(two, "")
	goOn := make(chan bool)
	between(f.front, func(next http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			<-goOn
			next.ServeHTTP(w, r)
		}
	})
	f.clock = f.clock.Add(2 * cacheFresh)
	if f.get(catalog.Path) != before {
		t.Error("it has the new one already")
	}
	close(goOn)
	for range 200 {
		time.Sleep(10 * time.Millisecond)
		if f.get(catalog.Path) == f.read(catalog.Path) {
			return
		}
	}
	t.Errorf("the new one never came: %q", f.notes)
}

// TestCacheLarge: indexes that are larger than those of the catalog can be are not taken into memory.
func TestCacheLarge(t *testing.T) {
	f := cached(t)
	between(f.front, func(next http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/meta/") || strings.HasPrefix(r.URL.Path, "/streams/") {
				_, _ = io.Copy(w, io.LimitReader(zeros{}, 64<<20))
				return
			}
			next.ServeHTTP(w, r)
		}
	})
	var was, is runtime.MemStats
	runtime.ReadMemStats(&was)
	err := f.start()
	runtime.ReadMemStats(&is)
	if n := (is.TotalAlloc - was.TotalAlloc) >> 20; fault.CodeOf(err) != fault.Verification || n > 120 {
		t.Errorf("%d MiB, and it says %v", n, err)
	}
}

// TestCacheStops: what is under way when the service is told to end comes to its end.
func TestCacheStops(t *testing.T) {
	f := cached(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := f.cache.Start(ctx); err != nil {
		t.Fatal(err)
	}
	whole := f.read(webRoot)
	half, goOn := make(chan bool), make(chan bool)
	between(f.front, func(http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
			_, _ = io.WriteString(w, whole[:5])
			_ = http.NewResponseController(w).Flush()
			close(half)
			select {
			case <-goOn:
			case <-r.Context().Done():
			}
			_, _ = io.WriteString(w, whole[5:])
		}
	})
	go func() {
		<-half
		cancel()
		time.Sleep(50 * time.Millisecond)
		close(goOn)
	}()
	if got := f.get(webRoot); got != whole {
		t.Errorf("it gave %q", got)
	}
}

// TestCachePatience: a client has its time to take what there is, and not the time in which nothing comes.
func TestCachePatience(t *testing.T) {
	for _, secure := range []bool{false, true} {
		f := cached(t)
		f.handler.patience = 50 * time.Millisecond
		f.mustStart()
		whole := f.read(webRoot)
		between(f.front, func(http.Handler) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
				for _, part := range []string{"", whole[:5], whole[5:]} {
					_, _ = io.WriteString(w, part)
					_ = http.NewResponseController(w).Flush()
					time.Sleep(200 * time.Millisecond)
				}
			}
		})
		srv := httptest.NewUnstartedServer(f.handler)
		if srv.EnableHTTP2 = secure; secure {
			srv.StartTLS()
		} else {
			srv.Start()
		}
		r, err := srv.Client().Get(srv.URL + "/" + webRoot)
		if err != nil {
			t.Errorf("TLS %v: %v", secure, err)
		} else if got := body(r); got != whole {
			t.Errorf("TLS %v: %q", secure, got)
		}
		srv.Close()
	}
}

// TestCacheLags: where other clients' indexes are still those of the catalog before, as for a moment in S3, none
// of them is taken; and all are when they have come.
func TestCacheLags(t *testing.T) {
	f := cached(t)
	f.mustStart()
	before := map[string]string{}
	for _, name := range f.names(".") {
		before[name] = f.read(name)
	}
	two := t.TempDir()
	lxcPair(t, two, "web", "two")
	f.publish(two, "")
	undo := between(f.front, func(next http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if text := before[strings.TrimPrefix(r.URL.Path, "/")]; text != "" && strings.HasPrefix(r.URL.Path, "/meta/") {
				_, _ = io.WriteString(w, text)
				return
			}
			next.ServeHTTP(w, r)
		}
	})
	all := []string{catalog.Path, "meta/1.0/index-system", "meta/1.0/index-user.7.asc", "streams/v1/images.json"}
	f.clock = f.clock.Add(2 * cacheFresh)
	for _, name := range all {
		if f.get(name) != before[name] {
			t.Errorf("%s is the new one", name)
		}
	}
	undo()
	f.clock = f.clock.Add(2 * cacheFresh)
	for _, name := range all {
		if f.get(name) != f.read(name) {
			t.Errorf("%s is the old one: %q", name, f.notes)
		}
	}
}

// TestCacheFull: a full disk takes what older blobs make room for, and what none can is not begun.
func TestCacheFull(t *testing.T) {
	f := cached(t)
	f.mustStart()
	f.get(webRoot)
	whole, meta := int64(len(f.read(webRoot))), strings.Replace(webRoot, "rootfs", "meta", 1)
	f.cache.space = func() int64 { return int64(len(f.read(meta))) - whole }
	f.get(meta)
	if _, err := os.Stat(filepath.Join(f.cache.Dir.path, catalog.BlobPath(digest.Of([]byte(f.read(webRoot)))))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old one stayed: %v", err)
	}
	asked := f.blobs.Load()
	f.cache.space = func() int64 { return -1 } // both are of one size
	if r := ask(f.handler, "GET /"+webRoot); body(r) == f.read(webRoot) || f.blobs.Load() != asked {
		t.Error("it was fetched where there is no room")
	}
	if f.get(meta) != f.read(meta) {
		t.Error("what was there has gone for nothing")
	}
	if n := len(f.notes); n == 0 || !strings.Contains(f.notes[n-1], "no room") {
		t.Errorf("it says %q", f.notes)
	}
}
