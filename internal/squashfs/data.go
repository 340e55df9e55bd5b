package squashfs

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"

	"ingot/internal/sparse"
	"ingot/internal/tree"
)

// stored is where a content lies.
type stored struct {
	size     int64
	start    int64    // of its first block in the file system
	blocks   []uint32 // their sizes; 0 is a block of zeros that has no bytes
	holes    int64    // bytes that are not there
	fragment uint32   // which one holds its end, or none32
	offset   uint32   // in that one
}

// A fragment is a block of files' ends.
type fragment struct {
	at   int64
	size uint32
}

// A job is a block on its way to the file: compressed in the background, written
// when all before it are.
type job struct {
	data   []byte
	size   uint32
	err    error
	done   chan struct{}
	placed func(at int64, size uint32)
}

// contents writes all files' blocks and fragments.
func (b *builder) contents() error {
	workers := b.o.Workers
	if workers <= 0 {
		workers = min(runtime.GOMAXPROCS(0), 16)
	}
	ctx, cancel := context.WithCancelCause(b.ctx)
	defer cancel(nil)
	p := &press{ctx: ctx, b: b, queue: make(chan *job, 2*workers)}
	p.workers.SetLimit(workers)
	var all errgroup.Group
	all.Go(func() error {
		defer close(p.queue)
		err := p.read()
		_ = p.workers.Wait() // a job has its own error
		if err != nil {
			cancel(err)
		}
		return err
	})
	all.Go(func() error {
		for j := range p.queue {
			<-j.done
			if j.err == nil && ctx.Err() == nil {
				at := b.at
				if j.err = b.put(j.data); j.err == nil {
					j.placed(at, j.size)
				}
			}
			if j.err != nil {
				cancel(j.err)
			}
		}
		return nil
	})
	_ = all.Wait()
	return context.Cause(ctx)
}

// A press reads contents and passes blocks on.
type press struct {
	ctx     context.Context // ends, with its cause, when anything fails
	b       *builder
	workers errgroup.Group
	queue   chan *job
	open    []byte // of the fragment that is not full
}

func (p *press) read() error {
	for e := range p.b.t.All() {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		if e.Kind != tree.File || e.Content.Size == 0 || p.b.data[key(e)] != nil {
			continue
		}
		if err := p.file(e); err != nil {
			return fmt.Errorf("/%s: %w", e.Path, err)
		}
	}
	return p.flush()
}

// key names a content.
func key(e tree.Entry) string { return string(e.Content.Digest[:]) }

func (p *press) file(e tree.Entry) error {
	pack, err := p.b.r.Pack(e.Content.Pack)
	if err != nil {
		return err
	}
	whole := e.Content.Size / blockSize
	s := &stored{size: e.Content.Size, start: -1, fragment: none32, blocks: make([]uint32, whole)}
	p.b.data[key(e)] = s
	for i := range whole {
		at := e.Content.Offset + i*blockSize
		data, err := readBlock(pack, at)
		if err != nil {
			return err
		}
		if data == nil {
			s.holes += blockSize
			continue
		}
		if err := p.add(data, func(at int64, size uint32) {
			if s.start < 0 {
				s.start = at
			}
			s.blocks[i] = size
		}); err != nil {
			return err
		}
	}
	rest := int(e.Content.Size % blockSize)
	if rest == 0 {
		return nil
	}
	if len(p.open)+rest > blockSize {
		if err := p.flush(); err != nil {
			return err
		}
	}
	s.fragment, s.offset = uint32(len(p.b.fragments)), uint32(len(p.open))
	n := len(p.open)
	if p.open == nil {
		p.open = make([]byte, 0, blockSize)
	}
	p.open = p.open[:n+rest]
	_, err = io.ReadFull(io.NewSectionReader(pack, e.Content.Offset+whole*blockSize, int64(rest)), p.open[n:])
	return err
}

// readBlock reads a block, or gives nil for one of zeros. A hole is not read, and
// what reads as zeros is none the less: which of both it is depends on the host.
func readBlock(pack *os.File, at int64) ([]byte, error) {
	start, _, err := sparse.Next(pack, at, at+blockSize)
	if err != nil || start >= at+blockSize {
		return nil, err
	}
	data := make([]byte, blockSize)
	if _, err := io.ReadFull(io.NewSectionReader(pack, at, blockSize), data); err != nil {
		return nil, err
	}
	for _, c := range data {
		if c != 0 {
			return data, nil
		}
	}
	return nil, nil
}

// flush closes the open fragment. Its place in the list is known now, and filled in
// when it is written.
func (p *press) flush() error {
	if len(p.open) == 0 {
		return nil
	}
	data := p.open
	p.open = nil
	f := &fragment{}
	p.b.fragments = append(p.b.fragments, f)
	return p.add(data, func(at int64, size uint32) { f.at, f.size = at, size })
}

// add passes a block on.
func (p *press) add(data []byte, placed func(at int64, size uint32)) error {
	j := &job{done: make(chan struct{}), placed: placed}
	select {
	case p.queue <- j:
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
	p.workers.Go(func() error {
		defer close(j.done)
		j.data, j.size, j.err = p.b.code.block(data)
		return nil
	})
	return nil
}
