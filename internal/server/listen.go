package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A Service is what answers on an address.
type Service struct {
	Handler http.Handler
	// TLS, when it is there, has the certificate. The same address then speaks TLS and
	// plain HTTP: Incus and LXD try the latter first, and what they get is held to a digest.
	TLS *tls.Config
	// Connections bounds how many there may be at once; 0 means 4096. More wait, and idle
	// ones make room for them.
	Connections int
	// PerAddress bounds how many of them one address may have; 0 is any number. More are
	// closed.
	PerAddress int
	// Requests bounds how many a second one address may make, in the long run; 0 is any number.
	Requests float64
	// Log gets a line for each answer.
	Log io.Writer
	// Metrics, when it is there, counts.
	Metrics *Metrics
	// Now is the clock of the log; nil means time.Now.
	Now func() time.Time
	// headerTime is how long a request's head may take; a test is more impatient.
	headerTime time.Duration
}

// Times of connections.
const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	graceTime  = 30 * time.Second
)

// maxStreams is how many requests one connection of HTTP/2 may have under way.
const maxStreams = 64

// Serve answers until the context ends, and then lets answers that are under way come
// to their end, for a while.
func (s *Service) Serve(ctx context.Context, l net.Listener) error {
	n := s.Connections
	if n <= 0 {
		n = 4096
	}
	handler := s.Handler
	if s.Requests > 0 {
		handler = newThrottle(handler, s.Requests, s.now, s.Metrics)
	}
	if s.Log != nil || s.Metrics != nil {
		handler = &account{next: handler, out: s.Log, metrics: s.Metrics, now: s.now}
	}
	head := s.headerTime
	if head <= 0 {
		head = headerTime
	}
	gate := newGate(l, n, s.PerAddress, s.Metrics)
	srv := &http.Server{
		Handler: handler, ConnState: gate.state, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ReadHeaderTimeout: head, ReadTimeout: head, IdleTimeout: idleTime, MaxHeaderBytes: 16 << 10,
		TLSConfig: s.TLS, ErrorLog: quietLog(), BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	if srv.TLSConfig != nil {
		// Small records at the beginning let a browser show a page sooner; for files they are
		// more work.
		srv.TLSConfig = srv.TLSConfig.Clone()
		srv.TLSConfig.DynamicRecordSizingDisabled = true
	}
	ended := make(chan error, 2)
	if s.TLS == nil {
		go func() { ended <- srv.Serve(gate) }()
	} else {
		plain, secure := newSplit(gate, head)
		go func() { ended <- srv.Serve(plain) }()
		go func() { ended <- srv.ServeTLS(secure, "", "") }()
	}
	select {
	case err := <-ended:
		_ = srv.Close()
		return fmt.Errorf("cannot serve: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		return errors.Join(err, srv.Close())
	}
	return nil
}

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// A split takes one listener apart, by what clients say first: a record of TLS or a
// request in plain.
type split struct {
	net.Listener
	conns chan net.Conn
	done  chan struct{}
	once  *sync.Once
	fail  *atomic.Value
}

func newSplit(l net.Listener, head time.Duration) (plain, secure *split) {
	done, once, fail := make(chan struct{}), new(sync.Once), new(atomic.Value)
	plain = &split{l, make(chan net.Conn), done, once, fail}
	secure = &split{l, make(chan net.Conn), done, once, fail}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
					continue
				}
				fail.Store(err)
				once.Do(func() { close(done) })
				return
			}
			go func() {
				// Who says nothing is not waited for.
				_ = c.SetReadDeadline(time.Now().Add(head))
				b := &peeked{Conn: c, r: bufio.NewReaderSize(c, 64)}
				first, err := b.r.Peek(1)
				if err != nil {
					_ = c.Close()
					return
				}
				_ = c.SetReadDeadline(time.Time{})
				to := plain.conns
				if first[0] == 0x16 { // a handshake
					to = secure.conns
				}
				select {
				case to <- b:
				case <-done:
					_ = c.Close()
				}
			}()
		}
	}()
	return plain, secure
}

func (s *split) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		if err, ok := s.fail.Load().(error); ok {
			return nil, err
		}
		return nil, net.ErrClosed
	}
}

func (s *split) Close() error {
	err := s.Listener.Close()
	s.once.Do(func() { close(s.done) })
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// peeked is a connection of which something was read.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) {
	if p.r == nil {
		return p.Conn.Read(b)
	}
	n, err := p.r.Read(b)
	if p.r.Buffered() == 0 {
		p.r = nil
	}
	return n, err
}

// ReadFrom lets the kernel copy files.
func (p *peeked) ReadFrom(r io.Reader) (int64, error) { return p.Conn.(io.ReaderFrom).ReadFrom(r) }
