package debian

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// draw makes requests from what a universe offers: the same for the same seed and
// indexes. About half are one package; the others are several at once, with
// virtual packages, alternatives, one side of a conflict and the other, versions,
// packages kept out, and things that cannot be had.
func draw(u *Universe, suite string, seed uint64, count int) []request {
	d := drawer{Universe: u, rnd: rand.New(rand.NewPCG(seed, 20240517))}
	for p := range u.pkgs {
		id := pkgID(p)
		switch {
		case u.pkgs[p].arch != native:
		case u.pkgs[p].vers != none:
			d.real = append(d.real, id)
		case u.pkgs[p].provs != none:
			d.virtual = append(d.virtual, id)
		case len(u.revs(id)) > 0:
			d.absent = append(d.absent, id)
		}
	}
	for i := range u.deps {
		dep := &u.deps[i]
		if t := dep.target; dep.negative() && dep.kind&implicit == 0 && u.pkgs[t].vers != none {
			d.conflicts = append(d.conflicts, depID(i))
		}
		if dep.kind&more != 0 && !dep.negative() {
			d.alternatives = append(d.alternatives, depID(i))
		}
	}
	// Names in a fixed order, whatever the hash of the day.
	for _, list := range [][]pkgID{d.real, d.virtual, d.absent} {
		slices.SortFunc(list, func(a, b pkgID) int { return strings.Compare(u.name(a), u.name(b)) })
	}
	var all []request
	for len(all) < count {
		r := request{suite: suite, recommends: d.rnd.IntN(2) == 0}
		if d.rnd.IntN(2) == 0 {
			r.tokens = []string{d.pick(d.real)}
		} else {
			r.tokens = d.several()
		}
		all = append(all, r)
	}
	return all
}

type drawer struct {
	*Universe
	rnd                     *rand.Rand
	real, virtual, absent   []pkgID
	conflicts, alternatives []depID
}

func (d *drawer) pick(list []pkgID) string { return d.name(list[d.rnd.IntN(len(list))]) }

func (d *drawer) owner(dep depID) string { return d.name(d.vers[d.deps[dep].ver].pkg) }

// several are some tokens of mixed kinds; now and then they are many.
func (d *drawer) several() []string {
	var out []string
	n := 1 + d.rnd.IntN(4)
	if d.rnd.IntN(8) == 0 {
		n += 3 + d.rnd.IntN(12)
	}
	for range n {
		switch d.rnd.IntN(13) {
		case 0: // both sides of a conflict
			dep := d.conflicts[d.rnd.IntN(len(d.conflicts))]
			out = append(out, d.owner(dep), d.name(d.deps[dep].target))
		case 1: // one who excludes something
			out = append(out, d.owner(d.conflicts[d.rnd.IntN(len(d.conflicts))]))
		case 2: // one with a choice, and a later alternative
			dep := d.alternatives[d.rnd.IntN(len(d.alternatives))]
			out = append(out, d.owner(dep))
			if alt := d.deps[dep+1].target; d.pkgs[alt].arch == native {
				out = append(out, d.name(alt))
			}
		case 3: // one with a choice, but not the first alternative
			dep := d.alternatives[d.rnd.IntN(len(d.alternatives))]
			if t := d.deps[dep].target; d.pkgs[t].arch == native {
				out = append(out, d.owner(dep), d.name(t)+"-")
			}
		case 4: // a virtual package, and perhaps who provides it
			p := d.virtual[d.rnd.IntN(len(d.virtual))]
			owner := d.name(d.vers[d.provs[d.pkgs[p].provs].owner].pkg)
			if d.rnd.IntN(2) == 0 {
				out = append(out, owner)
			}
			out = append(out, d.name(p))
		case 5: // what is only depended on
			if d.rnd.IntN(4) == 0 {
				out = append(out, d.pick(d.absent))
			}
		case 6:
			out = append(out, d.pick(d.real)+"=@")
		case 7: // something without a part of what it needs
			p := d.real[d.rnd.IntN(len(d.real))]
			if v := d.pkgs[p].vers; d.vers[v].deps < d.vers[v].depEnd {
				dep := &d.deps[d.vers[v].deps+depID(d.rnd.IntN(int(d.vers[v].depEnd-d.vers[v].deps)))]
				out = append(out, d.name(p))
				if d.pkgs[dep.target].arch == native && d.rnd.IntN(2) == 0 {
					out = append(out, d.name(dep.target)+"-")
				}
			}
		case 8: // many at once by a pattern
			name := d.pick(d.real)
			if len(name) > 6 {
				out = append(out, [...]string{name[:len(name)-1] + "*", "^" + name, "?exact-name(" + name + ")", name + "+"}[d.rnd.IntN(4)])
			}
		default:
			out = append(out, d.pick(d.real))
		}
	}
	if len(out) == 0 {
		out = append(out, d.pick(d.real))
	}
	return out
}
