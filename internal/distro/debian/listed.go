package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/lock"
)

// Listed is what the indexes that a lock was made from say of packages, by their digests: the
// fields that matter to who needs whom are those of the packages themselves. The indexes lie in a
// directory as [Updater] keeps them; one that is not there any more says nothing, and packages that none
// speaks of are not in the answer.
func Listed(ctx context.Context, dir string, indexes []lock.Index, refs []distro.Ref) (map[digest.Digest]distro.Package, error) {
	want := map[string]distro.Ref{}
	for _, r := range refs {
		want[r.SHA256.String()] = r
	}
	out := map[digest.Digest]distro.Package{}
	for _, x := range indexes {
		if len(want) == 0 {
			break
		}
		data, err := input.Read(filepath.Join(dir, x.SHA256.String()), x.Size)
		if err != nil || digest.Of(data) != x.SHA256 {
			continue // a cache may lose what it has; nothing is read that is not what the lock names
		}
		text, err := openIndex(bytes.NewReader(data))
		if err == nil {
			err = listed(ctx, text, want, out)
		}
		if err != nil {
			return nil, fault.Newf(fault.Verification, "%s of %s: %w", x.Path, x.Archive, err)
		}
	}
	return out, nil
}

// listed takes what an index says of those that are wanted.
func listed(ctx context.Context, text io.Reader, want map[string]distro.Ref, out map[digest.Digest]distro.Package) error {
	err := cutChunks(text, func(chunk []byte) bool {
		for s := range Stanzas(chunk) {
			sum, _ := s.Field("SHA256")
			r, ok := want[sum]
			if !ok {
				continue
			}
			out[r.SHA256] = distro.Package{Ref: r, Control: map[string]distro.ControlFile{"control": {Data: append(bytes.Clone(s), '\n')}}}
			delete(want, sum)
		}
		return ctx.Err() == nil && len(want) > 0
	})
	return errors.Join(err, ctx.Err())
}

// IndexOf is an index that offers some packages, by what they say of themselves.
func IndexOf(from Source, packages []distro.Package) (*Index, error) {
	var text bytes.Buffer
	for _, p := range packages {
		text.Write(bytes.TrimRight(p.Control["control"].Data, "\r\n"))
		fmt.Fprintf(&text, "\nFilename: %s\nSize: %d\nSHA256: %s\n\n", p.Ref.Location, p.Ref.Size, p.Ref.SHA256)
	}
	return ReadIndex(&text, from)
}
