package fetch

import (
	"context"
	"io"
	"os"
	"path/filepath"

	"ingot/internal/draft"
)

// A Sink is where a file's bytes go. Reset forgets all that was written, so that a
// transfer can start anew.
type Sink interface {
	io.Writer
	Reset() error
}

// A Keeper is a sink that keeps what came when a transfer ends early, and has another one go
// on there: in another process, on another day. What turns out wrong at the end is
// thrown away, and fetched anew. Only files of a known digest can be kept so.
type Keeper interface {
	Sink
	// Kept gives what is there already. A transfer reads it once, before it writes.
	Kept() (io.Reader, error)
}

// Kept makes an open file a sink that keeps what came. The caller holds it alone.
func Kept(f *os.File) Sink { return kept{file{f}} }

type kept struct{ file }

func (k kept) Kept() (io.Reader, error) {
	_, err := k.Seek(0, io.SeekStart)
	return k.File, err
}

// File makes an open, empty file a sink. The caller closes it, and removes it
// when the transfer fails.
func File(f *os.File) Sink { return file{f} }

type file struct{ *os.File }

func (f file) Reset() error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// A Buffer is a sink in memory.
type Buffer struct{ b []byte }

// Write appends.
func (b *Buffer) Write(p []byte) (int, error) {
	b.b = append(b.b, p...)
	return len(p), nil
}

// Reset empties the buffer.
func (b *Buffer) Reset() error {
	b.b = nil
	return nil
}

// Bytes is what was written.
func (b *Buffer) Bytes() []byte { return b.b }

// Save fetches a file to a path by way of a draft beside it: path either stays as it
// was or holds the whole, verified file. The directory must exist; what killed
// processes left of drafts there goes. It does not wait for the disk; a caller whose
// file must outlive a power cut verifies it again or syncs it.
func (c *Client) Save(ctx context.Context, w Want, path string) (Got, error) {
	dir := filepath.Dir(path)
	draft.Sweep(dir)
	f, err := draft.Create(dir)
	if err != nil {
		return Got{}, err
	}
	defer f.Discard()
	got, err := c.Get(ctx, w, File(f.File))
	if err == nil {
		err = f.Publish(path, 0o644)
	}
	if err != nil {
		return Got{}, err
	}
	return got, nil
}
