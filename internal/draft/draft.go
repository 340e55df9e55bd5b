// Package draft writes files that have no name until they are whole.
//
// A draft lies in the directory of its final place or beside it on the same file
// system, and is nameless (O_TMPFILE, open(2)) wherever the file system can do
// that: when ingot dies, the kernel forgets it. Elsewhere it is a file named
// ".draft-…" that its writer keeps locked, and [Sweep] removes those that nobody
// holds.
package draft

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const prefix = ".draft-"

// A File is a draft, open for reading and writing.
type File struct {
	*os.File
	dir  string
	name string // of the named kind; "" is nameless
	done bool
}

// Create begins a draft in a directory that exists.
func Create(dir string) (*File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return &File{File: os.NewFile(uintptr(fd), filepath.Join(dir, prefix)), dir: dir}, nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EINVAL) {
		return nil, fmt.Errorf("cannot write in %s: %w", dir, err)
	}
	f, err := os.CreateTemp(dir, prefix)
	if err != nil {
		return nil, fmt.Errorf("cannot write in %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", f.Name(), err)
	}
	return &File{File: f, dir: dir, name: f.Name()}, nil
}

// Publish gives the draft its name, in place of what has that name, and closes it.
// It does not flush it to disk: who needs that calls Sync first.
func (f *File) Publish(to string, mode fs.FileMode) error {
	defer f.Discard()
	if err := f.Chmod(mode); err != nil {
		return fmt.Errorf("cannot set the mode of %s: %w", to, err)
	}
	if f.name == "" {
		self := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
		err := unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, to, unix.AT_SYMLINK_FOLLOW)
		if err == nil {
			f.done = true
			return nil
		}
		if !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("cannot name %s: %w", to, err)
		}
		// A link replaces nothing, a rename does.
		f.name = filepath.Join(f.dir, fmt.Sprintf("%s%x", prefix, rand.Uint64()))
		if err := unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, f.name, unix.AT_SYMLINK_FOLLOW); err != nil {
			return fmt.Errorf("cannot name %s: %w", f.name, err)
		}
	}
	if err := os.Rename(f.name, to); err != nil {
		return fmt.Errorf("cannot name %s: %w", to, err)
	}
	f.done = true
	return nil
}

// Discard forgets the draft; after Publish it does nothing.
func (f *File) Discard() {
	if !f.done && f.name != "" {
		_ = os.Remove(f.name)
	}
	f.done = true
	_ = f.Close()
}

// SyncDir flushes a directory's names to disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot open directory: %w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("cannot flush directory %s: %w", dir, err)
	}
	return nil
}

// Write makes a small file whole: draft, flush, name.
func Write(to string, data []byte, mode fs.FileMode) error {
	f, err := Create(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("cannot write %s: %w", to, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("cannot flush %s: %w", to, err)
	}
	return f.Publish(to, mode)
}

// Sweep removes drafts in a directory whose writers are gone.
func Sweep(dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, prefix+"*"))
	for _, n := range names {
		f, err := os.Open(n)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.Remove(n)
		}
		_ = f.Close()
	}
}
