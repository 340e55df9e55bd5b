// Package artifact writes what a build gives to its user: outputs, and beside
// each of them its papers.
//
// An output is a file that appears whole or not at all ([Create]). Its papers
// are pure functions of data ([Image], [Output]): a manifest of what is in it, an
// SBOM in SPDX, the provenance as an in-toto statement; and one SHA256SUMS a
// directory. No paper holds a clock, a host's name or a mirror: the same lock
// gives the same papers.
package artifact

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/sparse"
	"ingot/internal/tree"
)

// leftover begins the names of files that are not whole yet.
const leftover = ".ingot-"

// behind is how far the hash stays behind writers that write at places of their own, in
// bytes: such as have several cores write a file in its order are never so far apart.
const behind = 16 << 20

// A Pending is an output being written: a temporary file beside its final path,
// locked as long as its writer lives. It hashes what passes Write, CopyFile and WriteAt
// at the same time, on another core. One writer uses the first two, or the third, or File.
type Pending struct {
	path string
	file *os.File

	mu      sync.Mutex
	more    *sync.Cond
	written int64 // to be hashed: from the beginning, nothing of it is written again
	claimed int64 // what of it is being hashed
	closed  bool
	hashed  chan struct{}
	done    int64 // hashed
	hash    hash.Hash
	hashErr error
	random  bool // somebody writes at places of his own
	again   bool // and has written where it was hashed before
}

// Create begins to write a file. Its mode is what the umask leaves of 0666. The
// caller ends with Commit or Abort; Abort after Commit does nothing, so that it
// can be deferred.
func Create(path string) (*Pending, error) {
	for {
		name := temporary(path)
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot create %s: %w", path, err)
		}
		// Until it is locked, a run that cleans up takes it for a leftover.
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil || gone(f) {
			_ = f.Close()
			continue
		}
		p := &Pending{path: path, file: f, hashed: make(chan struct{}), hash: sha256.New()}
		p.more = sync.NewCond(&p.mu)
		go p.follow()
		return p, nil
	}
}

// temporary is a new name beside a path.
func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), leftover+strings.ToLower(rand.Text()[:10])+"-"+cutName(filepath.Base(path)))
}

// temporaryName is what [temporary] gives: a directory is removed by it alone.
var temporaryName = regexp.MustCompile(`^\.ingot-[a-z2-7]{10}-`)

// cutName leaves room for what Create puts before a name.
func cutName(name string) string { return name[:min(len(name), 200)] }

func gone(f *os.File) bool {
	opened, err := f.Stat()
	if err != nil {
		return true
	}
	there, err := os.Lstat(f.Name())
	return err != nil || !os.SameFile(opened, there)
}

// Write adds bytes at the end.
func (p *Pending) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.wrote(int64(n))
	return n, err
}

// CopyFile adds a part of another file at the end, as far as the kernel does so
// by itself: see [tree.CopyFile].
func (p *Pending) CopyFile(from *os.File, offset, size int64) (int64, error) {
	n, err := tree.CopyFile(p.file, from, offset, size)
	p.wrote(n)
	return n, err
}

func (p *Pending) wrote(n int64) {
	p.mu.Lock()
	p.written += n
	p.mu.Unlock()
	p.more.Signal()
}

// WriteAt writes at a place, and may be called by several goroutines. Whoever goes from
// the beginning to the end, more or less, has most of the file hashed when all is written;
// for others it is read from the beginning then.
func (p *Pending) WriteAt(b []byte, at int64) (int, error) {
	n, err := p.file.WriteAt(b, at)
	p.mu.Lock()
	p.random = true
	p.again = p.again || at < p.claimed
	if !p.again {
		p.written = max(p.written, at+int64(n)-behind)
	}
	p.mu.Unlock()
	p.more.Signal()
	return n, err
}

// ReadAt reads what was written.
func (p *Pending) ReadAt(b []byte, at int64) (int, error) { return p.file.ReadAt(b, at) }

// Truncate sets the file's size, for whoever writes with WriteAt.
func (p *Pending) Truncate(size int64) error {
	p.mu.Lock()
	p.random = true
	p.again = p.again || size < p.claimed
	p.mu.Unlock()
	return p.file.Truncate(size)
}

