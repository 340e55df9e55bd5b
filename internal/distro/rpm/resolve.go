package rpm

import (
	"cmp"
	"slices"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/fault"
)

// Resolve chooses the packages of an image: what is asked for in its newest
// version, and for each requirement the best of those that provide it, depth
// first, never taking a choice back. Where that ends in a conflict, or a
// requirement is of a kind that it does not know, it says so (fault.Choice): the
// package comment tells what dnf and zypper do more. The result is ordered by name
// and architecture. rpm has no starting sets; Request.Start must be empty.
func (u *Universe) Resolve(req distro.Request) ([]distro.Ref, error) {
	arch, ok := arches[req.Arch]
	if !ok {
		return nil, fault.Newf(fault.Definition, "architecture %q has no name in rpm", req.Arch)
	}
	if req.Start != "" {
		return nil, fault.Newf(fault.Definition, "start %q: rpm families have no such set", req.Start).
			WithHint("name the packages to start with")
	}
	s := solver{u: u, arch: arch, recommends: req.Recommends, chosen: map[string]*offer{}, removed: map[string]bool{}}
	for _, name := range req.Remove {
		s.removed[name] = true
	}
	for _, token := range req.Packages {
		if err := s.ask(token); err != nil {
			return nil, err
		}
	}
	if err := s.conflicts(); err != nil {
		return nil, err
	}
	var out []distro.Ref
	for _, o := range s.chosen {
		out = append(out, o.Ref)
	}
	slices.SortFunc(out, func(a, b distro.Ref) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Arch, b.Arch))
	})
	return out, nil
}

type solver struct {
	u          *Universe
	arch       string
	recommends bool
	chosen     map[string]*offer // by name
	removed    map[string]bool
}

// ask chooses what a user names: "name", "name=version", "name=version-release"
// or a capability, such as a path.
func (s *solver) ask(token string) error {
	r := relation{name: token}
	if name, version, ok := strings.Cut(token, "="); ok {
		r = relation{name: name, op: "EQ", evr: parseEVR(version)}
	}
	var named []*offer
	for _, o := range s.u.byName[r.name] {
		if s.usable(o) && r.overlaps(relation{name: o.Name, op: "EQ", evr: o.evr}) {
			named = append(named, o)
		}
	}
	if len(named) == 0 {
		if r.op == "" && s.satisfied(r) {
			return nil
		}
		named = s.providers(r)
	}
	if len(named) == 0 {
		return fault.Newf(fault.NotFound, "no package %s for %s", token, s.arch).
			WithHint("see what the archives of the definition offer")
	}
	return s.choose(s.best(r.name, named))
}

func (s *solver) usable(o *offer) bool {
	return (o.Arch == s.arch || o.Arch == noarch) && !s.removed[o.Name]
}

// choose takes a package with all that it requires. A package is noted before its
// requirements are looked at, so that circles end.
func (s *solver) choose(o *offer) error {
	switch old := s.chosen[o.Name]; {
	case old == o:
		return nil
	case old != nil:
		return fault.Newf(fault.Choice, "package %s is needed in versions %s and %s at once", o.Name, old.Version, o.Version).
			WithHint("ask for one version of %s", o.Name)
	}
	s.chosen[o.Name] = o
	for _, r := range o.requires {
		if err := s.require(o, r, true); err != nil {
			return err
		}
	}
	if !s.recommends {
		return nil
	}
	for _, r := range o.recommends {
		if err := s.require(o, r, false); err != nil {
			return err
		}
	}
	return nil
}

func (s *solver) require(o *offer, r relation, strong bool) error {
	switch {
	case strings.HasPrefix(r.name, "rpmlib("): // what rpm itself must be able to do: it says so when it records the package
		return nil
	case strings.HasPrefix(r.name, "("):
		if !strong {
			return nil
		}
		return fault.Newf(fault.Choice, "package %s requires %s, a condition that cannot be resolved here yet", o.Name, r.name).
			WithHint("leave %s out", o.Name)
	case s.satisfied(r):
		return nil
	}
	found := s.providers(r)
	if len(found) == 0 {
		if !strong {
			return nil
		}
		return fault.Newf(fault.NotFound, "package %s %s requires %s, which no package provides", o.Name, o.Version, r).
			WithHint("see whether an archive is missing, or whether the definition removes the package")
	}
	return s.choose(s.best(r.name, found))
}

// providers are the packages that provide a capability. Every package provides
// its own name; a path is provided by whoever has the file.
func (s *solver) providers(r relation) []*offer {
	var out []*offer
	for _, p := range s.u.provided[r.name] {
		if s.usable(p.offer) && p.as.overlaps(r) {
			out = append(out, p.offer)
		}
	}
	if r.op == "" {
		for _, o := range s.u.files[r.name] {
			if s.usable(o) {
				out = append(out, o)
			}
		}
	}
	return out
}

func (s *solver) satisfied(r relation) bool {
	return slices.ContainsFunc(s.providers(r), func(o *offer) bool { return s.chosen[o.Name] == o })
}

// best is the newest of the package of that very name, else of one that is not
// chosen in another version, by the shortest name, then the first in the alphabet.
func (s *solver) best(name string, of []*offer) *offer {
	return slices.MaxFunc(of, func(a, b *offer) int {
		if a.Name != b.Name {
			return cmp.Or(
				prefer(a.Name == name, b.Name == name),
				prefer(s.chosen[a.Name] == nil, s.chosen[b.Name] == nil),
				cmp.Compare(len(b.Name), len(a.Name)),
				strings.Compare(b.Name, a.Name),
			)
		}
		return cmp.Or(a.evr.compare(b.evr), prefer(a.Arch == s.arch, b.Arch == s.arch), strings.Compare(b.Archive, a.Archive), strings.Compare(b.Location, a.Location))
	})
}

func prefer(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// conflicts refuses a choice of packages that say that they cannot be together.
func (s *solver) conflicts() error {
	names := make([]string, 0, len(s.chosen))
	for name := range s.chosen {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		o := s.chosen[name]
		for _, r := range o.conflicts {
			for _, p := range s.providers(r) {
				if p != o && s.chosen[p.Name] == p {
					return fault.Newf(fault.Choice, "packages %s and %s conflict: %s cannot be with %s", o.Name, p.Name, o.Name, r).
						WithHint("remove one of the two from the definition")
				}
			}
		}
		for _, r := range o.obsoletes {
			if p := s.chosen[r.name]; p != nil && p != o && r.overlaps(relation{name: p.Name, op: "EQ", evr: p.evr}) {
				return fault.Newf(fault.Choice, "package %s replaces package %s, and both are needed", o.Name, p.Name).
					WithHint("remove %s from the definition", p.Name)
			}
		}
	}
	return nil
}
