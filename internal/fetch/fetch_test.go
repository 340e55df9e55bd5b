package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
)

// content is n bytes that do not compress and are the same in every run.
func content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// client pauses for no real time, and notes how long it would have.
func client(pauses *[]time.Duration) *fetch.Client {
	var mu sync.Mutex
	return &fetch.Client{
		Stall:  time.Minute, // none of these tests waits for it
		Jitter: func() float64 { return 0.5 },
		Sleep: func(ctx context.Context, d time.Duration) error {
			mu.Lock()
			defer mu.Unlock()
			if pauses != nil {
				*pauses = append(*pauses, d)
			}
			return ctx.Err()
		},
	}
}

// cut sends the headers of a whole file and only the first n bytes of what is left
// of it, then closes the connection.
func cut(w http.ResponseWriter, file []byte, from, n int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(file)-from))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(file)-1, len(file)))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(file[from : from+n])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// offset is where a range request starts, 0 without one.
func offset(r *http.Request) int {
	var n int
	_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &n)
	return n
}

const portal = "<!DOCTYPE html><html><body>Please log in</body></html>"

// A server's behaviour at its n-th request (from 1) for a file.
type behaviour func(w http.ResponseWriter, r *http.Request, n int, file []byte)

func good(w http.ResponseWriter, r *http.Request, _ int, file []byte) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
}

func status(code int) behaviour {
	return func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) { w.WriteHeader(code) }
}

// then behaves like first for k requests and like next afterwards.
func then(k int, first, next behaviour) behaviour {
	return func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
		if n <= k {
			first(w, r, n, file)
			return
		}
		next(w, r, n-k, file)
	}
}

