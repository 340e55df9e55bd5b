package supply

import (
	"bytes"
	"context"
	"encoding/gob"

	"ingot/internal/digest"
	"ingot/internal/distro"
)

// Describe says what packages are, by their digests. One that the store lacks is
// fetched for it, or papers would depend on the store.
func (s *Supply) Describe(ctx context.Context, refs []distro.Ref) (map[digest.Digest]distro.Description, error) {
	us, err := s.Unpacked(ctx, refs, Meter{})
	if err != nil {
		return nil, err
	}
	out := make(map[digest.Digest]distro.Description, len(us))
	for _, u := range us {
		out[u.Ref.SHA256] = s.Distro.Describe(u.Package)
	}
	return out, nil
}

// Stored describes packages that the cache or the store has, and fetches none; missing
// are the others.
func (s *Supply) Stored(ctx context.Context, refs []distro.Ref) (out map[digest.Digest]distro.Description, missing []distro.Ref, err error) {
	list, missing, err := s.Controls(ctx, refs)
	out = make(map[digest.Digest]distro.Description, len(list))
	for _, p := range list {
		out[p.Ref.SHA256] = s.Distro.Describe(p)
	}
	return out, missing, err
}

// Controls is what packages say of themselves that the cache or the store has; missing are the
// others.
func (s *Supply) Controls(ctx context.Context, refs []distro.Ref) (out []distro.Package, missing []distro.Ref, err error) {
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		p, err := s.cachedControl(ref)
		if err != nil {
			if !s.Store.Has(ref.SHA256, ref.Size) {
				missing = append(missing, ref)
				continue
			}
			if p, err = s.inspect(ctx, ref); err != nil {
				return nil, nil, err
			}
		}
		out = append(out, p)
	}
	return out, missing, nil
}

// cachedControl is what a package says of itself, as the cache has it.
func (s *Supply) cachedControl(ref distro.Ref) (distro.Package, error) {
	p := distro.Package{Ref: ref}
	data, err := s.Cache.Get(treeName(ref))
	if err != nil {
		return p, err
	}
	var f form
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&f); err != nil {
		return p, err
	}
	p.Control = f.Control
	return p, nil
}
