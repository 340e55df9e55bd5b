package tree

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// A Source opens packs: the files that contents point into. The cache is one; a
// test may be another. Open may be called from several goroutines.
type Source interface {
	// Open gives a pack for reading. The caller closes it.
	Open(pack string) (*os.File, error)
}

// A Reader reads file contents and keeps the packs it opened until Close. It is
// safe for several goroutines.
type Reader struct {
	src  Source
	mu   sync.Mutex
	open map[string]*os.File
}

// NewReader reads contents from src.
func NewReader(src Source) *Reader {
	return &Reader{src: src, open: map[string]*os.File{}}
}

// Pack is the open pack of that name; the Reader closes it.
func (r *Reader) Pack(pack string) (*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.open[pack]; ok {
		return f, nil
	}
	f, err := r.src.Open(pack)
	if err != nil {
		return nil, err
	}
	r.open[pack] = f
	return f, nil
}

// Hold makes an open file a pack of that name, in place of one that the reader
// holds. The Reader closes it.
func (r *Reader) Hold(pack string, f *os.File) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.open[pack]; ok {
		_ = old.Close()
	}
	r.open[pack] = f
}

// Content gives the bytes of a file. Nothing is checked here: packs are verified
// when they are made.
func (r *Reader) Content(c Content) (*io.SectionReader, error) {
	if c.Size == 0 {
		return io.NewSectionReader(nothing{}, 0, 0), nil
	}
	f, err := r.Pack(c.Pack)
	if err != nil {
		return nil, fmt.Errorf("cannot open pack %s: %w", c.Pack, err)
	}
	return io.NewSectionReader(f, c.Offset, c.Size), nil
}

// Close closes all packs.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var first error
	for _, f := range r.open {
		if err := f.Close(); err != nil && first == nil {
			first = err
		}
	}
	r.open = map[string]*os.File{}
	return first
}

type nothing struct{}

func (nothing) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
