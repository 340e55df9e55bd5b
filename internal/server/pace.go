package server

import (
	"io"
	"net/http"
	"time"
)

// A client must take each piece of an answer within patience: who takes less than 8 KiB a
// second holds a place that others need.
const (
	piece    = 1 << 20 // bytes
	patience = piece / (8 << 10) * time.Second
)

// A paced answer goes out in pieces, each of which has a time of its own. One time for the whole of
// a large file would let a client that takes nothing stay for hours.
type paced struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	left     int // bytes of the piece
}

// newPaced begins with a time for the head: that of the answer before on the same connection may
// be over.
func newPaced(w http.ResponseWriter, patience time.Duration) *paced {
	p := &paced{w, http.NewResponseController(w), patience, 0}
	p.next()
	return p
}

// next begins a piece.
func (p *paced) next() {
	p.left = piece
	_ = p.control.SetWriteDeadline(time.Now().Add(p.patience)) // what has none is a test's
}

func (p *paced) Write(b []byte) (int, error) {
	if p.left < len(b) {
		p.next()
	}
	n, err := p.ResponseWriter.Write(b)
	p.left -= n
	return n, err
}

// ReadFrom lets the kernel copy files.
func (p *paced) ReadFrom(r io.Reader) (int64, error) {
	// What the kernel copies is a file within one bound, no deeper.
	limit := int64(1<<63 - 1)
	if l, ok := r.(*io.LimitedReader); ok {
		r, limit = l.R, l.N
		defer func() { l.N = limit }()
	}
	var sent int64
	for limit > 0 {
		p.next()
		want := min(limit, piece)
		n, err := io.Copy(p.ResponseWriter, io.LimitReader(r, want))
		sent, limit = sent+n, limit-n
		if err != nil || n < want {
			return sent, err
		}
	}
	return sent, nil
}

// Unwrap is for http.ResponseController.
func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }
