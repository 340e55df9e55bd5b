// Package blockfs writes filesystems that are planned as functions from block
// numbers to bytes. The blocks of such a filesystem can be made in any order, on
// any number of cores, and come out the same.
package blockfs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ingot/internal/disk"
)

// BlockSize is the size of a block, in bytes.
const BlockSize = 4096

// A Render fills buf, whole blocks, with those of a filesystem from the given one
// on. Several goroutines call it at once.
type Render func(first int64, buf []byte) error

// writeChunk is how many bytes are made and written at once. Chunks begin at
// multiples of it, so that a destination of larger blocks sees each of its
// blocks from one goroutine.
const writeChunk = 1 << 20

// maxWriters bounds the goroutines: beyond, the destination's lock is all they see.
const maxWriters = 4

// Write writes the blocks of the extents, which are in order and made of whole
// blocks, to w. It must hold zeros: blocks of zeros are not written, and the last
// block written is seldom the last of the filesystem, so the caller sets w's size. w
// must take writes from several goroutines; each begins and ends at multiples of
// 4096, none crosses a multiple of 1 MiB, and all of them lie within the extents.
func Write(ctx context.Context, w io.WriterAt, extents []disk.Extent, render Render) error {
	var chunks []disk.Extent
	for _, e := range extents {
		for e.Len > 0 {
			n := min(e.Len, writeChunk-e.Off%writeChunk)
			chunks = append(chunks, disk.Extent{Off: e.Off, Len: n})
			e.Off, e.Len = e.Off+n, e.Len-n
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
				if err := render(c.Off/BlockSize, buf[:c.Len]); err != nil {
					return err
				}
				if err := WriteSparse(w, buf[:c.Len], c.Off); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

var zeros [BlockSize]byte

// WriteSparse writes all blocks of b that are not zero, neighbours together.
func WriteSparse(w io.WriterAt, b []byte, off int64) error {
	for at := 0; at < len(b); {
		if bytes.Equal(b[at:at+BlockSize], zeros[:]) {
			at += BlockSize
			continue
		}
		end := at + BlockSize
		for end < len(b) && !bytes.Equal(b[end:end+BlockSize], zeros[:]) {
			end += BlockSize
		}
		if _, err := w.WriteAt(b[at:end], off+int64(at)); err != nil {
			return fmt.Errorf("cannot write %d bytes at %d: %w", end-at, off+int64(at), err)
		}
		at = end
	}
	return nil
}

// A view reads a filesystem that is written nowhere.
type view struct {
	size   int64
	render Render
}

// NewReaderAt reads a filesystem of a size in bytes as if it had been written.
func NewReaderAt(size int64, render Render) io.ReaderAt { return view{size, render} }

// ReadAt makes the blocks that are asked for.
func (v view) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("cannot read a filesystem at %d", off)
	}
	if off >= v.size {
		return 0, io.EOF
	}
	var end error
	if int64(len(p)) > v.size-off {
		p, end = p[:v.size-off], io.EOF
	}
	n := 0
	for n < len(p) {
		at := off + int64(n)
		if whole := (len(p) - n) / BlockSize * BlockSize; at%BlockSize == 0 && whole > 0 {
			if err := v.render(at/BlockSize, p[n:n+whole]); err != nil {
				return n, err
			}
			n += whole
			continue
		}
		var block [BlockSize]byte
		if err := v.render(at/BlockSize, block[:]); err != nil {
			return n, err
		}
		n += copy(p[n:], block[at%BlockSize:])
	}
	return n, end
}
