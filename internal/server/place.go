package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
)

// A Place is where a server tree lies. All a publisher does to a tree goes through it.
// Names have slashes and lie below the tree. Every method leaves, whenever it is
// interrupted, what was there before or what it was to make.
type Place interface {
	// String is the place for people.
	String() string
	// Lock keeps other publishers out until the release. It waits for them, and calls wait
	// before it does.
	Lock(ctx context.Context, wait func()) (release func(), err error)
	// Read gives a small file; one that is not there is fs.ErrNotExist.
	Read(name string, limit int64) ([]byte, error)
	// Open gives a file and its size.
	Open(name string) (io.ReadSeekCloser, int64, error)
	// Size is a file's size; one that is not there is fs.ErrNotExist. It also notes that
	// the file is of use now: see Walk.
	Size(name string) (int64, error)
	// Put writes a file, in place of one that is there. The bytes come from write; an
	// error of it leaves all as it was.
	Put(name string, write func(io.Writer) error) error
	// Link gives a file a second name, in place of what has it.
	Link(from, to string) error
	// Remove removes files, or a directory with all below it. What is not there is fine.
	Remove(name string) error
	// Walk gives the files below a directory, and when each was last of use.
	Walk(under string, found func(name string, size int64, used time.Time) error) error
	// Switch makes a set of small files, the whole state of a tree, the one that is
	// read from now on: all at once. Names that the state before had and this one has not
	// are gone. Files that were put before are durable first.
	Switch(serial int64, files map[string][]byte) error
}

// A Dir is a place that is a directory of this machine:
//
//	.states/SERIAL/…   the state of each publication, the last few
//	.state             a link to the newest: what one rename changes
//	meta, streams, …   links into it
//	blobs/, images/    files that never change
//	.lock              held by who publishes
//
// So a web server that follows links, as all do, or rsync, serves it as it is.
type Dir struct {
	path string

	mu    sync.Mutex
	dirty map[string]bool // directories with names that are not flushed to disk

	before func(step string) // a test's: called before each change of the file system
}

// step says that the file system is about to change.
func (d *Dir) step(format string, args ...any) {
	if d.before != nil {
		d.before(fmt.Sprintf(format, args...))
	}
}

// keptStates is how many states stay: a request may be on its way into an old one.
const keptStates = 4

// CreateDir opens a directory for publishing, and makes it when it is new.
func CreateDir(to string) (*Dir, error) {
	if err := isDir(to); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return nil, explain(fmt.Errorf("cannot make the server tree: %w", err))
	}
	return &Dir{path: to, dirty: map[string]bool{}}, nil
}

// isDir refuses what is written like another kind of place.
func isDir(to string) error {
	if !strings.Contains(to, "://") {
		return nil
	}
	return fault.Newf(fault.Usage, "%s is no place for a server tree", to).WithHint("a server tree is a directory or s3://BUCKET/PREFIX; of one on a server of ingot's, tokens and such are said where it lies")
}

// OpenDir opens a directory that is a server tree.
func OpenDir(at string) (*Dir, error) {
	if err := isDir(at); err != nil {
		return nil, err
	}
	info, err := os.Stat(at)
	if err == nil && !info.IsDir() {
		err = errors.New("not a directory")
	}
	if err != nil {
		return nil, fault.Newf(fault.NotFound, "there is no server tree %s: %w", at, err).WithHint("make one with: ingot publish ARTIFACT --to %s", fault.File(at))
	}
	return &Dir{path: at, dirty: map[string]bool{}}, nil
}

// explain gives errors of writing a tree their exit code.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.Newf(fault.Preflight, "no space left: %w", err).WithHint("free some, for example with 'ingot prune'; the tree is as it was")
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fault.Newf(fault.Preflight, "%w", err).WithHint("publish as the user whose tree it is")
	}
	return err
}

// String is the directory's path.
func (d *Dir) String() string { return d.path }

