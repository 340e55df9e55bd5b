package supply

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"time"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/store"
)

// An export is a tar (POSIX ustar) with nothing in it but regular files, in this
// order:
//
//	ingot-export         the text "ingot export 1\n"
//	locks/DIGEST.lock    each lock, as its file
//	blobs/DIGEST         each package that the locks name, as it was signed
//
// Locks come before blobs, so that whoever imports knows each blob's size before
// it comes. Files of a kind are sorted, owners are 0 and times 1970: the same
// locks give the same bytes.
const (
	exportMark = "ingot-export"
	exportText = "ingot export 1\n"
	lockPlace  = "locks/"
	lockSuffix = ".lock"
	blobPlace  = "blobs/"
)

// A Cargo says what was exported or imported.
type Cargo struct {
	Locks []*lock.Lock
	Blobs int
	Size  int64 // bytes of the blobs
	New   int   // of an import: blobs that the store did not have
}

// Export writes all packages of some locks, and the locks. The store must have
// them; each is held against its digest on its way, and a damaged one ends the export with a
// fault.Verification. The caller holds the locks.
func Export(ctx context.Context, s *store.Store, w io.Writer, locks []*lock.Lock) (Cargo, error) {
	locks = slices.Clone(locks)
	slices.SortStableFunc(locks, func(a, b *lock.Lock) int {
		// Of a lock with and without seals, the one with.
		return cmp.Or(compareDigests(a.Digest(), b.Digest()), cmp.Compare(len(b.Seals), len(a.Seals)))
	})
	locks = slices.CompactFunc(locks, func(a, b *lock.Lock) bool { return a.Digest() == b.Digest() })
	c := Cargo{Locks: locks}
	t := tar.NewWriter(w)
	if err := putFile(t, exportMark, []byte(exportText)); err != nil {
		return c, err
	}
	var all []store.Need
	for _, l := range locks {
		if err := putFile(t, lockPlace+l.Digest().String()+lockSuffix, lock.Encode(*l)); err != nil {
			return c, err
		}
		all = append(all, needs(l)...)
	}
	slices.SortFunc(all, func(a, b store.Need) int { return compareDigests(a.Digest, b.Digest) })
	all = slices.CompactFunc(all, func(a, b store.Need) bool { return a.Digest == b.Digest })
	for _, n := range all {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		if err := putBlob(t, s, n); err != nil {
			return c, err
		}
		c.Blobs++
		c.Size += n.Size
	}
	if err := t.Close(); err != nil {
		return c, fmt.Errorf("cannot write the export: %w", err)
	}
	return c, nil
}

func compareDigests(a, b digest.Digest) int { return bytes.Compare(a[:], b[:]) }

func putHeader(t *tar.Writer, name string, size int64) error {
	err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o444, Size: size, ModTime: time.Unix(0, 0)})
	if err != nil {
		return fmt.Errorf("cannot write the export: %w", err)
	}
	return nil
}

func putFile(t *tar.Writer, name string, data []byte) error {
	if err := putHeader(t, name, int64(len(data))); err != nil {
		return err
	}
	if _, err := t.Write(data); err != nil {
		return fmt.Errorf("cannot write the export: %w", err)
	}
	return nil
}

func putBlob(t *tar.Writer, s *store.Store, n store.Need) error {
	if !s.Has(n.Digest, n.Size) {
		return fault.Newf(fault.NotFound, "package %s is not in the store", n.Label).
			WithHint("without --offline, export fetches it")
	}
	f, err := s.Open(n.Digest)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := putHeader(t, blobPlace+n.Digest.String(), n.Size); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(t, io.TeeReader(io.LimitReader(f, n.Size), h)); err != nil {
		return fmt.Errorf("cannot write package %s to the export: %w", n.Label, err)
	}
	if digest.From(h) == n.Digest {
		return nil
	}
	if err := s.Verify(n.Digest); err != nil { // it removes the blob
		return fmt.Errorf("package %s: %w", n.Label, err)
	}
	return fault.Newf(fault.Verification, "package %s changed while it was exported", n.Label)
}
