// Package reason says why a package is in a set of a lock: who asked for it, or who needs
// it, and what was looked at beside it and not taken.
//
// A lock records what nothing else says: which packages somebody asked for, its strong
// references, and the starting set. All others are weak references. Who needs whom
// follows from what the packages say of themselves, which the store keeps as long as the
// lock, so it is worked out when somebody asks: it cannot grow stale, takes no lines of a
// lock's file, and needs no index that a mirror may have dropped.
package reason

import (
	"slices"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/lock"
)

// A Reason is why a package is in a set, or why it is not.
type Reason struct {
	Name string
	Ref  distro.Ref // zero of one that is not in the set
	// Strong says that it was asked for.
	Strong bool
	Asked  []string // as it was written: "curl", "default-mta"
	Start  string   // the starting set that has it by itself, or ""
	// Through is the shortest way from a package that was asked for, or that the
	// starting set has, to this one; both are in it. Empty of those themselves.
	Through []string
	By      []Need // who needs it; of one that is not in the set, who would take it
	Open    []Need // what it would take itself that is not there
	Size    int64  // bytes of the package file
	// Installed is how many bytes it takes, as it says itself.
	Installed int64
}

// In says whether the package is in the set.
func (r Reason) In() bool { return r.Ref.Name != "" }

// A Need is one package that says it needs another, or that it would go with it.
type Need struct {
	Package  string
	Kind     string   // one of [distro.Need]'s
	Relation string   // as the package writes it: "exim4 | mail-transport-agent"
	Met      []string // by what of the set; empty is by nothing
}

// A Set is a set of a lock with what its packages say of each other.
type Set struct {
	set   lock.Set
	refs  map[string]distro.Ref
	about map[string]distro.Description
	gives map[string][]gift // by name, what of the set goes by it
}

// A gift is a package that goes by a name, in a version.
type gift struct{ name, version string }

// Of reads what a set's packages say of themselves.
func Of(set lock.Set, describe func(distro.Ref) distro.Description) *Set {
	s := &Set{set: set, refs: map[string]distro.Ref{}, about: map[string]distro.Description{}, gives: map[string][]gift{}}
	for _, r := range set.Refs {
		d := describe(r)
		s.refs[r.Name], s.about[r.Name] = r, d
		s.gives[r.Name] = append(s.gives[r.Name], gift{r.Name, r.Version})
		for _, p := range d.Provides {
			s.gives[p.Name] = append(s.gives[p.Name], gift{r.Name, p.Version})
		}
	}
	return s
}

// met is what of the set meets a need.
func (s *Set) met(n distro.Need) []string {
	var out []string
	for _, c := range n.Any {
		for _, g := range s.gives[c.Name] {
			if c.Met(g.version) && !slices.Contains(out, g.name) {
				out = append(out, g.name)
			}
		}
	}
	return out
}

// Why is the reason of a package.
func (s *Set) Why(name string) Reason {
	r := Reason{Name: name, Ref: s.refs[name]}
	about := s.about[name]
	r.Size, r.Installed = r.Ref.Size, about.Installed
	for _, token := range s.set.Asked {
		if slices.Contains(s.askedFor(token), name) {
			r.Asked = append(r.Asked, token)
		}
	}
	r.Strong = len(r.Asked) > 0
	if r.In() && slices.Contains(about.Starts, s.set.Start) {
		r.Start = s.set.Start
	}
	for _, other := range s.names() {
		for _, n := range s.about[other].Needs {
			if other == name {
				if met := s.met(n); len(met) == 0 {
					r.Open = append(r.Open, Need{name, n.Kind, n.String(), nil})
				}
				continue
			}
			met := s.met(n)
			wanted := slices.Contains(met, name)
			if !r.In() {
				wanted = slices.ContainsFunc(n.Any, func(c distro.Choice) bool { return c.Name == name })
			}
			if wanted {
				r.By = append(r.By, Need{other, n.Kind, n.String(), met})
			}
		}
	}
	if r.In() && !r.Strong && r.Start == "" {
		r.Through = s.through(name)
	}
	return r
}

// askedFor is what of the set a token stands for.
func (s *Set) askedFor(token string) []string {
	name := token
	if i := strings.IndexAny(token, "=/:"); i >= 0 {
		name = token[:i]
	}
	if _, ok := s.refs[name]; ok {
		return []string{name}
	}
	var out []string
	for _, g := range s.gives[name] {
		out = append(out, g.name)
	}
	return out
}

func (s *Set) names() []string {
	var out []string
	for _, r := range s.set.Refs {
		out = append(out, r.Name)
	}
	slices.Sort(out)
	return out
}

// through finds the shortest way to a package; what is needed comes before what goes
// with it.
func (s *Set) through(name string) []string {
	for _, kinds := range [][]string{{distro.PreDepends, distro.Depends}, {distro.PreDepends, distro.Depends, distro.Recommends}} {
		var todo []string
		before := map[string]string{}
		for _, token := range s.set.Asked {
			todo = append(todo, s.askedFor(token)...)
		}
		for _, n := range s.names() {
			if slices.Contains(s.about[n].Starts, s.set.Start) {
				todo = append(todo, n)
			}
		}
		for _, n := range todo {
			before[n] = ""
		}
		for len(todo) > 0 {
			at := todo[0]
			todo = todo[1:]
			if at == name {
				var way []string
				for ; at != ""; at = before[at] {
					way = append(way, at)
				}
				slices.Reverse(way)
				return way
			}
			for _, n := range s.about[at].Needs {
				if !slices.Contains(kinds, n.Kind) {
					continue
				}
				for _, next := range s.met(n) {
					if _, seen := before[next]; !seen {
						before[next] = at
						todo = append(todo, next)
					}
				}
			}
		}
	}
	return nil
}
