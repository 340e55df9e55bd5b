// Package store keeps what a lock names: blobs by their digest, as they were
// signed or made, and references that say which lock needs which.
//
// The store is a plain directory:
//
//	blobs/ab/abcd…   one file a blob, named by its SHA-256, mode 0444
//	refs/NAME        one text a reference: a lock and the blobs that it needs
//	leases/NAME      digests that a living process needs, locked by it
//	tmp/             drafts of blobs on their way in
//	lock             held shared to write a reference or a lease, alone to collect
//
// A blob is written beside, hashed on its way, flushed to disk and then named, so
// it is whole or not there, after kill -9 and after a power cut. Nothing in the store
// is ever changed; [Store.Collect] removes what no reference and no lease names. A cache may
// be emptied at any time, the store may not.
//
// Who needs blobs takes a [Lease] on them before he looks whether they are there,
// and keeps it until he has done: then no collection can come between.
//
// A disk may damage what lies on it for years. [Store.OpenVerified] and
// [Store.Verify] read a blob whole before anybody else does and remove one that
// is damaged, so that it is fetched again.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
)

// Variable is the environment's name for where the store lies.
const Variable = "INGOT_HOME"

// A Store is a directory of blobs and references. It is safe for several
// goroutines and several processes.
type Store struct {
	dir string

	mu    sync.Mutex
	made  bool                   // all directories are there
	dirty map[string]bool        // directories with names that are not flushed to disk
	fresh map[digest.Digest]bool // blobs that this process wrote, and so hashed
}

// Open opens a store below $INGOT_HOME and removes what killed writers left. One that
// is not there is empty, and made by the first who writes: see [Store.Make].
func Open(home string) (*Store, error) {
	s := &Store{dir: filepath.Join(home, "store"), dirty: map[string]bool{}, fresh: map[digest.Digest]bool{}}
	if _, err := os.Stat(s.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Newf(fault.Preflight, "cannot use the store: %w", err).
			WithHint("choose another place with %s", Variable)
	}
	for _, d := range []string{"refs", "leases", "tmp"} {
		draft.Sweep(filepath.Join(s.dir, d))
	}
	return s, nil
}

// Make makes the store's directories where they are not there. Whoever writes to the
// store makes it; who calls Make before that is told early of a place that cannot be
// used, which is a fault.Preflight.
func (s *Store) Make() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made {
		return nil
	}
	for _, d := range []string{"blobs", "refs", "leases", "tmp"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o755); err != nil {
			return fault.Newf(fault.Preflight, "cannot make the store: %w", err).
				WithHint("choose another place with %s", Variable)
		}
	}
	// Others who may only read can then lock it as well.
	if f, err := s.lockFile(); err == nil {
		_ = f.Close()
	}
	s.made = true
	return nil
}

// Dir is the store's directory.
func (s *Store) Dir() string { return s.dir }

// Path is where a blob lies, or would lie.
func (s *Store) Path(d digest.Digest) string {
	h := d.String()
	return filepath.Join(s.dir, "blobs", h[:2], h)
}

// AnySize is the size of a blob whose size is not known before.
const AnySize = -1

// Has says whether a blob of that digest and size, or [AnySize], is there.
func (s *Store) Has(d digest.Digest, size int64) bool {
	info, err := os.Lstat(s.Path(d))
	return err == nil && info.Mode().IsRegular() && (size < 0 || info.Size() == size)
}

// Open opens a blob for reading; one that is missing is fs.ErrNotExist, and something in
// its place that is no file is a fault.Verification. Its bytes are not looked at: see
// [Store.OpenVerified].
func (s *Store) Open(d digest.Digest) (*os.File, error) {
	f, err := os.OpenFile(s.Path(d), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0) // a pipe would wait for its other end
	if err != nil {
		if e := s.astray(d); e != nil {
			return nil, e
		}
		return nil, fmt.Errorf("cannot open blob %s: %w", d.Short(), err)
	}
	if e := s.astray(d); e != nil {
		_ = f.Close()
		return nil, e
	}
	return f, nil
}

// astray says of what lies in a blob's place, or in that of the directory above, that it
// cannot be one of ours; nil where nothing or a file is there.
func (s *Store) astray(d digest.Digest) error {
	at := s.Path(d)
	for _, is := range []struct {
		path string
		want fs.FileMode
		what string
	}{{filepath.Dir(at), fs.ModeDir, "a directory of the store"}, {at, 0, "a blob of the store"}} {
		info, err := os.Lstat(is.path)
		if err != nil || info.Mode().Type() == is.want {
			continue
		}
		return fault.Newf(fault.Verification, "%s is %s, and no place for %s", is.path, kindOf(info.Mode()), is.what).
			WithHint("move it away and run the command again, which fetches what belongs there")
	}
	return nil
}

