package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/distro/debian"
	"ingot/internal/lock"
)

// A mirror serves Debian's archives at /debian and /debian-security of a port on
// loopback, byte for byte as this machine's own mirror has them, but for what a
// test does to them.
type mirror struct {
	server *httptest.Server
	source *source
	// answer, if set, may answer a request itself: it says whether it did.
	answer func(w http.ResponseWriter, r *http.Request) bool
	// alter, if set, gives other bytes for a path.
	alter func(path string, data []byte) []byte

	mu    sync.Mutex
	asked []string // paths, with " range" after those that ask for the rest of a file
}

// A source keeps files of the real mirror: those that never change from run to
// run, the others as long as this one lasts.
type source struct {
	dir   string
	fixed string // kept between runs
	roots map[string][]string

	mu    sync.Mutex
	files map[string]*kept
}

type kept struct {
	once sync.Once
	file string
	code int // of the real mirror's answer
	err  error
}

// realMirror serves what the real one has.
func realMirror(t *testing.T, dir string) *mirror {
	t.Helper()
	find := debian.Mirrors{Env: strings.TrimSpace(os.Getenv("INGOT_MIRROR_DEBIAN")), Host: debian.AptSources("/")}
	s := &source{dir: t.TempDir(), fixed: dir, roots: map[string][]string{}, files: map[string]*kept{}}
	for _, a := range debian.DefaultArchives("bookworm") {
		s.roots[a.Name] = find.Roots(lock.Archive{Name: a.Name, URL: a.URL, Suites: a.Suites})
	}
	return s.serve(t)
}

// serve starts another mirror with the same files.
func (s *source) serve(t *testing.T) *mirror {
	t.Helper()
	m := &mirror{source: s}
	m.server = httptest.NewServer(m)
	t.Cleanup(m.close)
	return m
}

// close ends all connections, also those that a handler holds.
func (m *mirror) close() {
	m.server.CloseClientConnections()
	m.server.Close()
}

// debian is its URL of Debian's main archive.
func (m *mirror) debian() string { return m.server.URL + "/debian" }

func (m *mirror) port() int { return m.server.Listener.Addr().(*net.TCPAddr).Port }

// requests gives the paths that were asked for.
func (m *mirror) requests() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.asked...)
}

// ServeHTTP answers one request.
func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	note := r.URL.Path
	if r.Header.Get("Range") != "" {
		note += " range"
	}
	m.mu.Lock()
	m.asked = append(m.asked, note)
	m.mu.Unlock()
	if m.answer != nil && m.answer(w, r) {
		return
	}
	k := m.source.get(r.URL.Path)
	switch {
	case k.err != nil:
		http.Error(w, k.err.Error(), http.StatusBadGateway)
		return
	case k.code != http.StatusOK:
		http.Error(w, "not there", k.code)
		return
	}
	data, err := os.ReadFile(k.file)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if m.alter != nil {
		data = m.alter(r.URL.Path, data)
	}
	sum := sha256.Sum256(data)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// get gives a file of the real mirror.
func (s *source) get(name string) *kept {
	s.mu.Lock()
	k := s.files[name]
	if k == nil {
		k = &kept{}
		s.files[name] = k
	}
	s.mu.Unlock()
	k.once.Do(func() { k.code, k.err = s.fetch(name, k) })
	return k
}

func (s *source) fetch(name string, k *kept) (int, error) {
	archive, rest, ok := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	if !ok || s.roots[archive] == nil || path.Clean(name) != name {
		return http.StatusNotFound, nil
	}
	dir := s.dir
	if strings.HasPrefix(rest, "pool/") || strings.Contains(rest, "/by-hash/") {
		dir = s.fixed
	}
	k.file = filepath.Join(dir, filepath.FromSlash(path.Clean(name)))
	if _, err := os.Stat(k.file); err == nil {
		return http.StatusOK, nil
	}
	code, err := 0, error(nil)
	for _, root := range s.roots[archive] {
		for range 3 {
			if code, err = download(root+"/"+rest, k.file); err == nil && (code == http.StatusOK || code == http.StatusNotFound) {
				break
			}
		}
		if err == nil && code == http.StatusOK {
			break
		}
	}
	return code, err
}

// download saves a file, whole or not at all.
func download(url, to string) (code int, err error) {
	resp, err := http.Get(url) //nolint:noctx // the server outlives every test that asks
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(filepath.Dir(to), ".new-")
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, resp.Body)
	err = errors.Join(err, f.Close())
	if err == nil && resp.ContentLength >= 0 && n != resp.ContentLength {
		err = fmt.Errorf("%s: %d bytes of %d", url, n, resp.ContentLength)
	}
	if err == nil {
		err = os.Rename(f.Name(), to)
	}
	return resp.StatusCode, err
}

func sha256File(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// flip changes one byte.
func flip(data []byte, at int) []byte {
	out := bytes.Clone(data)
	out[at] ^= 0x20
	return out
}
