package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/catalog"
)

// served is a tree with one image, and its handler.
func served(t *testing.T) (*stage, *Handler) {
	t.Helper()
	s := newStage(t)
	art := t.TempDir()
	lxcPair(t, art, "web", "one")
	s.publish(art, "")
	h, err := NewHandler(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return s, h
}

// ask asks a handler: "METHOD PATH" and fields "Name: value".
func ask(h http.Handler, request string, fields ...string) *http.Response {
	method, path, _ := strings.Cut(request, " ")
	r := httptest.NewRequest(method, "http://host/", nil)
	u, err := url.ParseRequestURI(path)
	if err != nil {
		panic(err)
	}
	r.URL = u
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(r *http.Response) string {
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

func TestHandler(t *testing.T) {
	s, h := served(t)
	const dir = "images/debian/bookworm/amd64/web/20260930_0607/"
	secret := filepath.Join(filepath.Dir(s.dir), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"out": secret, "up": "../secret", "loop": "loop", "etc": "/etc"} {
		if err := os.Symlink(to, filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	whole := xzText("root of one")
	for _, c := range []struct {
		request string
		fields  []string
		code    int
		body    string
	}{
		{"GET /" + dir + "rootfs.tar.xz", nil, 200, whole},
		{"GET //" + strings.ReplaceAll(dir, "/", "//") + "rootfs.tar.xz", nil, 200, whole},
		{"HEAD /" + dir + "rootfs.tar.xz", nil, 200, ""},
		{"GET /" + dir + "rootfs.tar.xz", []string{"Range: bytes=5-"}, 206, whole[5:]},
		{"GET /" + dir + "rootfs.tar.xz", []string{"Range: bytes=0-3"}, 206, whole[:4]},
		{"GET /" + dir + "rootfs.tar.xz", []string{"Range: bytes=-3"}, 206, "one"},
		{"GET /" + dir + "rootfs.tar.xz", []string{"Range: bytes=99-"}, 416, ""},
		{"GET /" + dir + "rootfs.tar.xz", []string{"Range: bytes=5-", `If-Range: "other"`}, 200, whole},
		{"GET /key.asc?x=1", nil, 200, s.read("key.asc")},
		{"GET /pks/lookup?op=get&options=mr&search=0xABC", nil, 200, s.read("key.asc")},
		{"GET /pks/lookup?op=vindex&search=0xABC", nil, 404, ""},
		{"GET /", nil, 404, ""},
		{"GET /" + dir, nil, 404, ""},
		{"GET /" + strings.TrimSuffix(dir, "/"), nil, 404, ""},
		{"GET /nothing", nil, 404, ""},
		{"GET /key.asc/below", nil, 404, ""},
		{"GET /.state/key.asc", nil, 404, ""},
		{"GET /.lock", nil, 404, ""},
		{"GET /meta/../key.asc", nil, 404, ""},
		{"GET /meta/%2e%2e/%2e%2e/secret", nil, 404, ""},
		{"GET /..%2fsecret", nil, 404, ""},
		{"GET /..%5csecret", nil, 404, ""},
		{"GET /key.asc%00", nil, 404, ""},
		{"GET /out", nil, 404, ""},
		{"GET /up", nil, 404, ""},
		{"GET /loop", nil, 404, ""},
		{"GET /etc/passwd", nil, 404, ""},
		{"GET /" + strings.Repeat("a", 300), nil, 404, ""},
		{"GET /" + strings.Repeat("a/", 3000), nil, 404, ""},
		{"POST /key.asc", nil, 405, ""},
		{"PUT /key.asc", nil, 405, ""},
		{"DELETE /key.asc", nil, 405, ""},
	} {
		r := ask(h, c.request, c.fields...)
		got := body(r)
		if r.StatusCode != c.code || c.code < 300 && got != c.body {
			t.Errorf("%.80s %v: %d %q, want %d %q", c.request, c.fields, r.StatusCode, got, c.code, c.body)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(r.Header.Get("Content-Type"), "html") {
			t.Errorf("%.80s: %v", c.request, r.Header)
		}
	}
}

// A deadliner notes until when an answer may take.
type deadliner struct {
	*httptest.ResponseRecorder
	until []time.Time
}

func (d *deadliner) SetWriteDeadline(t time.Time) error {
	d.until = append(d.until, t)
	return nil
}

// TestDeadlines: each answer has a time of its own, also one that is refused: the time of the
// answer before on the same connection may be over.
func TestDeadlines(t *testing.T) {
	s, h := served(t)
	for _, request := range []string{"GET /key.asc", "GET /nothing", "GET /", "POST /key.asc", "GET /" + s.names("blobs")[0]} {
		method, path, _ := strings.Cut(request, " ")
		w := &deadliner{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if len(w.until) == 0 || time.Until(w.until[0]) < patience/2 {
			t.Errorf("%s: %v", request, w.until)
		}
	}
}

// TestTags: an entity tag is of the bytes. What lasts says so; an index is asked for
// again, and is short when it is the same.
func TestTags(t *testing.T) {
	s, h := served(t)
	blob := "/" + s.names("blobs")[0]
	for path, lasts := range map[string]bool{blob: true, "/images/debian/bookworm/amd64/web/20260930_0607/rootfs.tar.xz": true, "/" + catalog.Path: false, "/meta/1.0/index-user": false} {
		r := ask(h, "GET "+path)
		tag := r.Header.Get("ETag")
		if tag == "" || strings.Contains(r.Header.Get("Cache-Control"), "immutable") != lasts {
			t.Errorf("%s: %v", path, r.Header)
		}
		if again := ask(h, "GET "+path, "If-None-Match: "+tag); again.StatusCode != 304 || body(again) != "" {
			t.Errorf("%s: the same is %d", path, again.StatusCode)
		}
	}
	// Touched, as by a publisher that needs it again, it is the same.
	tag := ask(h, "HEAD "+blob).Header.Get("ETag")
	if err := os.Chtimes(filepath.Join(s.dir, blob), time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := ask(h, "HEAD "+blob).Header.Get("ETag"); got != tag {
		t.Errorf("touched: %s, was %s", got, tag)
	}
	old := ask(h, "GET /"+catalog.Path).Header.Get("ETag")
	if _, err := s.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := ask(h, "GET /"+catalog.Path, "If-None-Match: "+old); r.StatusCode != 200 {
		t.Errorf("a new index is %d", r.StatusCode)
	}
	zipped := ask(h, "GET /"+catalog.Path, "Accept-Encoding: gzip")
	z, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || string(b) != s.read(catalog.Path) || zipped.Header.Get("ETag") == old || zipped.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("compressed: %v %v", zipped.Header, err)
	}
	for _, field := range []string{"Accept-Encoding: identity", "Accept-Encoding: gzip;q=0", "Accept-Encoding: br"} {
		if r := ask(h, "GET /"+catalog.Path, field); r.Header.Get("Content-Encoding") != "" || body(r) != s.read(catalog.Path) {
			t.Errorf("%s: %v", field, r.Header)
		}
	}
	if r := ask(h, "GET "+blob, "Accept-Encoding: gzip"); r.Header.Get("Content-Encoding") != "" {
		t.Errorf("a blob is compressed: %v", r.Header)
	}
}

// certificate is one for 127.0.0.1, in files, and what believes it.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key, pool = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(os.WriteFile(cert, text, 0o644), os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600)); err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(text)
	return cert, key, pool
}

// run runs a service on loopback until the test, or stop, ends it.
func run(t *testing.T, s *Service) (address string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return runOn(t, s, l)
}

func runOn(t *testing.T, s *Service, l net.Listener) (address string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	var result error
	done := false
	stop = func() error {
		if !done {
			cancel()
			result, done = <-ended, true
		}
		return result
	}
	t.Cleanup(func() { _ = stop() })
	return l.Addr().String(), stop
}

// TestService: one address speaks HTTP/2 by TLS, HTTP/1.1 by TLS and in plain, to
// several at once, and writes a line for each answer.
func TestService(t *testing.T) {
	s, h := served(t)
	cert, key, pool := certificate(t)
	pair, err := Certificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	address, stop := run(t, &Service{Handler: h, TLS: &tls.Config{GetCertificate: pair, NextProtos: []string{"h2", "http/1.1"}}, Log: &log})
	two := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	one := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}}
	for _, c := range []struct {
		client *http.Client
		scheme string
		proto  int
	}{{two, "https", 2}, {one, "https", 1}, {one, "http", 1}} {
		r, err := c.client.Get(c.scheme + "://" + address + "/key.asc")
		if err != nil {
			t.Fatal(err)
		}
		if got := body(r); got != s.read("key.asc") || r.ProtoMajor != c.proto {
			t.Errorf("%s: HTTP/%d %q", c.scheme, r.ProtoMajor, got)
		}
		_ = r.Body.Close()
	}
	// Nobody writes lines of their own into the log.
	r, err := http.NewRequest("GET", "http://"+address+"/a%0ab", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", "evil\" \"")
	if resp, err := one.Do(r); err == nil {
		_ = resp.Body.Close()
	}
	one.CloseIdleConnections()
	two.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
	if len(lines) != 4 || !strings.Contains(lines[0], `"GET /key.asc HTTP/2.0" 200 `) || !strings.Contains(lines[3], `"GET /a%0ab HTTP/1.1" 404 `) || !strings.Contains(lines[3], `"evil\" \""`) {
		t.Errorf("the log is\n%s", log.String())
	}
}

// TestStop: what is being answered when the service ends is answered.
func TestStop(t *testing.T) {
	begun, goOn := make(chan bool), make(chan bool)
	address, stop := run(t, &Service{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-goOn
		fmt.Fprint(w, "whole")
	})})
	got := make(chan string)
	go func() {
		r, err := http.Get("http://" + address + "/")
		if err != nil {
			got <- err.Error()
			return
		}
		got <- body(r)
	}()
	<-begun
	ended := make(chan error)
	go func() { ended <- stop() }()
	// It takes no new connections from when it has heard of the end.
	for {
		c, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		_ = c.Close()
	}
	close(goOn)
	if g := <-got; g != "whole" {
		t.Errorf("got %q", g)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestSlowLoris: who never ends a request, or says nothing at all, is not waited for.
func TestSlowLoris(t *testing.T) {
	_, h := served(t)
	cert, key, _ := certificate(t)
	pair, err := Certificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	address, _ := run(t, &Service{Handler: h, TLS: &tls.Config{GetCertificate: pair}, headerTime: 200 * time.Millisecond})
	for _, begin := range []string{"", "G", "GET /key.asc HTTP/1.1\r\n", "\x16", "\x16\x03\x01"} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, begin); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, c); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: the connection stays open", begin)
		}
		_ = c.Close()
	}
}

// FuzzClean: whatever the path, what comes of it is below the tree and has no hidden part.
func FuzzClean(f *testing.F) {
	for _, p := range []string{"/a//b", "/../x", "/.state", "//", "/a/./b", "/a\x00"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		got := clean(p)
		if got == "" {
			return
		}
		if !filepath.IsLocal(got) || strings.HasPrefix(got, ".") || strings.Contains(got, "/.") || strings.Contains(got, "//") {
			t.Errorf("%q gives %q", p, got)
		}
	})
}
