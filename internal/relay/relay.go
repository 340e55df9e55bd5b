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
	"io"
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
	// Open gives the file of an http or https address, which stays the same for as long as
	// the lock does; one that is not there is fs.ErrNotExist or a fault.NotFound. What is
	// asked beside the address is in it too, behind a "#", by its digest: a query may be a
	// token, and an address goes into the lock and into papers.
	Open func(ctx context.Context, address string, q Question) (*os.File, error)
	// Authority has the relay answer https; without it https is refused.
	Authority *Authority
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
	case q.Method == http.MethodConnect && r.Authority == nil:
		r.refuse(w, http.StatusForbidden, "%s: what is encrypted cannot be locked", q.Host)
	case q.Method == http.MethodConnect:
		r.serveTunnel(w, q)
	case q.URL.Host == "" && q.Method == http.MethodPost:
		r.serveCall(w, q)
	case q.URL.Host == "" || q.URL.Scheme != "http":
		r.refuse(w, http.StatusBadRequest, "%s: not a request for a proxy", q.URL.Path)
	default:
		r.serveRequest(w, q)
	}
}

// serveRequest answers a request for a file, which has a whole address.
func (r *Relay) serveRequest(w http.ResponseWriter, q *http.Request) {
	if q.Method != http.MethodGet && q.Method != http.MethodHead && !isGit(q) {
		r.refuse(w, http.StatusMethodNotAllowed, "%s %s: only files can be had", q.Method, Canonical(q.URL))
		return
	}
	address, question, err := asked(q)
	if err != nil {
		r.refuse(w, http.StatusBadRequest, "%s: %v", Canonical(q.URL), err)
		return
	}
	f, err := r.Open(q.Context(), address, question)
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
	first := make([]byte, 64)
	n, _ := f.ReadAt(first, 0)
	if kind := gitType(q, first[:n]); kind != "" {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = io.Copy(w, f)
		return
	}
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

// Canonical is an address without what does not name a file: the default port, a user, a
// query, a fragment, empty parts of the path.
func Canonical(u *url.URL) string {
	scheme, port := "http", ":80"
	if u.Scheme == "https" {
		scheme, port = "https", ":443"
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), port)
	path := u.EscapedPath()
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	path = strings.ReplaceAll(path, "/./", "/")
	return scheme + "://" + host + path
}
