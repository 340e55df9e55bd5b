package supply

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/store"
)

// Bounds of an import: so much is read before its locks say how much follows.
const (
	maxLocks     = 1000
	maxLockBytes = 256 << 20 // of all locks together
)

// Import reads what [Export] wrote into the store. It trusts nothing: a name, type
// or size that an export would not have, a blob that no lock names or that has another
// digest, and a file that ends early are a fault.Verification. Blobs that came
// before a fault stay, each of them verified, and nothing refers to them. When all is
// there, a reference is written for each lock.
func Import(ctx context.Context, s *store.Store, r io.Reader) (Cargo, error) {
	in := importer{store: s, tar: tar.NewReader(r), needs: map[digest.Digest]store.Need{}, seen: map[digest.Digest]bool{}}
	defer in.release()
	err := in.run(ctx)
	if err != nil && fault.CodeOf(err) == fault.Failed {
		var broken *readError
		if errors.As(err, &broken) {
			err = refuse("%w", broken.err)
		}
	}
	return in.cargo, err
}

// refuse is a fault of the file that is imported.
func refuse(format string, args ...any) error {
	return fault.Newf(fault.Verification, "cannot import: "+format, args...).
		WithHint("bring a file that 'ingot store export' made")
}

// A readError is one of the file that is imported, not of the store.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

type importer struct {
	store *store.Store
	tar   *tar.Reader
	cargo Cargo
	needs map[digest.Digest]store.Need // that the locks name
	seen  map[digest.Digest]bool       // blobs of the file
	text  int64                        // bytes of locks so far
	lease *store.Lease
}

func (in *importer) release() { in.lease.Release() }

// next gives the next file's header; nil is the end.
func (in *importer) next() (*tar.Header, error) {
	h, err := in.tar.Next()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, &readError{err}
	}
	if h.Typeflag != tar.TypeReg || h.Size < 0 {
		return nil, refuse("%q is not a regular file", h.Name)
	}
	return h, nil
}

func (in *importer) run(ctx context.Context) error {
	h, err := in.next()
	if err != nil {
		return err
	}
	if h == nil || h.Name != exportMark || h.Size != int64(len(exportText)) {
		return refuse("this is no export of a store")
	}
	if text, err := in.read(h.Size); err != nil {
		return err
	} else if string(text) != exportText {
		return refuse("it is of another version")
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if h, err = in.next(); err != nil {
			return err
		}
		if h == nil {
			return in.finish(ctx)
		}
		if hex, ok := strings.CutPrefix(h.Name, blobPlace); ok {
			err = in.blob(ctx, hex, h.Size)
		} else if rest, ok := strings.CutPrefix(h.Name, lockPlace); ok {
			err = in.lock(rest, h.Size)
		} else {
			err = refuse("%q has no place in an export", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

func (in *importer) read(size int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in.tar, size))
	if err != nil {
		return nil, &readError{err}
	}
	return data, nil
}

func (in *importer) lock(name string, size int64) error {
	hex, ok := strings.CutSuffix(name, lockSuffix)
	want, err := digest.Parse(hex)
	switch {
	case !ok || err != nil:
		return refuse("%q is no name of a lock", name)
	case in.lease != nil:
		return refuse("lock %s comes after blobs", name)
	case len(in.cargo.Locks) == maxLocks || size > maxLockBytes-in.text:
		return refuse("its locks are more than %d or larger than %d MiB", maxLocks, maxLockBytes>>20)
	}
	in.text += size
	data, err := in.read(size)
	if err != nil {
		return err
	}
	l, err := lock.Decode(data)
	if err != nil {
		return refuse("lock %s: %w", name, err)
	}
	if l.Digest() != want {
		return refuse("lock %s has digest %s", name, l.Digest())
	}
	in.cargo.Locks = append(in.cargo.Locks, l)
	for _, n := range needs(l) {
		if old, ok := in.needs[n.Digest]; ok && old.Size != n.Size {
			return refuse("its locks give package %s two sizes", n.Label)
		}
		in.needs[n.Digest] = n
	}
	return nil
}

// hold leases what the locks name, and looks whether there is room for it.
func (in *importer) hold(ctx context.Context) error {
	if in.lease != nil {
		return nil
	}
	digests := make([]digest.Digest, 0, len(in.needs))
	for _, n := range in.needs {
		digests = append(digests, n.Digest)
	}
	var err error
	if in.lease, err = in.store.Lease(ctx, digests); err != nil {
		return err
	}
	var bytes uint64 // of what is not there; what is stays from now on
	for _, n := range in.needs {
		if !in.store.Has(n.Digest, n.Size) {
			bytes += uint64(n.Size)
		}
	}
	place, err := spaceAt(in.store.Dir())
	if err != nil {
		return err
	}
	return place.hold(bytes, store.Variable)
}

func (in *importer) blob(ctx context.Context, hex string, size int64) error {
	d, err := digest.Parse(hex)
	if err != nil {
		return refuse("%q is no name of a blob", hex)
	}
	n, ok := in.needs[d]
	switch {
	case !ok:
		return refuse("blob %s is named by none of its locks", hex)
	case n.Size != size:
		return refuse("package %s has %d bytes, its lock says %d", n.Label, size, n.Size)
	case in.seen[d]:
		return refuse("package %s comes twice", n.Label)
	}
	in.seen[d] = true
	if err := in.hold(ctx); err != nil {
		return err
	}
	in.cargo.Blobs++
	in.cargo.Size += size
	if in.store.Has(d, size) {
		return nil
	}
	p, err := in.store.Create()
	if err != nil {
		return err
	}
	defer p.Discard()
	if _, err := io.Copy(p, reading{in.tar}); err != nil {
		return err
	}
	if p.Digest() != d {
		return refuse("package %s has digest %s, its lock says %s", n.Label, p.Digest(), d)
	}
	if err := p.Commit(d); err != nil {
		return err
	}
	in.cargo.New++
	return nil
}

// reading tells errors of the file from those of the store.
type reading struct{ r io.Reader }

func (r reading) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &readError{err}
	}
	return n, err
}

// finish holds the whole against the locks, and makes it durable.
func (in *importer) finish(ctx context.Context) error {
	var gone []string
	for _, n := range in.needs {
		if !in.store.Has(n.Digest, n.Size) {
			gone = append(gone, n.Label)
		}
	}
	if len(gone) > 0 {
		slices.Sort(gone)
		return refuse("it lacks %d packages that its locks name, such as %s", len(gone), gone[0])
	}
	if err := in.hold(ctx); err != nil {
		return err
	}
	if err := in.store.Flush(); err != nil {
		return err
	}
	for _, l := range in.cargo.Locks {
		if err := in.store.SetRef(ctx, Reference("", l)); err != nil {
			return err
		}
	}
	return nil
}
