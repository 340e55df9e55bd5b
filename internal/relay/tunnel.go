package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// serveTunnel answers CONNECT: the program believes to speak to the server that it
// named, and gets from it what the lock has.
func (r *Relay) serveTunnel(w http.ResponseWriter, q *http.Request) {
	host, port, err := net.SplitHostPort(q.Host)
	if err != nil || host == "" {
		r.refuse(w, http.StatusBadRequest, "%s: not a host and its port", q.Host)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		r.refuse(w, http.StatusInternalServerError, "%s: %v", q.Host, err)
		return
	}
	defer func() { _ = conn.Close() }()
	if buffered.Reader.Buffered() > 0 {
		return // nobody speaks before he is answered
	}
	if _, err := conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		return
	}
	leaf, err := r.Authority.leaf(host)
	if err != nil {
		return
	}
	secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*leaf}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	if err := secure.HandshakeContext(q.Context()); err != nil {
		if r.Log != nil {
			r.Log("refused " + q.Host + ": the program does not speak TLS, or trusts other certificates than those of the build: " + err.Error())
		}
		return
	}
	l := &single{conn: secure, over: make(chan struct{})}
	s := &http.Server{
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return q.Context() },
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				l.close()
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
			at := host
			if port != "443" {
				at = net.JoinHostPort(host, port)
			} else if net.ParseIP(host) != nil && net.ParseIP(host).To4() == nil {
				at = "[" + host + "]"
			}
			in.URL = &url.URL{Scheme: "https", Host: at, Path: in.URL.Path, RawPath: in.URL.RawPath, RawQuery: in.URL.RawQuery}
			r.serveRequest(w, in)
		}),
	}
	_ = s.Serve(l)
}

// A single is a listener with one connection.
type single struct {
	conn net.Conn
	once sync.Once
	done sync.Once
	over chan struct{}
}

func (s *single) close() { s.done.Do(func() { close(s.over) }) }

// Accept gives the connection, and then waits until it has ended.
func (s *single) Accept() (net.Conn, error) {
	var c net.Conn
	s.once.Do(func() { c = s.conn })
	if c != nil {
		return c, nil
	}
	<-s.over
	return nil, errors.New("it was the only one")
}

// Close is called when nothing more is served.
func (s *single) Close() error { s.close(); return nil }

// Addr is the connection's.
func (s *single) Addr() net.Addr { return s.conn.LocalAddr() }
