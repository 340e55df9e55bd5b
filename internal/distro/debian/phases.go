package debian

import (
	"slices"
	"strings"
)

// phases splits packages into groups that are unpacked and configured one after
// the other. dpkg unpacks a package only when its pre-dependencies are configured;
// that matters to packages with a preinst script alone, since unpacking by itself
// runs nothing. So the essential set comes first, as every script may count on
// it, then what preinst scripts need, then everything else in one pass.
func phases(pkgs []*deb, first bool) [][]*deb {
	if !first {
		return split(pkgs)
	}
	essential := closure(pkgs, func(p *deb) bool { return p.essential })
	rest := without(pkgs, essential)
	out := [][]*deb{sorted(essential)}
	if len(rest) > 0 {
		out = append(out, split(rest)...)
	}
	return out
}

// split takes out, again and again, what the preinst scripts of the others need.
func split(pkgs []*deb) [][]*deb {
	needed := map[*deb]bool{}
	all := newDirectory(pkgs)
	for _, p := range pkgs {
		if !p.has("preinst") {
			continue
		}
		for _, q := range all.targets(p.preDeps) {
			needed[q] = true
		}
	}
	early := closure(pkgs, func(p *deb) bool { return needed[p] })
	if len(early) == 0 || len(early) == len(pkgs) {
		return [][]*deb{sorted(set(pkgs))}
	}
	var list []*deb
	for _, p := range pkgs {
		if early[p] {
			list = append(list, p)
		}
	}
	return append(split(list), sorted(set(without(pkgs, early))))
}

func set(pkgs []*deb) map[*deb]bool {
	out := make(map[*deb]bool, len(pkgs))
	for _, p := range pkgs {
		out[p] = true
	}
	return out
}

func without(pkgs []*deb, gone map[*deb]bool) []*deb {
	return slices.DeleteFunc(slices.Clone(pkgs), func(p *deb) bool { return gone[p] })
}

// closure is the chosen packages with all that they depend on, among pkgs.
func closure(pkgs []*deb, choose func(*deb) bool) map[*deb]bool {
	out := map[*deb]bool{}
	all := newDirectory(pkgs)
	var add func(p *deb)
	add = func(p *deb) {
		if out[p] {
			return
		}
		out[p] = true
		for _, q := range all.targets(p.preDeps) {
			add(q)
		}
		for _, q := range all.targets(p.deps) {
			add(q)
		}
	}
	for _, p := range pkgs {
		if choose(p) {
			add(p)
		}
	}
	return out
}

// A directory finds packages by the names that they have or provide.
type directory map[string][]*deb

func newDirectory(pkgs []*deb) directory {
	d := directory{}
	for _, p := range pkgs {
		d[p.Ref.Name] = append(d[p.Ref.Name], p)
		for _, group := range p.provides {
			for _, r := range group {
				if r.Name != p.Ref.Name {
					d[r.Name] = append(d[r.Name], p)
				}
			}
		}
	}
	return d
}

// targets are the packages that fulfil relations, every alternative that is there.
func (d directory) targets(relations [][]Relation) []*deb {
	var out []*deb
	for _, group := range relations {
		for _, r := range group {
			for _, p := range d[r.Name] {
				if p.satisfies(r) {
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// sorted puts packages after what they pre-depend and depend on, as far as there
// are no cycles; base-files, whose directories and links all others rest on, and
// base-passwd, which knows the users, come first.
func sorted(pkgs map[*deb]bool) []*deb {
	var list []*deb
	for p := range pkgs {
		list = append(list, p)
	}
	rank := func(p *deb) int {
		switch p.Ref.Name {
		case "base-files":
			return 0
		case "base-passwd":
			return 1
		}
		return 2
	}
	slices.SortFunc(list, func(a, b *deb) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a.Ref.Name+":"+a.Ref.Arch, b.Ref.Name+":"+b.Ref.Arch)
	})
	var out []*deb
	seen := map[*deb]bool{}
	all := newDirectory(list)
	var visit func(p *deb)
	visit = func(p *deb) {
		if seen[p] {
			return
		}
		seen[p] = true
		if rank(p) == 2 {
			for _, q := range all.targets(p.preDeps) {
				visit(q)
			}
			for _, q := range all.targets(p.deps) {
				visit(q)
			}
		}
		out = append(out, p)
	}
	for _, p := range list {
		visit(p)
	}
	return out
}