// kindOf says in words what a mode is of.
func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m.IsRegular():
		return "a file"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "no regular file"
}

// OpenVerified opens a blob for reading at offsets and holds its bytes against its
// name, unless this Store wrote it. A blob that differs is removed, so
// that it can be fetched again, and is a fault.Verification.
func (s *Store) OpenVerified(d digest.Digest) (*os.File, error) {
	f, err := s.Open(d)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	fresh := s.fresh[d]
	s.mu.Unlock()
	if fresh {
		return f, nil
	}
	if err := s.verify(d, f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Verify reads a blob whole and compares it with its name. A blob that differs is
// removed, so that it can be fetched again, and is a fault.Verification.
func (s *Store) Verify(d digest.Digest) error {
	f, err := s.Open(d)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return s.verify(d, f)
}

func (s *Store) verify(d digest.Digest, f *os.File) error {
	got, _, err := digest.Reader(io.NewSectionReader(f, 0, 1<<62))
	if err != nil {
		return fmt.Errorf("cannot read blob %s: %w", d.Short(), err)
	}
	if got == d {
		return nil
	}
	if err := s.drop(d, f); err != nil {
		return fmt.Errorf("cannot remove the damaged blob %s: %w", d.Short(), err)
	}
	return fault.Newf(fault.Verification, "blob %s in the store was damaged (its bytes have digest %s) and has been removed", d, got.Short()).
		WithHint("run the command again to fetch it anew; look at the disk's health")
}

// drop removes a blob, unless another process has put a new one in its place.
func (s *Store) drop(d digest.Digest, f *os.File) error {
	s.mu.Lock()
	delete(s.fresh, d)
	s.mu.Unlock()
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Lstat(s.Path(d)); err == nil && !os.SameFile(opened, there) {
		return nil
	}
	if err := os.Remove(s.Path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// A Blob is one of the store's.
type Blob struct {
	Digest digest.Digest
	Size   int64 // bytes
}

// Blobs lists what is in the store, by digest.
func (s *Store) Blobs() ([]Blob, error) {
	var out []Blob
	top := filepath.Join(s.dir, "blobs")
	dirs, err := os.ReadDir(top)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the store: %w", err)
	}
	for _, d := range dirs {
		if !d.IsDir() {
			continue // nobody's, like what has no blob's name or is no file
		}
		files, err := os.ReadDir(filepath.Join(top, d.Name()))
		if err != nil {
			return nil, fmt.Errorf("cannot list the store: %w", err)
		}
		for _, f := range files {
			name, err := digest.Parse(f.Name())
			if err != nil || f.Name()[:2] != d.Name() || !f.Type().IsRegular() {
				continue // nobody's, and none of ours to judge
			}
			info, err := f.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // collected meanwhile
			}
			if err != nil {
				return nil, fmt.Errorf("cannot list the store: %w", err)
			}
			out = append(out, Blob{name, info.Size()})
		}
	}
	return out, nil
}

// Flush makes the names of all blobs that this Store committed durable. Their
// bytes are already.
func (s *Store) Flush() error {
	s.mu.Lock()
	dirty := s.dirty
	s.dirty = map[string]bool{}
	s.mu.Unlock()
	for dir := range dirty {
		if err := draft.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) lockFile() (*os.File, error) {
	return os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
}

// lock takes the store's lock, shared or alone (unix.LOCK_SH, LOCK_EX). A store on
// a read-only file system is not locked: nobody can collect there.
func (s *Store) lock(ctx context.Context, how int) (unlock func(), err error) {
	f, err := s.lockFile()
	if errors.Is(err, unix.EROFS) {
		return func() {}, nil
	}
	if errors.Is(err, fs.ErrPermission) && how == unix.LOCK_SH {
		if r, e := os.Open(filepath.Join(s.dir, "lock")); e == nil {
			f, err = r, nil
		}
	}
	if err != nil {
		return nil, draft.Explain(fmt.Errorf("cannot lock the store: %w", err), Variable)
	}
	err = flock(f, how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		// The kernel hands it over at once, but cannot be interrupted.
		got := make(chan error, 1)
		go func() { got <- flock(f, how) }()
		select {
		case err = <-got:
		case <-ctx.Done():
			go func() {
				<-got //nolint:errcheck // whichever it is, the file is closed
				_ = f.Close()
			}()
			return nil, context.Cause(ctx)
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot lock the store: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
