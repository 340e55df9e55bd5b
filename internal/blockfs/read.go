package blockfs

import (
	"errors"
	"fmt"
	"io"

	"ingot/internal/tree"
)

// Read fills out with a file's content from an offset on, and zeros behind its end.
func Read(r *tree.Reader, c tree.Content, offset int64, out []byte) error {
	k := min(c.Size-offset, int64(len(out)))
	pack, err := r.Pack(c.Pack)
	if err != nil {
		return fmt.Errorf("cannot open pack %s: %w", c.Pack, err)
	}
	if got, err := pack.ReadAt(out[:k], c.Offset+offset); int64(got) < k {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("pack %s: cannot read %d bytes at %d: %w", c.Pack, k, c.Offset+offset, err)
	}
	clear(out[k:])
	return nil
}
