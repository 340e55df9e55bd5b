package ext4

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ingot/internal/tree"
)

// writeChunk is how many bytes are made and written at once. Chunks begin at
// multiples of it, so that a destination of larger blocks sees each of its
// blocks from one goroutine.
const writeChunk = 1 << 20

// maxWriters bounds the goroutines: beyond, the destination's lock is all they see.
const maxWriters = 4

// WriteTo writes the filesystem to w, whose offset 0 is the filesystem's start
// and which must hold zeros: blocks of zeros are not written, and the last block
// written is seldom the last of the filesystem, so the caller sets w's size. w
// must take writes from several goroutines; each begins and ends at multiples of
// 4096, none crosses a multiple of 1 MiB, and all of them lie within [FS.Extents].
// File contents come from r.
func (fs *FS) WriteTo(ctx context.Context, w io.WriterAt, r *tree.Reader) error {
	var chunks []Extent
	for _, e := range fs.Extents() {
		for e.Length > 0 {
			n := min(e.Length, writeChunk-e.Offset%writeChunk)
			chunks = append(chunks, Extent{e.Offset, n})
			e.Offset, e.Length = e.Offset+n, e.Length-n
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), maxWriters, len(chunks)) {
		group.Go(func() error {
			buf := make([]byte, writeChunk)
			for {
				i := next.Add(1) - 1
				if i >= int64(len(chunks)) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				c := chunks[i]
				if err := fs.render(r, c.Offset/blockSize, buf[:c.Length]); err != nil {
					return err
				}
				if err := writeSparse(w, buf[:c.Length], c.Offset); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

var zeros [blockSize]byte

// writeSparse writes all blocks that are not zero, neighbours together.
func writeSparse(w io.WriterAt, b []byte, off int64) error {
	for at := 0; at < len(b); {
		if bytes.Equal(b[at:at+blockSize], zeros[:]) {
			at += blockSize
			continue
		}
		end := at + blockSize
		for end < len(b) && !bytes.Equal(b[end:end+blockSize], zeros[:]) {
			end += blockSize
		}
		if _, err := w.WriteAt(b[at:end], off+int64(at)); err != nil {
			return fmt.Errorf("ext4: cannot write %d bytes at %d: %w", end-at, off+int64(at), err)
		}
		at = end
	}
	return nil
}

// A view reads a filesystem that is written nowhere.
type view struct {
	fs *FS
	r  *tree.Reader
}

func (v view) ReadAt(p []byte, off int64) (int, error) {
	size := v.fs.Size()
	if off < 0 {
		return 0, fmt.Errorf("ext4: cannot read at %d", off)
	}
	if off >= size {
		return 0, io.EOF
	}
	var end error
	if int64(len(p)) > size-off {
		p, end = p[:size-off], io.EOF
	}
	n := 0
	for n < len(p) {
		at := off + int64(n)
		if whole := (len(p) - n) / blockSize * blockSize; at%blockSize == 0 && whole > 0 {
			if err := v.fs.render(v.r, at/blockSize, p[n:n+whole]); err != nil {
				return n, err
			}
			n += whole
			continue
		}
		var block [blockSize]byte
		if err := v.fs.render(v.r, at/blockSize, block[:]); err != nil {
			return n, err
		}
		n += copy(p[n:], block[at%blockSize:])
	}
	return n, end
}
