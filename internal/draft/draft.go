// Package draft writes files that have no name until they are whole.
//
// A draft lies on the file system of its final place, and is nameless
// (O_TMPFILE, open(2)) wherever the file system can do that: when ingot dies, the
// kernel forgets it. Elsewhere, and for the moment in which a draft replaces a
// file, it is named ".ingot-draft-" and 16 hexadecimal digits, and its writer
// keeps it locked: [Sweep] removes those that nobody holds.
package draft

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	prefix = ".ingot-draft-"
	digits = 16
)

// A File is a draft, open for reading and writing.
type File struct {
	*os.File
	dir  string
	name string // of the named kind; "" is nameless
	done bool
}

// Create begins a draft in a directory that exists.
func Create(dir string) (*File, error) { return create(dir, 0o600) }

func create(dir string, mode fs.FileMode) (*File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(mode.Perm()))
	if err == nil {
		return &File{File: os.NewFile(uintptr(fd), filepath.Join(dir, prefix)), dir: dir}, nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EINVAL) {
		return nil, fmt.Errorf("cannot write in %s: %w", dir, err)
	}
	return createNamed(dir, mode)
}

// randomName is a name for a draft.
func randomName(dir string) string {
	return filepath.Join(dir, fmt.Sprintf("%s%0*x", prefix, digits, rand.Uint64()))
}

// CreateNamed begins a draft of the named kind, on any file system. Its name is there
// as long as its process lives and has not ended it.
func CreateNamed(dir string) (*File, error) { return createNamed(dir, 0o600) }

func createNamed(dir string, mode fs.FileMode) (*File, error) {
	for {
		f, err := os.OpenFile(randomName(dir), os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot write in %s: %w", dir, err)
		}
		// Until it is locked, a sweep takes it for a leftover; one that holds it at
		// this moment removes it.
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || !named(f) {
			_ = f.Close()
			continue
		}
		return &File{File: f, dir: dir, name: f.Name()}, nil
	}
}

// named says whether an open file still lies under its name.
func named(f *os.File) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(opened, there)
}

// Publish gives the draft its name, in place of what has that name, and closes it.
// It does not flush it to disk: who needs that calls Sync first, and SyncDir after.
func (f *File) Publish(to string, mode fs.FileMode) error {
	defer f.Discard()
	if err := f.Chmod(mode); err != nil {
		return fmt.Errorf("cannot set the mode of %s: %w", to, err)
	}
	return f.publish(to)
}

func (f *File) publish(to string) error {
	if f.name == "" {
		err := f.link(to)
		if err == nil {
			f.done = true
			return nil
		}
		if !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("cannot name %s: %w", to, err)
		}
		// A link replaces nothing, a rename does. Meanwhile a sweep must not take
		// the draft for a leftover.
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			return fmt.Errorf("cannot lock %s: %w", to, err)
		}
		name := randomName(f.dir)
		if err := f.link(name); err != nil {
			return fmt.Errorf("cannot name %s: %w", name, err)
		}
		f.name = name
	}
	if err := os.Rename(f.name, to); err != nil {
		return fmt.Errorf("cannot name %s: %w", to, err)
	}
	f.done = true
	return nil
}

// PublishNew is Publish where nothing has that name yet. Otherwise won is false, and
// what is there stays.
func (f *File) PublishNew(to string, mode fs.FileMode) (won bool, err error) {
	defer f.Discard()
	if err := f.Chmod(mode); err != nil {
		return false, fmt.Errorf("cannot set the mode of %s: %w", to, err)
	}
	if f.name == "" {
		err = f.link(to)
	} else {
		err = os.Link(f.name, to)
	}
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot name %s: %w", to, err)
	}
	return true, nil
}

func (f *File) link(to string) error {
	self := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	return unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, to, unix.AT_SYMLINK_FOLLOW)
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

// Write makes a small file whole and durable: draft, flush, name, flush the
// directory.
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
	if err := f.Publish(to, mode); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// Sweep removes drafts in a directory whose writers are gone. It touches nothing
// that has not a draft's name exactly and is not a regular file.
func Sweep(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer func() { _ = d.Close() }()
	names, _ := d.Readdirnames(-1)
	for _, n := range names {
		if isDraft(n) {
			sweep(filepath.Join(dir, n))
		}
	}
}

func isDraft(name string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && len(rest) == digits && strings.Trim(rest, "0123456789abcdef") == ""
}

func sweep(path string) {
	// Somebody else's symbolic link, or a FIFO that would block, are no drafts.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && named(f) {
		_ = os.Remove(path)
	}
}
