package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A caller is one connection that requests are made on one after the other.
type caller struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func call(t *testing.T, address string) *caller {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return &caller{t, c, bufio.NewReader(c)}
}

func (c *caller) send(path string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path); err != nil {
		c.t.Fatal(err)
	}
}

// code is the next answer's, or 0 if the connection ends.
func (c *caller) code() int {
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, r.Body)
	return r.StatusCode
}

// TestLimit: a connection beyond the bound waits while all others are at work, and takes the place
// of one that is idle.
func TestLimit(t *testing.T) {
	begun, goOn := make(chan bool), make(chan bool)
	address, _ := run(t, &Service{Connections: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			begun <- true
			<-goOn
		}
		fmt.Fprint(w, "whole")
	})})
	first, second := call(t, address), call(t, address)
	first.send("/long")
	<-begun
	second.send("/short")
	answered := make(chan int, 1)
	go func() { answered <- second.code() }()
	select {
	case code := <-answered:
		t.Errorf("the second got %d while the first was at work", code)
	case <-time.After(100 * time.Millisecond):
	}
	close(goOn)
	if code := first.code(); code != 200 {
		t.Errorf("the first got %d", code)
	}
	// It says nothing more, and keeps its connection: that does not hold the second up.
	if code := <-answered; code != 200 {
		t.Errorf("the second got %d", code)
	}
	if code := first.code(); code != 0 {
		t.Errorf("the first got %d on a connection that had to go", code)
	}
}

// TestLimitOfAddress: one address does not get all connections, and what it gave up it has again.
func TestLimitOfAddress(t *testing.T) {
	_, h := served(t)
	m := NewMetrics()
	address, _ := run(t, &Service{Handler: h, PerAddress: 2, Metrics: m})
	var two [2]*caller
	for n := range two {
		two[n] = call(t, address)
		two[n].send("/key.asc")
		if code := two[n].code(); code != 200 {
			t.Fatalf("connection %d got %d", n, code)
		}
	}
	third := call(t, address)
	third.send("/key.asc")
	if code := third.code(); code != 0 {
		t.Errorf("the third got %d", code)
	}
	// Another address, which Linux has as well.
	other, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	c := &caller{t, other, bufio.NewReader(other)}
	c.send("/key.asc")
	if code := c.code(); code != 200 {
		t.Errorf("another address got %d", code)
	}
	_ = two[0].conn.Close()
	for deadline := time.Now().Add(time.Minute); ; {
		again := call(t, address)
		again.send("/key.asc")
		if again.code() == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what was given up is not free again")
		}
	}
	var b strings.Builder
	m.write(&b)
	if !strings.Contains(b.String(), `ingot_http_refused_total{limit="connections of one address"}`) {
		t.Errorf("metrics have\n%s", b.String())
	}
}

func TestNeighbour(t *testing.T) {
	for _, c := range [][2]string{
		{"192.0.2.1:5", "192.0.2.1:6"}, {"[::ffff:192.0.2.1]:5", "192.0.2.1:6"}, {"[2001:db8::1]:5", "[2001:db8::ffff:1]:6"}, {"[fe80::1%eth0]:5", "[fe80::2]:6"},
	} {
		if a, b := neighbourOf(c[0]), neighbourOf(c[1]); a != b || !a.IsValid() {
			t.Errorf("%s is of %s, and %s of %s", c[0], a, c[1], b)
		}
	}
	if neighbourOf("192.0.2.1:5") == neighbourOf("192.0.2.2:5") || neighbourOf("[2001:db8::1]:5") == neighbourOf("[2001:db8:0:1::1]:5") {
		t.Error("strangers are counted together")
	}
}

// TestThrottle: an address may save up requests for ten seconds, and has its rate then.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newThrottle(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), 5, time.Now, nil)
		from := func(address string) *http.Response {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = address
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Result()
		}
		count := func(most int) int {
			for n := range most {
				if r := from("192.0.2.1:1"); r.StatusCode == http.StatusTooManyRequests {
					if r.Header.Get("Retry-After") != "1" {
						t.Errorf("try again after %q s", r.Header.Get("Retry-After"))
					}
					return n
				}
			}
			return most
		}
		if n := count(1000); n != 50 {
			t.Errorf("%d requests at once", n)
		}
		if r := from("192.0.2.2:1"); r.StatusCode != 200 {
			t.Errorf("another address got %d", r.StatusCode)
		}
		time.Sleep(2 * time.Second)
		if n := count(1000); n != 10 {
			t.Errorf("%d requests after two seconds", n)
		}
		time.Sleep(time.Hour)
		if n := count(1000); n != 50 {
			t.Errorf("%d requests after an hour", n)
		}
	})
}

// TestThrottleForgets: memory is bounded, whoever comes.
func TestThrottleForgets(t *testing.T) {
	h := newThrottle(nil, 1, time.Now, nil)
	for n := range maxWatched * 2 {
		h.take(neighbourOf(fmt.Sprintf("[2001:db8:%x:%x::1]:1", n>>16, n&0xffff)))
	}
	if len(h.until) > maxWatched {
		t.Errorf("%d addresses are remembered", len(h.until))
	}
}

// TestSlowReader: who asks for much and takes nothing is cut off, however much it is.
func TestSlowReader(t *testing.T) {
	s, h := served(t)
	h.patience = 100 * time.Millisecond
	const size = 1 << 33
	large := filepath.Join(s.dir, "large")
	if err := os.WriteFile(large, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, size); err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool, 1)
	address, _ := run(t, &Service{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		ended <- true
	})})
	c := call(t, address)
	c.send("/large")
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("the answer still waits for who takes nothing")
	}
	n, err := io.Copy(io.Discard, c.r)
	if n >= size || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes came, %v", n, err)
	}
}

// TestPieces: an answer of many pieces is whole, whoever writes it.
func TestPieces(t *testing.T) {
	w := httptest.NewRecorder()
	p := newPaced(w, time.Minute)
	text := strings.Repeat("0123456789", piece/4)
	n, err := io.CopyN(p, strings.NewReader(text), int64(len(text))-3)
	if err != nil || n != int64(len(text))-3 {
		t.Fatal(n, err)
	}
	if _, err := io.WriteString(p, text[n:]); err != nil {
		t.Fatal(err)
	}
	if w.Body.String() != text {
		t.Error("other bytes came out")
	}
}