// Name is the temporary file's path.
func (p *Pending) Name() string { return p.file.Name() }

// File is the temporary file, for a writer that writes where it wants. The
// digest is then computed when all is written.
func (p *Pending) File() *os.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.random = true
	return p.file
}

// follow hashes what is written, out of the page cache, a step behind.
func (p *Pending) follow() {
	defer close(p.hashed)
	var sent int64
	for {
		// What is hashed may go to the disk already: less is left for Commit.
		if p.done-sent >= 16<<20 {
			_ = unix.SyncFileRange(int(p.file.Fd()), sent, p.done-sent, unix.SYNC_FILE_RANGE_WRITE)
			sent = p.done
		}
		p.mu.Lock()
		for (p.done >= p.written || p.again) && !p.closed {
			p.more.Wait()
		}
		ready, closed, random := p.written, p.closed, p.random
		if p.again {
			ready = p.done
		}
		p.claimed = max(p.claimed, ready)
		p.mu.Unlock()
		if p.done < ready {
			if p.hashErr = p.feed(ready, random); p.hashErr != nil {
				return
			}
		}
		if closed {
			return
		}
	}
}

// feed hashes what follows, up to an offset. Looking for holes moves the file's position,
// which Write counts on.
func (p *Pending) feed(to int64, random bool) (err error) {
	if random {
		err = sparse.Hash(p.hash, p.file, p.done, to-p.done)
	} else {
		_, err = io.CopyN(p.hash, io.NewSectionReader(p.file, p.done, to-p.done), to-p.done)
	}
	p.done = to
	return err
}

// stop ends the hashing after all that is written; it may be called twice.
func (p *Pending) stop() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.more.Signal()
	<-p.hashed
}

// Commit makes the file durable and puts it at its path, in place of what is
// there, and gives its size and digest.
func (p *Pending) Commit() (size int64, sum digest.Digest, err error) {
	defer p.Abort()
	// The disk works while the hash catches up.
	synced := make(chan error, 1)
	go func() { synced <- p.file.Sync() }()
	size, err = p.digest()
	if err = errors.Join(<-synced, err); err != nil {
		return 0, sum, fmt.Errorf("cannot finish %s: %w", p.path, err)
	}
	if err := os.Rename(p.file.Name(), p.path); err != nil {
		return 0, sum, fmt.Errorf("cannot finish %s: %w", p.path, err)
	}
	if err := syncDir(filepath.Dir(p.path)); err != nil {
		return 0, sum, fmt.Errorf("cannot finish %s: %w", p.path, err)
	}
	return size, digest.From(p.hash), nil
}

// digest hashes what is left of the file and gives its size.
func (p *Pending) digest() (int64, error) {
	p.stop()
	if p.again {
		p.hash.Reset()
		p.done, p.hashErr = 0, nil
	}
	if p.hashErr != nil {
		return 0, p.hashErr
	}
	info, err := p.file.Stat()
	if err != nil || !p.random {
		return p.done, err
	}
	return info.Size(), p.feed(info.Size(), true)
}

// Abort removes what was written, unless it was committed.
func (p *Pending) Abort() {
	p.stop()
	if !gone(p.file) {
		_ = os.Remove(p.file.Name())
	}
	_ = p.file.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// WriteFile is a small file that appears whole or not at all.
func WriteFile(path string, data []byte) error {
	p, err := Create(path)
	if err != nil {
		return err
	}
	defer p.Abort()
	if _, err := p.Write(data); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	_, _, err = p.Commit()
	return err
}

// Clean removes from a directory what writers left that were killed. What a
// living one is writing stays. It gives the names that it removed.
func Clean(ctx context.Context, dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(escapeGlob(dir), leftover+"*"))
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue // gone meanwhile, or not ours
		}
		info, err := f.Stat()
		if err == nil && (info.Mode().IsRegular() || info.IsDir() && temporaryName.MatchString(filepath.Base(name))) && unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && !gone(f) {
			if removeTree(name) == nil {
				removed = append(removed, name)
			}
		}
		_ = f.Close()
	}
	return removed, nil
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}
