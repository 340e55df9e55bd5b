package disk

import (
	"io"
	"os"
)

// A File is what an image is kept in: an [os.File], or one from some byte on
// ([Behind]).
type File interface {
	io.ReaderAt
	io.WriterAt
	Name() string
	Truncate(size int64) error
}

var _ File = (*os.File)(nil)

// Behind is a file as it is from an offset on, for an image that stands at the end
// of another file: one that is written into an archive. What is in front of it
// stays.
func Behind(f *os.File, at int64) File { return behind{f, at} }

type behind struct {
	*os.File
	at int64
}

func (b behind) ReadAt(p []byte, off int64) (int, error)  { return b.File.ReadAt(p, b.at+off) }
func (b behind) WriteAt(p []byte, off int64) (int, error) { return b.File.WriteAt(p, b.at+off) }
func (b behind) Truncate(size int64) error                { return b.File.Truncate(b.at + size) }
