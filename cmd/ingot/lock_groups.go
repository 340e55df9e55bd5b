package main

import (
	"context"
	"io"

	"ingot/internal/compiler"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/flavor"
	"ingot/internal/group"
	"ingot/internal/lock"
	"ingot/internal/repository"
	"ingot/internal/supply"
)

// groups reads the groups that a definition names.
func (h *house) groups(f *repositoryFlags) func(ctx context.Context, spec string, kept *lock.Group) (*compiler.Version, error) {
	return func(ctx context.Context, text string, kept *lock.Group) (*compiler.Version, error) {
		r, err := f.open()
		if err != nil {
			return nil, err
		}
		if h.offline && r.Place.Remote() {
			return nil, fault.Newf(fault.Unreachable, "it lies in %s, and this run is offline", r.Place).WithHint("run 'ingot lock' once with a network")
		}
		if kept != nil {
			spec, err := group.ParseSpec(text)
			if err != nil {
				return nil, err
			}
			spec.Version = &kept.Version
			text = spec.String()
		}
		g, found, err := f.one(ctx, r, text)
		if kept != nil && fault.CodeOf(err) == fault.NotFound {
			return nil, fault.Newf(fault.NotFound, "%w", err).WithHint("'ingot lock --update %s' takes a version that is there", kept.Name())
		}
		if err != nil {
			return nil, err
		}
		v := &compiler.Version{Version: g.Record.Version.String(), Lock: g.Lock, Flavors: []flavor.Flavor{}}
		for _, t := range found {
			v.Flavors = append(v.Flavors, t.Flavor)
		}
		v.Packages = func(ctx context.Context, refs []distro.Ref) ([]distro.Package, error) { return h.ofGroup(ctx, g, refs) }
		return v, nil
	}
}

// ofGroup is what packages of a group say of themselves. What is not in the store is brought from the
// repository, else from a mirror.
func (h *house) ofGroup(ctx context.Context, g *repository.Group, refs []distro.Ref) ([]distro.Package, error) {
	s := h.supply(g.Lock)
	list, missing, err := s.Controls(ctx, refs)
	if err != nil || len(missing) == 0 {
		return list, err
	}
	var sums []digest.Digest
	for _, r := range missing {
		sums = append(sums, r.SHA256)
	}
	// Until the process ends: then the lock holds them.
	if _, err := h.store.Lease(ctx, sums); err != nil {
		return nil, err
	}
	s.Elsewhere = elsewhere(g.Repository(), func(distro.Ref) bool { return true })
	if err := s.Fetch(ctx, missing, supply.Meter{}); err != nil {
		return nil, err
	}
	list, _, err = s.Controls(ctx, refs)
	return list, err
}

// elsewhere takes some packages from a repository, by their digests.
func elsewhere(r *repository.Repository, some func(distro.Ref) bool) func(context.Context, distro.Ref) (io.ReadCloser, error) {
	return func(ctx context.Context, ref distro.Ref) (io.ReadCloser, error) {
		if !some(ref) {
			return nil, nil //nolint:nilnil // it is not there
		}
		f, err := r.Open(ctx, repository.Blob{SHA256: ref.SHA256, Size: ref.Size})
		if fault.CodeOf(err) == fault.NotFound {
			return nil, nil //nolint:nilnil // it is not there
		}
		return f, err
	}
}

// groupPackages takes the packages that a lock has of groups from the repository, which has them when the archives have
// dropped them. Without one, or where it does not answer, there are the mirrors.
func (h *house) groupPackages(l *lock.Lock) func(context.Context, distro.Ref) (io.ReadCloser, error) {
	grouped := map[digest.Digest]bool{}
	for _, s := range l.Sets {
		for _, r := range s.Refs {
			if _, ok := l.Group(s, r); ok {
				grouped[r.SHA256] = true
			}
		}
	}
	if len(grouped) == 0 {
		return nil
	}
	p, err := openPlace("")
	if err != nil || h.offline && p.Remote() {
		return nil
	}
	from := elsewhere(&repository.Repository{Place: p, Now: now}, func(r distro.Ref) bool { return grouped[r.SHA256] })
	return func(ctx context.Context, ref distro.Ref) (io.ReadCloser, error) {
		f, err := from(ctx, ref)
		if err != nil && fault.CodeOf(err) != fault.Interrupted {
			h.progress.Notef("%s: %v", p, err)
			return nil, nil //nolint:nilnil // a mirror may have it
		}
		return f, err
	}
}
