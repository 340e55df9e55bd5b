package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

// A Scratch keeps a disk's planned blocks until all are written, for a format
// that cannot place a block before its bytes are known: a compressed one. It is
// a sparse file that has no name and vanishes with the process.
type Scratch struct {
	*Placed
	file *os.File
}

// NewScratch makes a scratch file in the directory of the image's file: where
// there is room for images.
func NewScratch(image File, b Blocks) (*Scratch, error) {
	f, err := os.CreateTemp(filepath.Dir(image.Name()), ".disk-*")
	if err != nil {
		return nil, fmt.Errorf("cannot make a scratch file for %s: %w", image.Name(), err)
	}
	p, err := b.In(f, 0, b.unit)
	if err := errors.Join(os.Remove(f.Name()), err); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Scratch{p, f}, nil
}

// Close gives the scratch file up. A second time it does nothing.
func (s *Scratch) Close() error {
	if err := s.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// A Packer compresses one block. What it gives may be the block itself.
type Packer func(block []byte) ([]byte, error)

// batchBytes is how much of a disk one goroutine compresses at a time.
const batchBytes = 1 << 20

type batch struct {
	first  int64 // block of the disk
	at     int64 // in the scratch file
	data   []byte
	packed [][]byte // per block; nil is all zero
	err    error
	ready  chan struct{}
}

// Pack compresses every planned block that is not all zero, side by side in so
// many goroutines, and gives them to put in the order of their place on the disk,
// with their number there. Zero workers are one a core. Each worker makes a
// Packer of its own. Neither number nor speed of workers changes what put sees.
// A last block that the disk's end cuts is filled up with zeros.
func (s *Scratch) Pack(ctx context.Context, workers int, packer func() (Packer, error), put func(n int64, packed []byte) error) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	work := make(chan *batch)
	order := make(chan *batch, 2*workers) // bounds what is in memory
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	running.Go(func() {
		defer close(work)
		defer close(order)
		for b := range s.batches() {
			select {
			case order <- b:
			case <-ctx.Done():
				return
			}
			select {
			case work <- b:
			case <-ctx.Done():
				return
			}
		}
	})
	for range workers {
		running.Go(func() {
			pack, err := packer()
			for b := range work {
				b.err = err
				if err == nil {
					b.err = s.pack(b, pack)
				}
				close(b.ready)
			}
		})
	}

	for b := range order {
		select {
		case <-b.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		if b.err != nil {
			return b.err
		}
		for i, packed := range b.packed {
			if packed == nil {
				continue
			}
			if err := put(b.first+int64(i), packed); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// batches cuts the planned extents into what one goroutine takes at a time.
func (s *Scratch) batches() iter.Seq[*batch] {
	step := max(s.unit, batchBytes/s.unit*s.unit)
	return func(yield func(*batch) bool) {
		for i, e := range s.extents {
			for off := int64(0); off < e.Len; off += step {
				b := &batch{
					first: (e.Off + off) / s.unit,
					at:    s.At(s.before[i]) + off,
					data:  make([]byte, min(step, e.Len-off)),
					ready: make(chan struct{}),
				}
				if !yield(b) {
					return
				}
			}
		}
	}
}

func (s *Scratch) pack(b *batch, pack Packer) error {
	if _, err := s.f.ReadAt(b.data, b.at); err != nil {
		return err
	}
	for c := b.data; len(c) > 0; c = c[s.unit:] {
		one := c[:s.unit:s.unit]
		if isZero(one) {
			b.packed = append(b.packed, nil)
			continue
		}
		p, err := pack(one)
		if err != nil {
			return err
		}
		b.packed = append(b.packed, p)
	}
	return nil
}

func isZero(b []byte) bool {
	return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

// Contents are the planned blocks, one behind the other.
func (s *Scratch) Contents() io.Reader { return io.NewSectionReader(s.file, 0, s.End()) }
