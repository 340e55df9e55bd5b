package server

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/place"
	"ingot/internal/sign"
	"ingot/internal/token"
)

// everywhere runs a test on a directory, and by way of a server.
func everywhere(t *testing.T, f func(*testing.T, *stage)) {
	t.Helper()
	t.Run("directory", func(t *testing.T) { f(t, newStage(t)) })
	t.Run("remote", func(t *testing.T) { s, _ := remoteStage(t); f(t, s) })
}

// remoteStage is a tree to which a publisher comes over the network. What goes through first is
// asked of the handler that it gives back.
func remoteStage(t *testing.T) (*stage, *atomic.Pointer[http.Handler]) {
	t.Helper()
	s := newStage(t)
	dir := s.Place.(*Dir)
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text, writer := token.New("writer", token.Publish, s.clock, time.Time{})
	reader, other := token.New("reader", token.Read, s.clock, time.Time{})
	err := dir.SetAccess(t.Context(), func(token.List) (token.List, error) { return token.List{Tokens: []token.Token{writer, other}}, nil })
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHandler(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	h.Intake, h.Now = dir, func() time.Time { return s.clock }
	front := new(atomic.Pointer[http.Handler])
	through := http.Handler(h)
	front.Store(&through)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*front.Load()).ServeHTTP(w, r) }))
	t.Cleanup(func() { server.Close(); _ = h.Close() })
	open := func(text string) (*Remote, error) {
		r, err := OpenRemote(t.Context(), server.URL+"/", func(*url.URL) string { return text })
		if r != nil {
			r.pause = time.Millisecond
		}
		return r, err
	}
	if s.Place, err = open(text); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"ingot_wrong", reader} {
		if _, err := open(wrong); fault.CodeOf(err) != fault.Preflight || !strings.Contains(fault.HintOf(err), "--publish") {
			t.Errorf("with another token it says %v, %s", err, fault.HintOf(err))
		}
	}
	return s, front
}

// between puts something in front of a server.
func between(front *atomic.Pointer[http.Handler], f func(next http.Handler) http.HandlerFunc) (undo func()) {
	was := front.Load()
	h := http.Handler(f(*was))
	front.Store(&h)
	return func() { front.Store(was) }
}

// TestRemoteAtOnce: of publishers that come at once each has its image there in the end.
func TestRemoteAtOnce(t *testing.T) {
	s, _ := remoteStage(t)
	var all sync.WaitGroup
	for n := range 6 {
		art := t.TempDir()
		lxcPair(t, art, fmt.Sprintf("web%d", n), "one")
		q := *s
		far := s.Place.(*Remote)
		one := &Remote{address: far.address, bearer: far.bearer, client: far.client, fetch: far.fetch, ctx: far.ctx, pause: far.pause, beside: map[string][]byte{}}
		q.Publisher = &Publisher{Place: one, Key: s.Key, Now: s.Now}
		all.Go(func() {
			if _, err := q.try(art, ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s.sound()
	c, err := s.load()
	if err != nil || len(c.Images) != 6 || c.Serial != 6 {
		t.Errorf("%d images, serial %d, %v", len(c.Images), c.Serial, err)
	}
}

// TestRemoteFails: a network that fails for a while is tried again, and one that fails for ever leaves
// the tree as it was; blobs that came are not sent twice.
func TestRemoteFails(t *testing.T) {
	s, front := remoteStage(t)
	art := t.TempDir()
	lxcPair(t, art, "web", "one")
	n := 0
	var mu sync.Mutex
	undo := between(front, func(next http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			n++
			bad := n
			mu.Unlock()
			switch bad % 3 {
			case 0:
				http.Error(w, "gateway", http.StatusBadGateway)
			case 1:
				panic(http.ErrAbortHandler) // the connection is cut
			default:
				next.ServeHTTP(w, r)
			}
		}
	})
	s.publish(art, "")
	undo()
	s.sound()

	two := t.TempDir()
	lxcPair(t, two, "web", "two")
	before := s.read(catalog.Path)
	var puts []string
	undo = between(front, func(next http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/state") {
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		}
	})
	if _, err := s.try(two, ""); fault.CodeOf(err) != fault.Unreachable || fault.HintOf(err) == "" {
		t.Errorf("it says %v", err)
	}
	undo()
	if s.read(catalog.Path) != before {
		t.Error("the tree has another index")
	}
	s.sound()
	undo = between(front, func(next http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				puts = append(puts, r.URL.Path)
			}
			next.ServeHTTP(w, r)
		}
	})
	s.publish(two, "")
	undo()
	if len(puts) != 1 || !strings.HasSuffix(puts[0], "/state") {
		t.Errorf("it sent %s", puts)
	}
	s.sound()
}

