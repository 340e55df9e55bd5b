package debian

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/spell"
)

// unknown says that a name means nothing here, and what may have been meant.
func (s *solver) unknown(name string, cause error) error {
	if cause != nil {
		return fault.Newf(fault.NotFound, "no package matches %q: %w", name, cause)
	}
	err := fault.Newf(fault.NotFound, "no package %q in %s", name, s.where())
	if near := s.near(name); len(near) > 0 {
		err = err.WithHint("did you mean %s?", choice(near))
	} else if !slices.ContainsFunc(s.indexes, func(x *Index) bool { return x.Source.Origin == "" || x.Source.Origin == "Debian" }) {
		err = err.WithHint("the definition's archives are all there are: name Debian's own among them too")
	}
	return err
}

// where names the suites that were looked in.
func (u *Universe) where() string {
	var all []string
	for _, x := range u.indexes {
		if s := x.Source.name(); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return "no archive"
	}
	return strings.Join(all, ", ")
}

// name is what the user calls the suite.
func (s Source) name() string {
	if s.Asked != "" {
		return s.Asked
	}
	return s.Suite
}

// noCandidate says that a package has no version that might be installed.
func (s *solver) noCandidate(p pkgID) error {
	var by []string
	for i := s.pkgs[p].provs; i != none; i = s.provs[i].ofPkg {
		o := s.provs[i].owner
		if s.pkg[s.vers[o].pkg].candidate == o {
			by = append(by, s.name(s.vers[o].pkg))
		}
	}
	slices.Sort(by)
	if by = slices.Compact(by); len(by) > 0 {
		return fault.Newf(fault.NotFound, "package %q is virtual: %d packages provide it", s.name(p), len(by)).
			WithHint("name the one you want: %s", choice(by))
	}
	err := fault.Newf(fault.NotFound, "package %q is in no archive, though others speak of it", s.name(p))
	if near := s.near(s.nameText(s.pkgs[p].name)); len(near) > 0 {
		err = err.WithHint("did you mean %s?", choice(near))
	}
	return err
}

// noVersion says that a package is not offered as it was asked for.
func (s *solver) noVersion(p pkgID, want string, release bool) error {
	var have []string
	for v := s.pkgs[p].vers; v != none; v = s.vers[v].next {
		have = append(have, s.version(v))
	}
	what := "has no version"
	if release {
		what = "is not in the release"
	}
	err := fault.Newf(fault.NotFound, "package %q %s %q", s.name(p), what, want)
	if len(have) > 0 {
		err = err.WithHint("%s offers %s", s.where(), choice(have))
	}
	return err
}

// choice lists a few names for a person.
func choice(names []string) string {
	const most = 6
	rest := ""
	if len(names) > most {
		rest = fmt.Sprintf(" or %d more", len(names)-most)
		names = names[:most]
	}
	if n := len(names); n > 1 && rest == "" {
		return strings.Join(names[:n-1], ", ") + " or " + names[n-1]
	}
	return strings.Join(names, ", ") + rest
}

