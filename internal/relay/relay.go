// Package relay is all the network that a build's scripts see by default: a proxy on a
// loopback of their own, behind which lies what the lock names.
//
// A script that asks for http://ftp.debian.org/debian/dists/trixie/InRelease gets the
// bytes that the lock records under that name, wherever they come from and however old
// they are by now. What the lock does not know is fetched and recorded by the first
// build, and refused by a locked one. So apt-get, curl and the like run unmodified, with
// all of their options, and see the same world on every day.
//
// Beside files the relay takes calls: a program of the station, which is ingot itself by
// another name (see [Main]), passes its arguments to a function of the build and prints
// what that says. So the build can do for a script what a program of that name would do,
// and sooner.
package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"ingot/internal/fault"
)

// Port is where programs find the relay, on 127.0.0.1: the same in every build, since
// scripts may write it down.
const Port = 3128

// Proxy is the relay as an http_proxy variable names it.
var Proxy = fmt.Sprintf("http://127.0.0.1:%d", Port)

// A Relay answers requests. Its fields may not change once it serves.
type Relay struct {
	// Open gives the file of an http address, which stays the same for as long as the lock
	// does; one that is not there is fs.ErrNotExist or a fault.NotFound.
	Open func(ctx context.Context, address string) (*os.File, error)
	// Calls are the functions of programs, by name.
	Calls map[string]Call
	// Time is what all files were last changed at.
	Time time.Time
	// Log is told what was asked for and cannot be had.
	Log func(line string)
}

// Serve answers until the listener is closed.
func (r *Relay) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler:           r,
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	if err := s.Serve(l); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve the build's scripts: %w", err)
	}
	return nil
}

// ServeHTTP answers one request.
func (r *Relay) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	switch {
	case q.Method == http.MethodConnect:
		r.refuse(w, http.StatusForbidden, "%s: what is encrypted cannot be locked", q.Host)
	case q.URL.Host == "" && q.Method == http.MethodPost:
		r.serveCall(w, q)
	case q.URL.Host == "" || q.URL.Scheme != "http":
		r.refuse(w, http.StatusBadRequest, "%s: not a request for a proxy", q.URL)
	case q.Method != http.MethodGet && q.Method != http.MethodHead:
		r.refuse(w, http.StatusMethodNotAllowed, "%s %s: only files can be had", q.Method, q.URL)
	default:
		r.serveFile(w, q)
	}
}

func (r *Relay) serveFile(w http.ResponseWriter, q *http.Request) {
	address := Canonical(q.URL)
	f, err := r.Open(q.Context(), address)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrNotExist), fault.CodeOf(err) == fault.NotFound:
		// Programs ask for much that need not be there.
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	default:
		r.refuse(w, http.StatusBadGateway, "%s: %v", address, err)
		return
	}
	defer func() { _ = f.Close() }()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, q, "", r.Time, f)
}

// refuse says no to the program and tells the build.
func (r *Relay) refuse(w http.ResponseWriter, code int, text string, args ...any) {
	said := fmt.Sprintf(text, args...)
	if r.Log != nil {
		r.Log("refused " + said)
	}
	http.Error(w, "ingot: "+said, code)
}

// Canonical is an address without what does not name a file: the default port, a
// fragment, empty parts of the path.
func Canonical(u *url.URL) string {
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":80")
	path := u.EscapedPath()
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	path = strings.ReplaceAll(path, "/./", "/")
	out := "http://" + host + path
	if u.RawQuery != "" {
		out += "?" + u.RawQuery
	}
	return out
}
