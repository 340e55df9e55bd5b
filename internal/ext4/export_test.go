package ext4

import (
	"io"

	"ingot/internal/blockfs"
)

// NameHash gives the hash of names to tests.
func NameHash(seed []byte, name string) (hash, minor uint32) {
	var s [16]byte
	copy(s[:], seed)
	return newNameHash(s).of(name)
}

// WriteMetadata writes all but the content of files, for tests of filesystems
// whose files are huge and hold nothing but zeros.
func (fs *FS) WriteMetadata(w io.WriterAt) error {
	block := make([]byte, blockSize)
	for i := range fs.regions {
		r := &fs.regions[i]
		if r.what == fileContent {
			continue
		}
		for b := range r.n {
			fs.encodeBlock(r, b, block)
			if err := blockfs.WriteSparse(w, block, (r.start+b)*blockSize); err != nil {
				return err
			}
		}
	}
	return nil
}