func TestGet(t *testing.T) {
	const size = 3<<20 + 17
	file := content(size)
	other := append(bytes.Clone(file[:size-1]), file[size-1]^1) // differs in its last byte
	forged := append([]byte{file[0] ^ 1}, file[1:]...)          // differs in its first
	for _, test := range []struct {
		summary  string
		servers  []behaviour
		unknown  bool // neither size nor digest are known
		stall    time.Duration
		requests []int // how many each server saw; negative: at least so many
		code     fault.Code
		err      string // contained in the message
		pauses   string
	}{
		{summary: "a good server", servers: []behaviour{good}, requests: []int{1}},
		{summary: "a file without a known digest", servers: []behaviour{good}, unknown: true, requests: []int{1}},
		{summary: "a server that is busy at first", servers: []behaviour{then(2, status(503), good)},
			requests: []int{3}, pauses: "[500ms 1s]"},
		{summary: "a server that always fails", servers: []behaviour{status(500)}, requests: []int{4}, pauses: "[500ms 1s 2s]",
			code: fault.Unreachable, err: "cannot fetch pool/f.deb: SERVER0: answered 500 internal server error (4 tries)"},
		{summary: "a server that says when to come back", servers: []behaviour{then(1, func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(429)
		}, good)}, requests: []int{2}, pauses: "[7s]"},
		{summary: "a server that asks for an hour's patience gets a minute", servers: []behaviour{then(1, func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(503)
		}, good)}, requests: []int{2}, pauses: "[1m0s]"},
		{summary: "no such file", servers: []behaviour{status(404)}, requests: []int{2},
			code: fault.Unreachable, err: "answered 404 not found (2 tries)"},
		{summary: "no such file here, but at the next mirror", servers: []behaviour{status(404), good}, requests: []int{1, 1}, pauses: "[]"},
		{summary: "one mirror that is gone, one that forbids", servers: []behaviour{status(410), status(403)}, requests: []int{2, 2},
			code: fault.Unreachable, err: "SERVER0: answered 410 gone (2 tries); SERVER1: answered 403 forbidden (2 tries)"},
		{summary: "a cut connection is taken up again", servers: []behaviour{then(2, func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
			if n == 2 && offset(r) != 1000 {
				w.WriteHeader(599)
				return
			}
			cut(w, file, offset(r), 1000)
		}, func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
			if offset(r) != 2000 {
				w.WriteHeader(599)
				return
			}
			good(w, r, n, file)
		})}, requests: []int{3}},
		{summary: "attempts that bring a MiB are not counted", servers: []behaviour{func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
			if offset(r) > 2<<20+35 {
				good(w, r, n, file)
				return
			}
			if n%3 == 1 {
				cut(w, file, offset(r), 1<<20)
			}
			cut(w, file, offset(r), 10)
		}}, requests: []int{7}},
		{summary: "a server that always cuts", servers: []behaviour{func(w http.ResponseWriter, r *http.Request, _ int, file []byte) {
			cut(w, file, offset(r), 100)
		}}, requests: []int{4}, code: fault.Unreachable, err: "the connection broke after 400 of 3145745 bytes: it was cut (4 tries)"},
		{summary: "cut, at a server that knows no ranges", servers: []behaviour{then(1, func(w http.ResponseWriter, _ *http.Request, _ int, file []byte) {
			cut(w, file, 0, 70000)
		}, func(w http.ResponseWriter, _ *http.Request, _ int, file []byte) { _, _ = w.Write(file) })}, requests: []int{2}},
		{summary: "cut, then the wrong range, then all", servers: []behaviour{then(1, func(w http.ResponseWriter, _ *http.Request, _ int, file []byte) {
			cut(w, file, 0, 70000)
		}, then(1, func(w http.ResponseWriter, _ *http.Request, _ int, file []byte) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(file)-1, len(file)))
			w.WriteHeader(206)
			_, _ = w.Write(file)
		}, good))}, requests: []int{3}},
		{summary: "cut, then the range is refused, then all", servers: []behaviour{then(1, func(w http.ResponseWriter, _ *http.Request, _ int, file []byte) {
			cut(w, file, 0, 70000)
		}, then(1, status(416), good))}, requests: []int{3}},
		{summary: "what is thrown away again is none that came: the range is refused every time", servers: []behaviour{then(20, func(w http.ResponseWriter, r *http.Request, _ int, file []byte) {
			if offset(r) > 0 {
				w.WriteHeader(416)
				return
			}
			cut(w, file, 0, 3<<19)
		}, good)}, requests: []int{4}, code: fault.Unreachable, err: "refused to continue the file (4 tries)"},
		{summary: "what is thrown away again is none that came: the range is not heeded", servers: []behaviour{then(20, func(w http.ResponseWriter, _ *http.Request, n int, file []byte) {
			cut(w, file, 0, []int{3 << 20, 3 << 19}[n%2])
		}, good)}, requests: []int{5}, code: fault.Unreachable, err: "it was cut (4 tries)"},
		{summary: "after wrong bytes it counts from the start what comes", servers: []behaviour{then(1, func(w http.ResponseWriter, r *http.Request, n int, _ []byte) {
			good(w, r, n, other)
		}, then(6, func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
			cut(w, file, offset(r), map[bool]int{true: 1 << 20, false: 10}[n == 4])
		}, good))}, requests: []int{8}},
		{summary: "cut at one mirror, continued at the next", servers: []behaviour{
			func(w http.ResponseWriter, _ *http.Request, _ int, file []byte) { cut(w, file, 0, 70000) },
			func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
				if offset(r) != 70000 {
					w.WriteHeader(599)
					return
				}
				good(w, r, n, file)
			}}, requests: []int{1, 1}},
		{summary: "cut, without digest or validator: from the start", unknown: true, servers: []behaviour{then(1,
			func(w http.ResponseWriter, _ *http.Request, _ int, file []byte) { cut(w, file, 0, 70000) },
			func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
				if r.Header.Get("Range") != "" {
					w.WriteHeader(599)
					return
				}
				good(w, r, n, file)
			})}, requests: []int{2}},
		{summary: "cut, and the file changes: If-Range gives the new one", unknown: true, servers: []behaviour{then(1,
			func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) {
				w.Header().Set("ETag", `"old"`)
				cut(w, other[1:], 0, 70000)
			},
			func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
				if offset(r) != 70000 || r.Header.Get("If-Range") != `"old"` {
					w.WriteHeader(599)
					return
				}
				w.Header().Set("ETag", `"new"`)
				good(w, r, n, file)
			})}, requests: []int{2}},
		{summary: "a server that stalls in the body", servers: []behaviour{then(1, func(w http.ResponseWriter, r *http.Request, _ int, file []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(file)))
			_, _ = w.Write(file[:50000])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, good)}, stall: 300 * time.Millisecond, requests: []int{-2}},
		{summary: "a server that never answers", servers: []behaviour{func(_ http.ResponseWriter, r *http.Request, _ int, _ []byte) {
			<-r.Context().Done()
		}}, stall: 100 * time.Millisecond, requests: []int{-1}, code: fault.Unreachable, err: "nothing came for 100ms (after 0 of 3145745 bytes) (4 tries)"},
		{summary: "a server that trickles", servers: []behaviour{func(w http.ResponseWriter, r *http.Request, _ int, file []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(file)))
			for i := 0; r.Context().Err() == nil; i++ {
				_, _ = w.Write(file[i : i+1])
				_ = http.NewResponseController(w).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		}}, stall: 100 * time.Millisecond, requests: []int{-1}, code: fault.Unreachable, err: "nothing came for 100ms"},
		{summary: "a captive page", servers: []behaviour{func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) {
			_, _ = io.WriteString(w, portal)
		}}, requests: []int{3}, code: fault.Unreachable, err: "the answer looks like a web page (text/html), not like the file (3 tries)"},
		{summary: "a captive page instead of a file without a digest", unknown: true, servers: []behaviour{func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) {
			_, _ = io.WriteString(w, portal)
		}}, requests: []int{3}, code: fault.Unreachable, err: "web page"},
		{summary: "a network that wants a login", servers: []behaviour{status(511)}, requests: []int{3}, code: fault.Unreachable, err: "asks for a login"},
		{summary: "a captive page that goes away", servers: []behaviour{then(1, func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) {
			_, _ = io.WriteString(w, portal)
		}, good)}, requests: []int{2}},
		{summary: "other bytes", servers: []behaviour{func(w http.ResponseWriter, r *http.Request, n int, _ []byte) { good(w, r, n, other) }},
			requests: []int{2}, code: fault.Verification, err: "pool/f.deb is not what its index says: SERVER0: the file there has SHA-256 "},
		{summary: "other bytes from one mirror, right ones from the next", servers: []behaviour{
			func(w http.ResponseWriter, r *http.Request, n int, _ []byte) { good(w, r, n, other) }, good}, requests: []int{1, 1}},
		{summary: "other bytes from one mirror, none from the next", servers: []behaviour{
			func(w http.ResponseWriter, r *http.Request, n int, _ []byte) { good(w, r, n, other) }, status(404)}, requests: []int{2, 2},
			code: fault.Verification, err: "404"},
		{summary: "other bytes out of a cache that can be asked not to", servers: []behaviour{func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
			if r.Header.Get("Cache-Control") != "no-cache" {
				file = other
			}
			good(w, r, n, file)
		}}, requests: []int{2}},
		{summary: "a resumed file whose first part was other bytes is fetched anew", servers: []behaviour{then(1, func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) {
			cut(w, forged, 0, 70000)
		}, good)}, requests: []int{3}},
		{summary: "too short", servers: []behaviour{func(w http.ResponseWriter, r *http.Request, n int, file []byte) { good(w, r, n, file[:size-1]) }},
			requests: []int{2}, code: fault.Verification, err: "the file there is 3145744 bytes long, not 3145745"},
		{summary: "too short, in chunks", servers: []behaviour{func(w http.ResponseWriter, _ *http.Request, _ int, file []byte) {
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(file[:size-1])
		}}, requests: []int{2}, code: fault.Verification, err: "the file there is 3145744 bytes long, not 3145745"},
		{summary: "cut, where nothing but the end of the connection ends a file", servers: []behaviour{then(2, func(w http.ResponseWriter, r *http.Request, _ int, file []byte) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			at := offset(r)
			_, _ = fmt.Fprintf(conn, "HTTP/1.0 %s\r\nContent-Range: bytes %d-%d/%d\r\n\r\n%s",
				map[bool]string{false: "200 OK", true: "206 Partial Content"}[at > 0], at, len(file)-1, len(file), file[at:at+1000])
			_ = conn.Close()
		}, good)}, requests: []int{3}},
		{summary: "too long", servers: []behaviour{func(w http.ResponseWriter, r *http.Request, n int, file []byte) { good(w, r, n, append(file, 0)) }},
			requests: []int{2}, code: fault.Verification, err: "the file there is 3145746 bytes long, not 3145745"},
		{summary: "without end", servers: []behaviour{func(w http.ResponseWriter, r *http.Request, _ int, file []byte) {
			for r.Context().Err() == nil {
				if _, err := w.Write(file); err != nil {
					return
				}
			}
		}}, requests: []int{2}, code: fault.Verification, err: "is longer than 3145745 bytes"},
		{summary: "without end and without a known size", unknown: true, servers: []behaviour{func(w http.ResponseWriter, r *http.Request, _ int, file []byte) {
			for r.Context().Err() == nil {
				if _, err := w.Write(file); err != nil {
					return
				}
			}
		}}, requests: []int{2}, code: fault.Verification, err: "is longer than 4194304 bytes"},
		{summary: "redirected in a circle", servers: []behaviour{func(w http.ResponseWriter, r *http.Request, _ int, _ []byte) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}}, requests: []int{12}, code: fault.Unreachable, err: "redirected more than 5 times"},
		{summary: "redirected to a file of this machine", servers: []behaviour{func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(302)
		}}, requests: []int{2}, code: fault.Unreachable, err: "redirected from http to file, which is not followed"},
		{summary: "redirected once", servers: []behaviour{func(w http.ResponseWriter, r *http.Request, n int, file []byte) {
			if !strings.HasSuffix(r.URL.Path, "/there") {
				http.Redirect(w, r, r.URL.Path+"/there", http.StatusMovedPermanently)
				return
			}
			good(w, r, n, file)
		}}, requests: []int{2}},
	} {
		t.Run(test.summary, func(t *testing.T) {
			t.Parallel()
			seen := make([]atomic.Int32, len(test.servers))
			var urls, hosts []string
			for i, b := range test.servers {
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					b(w, r, int(seen[i].Add(1)), bytes.Clone(file))
				}))
				defer s.Close()
				hosts = append(hosts, s.URL)
				urls = append(urls, strings.Replace(s.URL, "//", "//user:secret@", 1)+"/pool/f.deb")
			}
			want := fetch.Want{Name: "pool/f.deb", URLs: urls, Size: size, SHA256: digest.Of(file)}
			if test.unknown {
				want = fetch.Want{Name: "pool/f.deb", URLs: urls, Max: 4 << 20}
			}
			var pauses []time.Duration
			path := filepath.Join(t.TempDir(), "f")
			c := client(&pauses)
			if test.stall > 0 {
				c.Stall = test.stall
			}
			got, err := c.Save(t.Context(), want, path)
			if fault.CodeOf(err) != test.code {
				t.Fatalf("exit code %d, want %d: %v", fault.CodeOf(err), test.code, err)
			}
			for i := range seen {
				if n, want := int(seen[i].Load()), test.requests[i]; n != want && (want >= 0 || n < -want) {
					t.Errorf("server %d saw %d requests, want %d", i, n, want)
				}
			}
			if test.pauses != "" && fmt.Sprint(pauses) != test.pauses {
				t.Errorf("paused %v, want %s", pauses, test.pauses)
			}
			if err == nil {
				b, err := os.ReadFile(path)
				if err != nil || !bytes.Equal(b, file) {
					t.Errorf("got %d bytes, %v; not the file", len(b), err)
				}
				if got.Size != size || got.SHA256 != digest.Of(file) {
					t.Errorf("got %+v", got)
				}
				return
			}
			msg := err.Error()
			for i, h := range hosts {
				msg = strings.ReplaceAll(msg, h, fmt.Sprint("SERVER", i))
			}
			if !strings.Contains(msg, test.err) {
				t.Errorf("error %q does not contain %q", msg, test.err)
			}
			if strings.Contains(msg, "secret") || strings.Contains(msg, "user") {
				t.Errorf("error %q tells a secret", msg)
			}
			if fault.HintOf(err) == "" {
				t.Errorf("error %q has no hint", msg)
			}
			left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
			hidden, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
			if len(left)+len(hidden) > 0 {
				t.Errorf("something was kept: %v %v", left, hidden)
			}
		})
	}
}