// near are names of packages that look like one that does not exist.
func (u *Universe) near(name string) []string {
	const most = 3
	best := min(2, 1+len(name)/5)
	var all []string
	for g := range u.groups {
		p := u.groups[g].first
		if p == none || u.pkgs[p].vers == none {
			continue
		}
		n := u.nameText(uint32(g))
		if d := spell.Distance(name, n, best); d < best {
			best, all = d, []string{n}
		} else if d == best {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all[:min(len(all), most)]
}

// explain says why a request cannot be met. It does not retrace apt's steps: from
// what was asked for it follows what there is only one way to get, until something
// cannot be had or two things exclude each other. Only where that leads nowhere it
// names what apt's way has left broken.
func (s *solver) explain(w *wish) error {
	x := explainer{solver: s, must: map[pkgID]need{}, excluded: map[pkgID]depID{}}
	for _, v := range w.remove {
		s.set(s.vers[v].pkg, shunned, true)
	}
	for _, v := range w.install {
		x.add(v, need{ver: v, by: none})
	}
	x.run()
	if len(x.problems) == 0 {
		x.leftBroken()
	}
	if len(x.problems) == 1 {
		return fault.Newf(fault.NotFound, "%s", x.problems[0])
	}
	return fault.Newf(fault.NotFound, "the packages cannot be had together:\n  %s", strings.Join(x.problems, "\n  "))
}

// An explainer collects what must be installed and why.
type explainer struct {
	*solver
	must     map[pkgID]need
	order    []pkgID
	done     int             // so many of order have been followed
	excluded map[pkgID]depID // what must not be there, and the dependency that says so
	problems []string
}

// A need is why a version must be installed.
type need struct {
	ver verID
	by  pkgID // who needs it, or none: it was asked for
	dep depID
}

// run follows all that must be there, until there is a problem.
func (x *explainer) run() {
	for x.done < len(x.order) && len(x.problems) == 0 {
		x.follow(x.order[x.done])
		x.done++
	}
}

// suppose is what comes of it if a version were installed for a dependency.
func (x *explainer) suppose(v verID, by pkgID, dep depID) string {
	y := explainer{solver: x.solver, must: maps.Clone(x.must), excluded: maps.Clone(x.excluded),
		order: slices.Clone(x.order), done: x.done}
	y.add(v, need{ver: v, by: by, dep: dep})
	if y.run(); len(y.problems) > 0 {
		return y.problems[0]
	}
	return ""
}

// add makes a version necessary.
func (x *explainer) add(v verID, n need) {
	p := x.vers[v].pkg
	if _, ok := x.must[p]; ok {
		return
	}
	x.must[p] = n
	x.order = append(x.order, p)
	if d, ok := x.excluded[p]; ok {
		x.clash(d, p)
	}
	for d := x.vers[v].deps; d < x.vers[v].depEnd; d++ {
		if !x.deps[d].negative() {
			continue
		}
		for _, o := range x.offers(d) {
			q := x.vers[o].pkg
			if have, ok := x.must[q]; ok && have.ver == o {
				x.clash(d, q)
			}
			x.excluded[q] = d
		}
	}
}

// clash notes that what must be there is excluded by something that must be, too.
func (x *explainer) clash(d depID, q pkgID) {
	p := x.vers[x.deps[d].ver].pkg
	verb := "conflicts with"
	if x.deps[d].kind&kindMask == breaks {
		verb = "breaks"
	}
	x.problems = append(x.problems, fmt.Sprintf("%s %s %s%s, and both are needed (%s; %s)",
		x.named(p), verb, x.relation(&x.deps[d]), x.asProvided(d, q), x.chain(p), x.chain(q)))
}

// asProvided says who a relation means, where that is not plain.
func (x *explainer) asProvided(d depID, q pkgID) string {
	if x.deps[d].target == q {
		return ""
	}
	return ", which " + x.named(q) + " provides"
}

// named is a package with the version that must be installed.
func (x *explainer) named(p pkgID) string {
	if n, ok := x.must[p]; ok {
		return x.name(p) + " " + x.version(n.ver)
	}
	return x.name(p)
}

// chain says why a package must be there: "a was asked for and needs b, which
// needs c". Where packages need each other and nobody asked for one of them, since apt's own
// way led there, it begins with one of those.
func (x *explainer) chain(p pkgID) string {
	var names []string
	seen := map[pkgID]bool{}
	for q := p; ; {
		names = append(names, x.name(q))
		seen[q] = true
		n, ok := x.must[q]
		if !ok || n.by == none {
			break
		}
		if q = n.by; seen[q] {
			slices.Reverse(names)
			return x.name(q) + " needs " + strings.Join(names, ", which needs ")
		}
	}
	slices.Reverse(names)
	switch len(names) {
	case 1:
		return names[0] + " was asked for"
	case 2:
		return names[0] + " was asked for and needs " + names[1]
	}
	return names[0] + " was asked for and needs " + strings.Join(names[1:], ", which needs ")
}

// follow looks at what a package needs: there must be a way to get it, and if
// there is one only, that becomes necessary too.
func (x *explainer) follow(p pkgID) {
	v := x.must[p].ver
	for d := x.vers[v].deps; d < x.vers[v].depEnd; {
		end := x.alternatives(d)
		if first := &x.deps[d]; first.critical() && !first.negative() {
			var ways []verID
			var by depID
			for one := d; one < end; one++ {
				for _, o := range x.offers(one) {
					if x.possible(o) && !slices.Contains(ways, o) {
						ways, by = append(ways, o), one
					}
				}
			}
			switch len(ways) {
			case 0:
				x.missing(p, d, end)
			case 1:
				x.add(ways[0], need{ver: ways[0], by: p, dep: by})
			}
		}
		d = end
	}
}

// offers are the versions that were candidates at first, or must be installed, and
// meet a dependency.
func (x *explainer) offers(id depID) []verID {
	d := &x.deps[id]
	pick := func(p pkgID) verID {
		if n, ok := x.must[p]; ok {
			return n.ver
		}
		return x.start[p]
	}
	var all []verID
	if v := pick(d.target); v != none && !x.ignores(d, d.target) && x.satisfied(d, x.version(v)) {
		all = append(all, v)
	}
	for i := x.pkgs[d.target].provs; i != none; i = x.provs[i].ofPkg {
		pr := &x.provs[i]
		if !x.ignoresProvided(d, pr) && pick(x.vers[pr.owner].pkg) == pr.owner && x.satisfied(d, x.provided(pr)) {
			all = append(all, pr.owner)
		}
	}
	return all
}

// possible says whether a version may still be installed.
func (x *explainer) possible(v verID) bool {
	p := x.vers[v].pkg
	if _, ok := x.must[p]; ok {
		return true
	}
	if _, ok := x.excluded[p]; ok || x.has(p, shunned) {
		return false
	}
	_, clashes := x.against(v)
	return !clashes
}

// against is a dependency of a version that excludes what must be there.
func (x *explainer) against(v verID) (depID, bool) {
	for d := x.vers[v].deps; d < x.vers[v].depEnd; d++ {
		if !x.deps[d].negative() {
			continue
		}
		for _, o := range x.offers(d) {
			if n, ok := x.must[x.vers[o].pkg]; ok && n.ver == o {
				return d, true
			}
		}
	}
	return 0, false
}

// missing notes that there is no way to meet a dependency.
func (x *explainer) missing(p pkgID, d, end depID) {
	var wants, whys []string
	for one := d; one < end; one++ {
		wants = append(wants, x.relation(&x.deps[one]).String())
		if why := x.whyNot(one); why != "" && !slices.Contains(whys, why) {
			whys = append(whys, why)
		}
	}
	text := fmt.Sprintf("%s needs %s: %s", x.named(p), strings.Join(wants, " or "), strings.Join(whys, "; "))
	if x.must[p].by != none {
		text += " (" + x.chain(p) + ")"
	}
	x.problems = append(x.problems, text)
}

// whyNot says why nothing meets one alternative.
func (x *explainer) whyNot(id depID) string {
	d := &x.deps[id]
	offers := x.offers(id)
	if len(offers) == 0 {
		var have []string
		for v := x.pkgs[d.target].vers; v != none; v = x.vers[v].next {
			if x.satisfied(d, x.version(v)) {
				return x.passedOver(v)
			}
			have = append(have, x.version(v))
		}
		switch {
		case len(have) > 0:
			return fmt.Sprintf("%s has only %s %s", x.where(), x.name(d.target), choice(have))
		case x.pkgs[d.target].provs != none && d.op != OpAny:
			return fmt.Sprintf("no package provides %s in such a version", x.name(d.target))
		}
		return fmt.Sprintf("%s is not in %s", x.name(d.target), x.where())
	}
	var whys []string
	for _, v := range offers {
		p := x.vers[v].pkg
		if x.has(p, shunned) {
			whys = append(whys, x.name(p)+" is to stay out")
		} else if by, ok := x.excluded[p]; ok {
			who := x.vers[x.deps[by].ver].pkg
			whys = append(whys, fmt.Sprintf("%s is excluded by %s (%s)", x.name(p), x.named(who), x.chain(who)))
		} else if by, ok := x.against(v); ok {
			whys = append(whys, fmt.Sprintf("%s excludes %s", x.name(p), x.relation(&x.deps[by])))
		}
	}
	return choice(whys)
}

// passedOver says why a version is none to choose from though it would do.
func (x *explainer) passedOver(v verID) string {
	p := x.vers[v].pkg
	index := x.files[x.vers[v].files].index
	suite := x.indexes[index].Source.name()
	that := fmt.Sprintf("%s has %s %s", suite, x.name(p), x.version(v))
	switch n, ok := x.must[p]; {
	case ok:
		return fmt.Sprintf("%s, but it is to be %s (%s)", that, x.version(n.ver), x.chain(p))
	case x.start[p] == none:
		return that + ", which cannot be chosen"
	case x.pins[index] < x.pins[x.files[x.vers[x.start[p]].files].index]:
		return fmt.Sprintf("%s, which is taken from there only where it is asked for: %s/%s", that, x.name(p), suite)
	}
	return fmt.Sprintf("%s, but %s is chosen", that, x.version(x.start[p]))
}

// leftBroken notes what apt's way has left broken.
func (x *explainer) leftBroken() {
	for i := range x.pkg {
		p := pkgID(i)
		if !x.has(p, badDeps) {
			continue
		}
		v := x.pkg[p].install
		for d := x.vers[v].deps; d < x.vers[v].depEnd; {
			end := x.alternatives(d)
			if first := &x.deps[d]; first.critical() && !x.met(d, end) {
				var wants, whys []string
				for one := d; one < end; one++ {
					wants = append(wants, x.relation(&x.deps[one]).String())
					for _, o := range x.offers(one) {
						if why := x.suppose(o, p, one); why != "" && !slices.Contains(whys, why) {
							whys = append(whys, why)
						}
					}
				}
				verb, why := "needs", "no way to that was found"
				if first.negative() {
					verb = "excludes"
				} else if len(whys) > 0 {
					why = strings.Join(whys[:min(len(whys), 3)], "; ")
				}
				x.problems = append(x.problems, fmt.Sprintf("%s %s %s %s: %s",
					x.name(p), x.version(v), verb, strings.Join(wants, " or "), why))
			}
			d = end
		}
	}
	if len(x.problems) == 0 {
		x.problems = append(x.problems, "what was asked for cannot be had together")
	}
}
