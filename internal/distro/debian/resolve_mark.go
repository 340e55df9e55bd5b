package debian

import (
	"slices"
	"sort"
)

// deepest is how far apt follows dependencies before it gives up.
const deepest = 3000

// mayInstall says whether anyone but the user may decide to install a package.
func (s *solver) mayInstall(p pkgID, depth int, user bool) bool {
	switch {
	case depth > deepest || s.pkgs[p].vers == none:
		return false
	case user || s.has(p, installing):
		return true
	}
	return !s.has(p, protected|held)
}

// keep takes back the decision to install a package.
func (s *solver) keep(p pkgID, depth int) bool {
	if depth > deepest || s.pkgs[p].vers == none {
		return false
	}
	if s.kept(p) {
		return true
	}
	if s.has(p, protected) {
		return false
	}
	s.drop(p)
	return true
}

func (s *solver) drop(p pkgID) {
	s.set(p, installing, false)
	s.pkg[p].install = none
	s.changed(p)
}

// remove is keep, but for what the user asked for and for essential packages.
func (s *solver) remove(p pkgID, depth int) {
	if depth > deepest || s.pkgs[p].vers == none || s.has(p, protected|held) ||
		s.pkgs[p].flags&(flagEssential|flagProtected) != 0 || s.pkg[p].install == none || !s.has(p, auto) {
		return
	}
	s.drop(p)
}

// choose decides to install a package's candidate.
func (s *solver) choose(p pkgID, user bool) {
	if s.has(p, protected) && s.pkg[p].install == s.pkg[p].candidate {
		return
	}
	s.set(p, installing, true)
	s.pkg[p].install = s.pkg[p].candidate
	s.set(p, auto, !user)
	s.changed(p)
}

// forget gives up a package's candidate. Who depends on it is not told.
func (s *solver) forget(p pkgID) { s.pkg[p].candidate = s.pkg[p].install }

// undo takes back what choose did and gives up the candidate.
func (s *solver) undo(p pkgID) {
	s.drop(p)
	s.forget(p)
}

// setCandidate makes another version the one that might be installed.
func (s *solver) setCandidate(v verID) {
	p := s.vers[v].pkg
	st := &s.pkg[p]
	if st.candidate == v {
		return
	}
	if st.candidate == st.install && s.has(p, installing) {
		st.install = v
	}
	st.candidate = v
	s.changed(p)
}

// available says whether each dependency of a package's candidate could be met.
// If not, the candidate is given up, unless the package is protected.
func (s *solver) available(p pkgID) bool {
	c := s.pkg[p].candidate
	if c == none {
		return true
	}
	for d := s.vers[c].deps; d < s.vers[c].depEnd; {
		end := s.alternatives(d)
		if first := &s.deps[d]; first.critical() && !first.negative() {
			found := false
			for ; d < end; d++ {
				found = found || s.state(d)&(depMet|depAvailable) != 0
			}
			if !found {
				if !s.has(p, protected) {
					s.pkg[p].candidate = none
					s.set(p, installing, false)
				}
				return false
			}
		}
		d = end
	}
	return true
}

// install decides to install a package and, if deps is set, all that it needs.
//
// For each dependency the alternatives are tried in the order written, for each
// of them its providers from the best to the worst. What cannot be had is given
// up and the next is tried. A package that conflicts with what is decided already
// throws that out, unless it is protected.
//
// If a package is protected, because the user named it or nothing else would do
// for one that he named, its decision is passed on: what only one package can
// meet makes that one protected too, and what it conflicts with can no longer be
// installed.
func (s *solver) install(p pkgID, deps bool, depth int, user bool) bool {
	if !s.mayInstall(p, depth, user) || s.pkg[p].candidate == none {
		return false
	}
	if !s.has(p, protected|badDeps|badPolicy) && s.has(p, installing) {
		return true
	}
	if deps && !s.available(p) {
		return false
	}
	if user {
		s.choose(p, user)
	}
	firm := s.has(p, protected)
	failEarly := !firm && !user
	ok := true
	var needs, excludes []depID
	if deps {
		needs, excludes = s.unmet(s.pkg[p].candidate, firm)
		if !s.exclude(excludes, firm, user, depth) {
			if failEarly {
				return false
			}
			ok = false
		}
	}
	if !user {
		s.choose(p, user)
	}
	if !deps {
		return ok
	}
	// While its dependencies are looked for, nothing may throw it out.
	s.set(p, protected, true)
	met := s.meet(needs, firm, user, depth)
	s.set(p, protected, firm)
	if !met {
		if failEarly {
			s.undo(p)
			return false
		}
		ok = false
	}
	return ok
}

// unmet collects the dependencies of a version that are to be dealt with: those
// not met, or all, if its decision is passed on.
func (s *solver) unmet(v verID, all bool) (needs, excludes []depID) {
	for d := s.vers[v].deps; d < s.vers[v].depEnd; {
		end := s.alternatives(d)
		if first := &s.deps[d]; s.wanted(first) && (all || !s.met(d, end)) {
			if first.negative() {
				excludes = append(excludes, d)
			} else {
				needs = append(needs, d)
			}
		}
		d = end
	}
	return needs, excludes
}

