// Package cache keeps what can be made again: packages in a form that is quick to
// read, results of steps, package indexes, compressed members, work directories.
// It may be emptied at any time, also while ingot runs, and holds nothing that an
// ordinary user cannot delete.
//
// An entry is one file, written beside and then named. It is not flushed to disk: a
// power cut may leave it short or full of zeros. Therefore each entry's last bytes
// hold its digest and the boot in which it was made, and in every other boot the
// first who opens it reads it whole. One that is damaged is removed and counts as
// missing ([ErrMissing]): whoever asked makes it again.
//
// An entry's time of modification is the day of its last use; [Cache.Trim] removes
// those that have not been used for long.
package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/sparse"
)

// Variable is the environment's name for where the cache lies.
const Variable = "INGOT_CACHE"

// A Cache is a directory of entries by name. It is safe for several goroutines
// and processes.
type Cache struct {
	dir  string
	boot string

	mu   sync.Mutex
	made bool     // all directories are there
	use  *os.File // locked shared: somebody uses the cache; nil where that is impossible
}

// Open opens the cache at $INGOT_CACHE and removes what killed builds left. One that is
// not there is empty, and made by the first who writes. A place that cannot be used is a
// fault.Preflight.
func Open(dir string) (*Cache, error) {
	info, err := os.Stat(dir)
	there := err == nil
	if there && !info.IsDir() {
		err = fmt.Errorf("%s: %w", dir, unix.ENOTDIR)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Newf(fault.Preflight, "cannot use the cache: %w", err).
			WithHint("choose another place with %s", Variable)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("cannot tell this boot from others: %w", err)
	}
	c := &Cache{dir: dir, boot: strings.TrimSpace(string(boot))}
	if !there {
		return c, nil
	}
	c.use = c.inUse()
	draft.Sweep(filepath.Join(dir, "tmp"))
	return c, c.sweepWork()
}

// Make makes the cache's directories where they are not there. Whoever writes to the
// cache makes it; who calls Make before that is told early of a place that cannot be
// used, which is a fault.Preflight.
func (c *Cache) Make() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made {
		return nil
	}
	for _, d := range []string{"entries", "tmp", "work"} {
		if err := os.MkdirAll(filepath.Join(c.dir, d), 0o755); err != nil {
			return fault.Newf(fault.Preflight, "cannot make the cache: %w", err).
				WithHint("choose another place with %s", Variable)
		}
	}
	if c.use == nil {
		c.use = c.inUse()
	}
	c.made = true
	return nil
}

// inUse marks the cache as used as long as this process lives, for [Cache.Trim].
// Where that cannot be done, nothing can be trimmed either.
func (c *Cache) inUse() *os.File {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_SH) != nil {
		_ = f.Close()
		return nil
	}
	return f
}

// Dir is the cache's directory.
func (c *Cache) Dir() string { return c.dir }

// Sub is a directory of the cache for a room that keeps its own files there.
func (c *Cache) Sub(name string) (string, error) {
	if err := c.Make(); err != nil {
		return "", err
	}
	dir := filepath.Join(c.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", draft.Explain(fmt.Errorf("cannot make a directory of the cache: %w", err), Variable)
	}
	return dir, nil
}

func (c *Cache) path(name string) string { return filepath.Join(c.dir, "entries", name) }

// missing is the error for an entry that is not there. When it was there a moment
// ago, as whoever sees it as an error may think, this is what happened.
func missing(name string) error {
	return fault.Newf(fault.Failed, "cache entry %q: %w", name, ErrMissing).
		WithHint("if the cache was emptied meanwhile, run the command again")
}

// The trailer of an entry: magic, digest of the content, boot id.
const (
	magic       = "ingot cache 1\n"
	bootSize    = 36
	trailerSize = len(magic) + sha256.Size + 8 + bootSize
)

// ErrMissing says that the cache has no such entry, or had a damaged one.
var ErrMissing = errors.New("not in the cache")

// Open opens an entry for reading at offsets; the content's bytes come first.
// It makes Cache a tree.Source. The caller closes the file.
func (c *Cache) Open(name string) (*os.File, error) {
	f, _, err := c.open(name)
	return f, err
}

func (c *Cache) open(name string) (*os.File, int64, error) {
	if !filepath.IsLocal(name) {
		return nil, 0, missing(name)
	}
	f, err := os.OpenFile(c.path(name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, missing(name)
	}
	if errors.Is(err, unix.ELOOP) { // a symbolic link, which is none of ours
		_ = os.Remove(c.path(name))
		return nil, 0, missing(name)
	}
	if err != nil {
		return nil, 0, draft.Explain(fmt.Errorf("cannot open cache entry %q: %w", name, err), Variable)
	}
	size, err := c.check(f)
	if err != nil {
		c.drop(name, f)
		_ = f.Close()
		return nil, 0, fmt.Errorf("cache entry %q is damaged (%w): %w", name, err, ErrMissing)
	}
	return f, size, nil
}

// drop removes a damaged entry, unless another process has put a new one in its
// place.
func (c *Cache) drop(name string, f *os.File) {
	opened, err := f.Stat()
	if err != nil {
		return
	}
	if there, err := os.Lstat(c.path(name)); err == nil && os.SameFile(opened, there) {
		_ = os.Remove(c.path(name)) // one that stays is replaced by the next
	}
}

// check reads the trailer, and the whole entry when this boot has not seen it.
func (c *Cache) check(f *os.File) (size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, errors.New("not a regular file")
	}
	size = info.Size() - int64(trailerSize)
	if size < 0 {
		return 0, errors.New("too short")
	}
	t := make([]byte, trailerSize)
	if _, err := f.ReadAt(t, size); err != nil {
		return 0, err
	}
	rest, ok := bytes.CutPrefix(t, []byte(magic))
	if !ok || int64(binary.LittleEndian.Uint64(rest[sha256.Size:])) != size {
		return 0, errors.New("no trailer")
	}
	if string(rest[sha256.Size+8:]) == c.boot {
		c.touch(f, info)
		return size, nil
	}
	got, err := sparse.Digest(f, 0, size)
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(got[:], rest[:sha256.Size]) {
		return 0, errors.New("wrong digest")
	}
	if w, err := os.OpenFile(f.Name(), os.O_WRONLY, 0); err == nil {
		// This only saves the next check, and says that the entry is in use.
		_, _ = w.WriteAt([]byte(c.boot), info.Size()-bootSize)
		_ = w.Close()
	}
	return size, nil
}

