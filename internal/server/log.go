package server

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// quietLog drops what net/http says of connections that clients gave up.
func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }

// An account writes a line for each answer, in the form that web servers have in
// common ("combined"), with how long it took behind it, and counts it.
type account struct {
	next    http.Handler
	out     io.Writer // or nil
	metrics *Metrics  // or nil
	now     func() time.Time
	mu      sync.Mutex
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := a.now()
	m := &measured{ResponseWriter: w}
	defer func() {
		took := a.now().Sub(start)
		a.metrics.answer(r, max(m.code, 200), m.sent, took)
		if a.out == nil {
			return
		}
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = r.RemoteAddr
		}
		size := "-"
		if m.sent > 0 {
			size = strconv.FormatInt(m.sent, 10)
		}
		line := fmt.Sprintf("%s - - [%s] \"%s %s %s\" %d %s %s %s %.3f\n", host, start.Format("02/Jan/2006:15:04:05 -0700"),
			word(r.Method), word(r.URL.RequestURI()), word(r.Proto), max(m.code, 200), size, quoted(r.Referer()), quoted(r.UserAgent()), took.Seconds())
		a.mu.Lock()
		defer a.mu.Unlock()
		_, _ = io.WriteString(a.out, line)
	}()
	a.next.ServeHTTP(m, r)
}

// word is a part of a request, so that no client can write a line of its own.
func word(s string) string {
	const most = 2048
	q := strconv.QuoteToASCII(s[:min(len(s), most)])
	return q[1 : len(q)-1]
}

func quoted(s string) string {
	if s == "" {
		return `"-"`
	}
	return `"` + strings.ReplaceAll(word(s), "\n", "") + `"`
}

// measured notes what an answer was.
type measured struct {
	http.ResponseWriter
	code int
	sent int64
}

func (m *measured) WriteHeader(code int) {
	if m.code == 0 {
		m.code = code
	}
	m.ResponseWriter.WriteHeader(code)
}

func (m *measured) Write(b []byte) (int, error) {
	n, err := m.ResponseWriter.Write(b)
	m.sent += int64(n)
	return n, err
}

// ReadFrom lets the kernel copy files.
func (m *measured) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(m.ResponseWriter, r)
	m.sent += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (m *measured) Unwrap() http.ResponseWriter { return m.ResponseWriter }
