// Package cache keeps what can be made again: packages in a form that is quick to
// read, results of steps, package indexes, compressed members, work directories.
// It may be emptied at any time, also while ingot runs, and holds nothing that an
// ordinary user cannot delete.
//
// An entry is one file, written beside and renamed. It is not flushed to disk: a
// power cut may leave it short or full of zeros. Therefore each entry's last bytes
// record the boot in which it was made, and [Cache.Get] verifies an entry's digest
// once in every other boot.
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

	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
)

// A Cache is a directory of entries by name. It is safe for several goroutines
// and processes.
type Cache struct {
	dir  string
	boot string
}

// Open opens the cache at $INGOT_CACHE, and makes it when it is new.
func Open(dir string) (*Cache, error) {
	for _, d := range []string{"entries", "tmp", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fault.Newf(fault.Preflight, "cannot make the cache: %w", err).
				WithHint("choose another place with INGOT_CACHE")
		}
	}
	draft.Sweep(filepath.Join(dir, "tmp"))
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("cannot tell this boot from others: %w", err)
	}
	return &Cache{dir: dir, boot: strings.TrimSpace(string(boot))}, nil
}

// Dir is the cache's directory.
func (c *Cache) Dir() string { return c.dir }

// Sub is a directory of the cache for a room that keeps its own files there.
func (c *Cache) Sub(name string) (string, error) {
	dir := filepath.Join(c.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make a directory of the cache: %w", err)
	}
	return dir, nil
}

func (c *Cache) path(name string) string { return filepath.Join(c.dir, "entries", name) }

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
	if strings.Contains(name, "..") {
		return nil, 0, fmt.Errorf("cache entry %q: %w", name, ErrMissing)
	}
	f, err := os.Open(c.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("cache entry %q: %w", name, ErrMissing)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("cannot open cache entry %q: %w", name, err)
	}
	size, err := c.check(f)
	if err != nil {
		_ = f.Close()
		_ = os.Remove(c.path(name)) // whoever asked makes it again
		return nil, 0, fmt.Errorf("cache entry %q is damaged (%w): %w", name, err, ErrMissing)
	}
	return f, size, nil
}

// check reads the trailer, and the whole entry when this boot has not seen it.
func (c *Cache) check(f *os.File) (size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
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
		return size, nil
	}
	got, _, err := digest.Reader(io.NewSectionReader(f, 0, size))
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(got[:], rest[:sha256.Size]) {
		return 0, errors.New("wrong digest")
	}
	if w, err := os.OpenFile(f.Name(), os.O_WRONLY, 0); err == nil {
		_, _ = w.WriteAt([]byte(c.boot), info.Size()-bootSize) // only saves the next check
		_ = w.Close()
	}
	return size, nil
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
	_, err := os.Stat(c.path(name))
	return err == nil
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
}

// Create begins an entry. End it with Commit; Discard after that does nothing.
func (c *Cache) Create(name string) (*Pending, error) {
	f, err := draft.Create(filepath.Join(c.dir, "tmp"))
	if err != nil {
		return nil, fmt.Errorf("cannot write to the cache: %w", err)
	}
	return &Pending{File: f, entry: name, cache: c, hash: sha256.New()}, nil
}

// Write adds to the entry.
func (p *Pending) Write(b []byte) (int, error) {
	n, err := p.File.Write(b)
	p.hash.Write(b[:n])
	p.size += int64(n)
	return n, err
}

// Name is the entry's name.
func (p *Pending) Name() string { return p.entry }

// Size is how many bytes were written so far: where the next ones will lie.
func (p *Pending) Size() int64 { return p.size }

// Filled says that others wrote to the file, from its beginning, without Write;
// it reads what they wrote.
func (p *Pending) Filled() error {
	p.hash.Reset()
	n, err := io.Copy(p.hash, io.NewSectionReader(p.File, 0, 1<<62))
	if err != nil {
		return fmt.Errorf("cannot read back cache entry %q: %w", p.entry, err)
	}
	p.size = n
	_, err = p.Seek(n, io.SeekStart)
	return err
}

// Commit makes the entry part of the cache.
func (p *Pending) Commit() error {
	defer p.Discard()
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
	return p.Publish(to, 0o644)
}
