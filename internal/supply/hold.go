package supply

import (
	"context"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"time"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/lock"
	"ingot/internal/store"
)

// KeepDays is for how long what nobody uses is kept, unless the user says
// otherwise: long enough to come back to a branch, or to a lock of last month.
const KeepDays = 30

// Packages gives all packages that a lock names, each once.
func Packages(l *lock.Lock) []distro.Ref {
	var out []distro.Ref
	seen := map[digest.Digest]bool{}
	add := func(refs []distro.Ref) {
		for _, r := range refs {
			if !seen[r.SHA256] {
				seen[r.SHA256] = true
				out = append(out, r)
			}
		}
	}
	for _, set := range l.Sets {
		add(set.Refs)
	}
	add(l.Tools)
	add(l.Station)
	return out
}

// needs are a lock's packages as a reference names them.
func needs(l *lock.Lock) []store.Need {
	var out []store.Need
	for _, p := range Packages(l) {
		out = append(out, store.Need{
			Blob:  store.Blob{Digest: p.SHA256, Size: p.Size},
			Label: p.Name + " " + p.Version + " " + p.Arch,
		})
	}
	return out
}

// Reference is what the store records of a lock: the file that it was read from,
// by absolute path or "", its digest, its packages, and the lists of its seals, whose
// size no lock says. A file has a reference for each lock that it once was, so that a
// step back in its history finds its packages.
func Reference(path string, l *lock.Lock) store.Ref {
	r := store.Ref{Path: path, Lock: l.Digest()}
	at := digest.Of([]byte(path))
	r.Name = hex.EncodeToString(at[:8]) + "-" + hex.EncodeToString(r.Lock[:8])
	r.Needs = needs(l)
	for _, seal := range l.Seals {
		r.Needs = append(r.Needs, store.Need{
			Blob:  store.Blob{Digest: seal.SHA256, Size: store.AnySize},
			Label: "seal " + seal.Name(),
		})
	}
	for _, d := range l.Downloads {
		if !d.SHA256.IsZero() {
			r.Needs = append(r.Needs, store.Need{Blob: store.Blob{Digest: d.SHA256, Size: d.Size}, Label: "download " + d.Address})
		}
	}
	return r
}

// Hold keeps the packages of a lock from being collected: those of this lock file
// from now on, by a reference, and while release was not called also when
// the file changes. Call it before asking what is missing, and again for a lock
// that has got its seals.
func Hold(ctx context.Context, s *store.Store, path string, l *lock.Lock) (release func(), err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot tell where the lock lies: %w", err)
	}
	r := Reference(path, l)
	digests := make([]digest.Digest, len(r.Needs))
	for i, n := range r.Needs {
		digests[i] = n.Digest
	}
	lease, err := s.Lease(ctx, digests)
	if err != nil {
		return nil, err
	}
	if err := s.SetRef(ctx, r); err != nil {
		lease.Release()
		return nil, err
	}
	return lease.Release, nil
}

// Hold is [Hold] in the supply's own store.
func (s *Supply) Hold(ctx context.Context, path string, l *lock.Lock) (release func(), err error) {
	return Hold(ctx, s.Store, path, l)
}

// Current says whether the lock that a reference names still lies where it lay.
func Current(r store.Ref) bool {
	if r.Path == "" {
		return false
	}
	l, err := lock.Read(r.Path)
	return err == nil && l.Digest() == r.Lock
}

// Keeps gives the rule of a collection: a reference is kept as long as its lock is
// where it was, and otherwise until it has not been used since a time.
func Keeps(since time.Time) func(store.Ref) bool {
	return func(r store.Ref) bool { return Current(r) || r.Used.After(since) }
}
