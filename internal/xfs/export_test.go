package xfs

import (
	"io"

	"ingot/internal/blockfs"
)

// WriteMetadata writes all but the content of files, for tests of filesystems
// whose files are huge and hold nothing but zeros.
func (fs *FS) WriteMetadata(w io.WriterAt) error {
	block := make([]byte, blockSize)
	for i := range fs.regions {
		r := &fs.regions[i]
		if r.what == fileContent {
			continue
		}
		for b := r.start; b < r.end(); b++ {
			fs.encodeBlock(r, b, block)
			if err := blockfs.WriteSparse(w, block, b*blockSize); err != nil {
				return err
			}
		}
	}
	return nil
}
