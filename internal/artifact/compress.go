package artifact

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A Compressor turns a piece of data into a whole compressed file: a gzip
// member, a zstd frame, an xz stream. Such files in a row are one to every
// program that decompresses. The same piece always gives the same bytes. It is
// used by several goroutines at a time.
type Compressor interface {
	// Name says what makes the bytes what they are: format, level, version.
	Name() string
	// Piece is how many bytes are compressed as one, at most.
	Piece() int
	// Compress compresses one piece.
	Compress(ctx context.Context, piece []byte) ([]byte, error)
}

// klauspost is the version of the library that makes zstd and gzip: another one
// may make other bytes, which must not mix with those in a cache. A test holds it
// equal to go.mod.
const klauspost = "github.com/klauspost/compress v1.20.3"

// Zstd compresses to zstd frames with checksums, at one of zstd's levels; 0 is 3.
func Zstd(level int) Compressor {
	if level == 0 {
		level = 3
	}
	c := &zstdCompressor{level: level}
	c.encoders.New = func() any {
		// The options are right by construction.
		e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
		return e
	}
	return c
}

type zstdCompressor struct {
	level    int
	encoders sync.Pool // of *zstd.Encoder
}

func (c *zstdCompressor) Name() string { return fmt.Sprintf("zstd %d %s", c.level, klauspost) }
func (c *zstdCompressor) Piece() int   { return 4 << 20 }

func (c *zstdCompressor) Compress(_ context.Context, piece []byte) ([]byte, error) {
	e, ok := c.encoders.Get().(*zstd.Encoder)
	if !ok {
		return nil, fmt.Errorf("zstd: no encoder of level %d", c.level)
	}
	defer c.encoders.Put(e)
	return e.EncodeAll(piece, nil), nil
}

// Gzip compresses to gzip members without names and times, at a level from 1 to
// 9; 0 is 6.
func Gzip(level int) Compressor {
	if level == 0 {
		level = 6
	}
	return &gzipCompressor{level: level}
}

type gzipCompressor struct {
	level   int
	writers sync.Pool // of *gzip.Writer
}

func (c *gzipCompressor) Name() string { return fmt.Sprintf("gzip %d %s", c.level, klauspost) }
func (c *gzipCompressor) Piece() int   { return 2 << 20 }

func (c *gzipCompressor) Compress(_ context.Context, piece []byte) ([]byte, error) {
	var b bytes.Buffer
	w, ok := c.writers.Get().(*gzip.Writer)
	if ok {
		w.Reset(&b)
	} else {
		var err error
		if w, err = gzip.NewWriterLevel(&b, c.level); err != nil {
			return nil, err
		}
	}
	if _, err := w.Write(piece); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	c.writers.Put(w)
	return b.Bytes(), nil
}

// A Filter runs a program of the tools tree: in goes to its standard input and
// its standard output to out.
type Filter func(ctx context.Context, in io.Reader, out io.Writer, argv ...string) error

// XZ compresses to xz streams with the program xz, at a level from 1 to 9; 0 is
// 6. The version is that of the program, whose bytes it decides.
func XZ(run Filter, level int, version string) Compressor {
	if level == 0 {
		level = 6
	}
	return &xzCompressor{run, level, version}
}

type xzCompressor struct {
	run     Filter
	level   int
	version string
}

func (c *xzCompressor) Name() string { return fmt.Sprintf("xz %d %s", c.level, c.version) }

// Piece is the dictionary of level 6: a longer piece would gain little.
func (c *xzCompressor) Piece() int { return 8 << 20 }

func (c *xzCompressor) Compress(ctx context.Context, piece []byte) ([]byte, error) {
	var b bytes.Buffer
	err := c.run(ctx, bytes.NewReader(piece), &b, "xz", "--format=xz", "--check=crc64", "--threads=1", fmt.Sprintf("-%d", c.level), "--stdout")
	if err != nil {
		return nil, fmt.Errorf("xz: %w", err)
	}
	return b.Bytes(), nil
}
