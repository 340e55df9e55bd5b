package place

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
)

// directory keeps each object as a file of its name.
type directory struct{ root string }

// lockFile is held alone while a condition is looked at and the object written.
const lockFile = ".ingot-place"

func openDirectory(path string) (Place, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot tell where %s is: %w", path, err)
	}
	if info, err := os.Stat(abs); err == nil && !info.IsDir() {
		return nil, fault.Newf(fault.Usage, "%s is no directory", path).WithHint("%s", placeHint)
	}
	return directory{abs}, nil
}

func (d directory) String() string { return d.root }
func (d directory) Remote() bool   { return false }

func (d directory) path(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	return filepath.Join(d.root, filepath.FromSlash(name)), nil
}

func (d directory) Stat(_ context.Context, name string) (Info, error) {
	path, err := d.path(name)
	if err != nil {
		return Info{}, err
	}
	i, err := os.Lstat(path)
	if err != nil {
		return Info{}, absent(err)
	}
	if !i.Mode().IsRegular() {
		return Info{}, fault.Newf(fault.Verification, "%s is no regular file", path)
	}
	return Info{Size: i.Size()}, nil
}

// absent makes a file below a file what it is: not there.
func absent(err error) error {
	if errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

func (d directory) Open(_ context.Context, name string) (io.ReadCloser, Info, error) {
	path, err := d.path(name)
	if err != nil {
		return nil, Info{}, err
	}
	f, err := openFile(path)
	if err != nil {
		return nil, Info{}, err
	}
	i, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, Info{}, err
	}
	return f, Info{Size: i.Size()}, nil
}

// openFile opens a regular file.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, absent(err)
	}
	i, err := f.Stat()
	if err == nil && !i.Mode().IsRegular() {
		err = fault.Newf(fault.Verification, "%s is no regular file", path)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (d directory) Put(ctx context.Context, name string, body *io.SectionReader, when Condition) (Info, error) {
	path, err := d.path(name)
	if err != nil {
		return Info{}, err
	}
	info, err := d.put(ctx, path, body, when)
	if err != nil && !errors.Is(err, ErrChanged) {
		err = explain(fmt.Errorf("cannot write %s: %w", path, err))
	}
	return info, err
}

func (d directory) put(ctx context.Context, path string, body *io.SectionReader, when Condition) (Info, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Info{}, err
	}
	draft.Sweep(dir)
	f, err := draft.Create(dir)
	if err != nil {
		return Info{}, err
	}
	defer f.Discard()
	sum, n, err := digest.Reader(io.TeeReader(io.NewSectionReader(body, 0, body.Size()), f))
	if err != nil {
		return Info{}, err
	}
	if err := f.Sync(); err != nil {
		return Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	if when != Always {
		unlock, err := d.lock()
		if err != nil {
			return Info{}, err
		}
		defer unlock()
		there, err := marked(path)
		if err != nil {
			return Info{}, err
		}
		if !when.holds(there) {
			return Info{}, ErrChanged
		}
	}
	if err := f.Publish(path, 0o644); err != nil {
		return Info{}, err
	}
	// Also of the directories that were made for it.
	for at := dir; ; at = filepath.Dir(at) {
		if err := draft.SyncDir(at); err != nil {
			return Info{}, err
		}
		if at == d.root || len(at) <= len(d.root) {
			return Info{n, sum.String()}, nil
		}
	}
}

// marked gives the mark of a file; nil where there is none.
func marked(path string) (*Info, error) {
	f, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum, n, err := digest.Reader(f)
	return &Info{n, sum.String()}, err
}

// explain gives errors of a directory that cannot be written to the code of a failed
// preflight check.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.Newf(fault.Preflight, "no space left: %w", err).WithHint("free some there")
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fault.Newf(fault.Preflight, "%w", err).WithHint("choose a place that you may write to")
	}
	return err
}

// lock holds the whole place; conditional writings are few and short.
func (d directory) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(d.root, lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		return func() { _ = f.Close() }, nil
	}
}

func (d directory) Remove(_ context.Context, name string) error {
	path, err := d.path(name)
	if err != nil {
		return err
	}
	err = absent(os.Remove(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return explain(fmt.Errorf("cannot remove %s: %w", path, err))
	}
	return nil
}

func (d directory) List(_ context.Context, prefix string) ([]string, error) {
	// Below the last directory that the prefix names.
	top := d.root
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		if err := CheckName(prefix[:i]); err != nil {
			return nil, err
		}
		top = filepath.Join(d.root, filepath.FromSlash(prefix[:i]))
	}
	var out []string
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return nil // removed meanwhile, or nothing there at all
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(d.root, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if e.Type().IsRegular() && strings.HasPrefix(name, prefix) && CheckName(name) == nil {
			out = append(out, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list %s: %w", d, err)
	}
	slices.Sort(out)
	return out, nil
}