// useStep is how exactly an entry's last use is known.
const useStep = 24 * time.Hour

// touch says that an entry is in use, once a day.
func (c *Cache) touch(f *os.File, info fs.FileInfo) {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME, &now) != nil || now.Nano()-info.ModTime().UnixNano() < int64(useStep) {
		return
	}
	_ = unix.UtimesNanoAt(unix.AT_FDCWD, f.Name(), []unix.Timespec{now, now}, unix.AT_SYMLINK_NOFOLLOW)
}

// Get gives a small entry whole.
func (c *Cache) Get(name string) ([]byte, error) {
	f, size, err := c.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && size > 0 {
		return nil, fmt.Errorf("cannot read cache entry %q: %w", name, err)
	}
	return data, nil
}

// Has says whether an entry is there, without looking into it.
func (c *Cache) Has(name string) bool {
	info, err := os.Lstat(c.path(name))
	return err == nil && info.Mode().IsRegular()
}

// Put writes a small entry whole.
func (c *Cache) Put(name string, data []byte) error {
	p, err := c.Create(name)
	if err != nil {
		return err
	}
	defer p.Discard()
	if _, err := p.Write(data); err != nil {
		return fmt.Errorf("cannot write cache entry %q: %w", name, err)
	}
	return p.Commit()
}

// A Pending is an entry on its way in.
type Pending struct {
	*draft.File
	entry string
	cache *Cache
	hash  hash.Hash
	size  int64
	err   error // the first of Write
}

// Create begins an entry. End it with Commit; Discard after that does nothing.
func (c *Cache) Create(name string) (*Pending, error) {
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("%q is no name of a cache entry", name)
	}
	if err := c.Make(); err != nil {
		return nil, err
	}
	tmp := filepath.Join(c.dir, "tmp")
	f, err := draft.Create(tmp)
	// Somebody empties the cache. In a directory that is being removed, ext4 permits
	// nothing rather than to say that it is not there.
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EPERM) {
		if err = os.MkdirAll(tmp, 0o755); err == nil {
			f, err = draft.Create(tmp)
		}
	}
	if err != nil {
		return nil, draft.Explain(fmt.Errorf("cannot write to the cache: %w", err), Variable)
	}
	return &Pending{File: f, entry: name, cache: c, hash: sha256.New()}, nil
}

// Writable says whether entries can be written here; why not is a fault.Preflight.
func (c *Cache) Writable() error {
	p, err := c.Create("probe")
	if err == nil {
		p.Discard()
	}
	return err
}

// Write adds to the entry.
func (p *Pending) Write(b []byte) (int, error) {
	n, err := p.File.Write(b)
	p.hash.Write(b[:n])
	p.size += int64(n)
	err = draft.Explain(err, Variable)
	if p.err == nil {
		p.err = err
	}
	return n, err
}

// Err is the first error of Write: what made whoever was writing fail, whatever he
// says himself.
func (p *Pending) Err() error { return p.err }

// Name is the entry's name.
func (p *Pending) Name() string { return p.entry }

// Rename gives the entry another name: one that says what it holds, which is known
// when all is written.
func (p *Pending) Rename(name string) { p.entry = name }

// Digest is that of the content so far.
func (p *Pending) Digest() digest.Digest { return digest.From(p.hash) }

// Size is how many bytes were written so far: where the next ones will lie.
func (p *Pending) Size() int64 { return p.size }

// Filled says that others wrote to the file, from its beginning, without Write;
// it reads what they wrote.
func (p *Pending) Filled() error {
	p.hash.Reset()
	info, err := p.Stat()
	if err == nil {
		p.size = info.Size()
		err = sparse.Hash(p.hash, p.File.File, 0, p.size)
	}
	if err != nil {
		return fmt.Errorf("cannot read back cache entry %q: %w", p.entry, err)
	}
	_, err = p.Seek(p.size, io.SeekStart)
	return err
}

// Commit makes the entry part of the cache.
func (p *Pending) Commit() error {
	defer p.Discard()
	return draft.Explain(p.commit(), Variable)
}

func (p *Pending) commit() error {
	t := append([]byte(magic), p.hash.Sum(nil)...)
	t = binary.LittleEndian.AppendUint64(t, uint64(p.size))
	t = append(t, fmt.Sprintf("%-*.*s", bootSize, bootSize, p.cache.boot)...)
	if _, err := p.File.Write(t); err != nil {
		return fmt.Errorf("cannot write cache entry %q: %w", p.entry, err)
	}
	to := p.cache.path(p.entry)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("cannot make a directory of the cache: %w", err)
	}
	// What is no file has no business there, and a file cannot replace a directory.
	if info, err := os.Lstat(to); err == nil && info.IsDir() {
		if err := os.RemoveAll(to); err != nil {
			return fmt.Errorf("cannot remove what lies in the place of cache entry %q: %w", p.entry, err)
		}
	}
	return p.Publish(to, 0o644)
}
