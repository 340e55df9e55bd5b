package debian

import (
	"context"
	"strings"

	"ingot/internal/tree"
)

// A claim is a path that a package brings and that is no directory.
type claim struct {
	by    *deb
	path  string // in the package
	final string // where it goes
}

// room refuses packages whose files cannot be put where dpkg would put them without
// looking at what others have there.
func (i *installer) room(ctx context.Context, s *standing, fresh []*deb) error {
	merged, err := i.mergedLinks(ctx)
	if err != nil {
		return err
	}
	var entries []tree.Entry
	var claims []claim
	var finals []string
	names := unpackedNames(s.diversions)
	for _, p := range fresh {
		name := names(p)
		for e := range p.Tree.All() {
			if s.overrides[e.Path] || s.overrides[merged.of(e.Path)] {
				return ask("the administrator has set owner and mode of /%s", e.Path)
			}
			final := strings.TrimSuffix(name(e), newSuffix)
			entries, finals = append(entries, e), append(finals, final)
			claims = append(claims, claim{p, e.Path, final})
		}
		for _, c := range p.conffiles {
			if q, ok := s.conffiles[c.path]; ok {
				return ask("/%s of %s was a conffile of %s before", c.path, p.Ref.Name, q)
			}
		}
	}
	spots, err := i.box.Look(ctx, finals)
	if err != nil {
		return err
	}
	wanted := map[string]claim{}
	for n, e := range entries {
		dir := e.Kind == tree.Dir
		switch spot := spots[n]; {
		case dir && spot.There && !spot.Dir:
			return ask("/%s of %s is a directory, and there is something else", e.Path, claims[n].by.Ref.Name)
		case dir, e.Kind == tree.Symlink && spot.Dir && !spot.Link: // it stays
		case spot.Dir && !spot.Link:
			return ask("/%s of %s is in the place of a directory", e.Path, claims[n].by.Ref.Name)
		default:
			for _, path := range []string{merged.of(e.Path), merged.of(finals[n]), spot.Path} {
				wanted[path] = claims[n]
			}
		}
	}
	return s.owners(wanted, merged)
}

// owners refuses to take paths from installed packages, but for those that are diverted.
func (s *standing) owners(wanted map[string]claim, merged links) error {
	diverter := map[string]string{}
	for _, d := range s.diversions {
		diverter[d.from] = d.pkg
	}
	for file, list := range s.lists {
		owner, _, _ := strings.Cut(strings.TrimSuffix(file, ".list"), ":")
		for line := range strings.Lines(string(list)) {
			path := strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "/")
			c, ok := wanted[merged.of(path)]
			if !ok {
				continue
			}
			by, diverted := diverter[path]
			if diverted && path == c.path && (by == owner || by == c.by.Ref.Name) {
				continue // they are files of two places
			}
			return ask("/%s of %s is a file of %s", c.path, c.by.Ref.Name, owner)
		}
	}
	return nil
}

// links are the tree's top directories that lie elsewhere, as in merged /usr.
type links map[string]string

func (i *installer) mergedLinks(ctx context.Context) (links, error) {
	dirs := []string{"bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"}
	var paths []string
	for _, d := range dirs {
		paths = append(paths, d+"/x")
	}
	spots, err := i.box.Look(ctx, paths)
	if err != nil {
		return nil, err
	}
	out := links{}
	for n, d := range dirs {
		if to := tree.Parent(spots[n].Path); to != d {
			out[d] = to
		}
	}
	return out, nil
}

// of is where a path lies.
func (l links) of(path string) string {
	top, rest, ok := strings.Cut(path, "/")
	if to, linked := l[top]; ok && linked {
		return to + "/" + rest
	}
	return path
}

// withoutPresent leaves out the directories that the tree has already: they keep their
// metadata, as under dpkg.
func (i *installer) withoutPresent(ctx context.Context, entries []tree.Entry) ([]tree.Entry, error) {
	paths := make([]string, len(entries))
	for n, e := range entries {
		paths[n] = e.Path
	}
	spots, err := i.box.Look(ctx, paths)
	if err != nil {
		return nil, err
	}
	out := entries[:0]
	for n, e := range entries {
		if e.Kind != tree.Dir || !spots[n].Dir {
			out = append(out, e)
		}
	}
	return out, nil
}
