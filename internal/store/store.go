// Package store keeps what a lock names: blobs by their digest, as they were
// signed or made, and references that say which lock needs which.
//
// The store is a plain directory:
//
//	blobs/ab/abcd…   one file a blob, named by its SHA-256, mode 0444
//	refs/NAME        a text: one digest a line, sorted
//	tmp/             drafts of blobs on their way in
//
// A blob is written beside, flushed to disk and renamed, so it is whole or not
// there. Nothing in the store is ever changed; [Store.Collect] removes what no
// reference names. A cache may be emptied at any time, the store may not.
package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"

	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
)

// A Store is a directory of blobs and references. It is safe for several
// goroutines and several processes.
type Store struct {
	dir string
}

// Open opens a store below $INGOT_HOME, and makes it when it is new.
func Open(home string) (*Store, error) {
	s := &Store{dir: filepath.Join(home, "store")}
	for _, d := range []string{"blobs", "refs", "tmp"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o755); err != nil {
			return nil, fault.Newf(fault.Preflight, "cannot make the store: %w", err).
				WithHint("choose another place with INGOT_HOME")
		}
	}
	draft.Sweep(filepath.Join(s.dir, "tmp"))
	return s, nil
}

// Dir is the store's directory.
func (s *Store) Dir() string { return s.dir }

// Path is where a blob lies, or would lie.
func (s *Store) Path(d digest.Digest) string {
	h := d.String()
	return filepath.Join(s.dir, "blobs", h[:2], h)
}

// Has says whether a blob of that digest and size is there. Size -1 is any.
func (s *Store) Has(d digest.Digest, size int64) bool {
	info, err := os.Stat(s.Path(d))
	return err == nil && info.Mode().IsRegular() && (size < 0 || info.Size() == size)
}

// Open opens a blob for reading; one that is missing is fs.ErrNotExist.
func (s *Store) Open(d digest.Digest) (*os.File, error) {
	f, err := os.Open(s.Path(d))
	if err != nil {
		return nil, fmt.Errorf("cannot open blob %s: %w", d.Short(), err)
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
	got, _, err := digest.Reader(f)
	if err != nil {
		return fmt.Errorf("cannot read blob %s: %w", d.Short(), err)
	}
	if got == d {
		return nil
	}
	if err := os.Remove(s.Path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the damaged blob %s: %w", d.Short(), err)
	}
	return fault.Newf(fault.Verification, "blob %s in the store was damaged (its bytes have digest %s) and has been removed", d, got.Short()).
		WithHint("run the command again to fetch it anew; look at the disk's health")
}

// A Pending is a blob on its way in.
type Pending struct {
	*draft.File
	store *Store
	hash  hash.Hash
}

// Create begins a blob. End it with Commit; Discard after that does nothing.
func (s *Store) Create() (*Pending, error) {
	f, err := draft.Create(filepath.Join(s.dir, "tmp"))
	if err != nil {
		return nil, fmt.Errorf("cannot write to the store: %w", err)
	}
	return &Pending{File: f, store: s, hash: sha256.New()}, nil
}

// Write adds to the blob.
func (p *Pending) Write(b []byte) (int, error) {
	n, err := p.File.Write(b)
	p.hash.Write(b[:n])
	return n, err
}

// Restart empties the blob, for a transfer that begins again.
func (p *Pending) Restart() error {
	p.hash.Reset()
	if err := p.Truncate(0); err != nil {
		return fmt.Errorf("cannot empty a file of the store: %w", err)
	}
	_, err := p.Seek(0, 0)
	return err
}

// Digest is the digest of what was written with Write so far.
func (p *Pending) Digest() digest.Digest { return digest.From(p.hash) }

// Commit makes the blob part of the store if what was written has the digest.
func (p *Pending) Commit(want digest.Digest) error {
	defer p.Discard()
	if got := p.Digest(); got != want {
		return fault.Newf(fault.Verification, "blob has digest %s, want %s", got, want)
	}
	if err := p.Sync(); err != nil {
		return fmt.Errorf("cannot flush blob %s: %w", want.Short(), err)
	}
	to := p.store.Path(want)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("cannot make a directory of the store: %w", err)
	}
	return p.Publish(to, 0o444)
}
