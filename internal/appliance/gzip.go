package appliance

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

// gzipPiece is how much is compressed by itself, in bytes.
const gzipPiece = 1 << 20

// gzipLevel is gzip's own default.
const gzipLevel = 6

// writeGzip compresses what comes from r into one member of a gzip file (RFC 1952),
// side by side in so many goroutines; 0 is one a core. Pieces end at the borders of
// bytes and need nothing of those before them, so that in a row they are one stream of
// deflate. It is one member and not many, since not all that read such files go on
// behind the first.
func writeGzip(ctx context.Context, w io.Writer, r io.Reader, workers int) error {
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
			piece := make([]byte, gzipPiece)
			n, err := io.ReadFull(r, piece)
			if n == 0 && errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				return err
			}
			piece = piece[:n]
			sum, size = crc32.Update(sum, crc32.IEEETable, piece), size+int64(n)
			done := make(chan []byte, 1)
			select {
			case order <- done:
			case <-ctx.Done():
				return ctx.Err()
			}
			all.Go(func() error {
				b, err := deflate(piece)
				done <- b
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
func deflate(piece []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, gzipLevel)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(piece); err != nil {
		return nil, err
	}
	err = w.Flush()
	return b.Bytes(), err
}
