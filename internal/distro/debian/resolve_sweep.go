package debian

import (
	"slices"
	"strings"
)

// sweep drops what was chosen on the way and is not needed in the end: packages
// that nobody asked for and that nothing asked for leads to, along Depends,
// Pre-Depends and Recommends. It says whether nothing broke by that.
func (s *solver) sweep() bool {
	var chosen []pkgID
	for p := range s.pkg {
		s.pkg[p].flags &^= marked | garbage
		if s.has(pkgID(p), installing) {
			chosen = append(chosen, pkgID(p))
		}
	}
	for _, p := range chosen {
		root := !s.has(p, auto) || s.has(p, protected|held) || s.pkgs[p].flags&(flagEssential|flagProtected) != 0
		if root && !s.has(p, marked) {
			s.reach(p)
		}
	}
	var dropped []pkgID
	for _, p := range chosen {
		if !s.has(p, marked) {
			s.set(p, garbage, true)
			dropped = append(dropped, p)
			s.remove(p, 0)
		}
	}
	if len(dropped) == 0 || s.broken == 0 && s.policyBroken == 0 {
		return s.broken == 0
	}
	// Something that stays may need one of them after all.
	for i := 0; i < len(dropped); i++ {
		if p := dropped[i]; s.missed(p) {
			s.install(p, false, 0, false)
			dropped = slices.Delete(dropped, i, i+1)
			i = -1
		}
	}
	return s.broken == 0
}

// reach marks a package and all that it leads to.
func (s *solver) reach(p pkgID) {
	stack := []pkgID{p}
	for len(stack) > 0 {
		p, stack = stack[len(stack)-1], stack[:len(stack)-1]
		if s.has(p, marked) || s.kept(p) {
			continue
		}
		s.set(p, marked, true)
		v := s.pkg[p].install
		if v == none {
			continue
		}
		for id := s.vers[v].deps; id < s.vers[v].depEnd; id++ {
			d := &s.deps[id]
			if k := d.kind & kindMask; k == depends || k == preDepends || k == recommends {
				stack = s.leads(d, stack)
			}
		}
	}
}

// leads adds what a dependency leads to: who meets it, but of several packages of
// one source only those of its latest version.
func (s *solver) leads(d *dep, to []pkgID) []pkgID {
	var all []verID
	if v := s.pkg[d.target].install; v != none && !s.kept(d.target) && s.satisfied(d, s.version(v)) {
		all = append(all, v)
	}
	for i := s.pkgs[d.target].provs; i != none; i = s.provs[i].ofPkg {
		pr := &s.provs[i]
		owner := s.vers[pr.owner].pkg
		if !s.kept(owner) && s.pkg[owner].install == pr.owner && s.satisfied(d, s.provided(pr)) {
			all = append(all, pr.owner)
		}
	}
	if len(all) < 2 {
		for _, v := range all {
			to = append(to, s.vers[v].pkg)
		}
		return to
	}
	newest := map[string]string{}
	for _, v := range all {
		name, version := s.source(v)
		if old, ok := newest[name]; !ok || CompareVersions(version, old) > 0 {
			newest[name] = version
		}
	}
	for _, v := range all {
		if name, version := s.source(v); newest[name] == version {
			to = append(to, s.vers[v].pkg)
		}
	}
	return to
}

// source is the source package of a version, and its version.
func (u *Universe) source(v verID) (name, version string) {
	_, stanza := u.stanza(v)
	name, version = u.nameText(u.pkgs[u.vers[v].pkg].name), u.version(v)
	if field, ok := stanza.Field("Source"); ok {
		n, rest, _ := strings.Cut(field, " ")
		name = n
		if _, in, ok := strings.Cut(rest, "("); ok {
			if in, _, ok := strings.Cut(in, ")"); ok {
				version = in
			}
		}
	}
	return name, version
}

// missed says whether something to be installed depends on a package that was
// dropped, or on what it provides.
func (s *solver) missed(p pkgID) bool {
	targets := []pkgID{p}
	if c := s.pkg[p].candidate; c != none {
		for i := s.vers[c].provs; i != none; i = s.provs[i].ofVer {
			targets = append(targets, s.provs[i].target)
		}
	}
	for _, t := range targets {
		for _, id := range s.revs(t) {
			d := &s.deps[id]
			parent := s.vers[d.ver].pkg
			if !d.negative() && s.wanted(d) && s.pkg[parent].candidate == d.ver && s.has(parent, installing) {
				return true
			}
		}
	}
	return false
}
