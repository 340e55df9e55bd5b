package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"ingot/internal/sparse"
	"ingot/internal/tree"
)

// An unfilled file is one that has its name and not yet its content.
type unfilled struct {
	entry *tree.Entry
	file  *os.File
}

// putFiles makes regular files and pipes. One thread makes them, in order, and others fill
// the files that it has made: a few, so that not too many are open, and more would only wait
// for it.
func (in *putter) putFiles(entries []tree.Entry, packs map[string]*os.File) error {
	workers := min(runtime.GOMAXPROCS(0), 8)
	runs := make(chan []unfilled, 1)
	errs := make([]error, workers+1)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			errs[w] = confined(in.dir, func() error { return fillFiles(runs, packs) })
			for files := range runs { // after a failure
				for _, f := range files {
					_ = f.file.Close()
				}
			}
		})
	}
	errs[workers] = confined(in.dir, func() error { return makeFiles(entries, runs) })
	close(runs)
	wg.Wait()
	return errors.Join(errs...)
}

// makeFiles gives the files that it makes on, in runs: each time costs a change of threads.
func makeFiles(entries []tree.Entry, runs chan<- []unfilled) error {
	const length = 32
	var files []unfilled
	for i := range entries {
		switch e := &entries[i]; e.Kind {
		case tree.File:
			f, err := makeFile(e)
			if err != nil {
				runs <- files
				return err
			}
			if files = append(files, unfilled{e, f}); len(files) == length {
				runs <- files
				files = nil
			}
		case tree.Fifo:
			if err := putFifo(e); err != nil {
				runs <- files
				return err
			}
		case tree.Dir, tree.Symlink, tree.Hardlink, tree.Char, tree.Block:
		}
	}
	runs <- files
	return nil
}

func putFifo(e *tree.Entry) error {
	if err := replace(e.Path, func(full string) error { return unix.Mkfifo(full, e.Mode) }); err != nil {
		return fmt.Errorf("cannot make pipe /%s: %w", e.Path, err)
	}
	if err := meta("/"+e.Path, e); err != nil {
		return err
	}
	return setTime("/"+e.Path, e.Mtime)
}

func makeFile(e *tree.Entry) (*os.File, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	var fd int
	if err := replace(e.Path, func(full string) error {
		var err error
		fd, err = unix.Open(full, flags, 0o600)
		return err
	}); err != nil {
		return nil, fmt.Errorf("cannot make file /%s: %w", e.Path, err)
	}
	return os.NewFile(uintptr(fd), e.Path), nil
}

// fillFiles ends at the first failure; the files that it has taken are closed.
func fillFiles(runs <-chan []unfilled, packs map[string]*os.File) error {
	for files := range runs {
		var failed error
		for _, f := range files {
			if failed == nil {
				failed = f.fill(packs)
			}
			if err := f.file.Close(); failed == nil && err != nil {
				failed = fmt.Errorf("cannot finish file /%s: %w", f.entry.Path, err)
			}
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

// fill gives the file what it holds, and all else of its entry. It goes by the file: another
// may be at its path by now.
func (u unfilled) fill(packs map[string]*os.File) error {
	e, fd := u.entry, int(u.file.Fd())
	if e.Content.Size > 0 {
		pack, ok := packs[e.Content.Pack]
		if !ok {
			return fmt.Errorf("file /%s lies in pack %q, which was not passed", e.Path, e.Content.Pack)
		}
		if err := sparse.Copy(u.file, 0, pack, e.Content.Offset, e.Content.Size, nil); err != nil {
			return fmt.Errorf("cannot fill file /%s: %w", e.Path, err)
		}
	}
	if e.UID != 0 || e.GID != 0 {
		if err := unix.Fchown(fd, int(e.UID), int(e.GID)); err != nil {
			return fmt.Errorf("cannot set the owner of /%s: %w", e.Path, err)
		}
	}
	if err := unix.Fchmod(fd, e.Mode); err != nil {
		return fmt.Errorf("cannot set the mode of /%s: %w", e.Path, err)
	}
	for _, x := range e.Xattrs {
		if err := unix.Fsetxattr(fd, x.Name, []byte(x.Value), 0); err != nil {
			return fmt.Errorf("cannot set %s of /%s: %w", x.Name, e.Path, err)
		}
	}
	if err := setTimeOf(fd, e.Mtime); err != nil {
		return fmt.Errorf("cannot set the time of /%s: %w", e.Path, err)
	}
	return nil
}

// setTimeOf is futimens(3), which is a call without a path that the library does not have.
func setTimeOf(fd int, t tree.Time) error {
	at := unix.Timespec{Sec: t.Sec, Nsec: int64(t.Nsec)}
	both := [2]unix.Timespec{at, at}
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&both)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
