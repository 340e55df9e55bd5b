package qcow2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

func dirOf(path string) string { return filepath.Dir(path) }

// A batch is some clusters of the disk in a row, which one goroutine compresses.
const batchClusters = 16

type batch struct {
	first  int64 // cluster of the disk
	data   []byte
	packed [][]byte // per cluster: nil is all zero, and the cluster itself where packing gains nothing
	err    error
	ready  chan struct{}
}

// compress reads the scratch file and writes every cluster that is not zero.
// Batches are compressed side by side and written in order.
func (im *Image) compress(ctx context.Context) error {
	workers := im.o.Workers
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
		for _, e := range im.extents {
			for off := e.Off; off < e.End(); off += batchClusters * cluster {
				b := &batch{
					first: off / cluster,
					data:  make([]byte, min(batchClusters*cluster, e.End()-off)),
					ready: make(chan struct{}),
				}
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
		}
	})
	for range workers {
		running.Go(func() {
			pack, err := newPacker(im.o.Compression)
			for b := range work {
				b.err = err
				if err == nil {
					b.err = im.pack(b, pack)
				}
				close(b.ready)
			}
		})
	}

	out := &placer{im: im, at: im.meta.end, end: im.meta.end, next: im.meta.end}
	for b := range order {
		select {
		case <-b.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		if b.err != nil {
			return b.err
		}
		if err := out.put(b); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(out.flush(), im.f.Truncate(out.next))
}

func (im *Image) pack(b *batch, pack packer) error {
	if _, err := im.scratch.ReadAt(b.data, b.first*cluster); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for c := b.data; len(c) > 0; c = c[cluster:] {
		one := c[:cluster]
		if isZero(one) {
			b.packed = append(b.packed, nil)
			continue
		}
		p, err := pack(one)
		if err != nil {
			return err
		}
		// Sectors count: a reader takes whole ones.
		if len(p) > cluster-512 {
			p = one
		}
		b.packed = append(b.packed, p)
	}
	return nil
}

func isZero(b []byte) bool {
	return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

// A placer gives clusters their places in the file: compressed ones close
// together, others at the next free cluster. A compressed one never spans two
// clusters of the file that do not follow each other.
type placer struct {
	im   *Image
	at   int64 // where the next compressed cluster goes
	end  int64 // end of the room there
	next int64 // first cluster of the file that nothing uses
	buf  []byte
	from int64 // where buf goes
}

func (p *placer) put(b *batch) error {
	for i, data := range b.packed {
		guest := b.first + int64(i)
		switch {
		case data == nil:
		case len(data) == cluster:
			host := p.next
			p.next += cluster
			p.im.meta.set(guest, uint64(host)|copied)
			p.im.meta.count(host, cluster)
			if err := p.write(data, host); err != nil {
				return err
			}
		default:
			if err := p.putCompressed(guest, data); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *placer) putCompressed(guest int64, data []byte) error {
	n := int64(len(data))
	if p.at+n > p.end {
		if p.end != p.next {
			p.at, p.end = p.next, p.next
		}
		p.end += cluster
		p.next = p.end
	}
	host := p.at
	p.at += n
	// The entry says how many sectors follow the one in which the data begin.
	sectors := (host+n-1)/512 - host/512
	const offsetBits = 62 - (clusterBits - 8)
	p.im.meta.set(guest, compressed|uint64(sectors)<<offsetBits|uint64(host))
	p.im.meta.count(host/512*512, (sectors+1)*512)
	return p.write(data, host)
}

// write gathers what follows each other into larger writes.
func (p *placer) write(data []byte, at int64) error {
	if p.from+int64(len(p.buf)) != at || len(p.buf) > 1<<20 {
		if err := p.flush(); err != nil {
			return err
		}
		p.from = at
	}
	p.buf = append(p.buf, data...)
	return nil
}

func (p *placer) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	_, err := p.im.f.WriteAt(p.buf, p.from)
	p.buf = p.buf[:0]
	return err
}

// A packer compresses one cluster.
type packer func([]byte) ([]byte, error)

func newPacker(c Compression) (packer, error) {
	switch c {
	case Zlib:
		// Raw deflate; the format allows a window of 4 KiB.
		w, err := flate.NewWriterWindow(nil, 4096)
		if err != nil {
			return nil, err
		}
		return func(b []byte) ([]byte, error) {
			var out bytes.Buffer
			w.Reset(&out)
			if _, err := w.Write(b); err != nil {
				return nil, err
			}
			err := w.Close()
			return out.Bytes(), err
		}, nil
	case Zstd:
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(cluster), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, err
		}
		return func(b []byte) ([]byte, error) { return e.EncodeAll(b, make([]byte, 0, cluster)), nil }, nil
	case None:
	}
	return nil, fmt.Errorf("qcow2: no compression %d", c)
}