func (d *Dir) at(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

// Lock locks the tree's file .lock.
func (d *Dir) Lock(ctx context.Context, wait func()) (func(), error) {
	f, err := os.OpenFile(d.at(".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, explain(fmt.Errorf("cannot lock the server tree: %w", err))
	}
	for tries := 0; ; tries++ {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("cannot lock the server tree: %w", err)
		}
		if tries == 0 {
			wait()
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	d.sweep()
	return func() { _ = f.Close() }, nil
}

// sweep removes what killed publishers left in the directories of drafts.
func (d *Dir) sweep() {
	draft.Sweep(d.path)
	draft.Sweep(d.at(".tmp"))
	found, err := os.ReadDir(d.at(".states"))
	if err != nil {
		return
	}
	now, _ := os.Readlink(d.at(".state"))
	var whole []string
	for _, f := range found {
		switch {
		case f.Name() == filepath.Base(now):
		case strings.HasSuffix(f.Name(), ".new"):
			_ = os.RemoveAll(d.at(".states/" + f.Name()))
		default:
			whole = append(whole, f.Name())
		}
	}
	slices.Sort(whole)
	for len(whole) >= keptStates {
		_ = os.RemoveAll(d.at(".states/" + whole[0]))
		whole = whole[1:]
	}
}

// Read reads a small file.
func (d *Dir) Read(name string, limit int64) ([]byte, error) {
	f, n, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if n > limit {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, limit>>20)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// Open opens a file.
func (d *Dir) Open(name string) (io.ReadSeekCloser, int64, error) {
	f, err := os.Open(d.at(name))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", name)
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// Size looks at a file, and touches it.
func (d *Dir) Size(name string) (int64, error) {
	info, err := os.Lstat(d.at(name))
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is not a file", name)
	}
	now := time.Now()
	if now.Sub(info.ModTime()) > time.Minute {
		if err := os.Chtimes(d.at(name), time.Time{}, now); err != nil {
			return 0, explain(err)
		}
	}
	// Who put it there may have died before its name was flushed.
	d.mark(name)
	return info.Size(), nil
}

// Put writes a draft, flushes it and names it.
func (d *Dir) Put(name string, write func(io.Writer) error) error {
	to := d.at(name)
	if err := d.mkdir(name); err != nil {
		return explain(err)
	}
	f, err := d.draft()
	if err != nil {
		return explain(err)
	}
	defer f.Discard()
	if err := write(f); err != nil {
		return explain(err)
	}
	d.step("flush %s", name)
	if err := f.Sync(); err != nil {
		return explain(fmt.Errorf("cannot flush %s: %w", name, err))
	}
	d.step("name %s", name)
	return explain(f.Publish(to, 0o644))
}

// draft begins a file without a name.
func (d *Dir) draft() (*draft.File, error) {
	if err := os.MkdirAll(d.at(".tmp"), 0o755); err != nil {
		return nil, err
	}
	return draft.Create(d.at(".tmp"))
}

// Link makes a hard link, and a copy on file systems that have none.
func (d *Dir) Link(from, to string) error {
	if err := d.mkdir(to); err != nil {
		return explain(err)
	}
	d.step("link %s", to)
	err := os.Link(d.at(from), d.at(to))
	if errors.Is(err, fs.ErrExist) {
		a, e1 := os.Lstat(d.at(from))
		b, e2 := os.Lstat(d.at(to))
		if e1 == nil && e2 == nil && os.SameFile(a, b) {
			return nil
		}
		err = d.relink(from, to)
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EMLINK) {
		return d.Put(to, func(w io.Writer) error {
			f, _, err := d.Open(from)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			_, err = io.Copy(w, f)
			return err
		})
	}
	return explain(err)
}

// relink gives a name to another file than the one that has it: nobody finds none meanwhile.
func (d *Dir) relink(from, to string) error {
	fresh := d.at(".tmp/name")
	if err := os.MkdirAll(d.at(".tmp"), 0o755); err != nil {
		return err
	}
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(d.at(from), fresh); err != nil {
		return err
	}
	d.step("link %s again", to)
	return os.Rename(fresh, d.at(to))
}

// Same says whether two names are of one file.
func (d *Dir) Same(a, b string) bool {
	x, err := os.Lstat(d.at(a))
	if err != nil {
		return false
	}
	y, err := os.Lstat(d.at(b))
	return err == nil && x.Mode().IsRegular() && os.SameFile(x, y)
}

// Remove removes a file or a directory, and the directories above it that are empty then.
func (d *Dir) Remove(name string) error {
	d.step("remove %s", name)
	if err := os.RemoveAll(d.at(name)); err != nil {
		return explain(err)
	}
	// Not those of blobs: another publisher may be about to put one there.
	up := path.Dir(name)
	for strings.HasPrefix(up, "images/") && os.Remove(d.at(up)) == nil {
		up = path.Dir(up)
	}
	return nil
}

// Walk gives the regular files below a directory.
func (d *Dir) Walk(under string, found func(name string, size int64, used time.Time) error) error {
	err := filepath.WalkDir(d.at(under), func(at string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(d.path, at)
		if err != nil {
			return err
		}
		return found(filepath.ToSlash(name), info.Size(), info.ModTime())
	})
	return explain(err)
}

// Switch writes a state beside the others, and then changes the one link that all
// names lead through.
func (d *Dir) Switch(serial int64, files map[string][]byte) error {
	name := fmt.Sprintf("%010d", serial)
	fresh := ".states/" + name + ".new"
	if err := os.RemoveAll(d.at(fresh)); err != nil {
		return explain(err)
	}
	dirs := map[string]bool{d.at(fresh): true}
	written := map[digest.Digest]string{} // what is the same is one file, and flushed once
	for file, data := range files {
		to := d.at(fresh + "/" + file)
		for up := filepath.Dir(to); up != d.at(fresh); up = filepath.Dir(up) {
			dirs[up] = true
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return explain(err)
		}
		d.step("write %s", file)
		same := digest.Of(data)
		if one, ok := written[same]; ok && os.Link(one, to) == nil {
			continue
		}
		if err := writeFile(to, data); err != nil {
			return explain(err)
		}
		written[same] = to
	}
	for dir := range dirs {
		if err := draft.SyncDir(dir); err != nil {
			return explain(err)
		}
	}
	d.step("remove what was left of state %d", serial)
	// A state of that serial that nobody reads was left when its writer died here.
	if err := os.RemoveAll(d.at(".states/" + name)); err != nil {
		return explain(err)
	}
	d.step("name state %d", serial)
	if err := os.Rename(d.at(fresh), d.at(".states/"+name)); err != nil {
		return explain(err)
	}
	// The names of all blobs, too, before anything says that they are there.
	d.mu.Lock()
	d.dirty[".states"] = true
	d.mu.Unlock()
	if err := d.flush(); err != nil {
		return explain(err)
	}
	tops := map[string]bool{}
	for file := range files {
		top, _, _ := strings.Cut(file, "/")
		tops[top] = true
	}
	for top := range tops {
		if err := d.lead(".state/"+top, top); err != nil {
			return explain(err)
		}
	}
	if err := d.lead(".states/"+name, ".state"); err != nil {
		return explain(err)
	}
	d.step("flush the tree")
	return explain(draft.SyncDir(d.path))
}

func writeFile(to string, data []byte) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err = io.Copy(f, bytes.NewReader(data)); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// lead makes a symbolic link, in place of one that is there.
func (d *Dir) lead(to, name string) error {
	if now, err := os.Readlink(d.at(name)); err == nil && now == to {
		return nil
	}
	fresh := d.at(".tmp/link-" + strings.TrimPrefix(name, "."))
	if err := os.MkdirAll(filepath.Dir(fresh), 0o755); err != nil {
		return err
	}
	d.step("make the link %s", name)
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Moving a link does not change where it leads: it is written for its place.
	if err := os.Symlink(to, fresh); err != nil {
		return err
	}
	d.step("switch the link %s", name)
	return os.Rename(fresh, d.at(name))
}

// mkdir makes the directory of a file that gets a name now.
func (d *Dir) mkdir(name string) error {
	d.step("make the directory of %s", name)
	if err := os.MkdirAll(filepath.Dir(d.at(name)), 0o755); err != nil {
		return err
	}
	d.mark(name)
	return nil
}

// mark notes that the names on the way to a file are to be flushed.
func (d *Dir) mark(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for up := path.Dir(name); !d.dirty[up]; up = path.Dir(up) {
		d.dirty[up] = true
	}
}

// flush makes all names that this Dir gave durable.
func (d *Dir) flush() error {
	d.mu.Lock()
	dirty := d.dirty
	d.dirty = map[string]bool{}
	d.mu.Unlock()
	for dir := range dirty {
		if err := draft.SyncDir(d.at(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