func TestIsMissing(t *testing.T) {
	for _, test := range []struct {
		summary string
		codes   []int
		want    bool
	}{
		{"not found", []int{404}, true},
		{"not found anywhere", []int{404, 410}, true},
		{"forbidden", []int{403}, false},
		{"not found here, broken there", []int{404, 500}, false},
	} {
		t.Run(test.summary, func(t *testing.T) {
			var urls []string
			for _, code := range test.codes {
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
				defer s.Close()
				urls = append(urls, s.URL)
			}
			_, err := client(nil).Get(t.Context(), fetch.Want{Name: "f", URLs: urls, Max: 1}, &fetch.Buffer{})
			if fetch.IsMissing(err) != test.want || fault.CodeOf(err) != fault.Unreachable {
				t.Errorf("missing %v, want %v: %v", !test.want, test.want, err)
			}
		})
	}
}

func TestNoDowngrade(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "evil") }))
	defer plain.Close()
	tls := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL, http.StatusFound)
	}))
	defer tls.Close()
	c := client(nil)
	c.Transport = tls.Client().Transport
	_, err := c.Get(t.Context(), fetch.Want{Name: "f", URLs: []string{tls.URL}, Max: 10}, &fetch.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "redirected from https to http, which is not followed") {
		t.Errorf("got %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close() // nobody listens there now
	_, err = client(nil).Get(t.Context(), fetch.Want{Name: "f", URLs: []string{"http://u:p4ss@" + addr + "/f"}, Max: 10}, &fetch.Buffer{})
	if fault.CodeOf(err) != fault.Unreachable || !strings.Contains(err.Error(), "connection refused (4 tries)") || strings.Contains(err.Error(), "p4ss") {
		t.Errorf("got %v", err)
	}
}

func TestFileURL(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a+b~1 c"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		url  string
		size int64
		sum  string
		code fault.Code
		err  string
	}{
		{url: "a+b~1%20c", size: 5, sum: "hello"},
		{url: "a+b~1%20c", size: 5, sum: "jello", code: fault.Verification, err: "SHA-256"},
		{url: "a+b~1%20c", size: 4, sum: "hell", code: fault.Verification, err: "is 5 bytes long, not 4"},
		{url: "none", size: 5, sum: "hello", code: fault.Unreachable, err: "no such file"},
		{url: "", size: 5, sum: "hello", code: fault.Unreachable, err: "is not a file"},
	} {
		var b fetch.Buffer
		_, err := client(nil).Get(t.Context(), fetch.Want{
			Name: "x", URLs: []string{"file://" + dir + "/" + test.url}, Size: test.size, SHA256: digest.Of([]byte(test.sum)),
		}, &b)
		switch {
		case fault.CodeOf(err) != test.code:
			t.Errorf("%s: exit code %d, want %d: %v", test.url, fault.CodeOf(err), test.code, err)
		case err == nil && string(b.Bytes()) != test.sum:
			t.Errorf("%s: got %q", test.url, b.Bytes())
		case err != nil && (!strings.Contains(err.Error(), test.err) || len(b.Bytes()) > 0):
			t.Errorf("%s: got %v, kept %q", test.url, err, b.Bytes())
		}
	}
}

