package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/draft"
)

// A Collection says what [Store.Collect] removed, or would, and what it kept.
type Collection struct {
	Refs    []Ref  // references that were dropped
	Removed []Blob // that nobody needs any more
	Freed   int64  // bytes of Removed
	Kept    int    // blobs
	Size    int64  // bytes of the blobs kept
	Leased  int    // blobs kept only because a running process needs them
}

// empty says that the store has neither blobs nor references.
func (s *Store) empty() bool {
	blobs, blobsErr := s.Blobs()
	refs, refsErr := s.Refs()
	return len(blobs)+len(refs) == 0 && blobsErr == nil && refsErr == nil
}

// Collect drops the references that keep refuses, and removes each blob that no
// other reference and no lease names. It may run while others read and write the
// store; only those who begin meanwhile wait, for as long as it takes to look
// through the store's directories. A dry run removes nothing.
func (s *Store) Collect(ctx context.Context, keep func(Ref) bool, dry bool) (Collection, error) {
	var c Collection
	if s.empty() {
		return c, nil // also where there is no store yet, which this makes none of
	}
	unlock, err := s.lock(ctx, unix.LOCK_EX)
	if err != nil {
		return c, err
	}
	defer unlock()
	refs, err := s.Refs()
	if err != nil {
		return c, err
	}
	leased, err := s.leased()
	if err != nil {
		return c, err
	}
	needed := map[digest.Digest]bool{}
	for _, r := range refs {
		if !keep(r) {
			c.Refs = append(c.Refs, r)
			continue
		}
		for _, n := range r.Needs {
			needed[n.Digest] = true
		}
	}
	blobs, err := s.Blobs()
	if err != nil {
		return c, err
	}
	// References first: when this is killed, what they named is garbage, and the
	// next collection finds it.
	for _, r := range c.Refs {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		if dry {
			continue
		}
		if err := s.RemoveRef(r.Name); err != nil {
			return c, err
		}
	}
	for _, b := range blobs {
		switch {
		case needed[b.Digest]:
		case leased[b.Digest]:
			c.Leased++
		default:
			if err := ctx.Err(); err != nil {
				return c, err
			}
			if !dry {
				if err := os.Remove(s.Path(b.Digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return c, draft.Explain(fmt.Errorf("cannot remove a blob of the store: %w", err), Variable)
				}
			}
			c.Removed = append(c.Removed, b)
			c.Freed += b.Size
			continue
		}
		c.Kept++
		c.Size += b.Size
	}
	return c, nil
}
