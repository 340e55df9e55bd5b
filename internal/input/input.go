// Package input opens files that people name: regular files and nothing else. A
// pipe without a writer would be waited for, and a device has no end.
package input

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Open opens a regular file for reading.
func Open(path string) (*os.File, error) {
	return open(path, os.Stat, os.OpenFile)
}

// OpenIn is [Open] of a path below a directory that it may not leave.
func OpenIn(root *os.Root, path string) (*os.File, error) {
	return open(path, root.Stat, root.OpenFile)
}

// Read reads all of a regular file of at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	return readAll(f, path, limit, err)
}

// ReadIn is [Read] of a path below a directory that it may not leave.
func ReadIn(root *os.Root, path string, limit int64) ([]byte, error) {
	f, err := OpenIn(root, path)
	return readAll(f, path, limit, err)
}

func readAll(f *os.File, path string, limit int64, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it is larger than %d MiB", limit>>20)}
	}
	return data, err
}

func open(path string, stat func(string) (fs.FileInfo, error), openFile func(string, int, fs.FileMode) (*os.File, error)) (*os.File, error) {
	// Before it is opened, as opening alone has effects on some devices and
	// says odd things of a socket.
	if info, err := stat(path); err == nil {
		if err := regular(path, info); err != nil {
			return nil, err
		}
	}
	// And after, as it may be another by then.
	f, err := openFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = regular(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ErrKind is in the errors about what is there but is no regular file.
var ErrKind = errors.New("not a file")

func regular(path string, info fs.FileInfo) error {
	kind := "device"
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		kind = "directory"
	case mode&fs.ModeNamedPipe != 0:
		kind = "pipe"
	case mode&fs.ModeSocket != 0:
		kind = "socket"
	}
	return &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it is a %s, %w", kind, ErrKind)}
}