// A sink on a full file system.
type fullSink struct{ *os.File }

func (fullSink) Reset() error { return nil }

func TestNoSpace(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer s.Close()
	_, err = client(nil).Get(t.Context(), fetch.Want{Name: "f", URLs: []string{s.URL}, Max: 10}, fullSink{f})
	if fault.CodeOf(err) != fault.Preflight || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer s.Close()
	c := client(nil)
	_, err := c.Get(ctx, fetch.Want{Name: "f", URLs: []string{s.URL}, Max: 10}, &fetch.Buffer{})
	if !errors.Is(err, context.Canceled) || fault.CodeOf(err) != fault.Interrupted {
		t.Errorf("got %v", err)
	}
}

func TestMany(t *testing.T) {
	const n = 40
	var busy, most atomic.Int32
	var order []int64
	var mu sync.Mutex
	gate := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), busy.Add(1)))
		defer busy.Add(-1)
		var size int64
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &size)
		mu.Lock()
		order = append(order, size)
		if len(order) == 16 {
			close(gate) // sixteen are here at once
		}
		mu.Unlock()
		<-gate
		_, _ = w.Write(content(int(size)))
	}))
	defer s.Close()
	var jobs []fetch.Job
	var came, events atomic.Int32
	for i := range n {
		size := int64(1000 + i*7%n*100)
		var b fetch.Buffer
		jobs = append(jobs, fetch.Job{
			Want: fetch.Want{Name: fmt.Sprint(size), URLs: []string{fmt.Sprintf("%s/%d", s.URL, size)}, Size: size, SHA256: digest.Of(content(int(size)))},
			To:   func() (fetch.Sink, error) { return &b, nil },
			Done: func(got fetch.Got, err error) error {
				if err == nil && int64(len(b.Bytes())) == size && got.Size == size {
					came.Add(1)
				}
				return nil
			},
		})
	}
	c := client(nil)
	c.Progress = func(e fetch.Event) {
		if e.Over && e.Done == e.Total {
			events.Add(1)
		}
	}
	if err := c.Many(t.Context(), jobs); err != nil {
		t.Fatal(err)
	}
	if came.Load() != n || events.Load() != n {
		t.Errorf("%d files and %d events came of %d", came.Load(), events.Load(), n)
	}
	if most.Load() != 16 {
		t.Errorf("at most %d at once, want 16", most.Load())
	}
	for _, size := range order[:16] {
		if size < 1000+24*100 {
			t.Errorf("%d is among the first sixteen, which should be the biggest: %v", size, order)
		}
	}
}

func TestManyFails(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(404)
			return
		}
		<-r.Context().Done() // never, unless the client gives up
	}))
	defer s.Close()
	var opened, done atomic.Int32
	job := func(name string) fetch.Job {
		return fetch.Job{
			Want: fetch.Want{Name: name, URLs: []string{s.URL + "/" + name}, Max: 10},
			To: func() (fetch.Sink, error) {
				opened.Add(1)
				return &fetch.Buffer{}, nil
			},
			Done: func(_ fetch.Got, err error) error {
				if err != nil {
					done.Add(1)
				}
				return nil
			},
		}
	}
	c := client(nil)
	err := c.Many(t.Context(), []fetch.Job{job("slow"), job("bad"), job("slower")})
	if fault.CodeOf(err) != fault.Unreachable || !strings.Contains(err.Error(), "cannot fetch bad") {
		t.Errorf("got %v", err)
	}
	if opened.Load() != done.Load() {
		t.Errorf("%d sinks opened, %d given back", opened.Load(), done.Load())
	}
}