// exclude throws out what a package conflicts with.
func (s *solver) exclude(deps []depID, firm, user bool, depth int) bool {
	ok := true
	for _, d := range deps {
		for _, v := range s.solutions(d, d+1) {
			p := s.vers[v].pkg
			switch {
			case s.pkg[p].candidate != v:
			case s.has(p, installing) && !s.keep(p, depth):
				ok = false
				if !firm && !user {
					return false
				}
			case firm:
				s.forget(p)
				s.set(p, protected, true)
			}
		}
	}
	return ok
}

// meet installs what is needed.
func (s *solver) meet(deps []depID, firm, user bool, depth int) bool {
	ok := true
	for _, d := range deps {
		end := s.alternatives(d)
		critical := s.deps[d].critical()
		if s.met(d, end) {
			if !firm || !critical {
				continue
			}
			// Met already: if only one package can do so, protect it.
			v, only := s.only(d, end)
			if !only || s.has(s.vers[v].pkg, protected) {
				continue
			}
			s.set(s.vers[v].pkg, protected, true)
			if !s.install(s.vers[v].pkg, true, depth+1, false) {
				ok = false
			}
			continue
		}
		if s.meetOne(d, end, firm && critical, depth) || !critical {
			continue
		}
		ok = false
		if !firm && !user {
			return false
		}
	}
	return ok
}

// meetOne installs the first that meets a dependency.
func (s *solver) meetOne(d, end depID, firm bool, depth int) bool {
	options := s.solutions(d, end)
	for _, v := range options {
		p := s.vers[v].pkg
		if s.pkg[p].candidate != v {
			continue
		}
		if firm && len(options) == 1 {
			if !s.install(p, false, depth+1, false) {
				continue
			}
			s.set(p, protected, true)
		}
		if s.install(p, true, depth+1, false) {
			return true
		}
	}
	return false
}

// candidates are the versions that might be installed and meet a dependency (or
// are what it excludes): the target, then who provides it.
func (s *solver) candidates(id depID, out []verID) []verID {
	d := &s.deps[id]
	if (s.state(id)&depAvailable == 0) != d.negative() {
		return out // remembered: there are none
	}
	if v := s.pkg[d.target].candidate; v != none && !s.ignores(d, d.target) && s.satisfied(d, s.version(v)) {
		out = append(out, v)
	}
	for i := s.pkgs[d.target].provs; i != none; i = s.provs[i].ofPkg {
		p := &s.provs[i]
		if !s.ignoresProvided(d, p) && s.pkg[s.vers[p.owner].pkg].candidate == p.owner && s.satisfied(d, s.provided(p)) {
			out = append(out, p.owner)
		}
	}
	return out
}

// solutions are the candidates for a group of alternatives, in the order written,
// and within each from the best to the worst. The user's "no" strikes out.
func (s *solver) solutions(d, end depID) []verID {
	var all []verID
	negative := s.deps[d].negative()
	for ; d < end; d++ {
		from := len(all)
		all = s.candidates(d, all)
		if part := all[from:]; len(part) > 1 {
			sort.SliceStable(part, func(i, j int) bool { return s.better(part[i], part[j], s.deps[d].target) })
		}
	}
	all = slices.Compact(all)
	if negative {
		return all
	}
	return slices.DeleteFunc(all, func(v verID) bool {
		p := s.vers[v].pkg
		return s.has(p, protected) && s.kept(p)
	})
}

// only is the one version that meets a group of alternatives, if it is the only one.
func (s *solver) only(d, end depID) (verID, bool) {
	var all []verID
	for ; d < end; d++ {
		all = s.candidates(d, all)
	}
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(v verID) bool {
		p := s.vers[v].pkg
		return s.has(p, protected) && s.kept(p)
	})
	if len(all) != 1 {
		return none, false
	}
	return all[0], true
}

// better orders two versions that meet a dependency on target.
func (s *solver) better(a, b verID, target pkgID) bool {
	pa, pb := s.vers[a].pkg, s.vers[b].pkg
	if x, y := s.has(pa, protected), s.has(pb, protected); x != y {
		return x
	}
	ga, gb, g := s.pkgs[pa].name, s.pkgs[pb].name, s.pkgs[target].name
	if ga != gb && (ga == g || gb == g) {
		return ga == g
	}
	for _, f := range [...]stanzaFlags{flagEssential, flagProtected} {
		if x, y := s.pkgs[pa].flags&f, s.pkgs[pb].flags&f; x != y {
			return x != 0
		}
	}
	// The native architecture is the first.
	if x, y := s.pkgs[pa].arch, s.pkgs[pb].arch; x != y {
		return x < y
	}
	if x, y := s.vers[a].priority, s.vers[b].priority; x != y {
		return x < y
	}
	// Undecided: the one seen later.
	return pa > pb
}
