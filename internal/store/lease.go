package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/draft"
)

// A Lease keeps blobs from being collected as long as its process lives or until
// it is released. It is a draft that is never published: a file of digests under a
// lock (flock(2)) that the kernel takes away when the process ends, however it ends.
type Lease struct{ file *draft.File }

// Lease takes a lease on blobs, whether they are in the store yet or not. In a
// store on a read-only file system it does nothing: nobody collects there.
func (s *Store) Lease(ctx context.Context, blobs []digest.Digest) (*Lease, error) {
	if err := s.Make(); err != nil {
		return nil, err
	}
	// A collection sees a lease whole or not at all.
	unlock, err := s.lock(ctx, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer unlock()
	f, err := draft.CreateNamed(filepath.Join(s.dir, "leases"))
	if errors.Is(err, unix.EROFS) {
		return &Lease{}, nil
	}
	if err != nil {
		return nil, draft.Explain(fmt.Errorf("cannot write to the store: %w", err), Variable)
	}
	var text strings.Builder
	for _, d := range blobs {
		text.WriteString(d.String() + "\n")
	}
	if _, err := f.WriteString(text.String()); err != nil {
		f.Discard()
		return nil, draft.Explain(fmt.Errorf("cannot write to the store: %w", err), Variable)
	}
	return &Lease{f}, nil
}

// Release ends the lease; a second time, and on nil, it does nothing.
func (l *Lease) Release() {
	if l == nil || l.file == nil {
		return
	}
	l.file.Discard()
	l.file = nil
}

// leased gives the blobs that living processes need. The caller holds the store's
// lock alone, so no lease is half written.
func (s *Store) leased() (map[digest.Digest]bool, error) {
	dir := filepath.Join(s.dir, "leases")
	draft.Sweep(dir)
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list leases of the store: %w", err)
	}
	out := map[digest.Digest]bool{}
	for _, entry := range files {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // just released
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read a lease of the store: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			d, err := digest.Parse(strings.TrimSuffix(line, "\n"))
			if err != nil {
				return nil, fmt.Errorf("cannot read lease %s of the store: %w", entry.Name(), err)
			}
			out[d] = true
		}
	}
	return out, nil
}