// TestRemoteRefuses: who has a token and not the key changes nothing, whatever he sends.
func TestRemoteRefuses(t *testing.T) {
	s, front := remoteStage(t)
	art, two := t.TempDir(), t.TempDir()
	lxcPair(t, art, "web", "one")
	lxcPair(t, two, "web", "two")
	s.publish(art, "")

	// What a state of two would be.
	var state map[string][]byte
	undo := between(front, func(next http.Handler) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/state") {
				files, err := unpackState(r.Body, anyHead)
				if err != nil {
					t.Error(err)
				}
				state = files
				refuse(w, fault.Newf(fault.Verification, "not now"))
				return
			}
			next.ServeHTTP(w, r)
		}
	})
	s.clock = s.clock.Add(time.Hour)
	if _, err := s.try(two, ""); fault.CodeOf(err) != fault.Verification {
		t.Fatal(err)
	}
	undo()
	stranger := mustKey(t, start.Add(-time.Hour))
	before := census(t, s.dir)
	remote := s.Place.(*Remote)
	send := func(files map[string][]byte) error {
		clear(remote.beside)
		return remote.Switch(0, files)
	}
	c, _, err := catalog.Read("it", state[catalog.Path], s.ring(), s.clock)
	if err != nil {
		t.Fatal(err)
	}
	dir := c.Images[0].Versions[1].Dir(c.Images[0]) + "/"
	sign := func(by *sign.Key, f func(c *catalog.Catalog)) []byte {
		d := c
		f(&d)
		data, err := d.Sign(by, s.clock)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	as := func(f func(c *catalog.Catalog)) []byte { return sign(s.Key, f) }
	public, err := stranger.Public()
	if err != nil {
		t.Fatal(err)
	}
	rotation, err := catalog.Rotate(c.Tree, stranger, s.Key, s.clock)
	if err != nil {
		t.Fatal(err)
	}
	for summary, files := range map[string]map[string][]byte{
		"another key":       {catalog.Path: sign(stranger, func(*catalog.Catalog) {}), "key.asc": public, "pks/lookup": public},
		"no catalog":        {catalog.Path: nil},
		"a changed catalog": {catalog.Path: []byte(strings.Replace(string(state[catalog.Path]), `"web"`, `"wed"`, 1))},
		"another tree":      {catalog.Path: as(func(c *catalog.Catalog) { c.Tree = "other" })},
		"of the past":       {catalog.Path: as(func(c *catalog.Catalog) { c.Created = start.Add(-time.Hour) })},
		"of the future": {catalog.Path: as(func(c *catalog.Catalog) {
			c.Created = s.clock.Add(48 * time.Hour)
			c.Expires = s.clock.Add(72 * time.Hour)
		})},
		"expired":             {catalog.Path: as(func(c *catalog.Catalog) { c.Expires = s.clock.Add(-time.Second) })},
		"a change of keys":    {catalog.RotationPath(stranger.Fingerprint()): []byte(rotation)},
		"a key beside":        {"key.asc": public},
		"no key":              {"key.asc": nil, "pks/lookup": nil},
		"a changed index":     {"meta/1.0/index-system": []byte("debian;bookworm;amd64;web;20260930_0607;/evil/\n")},
		"an index unsigned":   {"meta/1.0/index-system.asc": nil},
		"a changed stream":    {"streams/v1/images.json": []byte("{}")},
		"a signature alone":   {"meta/1.0/nothing.asc": state["meta/1.0/index-system.asc"]},
		"a file of nobody":    {"meta/1.0/evil": []byte("evil")},
		"a hidden file":       {".tokens": []byte("{}")},
		"out of the tree":     {"../evil": []byte("evil")},
		"out of meta":         {"meta/1.0/../../.tokens": []byte("evil")},
		"a blob":              {"blobs/sha256/aa/" + strings.Repeat("a", 64): []byte("evil")},
		"in images":           {dir + "evil": []byte("evil")},
		"out of images":       {"images/../.tokens": []byte("evil")},
		"another version's":   {"images/debian/bookworm/amd64/web/20260930_0607/rootfs.tar.xz": []byte("evil")},
		"other checksums":     {dir + "SHA256SUMS": []byte("evil")},
		"another's signature": {dir + "rootfs.tar.xz.asc": state[dir+"meta.tar.xz.asc"]},
		"no checksums":        {dir + "SHA256SUMS": nil},
		"a blob that is not there": {catalog.Path: as(func(c *catalog.Catalog) {
			i := c.Images[0]
			i.Versions = slices.Clone(i.Versions)
			v := i.Versions[1]
			v.Artifacts = slices.Clone(v.Artifacts)
			v.Artifacts[0].Papers = append(slices.Clone(v.Artifacts[0].Papers), catalog.File{Name: "x", Size: 1, SHA256: digest.Of([]byte("x"))})
			i.Versions[1] = v
			c.Images = []catalog.Image{i}
		})},
	} {
		t.Run(summary, func(t *testing.T) {
			all := maps.Clone(state)
			for name, data := range files {
				if all[name] = data; data == nil {
					delete(all, name)
				}
			}
			err := send(all)
			if code := fault.CodeOf(err); code != fault.Verification && code != fault.NotFound || fault.HintOf(err) == "" {
				t.Errorf("it says %v", err)
			}
			s.sound()
		})
	}
	// Of what was refused at the end, names may be there of a version that nobody is told of.
	if after := census(t, s.dir); !maps.Equal(before, without(after, dir)) {
		t.Errorf("the tree is\n%v\nand was\n%v", after, before)
	}
	t.Run("old", func(t *testing.T) {
		all := maps.Clone(state)
		all[catalog.Path] = as(func(c *catalog.Catalog) { c.Serial++ })
		if err := send(all); !errors.Is(err, place.ErrChanged) {
			t.Errorf("it says %v", err)
		}
		// And the present one is no excuse for other files.
		all = maps.Clone(state)
		all[catalog.Path] = []byte(s.read(catalog.Path))
		if err := send(all); fault.CodeOf(err) != fault.Verification {
			t.Errorf("it says %v", err)
		}
	})
	t.Run("blobs", func(t *testing.T) {
		name := catalog.BlobPath(digest.Of([]byte("other")))
		err := remote.Put(name, func(w io.Writer) error { _, err := io.WriteString(w, "evil"); return err })
		if fault.CodeOf(err) != fault.Verification {
			t.Errorf("it says %v", err)
		}
		if _, err := os.Stat(filepath.Join(s.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Error("it is there")
		}
		own := errors.New("cannot be read")
		if err := remote.Put(name, func(io.Writer) error { return own }); !errors.Is(err, own) {
			t.Errorf("it says %v", err)
		}
	})
	if err := send(state); err != nil {
		t.Errorf("what is right is refused: %v", err)
	}
	s.sound()
}

// TestIntake: what is asked for that publishers do not ask for.
func TestIntake(t *testing.T) {
	s, h := served(t)
	if r := ask(h, "PUT /.publish/state"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("nobody gets %d", r.StatusCode)
	}
	reader, writer, _ := s.tokens(time.Time{})
	for _, path := range []string{"GET /.publish/", "PUT /.publish/state", "HEAD //.publish/blobs/x"} {
		if r := ask(h, path, "Authorization: Bearer "+reader); r.StatusCode != http.StatusForbidden {
			t.Errorf("a reader gets %d for %s", r.StatusCode, path)
		}
		if r := ask(h, path, "Authorization: Bearer "+writer); r.StatusCode != http.StatusBadRequest {
			t.Errorf("where nothing is taken it is %d for %s", r.StatusCode, path)
		}
	}
	h.Intake, h.Now = s.Place.(*Dir), func() time.Time { return s.clock }
	for path, want := range map[string]int{
		"GET /.publish/": 204, "PUT /.publish/": 400, "GET /.publish/state": 400, "PUT /.publish/state": 422, "POST /.publish/sweep": 400,
		"POST /.publish/sweep?grace=-1h": 400, "POST /.publish/sweep?grace=1h&dry=1": 200, "PUT /.publish/blobs/nothing": 400, "HEAD /.publish/blobs/" + strings.Repeat("a", 64) + "?size=4": 404,
		"PUT /.publish/blobs/../../.tokens": 400, "DELETE /.publish/blobs/" + strings.Repeat("a", 64): 400, "GET /.publish/../.tokens": 400,
	} {
		if r := ask(h, path, "Authorization: Bearer "+writer); r.StatusCode != want {
			t.Errorf("%s gets %d, want %d: %s", path, r.StatusCode, want, body(r))
		}
	}
}

// A body that comes too slowly holds no connection for ever, and one that comes is not cut.
func TestPacedBody(t *testing.T) {
	deadlines := 0
	w := &readDeadliner{ResponseWriter: httptest.NewRecorder(), set: func(time.Time) { deadlines++ }}
	b := &pacedBody{io.LimitReader(zeros{}, 3*piece), http.NewResponseController(w), time.Minute, 0}
	if n, err := io.Copy(io.Discard, b); err != nil || n != 3*piece || deadlines < 3 || deadlines > 5 {
		t.Errorf("%d bytes, %v, %d deadlines", n, err, deadlines)
	}
}

type readDeadliner struct {
	http.ResponseWriter
	set func(time.Time)
}

func (r *readDeadliner) SetReadDeadline(t time.Time) error { r.set(t); return nil }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestRemoteFirst: a tree that has nothing but a key takes no other's index.
func TestRemoteFirst(t *testing.T) {
	s, _ := remoteStage(t)
	art := t.TempDir()
	lxcPair(t, art, "web", "one")
	stranger := mustKey(t, start.Add(-time.Hour))
	public, err := stranger.Public()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "key.asc"), public, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.try(art, ""); fault.CodeOf(err) != fault.Verification || !strings.Contains(fault.HintOf(err), "--sign-key") {
		t.Errorf("it says %v", err)
	}
	s.Key = stranger
	s.publish(art, "")
	s.sound()
}

