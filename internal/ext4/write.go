package ext4

import (
	"context"
	"fmt"
	"io"

	"ingot/internal/blockfs"
	"ingot/internal/tree"
)

// WriteTo writes the filesystem to w, whose offset 0 is the filesystem's start
// and which must hold zeros, in the way of [blockfs.Write]; the caller sets w's
// size. File contents come from r.
func (fs *FS) WriteTo(ctx context.Context, w io.WriterAt, r *tree.Reader) error {
	if err := blockfs.Write(ctx, w, fs.Extents(), fs.renderer(r)); err != nil {
		return fmt.Errorf("ext4: %w", err)
	}
	return nil
}

// ReaderAt reads the filesystem as if it had been written: for formats that
// compress block by block. File contents come from r.
func (fs *FS) ReaderAt(r *tree.Reader) io.ReaderAt {
	return blockfs.NewReaderAt(fs.Size(), fs.renderer(r))
}

func (fs *FS) renderer(r *tree.Reader) blockfs.Render {
	return func(first int64, buf []byte) error { return fs.render(r, first, buf) }
}
