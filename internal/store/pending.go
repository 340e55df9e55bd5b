package store

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"os"
	"path/filepath"

	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
)

// A Pending is a blob on its way in.
type Pending struct {
	file  *draft.File
	store *Store
	hash  hash.Hash
}

// Create begins a blob. End it with Commit; Discard after that does nothing.
func (s *Store) Create() (*Pending, error) {
	if err := s.Make(); err != nil {
		return nil, err
	}
	f, err := draft.Create(filepath.Join(s.dir, "tmp"))
	if err != nil {
		return nil, draft.Explain(fmt.Errorf("cannot write to the store: %w", err), Variable)
	}
	return &Pending{file: f, store: s, hash: sha256.New()}, nil
}

// Write adds to the blob.
func (p *Pending) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.hash.Write(b[:n])
	return n, draft.Explain(err, Variable)
}

// Restart empties the blob, for a transfer that begins again.
func (p *Pending) Restart() error {
	p.hash.Reset()
	if err := p.file.Truncate(0); err != nil {
		return fmt.Errorf("cannot empty a file of the store: %w", err)
	}
	_, err := p.file.Seek(0, 0)
	return err
}

// Digest is the digest of what was written so far.
func (p *Pending) Digest() digest.Digest { return digest.From(p.hash) }

// Discard forgets the blob; after Commit it does nothing.
func (p *Pending) Discard() { p.file.Discard() }

// Commit makes the blob part of the store if what was written has the digest. Its
// bytes are on the disk then; its name is after [Store.Flush].
func (p *Pending) Commit(want digest.Digest) error {
	defer p.Discard()
	if got := p.Digest(); got != want {
		return fault.Newf(fault.Verification, "blob has digest %s, want %s", got, want)
	}
	return draft.Explain(p.commit(want), Variable)
}

func (p *Pending) commit(d digest.Digest) error {
	if err := p.file.Sync(); err != nil {
		return fmt.Errorf("cannot flush blob %s: %w", d.Short(), err)
	}
	to := p.store.Path(d)
	// A file can replace anything but a directory.
	if info, err := os.Lstat(to); err == nil && info.IsDir() {
		return p.store.astray(d)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("cannot make a directory of the store: %w", err)
	}
	if err := p.file.Publish(to, 0o444); err != nil {
		return err
	}
	s := p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty[filepath.Dir(to)], s.dirty[filepath.Join(s.dir, "blobs")] = true, true
	s.fresh[d] = true
	return nil
}
