package supply

import (
	"context"

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
