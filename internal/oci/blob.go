package oci

import (
	"crypto/sha256"
	"hash"
	"io"
	"os"

	"ingot/internal/digest"
	"ingot/internal/sparse"
)

// A blob is a file's bytes as they are written, one behind the other, from a place of
// a file on. What is copied into it with [blob.CopyFile] keeps its holes: the bytes
// are the same, and on disk there are none.
type blob struct {
	file  *os.File
	start int64
	size  int64
	hash  hash.Hash
}

// Write adds bytes.
func (b *blob) Write(p []byte) (int, error) {
	n, err := b.file.WriteAt(p, b.start+b.size)
	b.hash.Write(p[:n])
	b.size += int64(n)
	return n, err
}

// CopyFile adds a part of another file, all of it: it is a tree.FileCopier's.
func (b *blob) CopyFile(from *os.File, offset, size int64) (int64, error) {
	if err := sparse.Copy(b.file, b.start+b.size, from, offset, size, b.hash); err != nil {
		return 0, err
	}
	b.size += size
	return size, nil
}

// fill writes a blob, and gives its digest and size.
func fill(f *os.File, at int64, write func(io.Writer) error) (digest.Digest, int64, error) {
	b := &blob{file: f, start: at, hash: sha256.New()}
	if err := write(b); err != nil {
		return digest.Digest{}, 0, err
	}
	return digest.From(b.hash), b.size, nil
}
