package debian

import (
	"bufio"
	"compress/bzip2"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// openMember opens a member by its suffix: the compressions of deb(5).
func openMember(m member) (io.ReadCloser, error) {
	name := m.name
	r := bufio.NewReaderSize(m.data, 256<<10)
	switch suffix := name[strings.LastIndexByte(name, '.')+1:]; suffix {
	case "tar":
		return io.NopCloser(r), nil
	case "gz":
		return gzip.NewReader(r)
	case "xz":
		// 1 GiB is what xz -9 with the largest dictionary that dpkg-deb
		// writes stays far below.
		x, err := xz.NewReader(r, 1<<30)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(x), nil
	case "zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case "bz2":
		return io.NopCloser(bzip2.NewReader(r)), nil
	default:
		return nil, fmt.Errorf("%w: member %s has an unknown compression", errPackage, name)
	}
}
