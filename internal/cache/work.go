package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ingot/internal/draft"
	"ingot/internal/sandbox"
)

// A Work is a directory for one build, locked as long as its owner lives.
type Work struct {
	Path string // an empty directory
	top  string
	lock *os.File
}

// Work makes a work directory.
func (c *Cache) Work() (*Work, error) {
	w, err := c.makeWork()
	if err != nil {
		return nil, draft.Explain(fmt.Errorf("cannot make a work directory: %w", err), Variable)
	}
	return w, nil
}

func (c *Cache) makeWork() (*Work, error) {
	dir, err := c.Sub("work")
	if err != nil {
		return nil, err
	}
	// Between its making and its locking, a sweep would take it for a leftover.
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	top, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return nil, err
	}
	w := &Work{Path: filepath.Join(top, "tree"), top: top}
	if w.lock, err = os.Open(top); err == nil {
		err = unix.Flock(int(w.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil {
		err = os.Mkdir(w.Path, 0o755)
	}
	if err != nil {
		w.Remove()
		return nil, err
	}
	return w, nil
}

// sweepWork removes work directories whose owners are gone.
func (c *Cache) sweepWork() error {
	dir := filepath.Join(c.dir, "work")
	names, err := readNames(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || len(names) == 0 {
		return err
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil //nolint:nilerr // the next run removes them
	}
	var dead []Work
	for _, n := range names {
		top := filepath.Join(dir, n)
		f, err := os.OpenFile(top, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			_ = f.Close()
			continue
		}
		dead = append(dead, Work{top: top, lock: f})
	}
	unlock()
	for _, w := range dead {
		w.Remove()
	}
	return nil
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list the cache: %w", err)
	}
	defer func() { _ = f.Close() }()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot list the cache: %w", err)
	}
	return names, nil
}

func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// Remove removes the directory with all in it.
func (w *Work) Remove() {
	_ = sandbox.RemoveAll(w.top) // what is left, the next run removes
	if w.lock != nil {
		_ = w.lock.Close()
	}
}