func anyHead(map[string][]byte) error { return nil }

func FuzzUnpackState(f *testing.F) {
	var b strings.Builder
	if err := packState(&b, map[string][]byte{"a": []byte("one"), "b/c": []byte("one"), "d": nil}); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(b.String()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := unpackState(strings.NewReader(string(data)), anyHead)
		if err != nil {
			if fault.CodeOf(err) != fault.Verification {
				t.Error(err)
			}
			return
		}
		var again strings.Builder
		if err := packState(&again, files); err != nil {
			t.Fatal(err)
		}
		back, err := unpackState(strings.NewReader(again.String()), anyHead)
		if err != nil || len(back) != len(files) {
			t.Errorf("%d files of %d, %v", len(back), len(files), err)
		}
	})
}

// census is the digest of every file of a tree, by its name.
func census(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		name, rerr := filepath.Rel(dir, path)
		out[name] = digest.Of(data).String()
		return errors.Join(err, rerr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// without leaves out what begins so.
func without(files map[string]string, prefix string) map[string]string {
	out := maps.Clone(files)
	maps.DeleteFunc(out, func(name, _ string) bool { return strings.HasPrefix(name, prefix) })
	return out
}

// TestIntakeSweep: a token alone has nothing removed that clients may still ask for.
func TestIntakeSweep(t *testing.T) {
	s, h := served(t)
	_, writer, _ := s.tokens(time.Time{})
	h.Intake, h.Now = s.Place.(*Dir), func() time.Time { return s.clock }
	two := t.TempDir()
	lxcPair(t, two, "web", "two")
	s.clock = s.clock.Add(time.Hour)
	s.publish(two, "")
	if got, err := s.Prune(t.Context(), catalog.Policy{Keep: 1}, Grace, false); err != nil || got.Waiting != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	before := census(t, s.dir)
	s.clock = s.clock.Add(time.Minute)
	if r := ask(h, "POST /.publish/sweep?grace=0s", "Authorization: Bearer "+writer); r.StatusCode != http.StatusOK {
		t.Errorf("it gets %d: %s", r.StatusCode, body(r))
	}
	if after := census(t, s.dir); !maps.Equal(before, after) {
		t.Errorf("%d files are left of %d", len(after), len(before))
	}
}

// TestIntakeAgain: a blob that is there stays the file that versions have under their names, whoever sends it
// again; one that is damaged is mended.
func TestIntakeAgain(t *testing.T) {
	s, h := served(t)
	_, writer, _ := s.tokens(time.Time{})
	dir := s.Place.(*Dir)
	h.Intake, h.Now = dir, func() time.Time { return s.clock }
	text := s.read(webRoot)
	blob := catalog.BlobPath(digest.Of([]byte(text)))
	send := func() {
		t.Helper()
		r := httptest.NewRequest(http.MethodPut, "http://host/.publish/blobs/"+digest.Of([]byte(text)).String(), strings.NewReader(text))
		r.Header.Set("Authorization", "Bearer "+writer)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusNoContent || s.read(blob) != text {
			t.Errorf("it gets %d: %s", w.Code, w.Body)
		}
	}
	if send(); !dir.Same(blob, webRoot) {
		t.Error("it takes its space twice")
	}
	if err := os.WriteFile(filepath.Join(s.dir, blob), []byte(strings.ToUpper(text)), 0o644); err != nil {
		t.Fatal(err)
	}
	send()
}

// TestIntakeMemory: a state takes no more memory than one of its catalog can need, and next to none where
// that is nobody's who may publish.
func TestIntakeMemory(t *testing.T) {
	s, h := served(t)
	_, writer, _ := s.tokens(time.Time{})
	h.Intake, h.Now = s.Place.(*Dir), func() time.Time { return s.clock }
	zeros := make([]byte, 200<<20)
	for summary, files := range map[string]map[string][]byte{
		"no catalog":            {"meta/1.0/a": zeros},
		"the catalog of others": {catalog.Path: []byte("evil"), "meta/1.0/a": zeros},
		"the present one":       {catalog.Path: []byte(s.read(catalog.Path)), "meta/1.0/a": zeros},
		"beside it":             {catalog.Path: []byte(s.read(catalog.Path)), "ingot/v1/rotation-A.asc": zeros},
	} {
		var b strings.Builder
		if err := packState(&b, files); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPut, "http://host/.publish/state", strings.NewReader(b.String()))
		r.Header.Set("Authorization", "Bearer "+writer)
		w := httptest.NewRecorder()
		var was, is runtime.MemStats
		runtime.ReadMemStats(&was)
		h.ServeHTTP(w, r)
		runtime.ReadMemStats(&is)
		if n := (is.TotalAlloc - was.TotalAlloc) >> 20; w.Code != http.StatusUnprocessableEntity || n > 150 {
			t.Errorf("%s: %d, and %d MiB", summary, w.Code, n)
		}
	}
}
