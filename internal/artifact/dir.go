package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/sparse"
	"ingot/internal/tree"
)

// WriteDir writes a tree as a directory, which appears whole, in place of what is
// at path.
func WriteDir(ctx context.Context, path string, t tree.Tree, r *tree.Reader) (err error) {
	d, _, err := FillDir(ctx, path, t, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Abort()) }()
	return d.Commit()
}

// FillDir writes a tree as a directory that has not its name yet. Root gives files
// their owners and makes device nodes; to an ordinary user all files belong, and what
// only root can make is left out, as to root of a container what that may not make:
// skipped counts those. The caller ends with Commit and Abort.
func FillDir(ctx context.Context, path string, t tree.Tree, r *tree.Reader) (d *PendingDir, skipped int, err error) {
	d, err = CreateDir(path)
	if err != nil {
		return nil, 0, err
	}
	w := dirWriter{top: d.Path, r: r, root: os.Geteuid() == 0}
	if err := w.tree(ctx, t); err != nil {
		return nil, 0, errors.Join(err, d.Abort())
	}
	return d, w.skipped, nil
}

// A PendingDir is a directory being written: a temporary one beside its final
// path, locked as long as its writer lives.
type PendingDir struct {
	Path  string // of the temporary one
	final string
	lock  *os.File
	safe  bool // it has been flushed
}

// CreateDir begins to write a directory. The caller fills it and ends with Commit
// and Abort, which after Commit removes what stood there before.
func CreateDir(path string) (*PendingDir, error) {
	tmp, lock, err := newDir(path)
	if err != nil {
		return nil, err
	}
	return &PendingDir{Path: tmp, final: path, lock: lock}, nil
}

// Flush makes what is in the directory durable. Its file system is flushed whole: a file
// at a time takes many times as long (syncfs(2)).
func (d *PendingDir) Flush() error {
	if err := unix.Syncfs(int(d.lock.Fd())); err != nil {
		return fmt.Errorf("cannot flush %s: %w", d.final, err)
	}
	d.safe = true
	return nil
}

// Commit flushes the directory, unless it was, and puts it at its path, in place of what
// is there. That something is mounted there or below is a fault.Preflight.
func (d *PendingDir) Commit() error {
	if err := refuseMounts(d.final); err != nil {
		return err
	}
	if !d.safe {
		if err := d.Flush(); err != nil {
			return err
		}
	}
	err := unix.Renameat2(unix.AT_FDCWD, d.Path, unix.AT_FDCWD, d.final, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		err = unix.Renameat2(unix.AT_FDCWD, d.Path, unix.AT_FDCWD, d.final, unix.RENAME_EXCHANGE)
	}
	if err != nil {
		return fmt.Errorf("cannot put the directory at %s: %w", d.final, err)
	}
	if err := syncDir(filepath.Dir(d.final)); err != nil {
		return fmt.Errorf("cannot put the directory at %s: %w", d.final, err)
	}
	return nil
}

// Abort removes what has not got the final name, but for what somebody mounted there
// meanwhile.
func (d *PendingDir) Abort() error { return errors.Join(removeTree(d.Path), d.lock.Close()) }

// newDir makes a directory beside what it will become, locked as long as its
// writer lives: see [Clean].
func newDir(path string) (tmp string, lock *os.File, err error) {
	for {
		tmp := temporary(path)
		err := os.Mkdir(tmp, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", nil, fmt.Errorf("cannot make a directory in %s: %w", filepath.Dir(path), err)
		}
		lock, err := os.Open(tmp)
		if errors.Is(err, fs.ErrNotExist) {
			continue // until it is locked, a run that cleans up takes it for a leftover
		}
		if err != nil {
			return "", nil, errors.Join(fmt.Errorf("cannot open a new directory: %w", err), os.Remove(tmp))
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && !gone(lock) {
			return tmp, lock, nil
		}
		_ = lock.Close()
	}
}

type dirWriter struct {
	top     string
	r       *tree.Reader
	root    bool
	skipped int
}

func (w *dirWriter) tree(ctx context.Context, t tree.Tree) error {
	var dirs []tree.Entry
	for e := range t.All() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := w.entry(e); err != nil {
			return fmt.Errorf("/%s: %w", e.Path, err)
		}
		if e.Kind == tree.Dir {
			dirs = append(dirs, e)
		}
	}
	// Last, and children first: writing below a directory changes its time and
	// needs its permission.
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := w.meta(dirs[i]); err != nil {
			return fmt.Errorf("/%s: %w", dirs[i].Path, err)
		}
	}
	return nil
}

// A tree's parents are directories and never links, so joined paths stay below
// the new directory, which nobody else can write to.
func (w *dirWriter) path(p string) string { return w.top + "/" + p }

func (w *dirWriter) entry(e tree.Entry) error {
	full := w.path(e.Path)
	switch e.Kind {
	case tree.Dir:
		if e.Path == "" {
			return nil
		}
		return os.Mkdir(full, 0o700)
	case tree.File:
		if err := w.file(full, e); err != nil {
			return err
		}
	case tree.Symlink:
		if err := os.Symlink(e.Link, full); err != nil {
			return err
		}
	case tree.Hardlink:
		return os.Link(w.path(e.Link), full)
	case tree.Fifo:
		if err := unix.Mkfifo(full, 0o600); err != nil {
			return err
		}
	case tree.Char, tree.Block:
		mode := uint32(unix.S_IFCHR)
		if e.Kind == tree.Block {
			mode = unix.S_IFBLK
		}
		if !w.root {
			w.skipped++
			return nil
		}
		err := unix.Mknod(full, mode|0o600, int(unix.Mkdev(e.Major, e.Minor)))
		if errors.Is(err, unix.EPERM) { // root of a container
			w.skipped++
			return nil
		}
		if err != nil {
			return err
		}
	}
	return w.meta(e)
}

func (w *dirWriter) file(full string, e tree.Entry) error {
	f, err := os.OpenFile(full, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if e.Content.Size > 0 {
		var pack *os.File
		if pack, err = w.r.Pack(e.Content.Pack); err == nil {
			err = sparse.Copy(f, 0, pack, e.Content.Offset, e.Content.Size, nil)
		}
	}
	return errors.Join(err, f.Close())
}

func (w *dirWriter) meta(e tree.Entry) error {
	full := w.path(e.Path)
	if w.root {
		if err := os.Lchown(full, int(e.UID), int(e.GID)); err != nil {
			return err
		}
	}
	if e.Kind != tree.Symlink {
		if err := unix.Chmod(full, e.Mode); err != nil {
			return err
		}
	}
	for _, x := range e.Xattrs {
		if !w.root && !strings.HasPrefix(x.Name, "user.") {
			w.skipped++
			continue
		}
		err := unix.Lsetxattr(full, x.Name, []byte(x.Value), 0)
		if errors.Is(err, unix.EPERM) && !strings.HasPrefix(x.Name, "user.") {
			w.skipped++
			continue
		}
		if err != nil {
			return fmt.Errorf("attribute %s: %w", x.Name, err)
		}
	}
	at := unix.Timespec{Sec: e.Mtime.Sec, Nsec: int64(e.Mtime.Nsec)}
	return unix.UtimesNanoAt(unix.AT_FDCWD, full, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}
