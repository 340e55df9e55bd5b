package cache

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ingot/internal/sandbox"
)

// A Work is a directory for one build, locked as long as its owner lives.
type Work struct {
	Path string // an empty directory
	top  string
	lock *os.File
}

// Work makes a work directory and first removes those whose owners are gone.
func (c *Cache) Work() (*Work, error) {
	dir := filepath.Join(c.dir, "work")
	old, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, top := range old {
		if f, err := os.Open(top); err == nil {
			if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
				_ = sandbox.RemoveAll(top)
			}
			_ = f.Close()
		}
	}
	top, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a work directory: %w", err)
	}
	f, err := os.Open(top)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	w := &Work{Path: filepath.Join(top, "tree"), top: top, lock: f}
	if err == nil {
		err = os.Mkdir(w.Path, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a work directory: %w", err)
	}
	return w, nil
}

// Remove removes the directory with all in it.
func (w *Work) Remove() {
	_ = sandbox.RemoveAll(w.top) // what is left, the next run removes
	_ = w.lock.Close()
}
