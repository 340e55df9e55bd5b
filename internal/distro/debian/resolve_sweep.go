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
		s.pkg[p].flags &^= marked | explored | garbage
		if s.has(pkgID(p), installing) {
			chosen = append(chosen, pkgID(p))
		}
	}
	for _, p := range s.order() { // who is followed first decides who is followed at all
		if !s.has(p, installing) {
			continue
		}
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

// reach marks a package and all that it leads to. A name that was followed once, with all
// who bear it, is not followed again: what another dependency asks of its version does not
// keep one that was passed over (apt's MarkPackage).
func (s *solver) reach(p pkgID) {
	if s.has(p, marked) || s.kept(p) {
		return
	}
	s.set(p, marked, true)
	v := s.pkg[p].install
	if v == none {
		return
	}
	for id := s.vers[v].deps; id < s.vers[v].depEnd; id++ {
		d := &s.deps[id]
		if k := d.kind & kindMask; k != depends && k != preDepends && k != recommends || s.has(d.target, explored) {
			continue
		}
		to, all := s.leads(d)
		s.set(d.target, explored, all)
		for _, p := range to {
			s.reach(p)
		}
	}
}

// leads are the packages that a dependency leads to: who meets it, but of several of one
// source only those of its latest version. It says whether all who bear the name meet it.
func (s *solver) leads(d *dep) (to []pkgID, complete bool) {
	var all []verID
	complete = true
	add := func(v verID, met bool) {
		if met {
			all = append(all, v)
		}
		complete = complete && met
	}
	if v := s.pkg[d.target].install; v != none && !s.kept(d.target) {
		add(v, s.satisfied(d, s.version(v)))
	}
	for i := s.pkgs[d.target].provs; i != none; i = s.provs[i].ofPkg {
		pr := &s.provs[i]
		if owner := s.vers[pr.owner].pkg; !s.kept(owner) && s.pkg[owner].install == pr.owner {
			add(pr.owner, s.satisfied(d, s.provided(pr)))
		}
	}
	if len(all) < 2 { // to look for sources takes long
		for _, v := range all {
			to = append(to, s.vers[v].pkg)
		}
		return to, complete
	}
	var sources []string
	newest := map[string]string{}
	for _, v := range all {
		name, version := s.source(v)
		if old, ok := newest[name]; !ok {
			sources = append(sources, name)
			newest[name] = version
		} else if CompareVersions(version, old) > 0 {
			newest[name] = version
		}
	}
	// The last source first: the order of apt's table, but where two of them share a bucket.
	for _, source := range slices.Backward(sources) {
		for _, v := range all {
			if name, version := s.source(v); name == source && newest[name] == version {
				to = append(to, s.vers[v].pkg)
			}
		}
	}
	return to, complete
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
