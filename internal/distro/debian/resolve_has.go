package debian

import "ingot/internal/distro"

// Has says whether the indexes offer a version of a package, of the native
// architecture or for all.
func (u *Universe) Has(name, version string) bool {
	g, ok := u.group(name)
	if !ok {
		return false
	}
	p := u.inGroup(g, native)
	if p == none {
		return false
	}
	for v := u.pkgs[p].vers; v != none; v = u.vers[v].next {
		if u.version(v) == version {
			return true
		}
	}
	return false
}

// Newest is the version of a package that is taken where nothing asks for another, of the native
// architecture or for all; "" where there is none.
func (u *Universe) Newest(name string) string {
	g, ok := u.group(name)
	if !ok {
		return ""
	}
	p := u.inGroup(g, native)
	if p == none {
		return ""
	}
	v := u.candidate(p)
	if v == none {
		return ""
	}
	return u.version(v)
}

// Package is what the indexes say of a package that they offer, of the native architecture or
// for all.
func (u *Universe) Package(ref distro.Ref) distro.Package {
	p := distro.Package{Ref: ref}
	g, ok := u.group(ref.Name)
	if !ok {
		return p
	}
	at := u.inGroup(g, native)
	if at == none {
		return p
	}
	for v := u.pkgs[at].vers; v != none; v = u.vers[v].next {
		if u.version(v) == ref.Version {
			_, text := u.stanza(v)
			p.Control = map[string]distro.ControlFile{"control": {Data: text}}
			return p
		}
	}
	return p
}
