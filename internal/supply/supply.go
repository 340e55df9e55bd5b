// Package supply brings locked packages: from a mirror into the store, as they
// were signed, and from the store into the cache, as trees. Many are fetched at
// a time while others are unpacked, one a core.
//
// Whoever needs the packages of a lock holds them ([Supply.Hold]) before he asks
// for them, so that nobody collects them meanwhile.
//
// # Damage
//
// A package is held against its digest each time that it is read: to be unpacked or
// exported. A damaged one is removed from the store and fetched again at once, or
// is a fault.Verification when no mirror is at hand. One whose unpacked form is in the
// cache is not read, so damage to it shows later ("ingot store list --verify" looks for
// it); what is built is right all the same, because the unpacked form was made from
// the undamaged package and has a digest of its own.
package supply

import (
	"context"
	"fmt"
	"io"

	"ingot/internal/cache"
	"ingot/internal/distro"
	"ingot/internal/fetch"
	"ingot/internal/store"
)

// A Supply is where packages come from.
type Supply struct {
	Store  *store.Store
	Cache  *cache.Cache
	Client *fetch.Client
	Distro distro.Distro
	// Mirrors gives the roots of an archive, best first; nil is offline.
	Mirrors func(archive string) []string
	// Elsewhere, if not nil, gives a package by its digest from where else it may be, as a
	// repository of groups, before a mirror is asked; nil is that it is not there.
	Elsewhere func(ctx context.Context, ref distro.Ref) (io.ReadCloser, error)
}

// A Meter hears what goes on; all of its functions may be called at once from
// many goroutines, and any may be nil.
type Meter struct {
	Fetched  func(bytes int64) // more bytes have come from a mirror
	Unpacked func(ref distro.Ref, cached bool)
}

// Form is the version of the form in which the cache keeps packages. Raise it when a
// package would be unpacked into other bytes than before: trees of steps in the cache
// point into packs, so it is a part of the packs' names and of the steps' keys.
const Form = 2

// packName is the cache's name of a package's contents, and treeName of the rest.
func packName(ref distro.Ref) string { return entryName(ref) + ".pack" }
func treeName(ref distro.Ref) string { return entryName(ref) + ".tree" }
func entryName(ref distro.Ref) string {
	return fmt.Sprintf("packages/%s.%d", ref.SHA256, Form)
}

// Missing gives the packages that the store does not have yet.
func (s *Supply) Missing(refs []distro.Ref) []distro.Ref {
	var out []distro.Ref
	for _, r := range refs {
		if !s.Store.Has(r.SHA256, r.Size) {
			out = append(out, r)
		}
	}
	return out
}

// Unpacked gives packages as trees, in the order of refs. What the store lacks is
// fetched and verified; what the cache lacks is unpacked.
func (s *Supply) Unpacked(ctx context.Context, refs []distro.Ref, m Meter) ([]distro.Unpacked, error) {
	d := s.Deliver(ctx, refs, m)
	defer d.Close()
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return d.Unpacked(ctx, refs)
}
