// Package gzip writes one gzip member (RFC 1952) with all cores, for what others read
// as one stream: not all who read such files go on behind the first member. Kernels
// want each member of an initramfs to be a whole archive, and what clouds read with
// nobody knows. Where members may be many, and are cached, package artifact writes
// them.
package gzip

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"

	"github.com/klauspost/compress/flate"
	"golang.org/x/sync/errgroup"
)

// piece is how much is compressed by itself, in bytes.
const piece = 1 << 20

// level is gzip's own default.
const level = 6

// Write compresses what comes from r, side by side in so many goroutines; 0 is one a
// core, and the number changes no byte. Pieces end at the borders of bytes and need
// nothing of those before them, so that in a row they are one stream of deflate.
func Write(ctx context.Context, w io.Writer, r io.Reader, workers int) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if _, err := w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}); err != nil {
		return err
	}
	var sum uint32
	var size int64
	order := make(chan chan []byte, workers) // bounds what is in memory
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		defer close(order)
		for {
			b := make([]byte, piece)
			n, err := io.ReadFull(r, b)
			if n == 0 && errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				return err
			}
			b = b[:n]
			sum, size = crc32.Update(sum, crc32.IEEETable, b), size+int64(n)
			done := make(chan []byte, 1)
			select {
			case order <- done:
			case <-ctx.Done():
				return ctx.Err()
			}
			all.Go(func() error {
				packed, err := deflate(b)
				done <- packed
				return err
			})
		}
	})
	all.Go(func() error {
		for done := range order {
			select {
			case b := <-done:
				if _, err := w.Write(b); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return ctx.Err()
	})
	if err := all.Wait(); err != nil {
		return fmt.Errorf("cannot compress: %w", err)
	}
	end := []byte{1, 0, 0, 0xff, 0xff} // a last block that holds nothing
	end = binary.LittleEndian.AppendUint32(end, sum)
	end = binary.LittleEndian.AppendUint32(end, uint32(size)) // modulo 2³², as the format has it
	_, err := w.Write(end)
	return err
}

// deflate compresses a piece and ends at a whole byte.
func deflate(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Flush()
	return b.Bytes(), err
}
