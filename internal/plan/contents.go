package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/lock"
	"ingot/internal/tree"
)

// found are the packages that a tree has by its own records, with what they are, where
// scripts may have installed, upgraded and removed what they liked: the lock's set says
// only what was foreseen. Each is the lock's file of its name, version and architecture,
// or the one that a script had fetched; of one that came otherwise no file is known, and
// its digest is zero. It gives nil where nothing but the lock's set was installed, or where
// the tree has no records. What the records say of packages of the lock's set is left to the
// packages themselves, so that a script which leaves them alone changes nothing.
func (r *Runner) found(p *Plan, c Chain, t tree.Tree) ([]distro.Ref, map[distro.Ref]distro.Description, error) {
	if p.Definition.Elements == nil && len(p.Definition.Scripts) == 0 {
		return nil, nil, nil
	}
	reader := tree.NewReader(r.Supply.Cache)
	defer func() { _ = reader.Close() }()
	data, err := (&worker{reader: reader}).read(t, debian.StatusPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read which packages the image has: %w", err)
	}
	packages, err := debian.Installed(data)
	if err != nil {
		return nil, nil, err
	}
	files := packageFiles(p.Lock)
	own := map[want]distro.Ref{}
	if p.Definition.Elements == nil {
		for _, ref := range c.Set.Refs {
			own[want{ref.Name, ref.Version, ref.Arch}] = ref
		}
	}
	refs := []distro.Ref{}
	about := map[distro.Ref]distro.Description{}
	for _, one := range packages {
		key := want{one.Ref.Name, one.Ref.Version, one.Ref.Arch}
		if ref, ok := own[key]; ok {
			refs = append(refs, ref)
			continue
		}
		ref, ok := files[key]
		if !ok { // names of files have no epoch
			_, key.version, _ = strings.Cut(key.version, ":")
			ref, ok = files[key]
		}
		if ok {
			ref.Version = one.Ref.Version
			one.Ref = ref
		}
		refs = append(refs, one.Ref)
		about[one.Ref] = r.Distro.Describe(one)
	}
	if len(about) == 0 && len(refs) == len(c.Set.Refs) && p.Definition.Elements == nil {
		return nil, nil, nil
	}
	return refs, about, nil
}

// packageFiles are the files of packages that a build could have, by what dpkg says of
// them: those of the lock's sets, and those that scripts asked for.
func packageFiles(l *lock.Lock) map[want]distro.Ref {
	out := map[want]distro.Ref{}
	for _, d := range l.Downloads {
		u, err := url.Parse(d.Address)
		if err != nil || d.SHA256.IsZero() {
			continue
		}
		name, isPackage := strings.CutSuffix(path.Base(u.Path), ".deb")
		parts := strings.Split(name, "_")
		if !isPackage || len(parts) != 3 {
			continue
		}
		ref := distro.Ref{Name: parts[0], Version: parts[1], Arch: parts[2], Location: strings.TrimPrefix(u.Path, "/"), Size: d.Size, SHA256: d.SHA256}
		if _, place, pooled := strings.Cut(u.Path, "/pool/"); pooled {
			ref.Location = "pool/" + place
		}
		out[want{ref.Name, ref.Version, ref.Arch}] = ref
	}
	for _, s := range l.Sets {
		for _, ref := range s.Refs {
			out[want{ref.Name, ref.Version, ref.Arch}] = ref
		}
	}
	return out
}
