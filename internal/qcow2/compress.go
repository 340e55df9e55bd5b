package qcow2

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"ingot/internal/disk"
)

// compress writes every cluster of the scratch file that is not zero.
func (im *Image) compress(ctx context.Context) error {
	out := &placer{im: im, at: im.meta.end, end: im.meta.end, next: im.meta.end}
	packer := func() (disk.Packer, error) { return newPacker(im.o.Compression) }
	if err := im.scratch.Pack(ctx, im.o.Workers, packer, out.put); err != nil {
		return err
	}
	return errors.Join(out.flush(), im.f.Truncate(out.next))
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

// put places a cluster of the disk: as it is where packing it gains nothing.
func (p *placer) put(guest int64, data []byte) error {
	if len(data) < cluster {
		return p.putCompressed(guest, data)
	}
	host := p.next
	p.next += cluster
	p.im.meta.set(guest, uint64(host)|copied)
	p.im.meta.count(host, cluster)
	return p.write(data, host)
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

// newPacker makes what compresses one cluster, or gives it back where that saves
// no sector: a reader takes whole ones.
func newPacker(c Compression) (disk.Packer, error) {
	pack, err := newCompressor(c)
	if err != nil {
		return nil, err
	}
	return func(b []byte) ([]byte, error) {
		p, err := pack(b)
		if len(p) > cluster-512 {
			p = b
		}
		return p, err
	}, nil
}

func newCompressor(c Compression) (disk.Packer, error) {
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
