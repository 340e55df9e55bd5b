package disk

import (
	"context"
	"fmt"
)

// A Raw disk is a sparse file that holds the disk's bytes and nothing else.
type Raw struct {
	f    File
	size int64
}

var _ Image = (*Raw)(nil)

// NewRaw makes an empty file the disk: it becomes size bytes of hole.
func NewRaw(f File, size int64) (*Raw, error) {
	if size <= 0 {
		return nil, fmt.Errorf("disk %s: size %d is not positive", f.Name(), size)
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	return &Raw{f, size}, nil
}

// Size is the disk's size in bytes.
func (r *Raw) Size() int64 { return r.size }

// WriteAt writes into the file and never grows it.
func (r *Raw) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > r.size {
		return 0, fmt.Errorf("write of %d bytes at %d goes beyond a disk of %d bytes", len(p), off, r.size)
	}
	return r.f.WriteAt(p, off)
}

// Finish has nothing left to write.
func (r *Raw) Finish(context.Context) error { return nil }

// Close has nothing to give up; the file belongs to the caller.
func (r *Raw) Close() error { return nil }
