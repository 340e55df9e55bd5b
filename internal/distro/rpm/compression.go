package rpm

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// decompress opens a payload or a metadata file by how it begins: a package's
// own word for its compression says no more, and is missing in old ones.
func decompress(r io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(r, 256<<10)
	magic, err := in.Peek(6)
	if err != nil && len(magic) == 0 {
		return nil, fmt.Errorf("cannot read the first bytes: %w", err)
	}
	has := func(s string) bool { return bytes.HasPrefix(magic, []byte(s)) }
	switch {
	case has("\x1f\x8b"):
		return gzip.NewReader(in)
	case has("\xfd7zXZ\x00"):
		x, err := xz.NewReader(in, 1<<30) // the dictionary of xz -9 is 64 MiB
		if err != nil {
			return nil, err
		}
		return io.NopCloser(x), nil
	case has("\x28\xb5\x2f\xfd"):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case has("BZh"):
		return io.NopCloser(bzip2.NewReader(in)), nil
	case has("\x5d\x00\x00"):
		return nil, fmt.Errorf("%w: it is compressed in the old lzma form", errPackage)
	}
	return io.NopCloser(in), nil
}
