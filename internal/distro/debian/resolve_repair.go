package debian

import "slices"

// A repairer mends what is broken when all that was asked for has been marked:
// packages to be installed whose dependencies are not met, or that conflict.
//
// Each package gets a score for how much it is needed. The packages are gone
// through from the highest score to the lowest, up to twenty times. A broken one
// is given up, unless it is protected; then what it lacks is installed, and what
// it conflicts with and has a lower score is given up.
type repairer struct {
	*solver
	score []int
	kill  []pkgID // what the package at hand conflicts with
}

// rounds is how often apt goes through the packages.
const rounds = 20

// repair mends and says whether nothing is broken any more.
func (s *solver) repair() bool {
	if s.broken == 0 {
		return true
	}
	r := repairer{solver: s}
	order := s.order()
	for again := true; again; {
		again = false
		for _, p := range order {
			s.set(p, preInstalled, s.has(p, installing))
			s.set(p, upgradable, true)
			if !s.has(p, installing) && s.has(p, badDeps) {
				s.install(p, false, 0, false)
				again = again || s.has(p, installing)
			}
		}
	}
	r.rate(order)
	list := slices.Clone(order)
	sortAsApt(list, func(a, b pkgID) bool { return r.score[a] > r.score[b] })
	for n, change := 0, true; change && n < rounds; n++ {
		change = false
		for _, p := range list {
			if s.pkg[p].install != none && s.has(p, badDeps) && r.mend(p, n) {
				change = true
			}
		}
	}
	if s.broken > 0 {
		return false
	}
	for _, p := range order {
		if s.has(p, installing) && !s.has(p, preInstalled) {
			s.set(p, auto, true)
		}
	}
	return true
}

// What a priority and a dependency are worth.
var (
	priorityScore = [...]int{noPriority: 0, required: 3, important: 2, standard: 1, optional: -1, extra: -2}
	kindScore     = [...]int{preDepends: 1, depends: 1, conflicts: -1, breaks: -1, recommends: 1, suggests: 0}
)

// More of what apt's scores are made of.
const (
	essentialScore    = 100
	protectedScore    = 10000
	addEssentialScore = 5000
)

// rate makes the scores.
func (r *repairer) rate(order []pkgID) {
	s := r.solver
	r.score = make([]int, len(s.pkgs))
	for _, p := range order {
		v := s.pkg[p].install
		if v == none {
			continue
		}
		if s.pkgs[p].flags&(flagEssential|flagProtected) != 0 {
			r.score[p] += essentialScore
		}
		r.score[p] += priorityScore[s.vers[v].priority]
		for id := s.vers[v].deps; id < s.vers[v].depEnd; id++ {
			r.rateDep(&s.deps[id])
		}
	}
	// One step of inheritance: what important packages need is important.
	old := slices.Clone(r.score)
	for _, p := range order {
		if s.pkg[p].install == none {
			continue
		}
		for _, id := range s.revs(p) {
			d := &s.deps[id]
			parent := s.vers[d.ver].pkg
			if s.pkg[parent].install != d.ver || old[parent] <= 0 {
				continue
			}
			if k := d.kind & kindMask; k == depends || k == preDepends || k == recommends {
				r.score[p] += old[parent]
			}
		}
	}
	for _, p := range order {
		gain := r.score[p] - old[p]
		if gain == 0 {
			continue
		}
		gain = max(gain, -gain)
		for _, q := range r.providers(p, func(pr *prov) bool { return pr.flags&implicit == 0 }) {
			r.score[q] += gain
		}
	}
	for _, p := range order {
		if s.has(p, askedFor) {
			r.score[p] += protectedScore
		}
		if s.pkgs[p].flags&(flagEssential|flagProtected) != 0 {
			r.score[p] += addEssentialScore
		}
	}
}

func (r *repairer) rateDep(d *dep) {
	s := r.solver
	worth := kindScore[d.kind&kindMask]
	if worth == 0 {
		return
	}
	if !s.ignores(d, d.target) {
		if d.op != OpAny {
			if v := s.pkg[d.target].install; v == none || !s.satisfied(d, s.version(v)) {
				return
			}
		}
		r.score[d.target] += worth
	}
	for _, q := range r.providers(d.target, func(pr *prov) bool {
		return !s.ignoresProvided(d, pr) && s.satisfied(d, s.provided(pr))
	}) {
		r.score[q] += worth
	}
}

// providers are the packages to be installed that provide p, each once.
func (r *repairer) providers(p pkgID, counts func(*prov) bool) []pkgID {
	s := r.solver
	var all []pkgID
	for id := s.pkgs[p].provs; id != none; id = s.provs[id].ofPkg {
		pr := &s.provs[id]
		if owner := s.vers[pr.owner].pkg; s.pkg[owner].install == pr.owner && counts(pr) {
			all = append(all, owner)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// mend deals with one broken package and says whether anything has changed.
func (r *repairer) mend(p pkgID, round int) bool {
	s := r.solver
	r.kill = r.kill[:0]
	change := false
	v := s.pkg[p].install
	for d := s.vers[v].deps; d < s.vers[v].depEnd; {
		end := s.alternatives(d)
		if s.deps[d].critical() && !s.met(d, end) {
			c, done := r.mendGroup(p, d, end, round)
			change = change || c
			if done {
				break
			}
		}
		d = end
	}
	if s.pkg[p].install == none {
		return change
	}
	for _, k := range r.kill {
		gone := s.keep(k, 0)
		if (!gone || round > 1) && r.score[p] > r.score[k] {
			r.score[k] = r.score[p]
			change = true
		}
		change = change || gone
	}
	return change
}

// mendGroup deals with one group of alternatives that is not met. Done means that
// the rest of the package's dependencies need no look in this round.
func (r *repairer) mendGroup(p pkgID, d, end depID, round int) (change, done bool) {
	s := r.solver
	several := end-d > 1
	holdBack := false
	kills := len(r.kill)
	for one := d; one < end; one++ {
		// Something may have met the group in the meantime.
		if one > d && s.met(d, end) {
			return change, false
		}
		targets := r.targets(one)
		negative := s.deps[one].negative()
		if len(targets) == 0 && !s.has(p, protected) && !negative {
			if several {
				continue
			}
			s.keep(p, 0)
			return true, true
		}
		tried := false
		for _, t := range targets {
			q := s.vers[t].pkg
			if negative && s.pkg[q].install != t {
				continue
			}
			if r.score[p] <= r.score[q] || !negative {
				if s.has(p, protected) {
					if r.tryInstall(q) {
						r.score[q] = min(r.score[q], r.score[p])
						break
					}
					continue
				}
				if r.giveUp(p, one, q, several, round) {
					holdBack = true
				}
				change, tried = true, true
				break
			}
			if s.deps[one].kind&kindMask == breaks && s.state(one)&depAvailable != 0 {
				s.install(q, false, 0, false)
				continue
			}
			if !s.has(q, protected) {
				r.kill = append(r.kill, q)
			}
		}
		if tried && !several {
			return change, true
		}
	}
	if several && len(r.kill) == kills {
		if holdBack {
			s.keep(p, 0)
			return true, false
		}
		if !s.has(p, protected) {
			s.remove(p, 0)
			return true, false
		}
	}
	return change, false
}

// giveUp takes a broken package back, and says whether that helps. With several
// alternatives it is put back, until the last one has been looked at.
func (r *repairer) giveUp(p pkgID, d depID, q pkgID, several bool, round int) bool {
	s := r.solver
	was := s.has(p, installing)
	s.keep(p, 0)
	if !s.has(p, badDeps) {
		if several && was {
			s.install(p, false, 0, false)
		}
		return true
	}
	if r.tryInstall(p) {
		return false
	}
	target := s.deps[d].target
	switch {
	case !several || s.has(p, garbage):
		s.remove(p, 0)
		if round > 1 && r.score[q] > r.score[p] {
			r.score[p] = r.score[q]
		}
	case !s.has(target, shunned) && s.pkg[target].candidate != none:
		before := s.broken
		s.install(target, true, 1, false)
		if s.has(target, badDeps) || s.broken > before {
			s.remove(target, 1)
		}
	}
	return false
}

// targets are all versions, candidates or not, that meet a dependency.
func (r *repairer) targets(id depID) []verID {
	s := r.solver
	d := &s.deps[id]
	var all []verID
	if !s.ignores(d, d.target) {
		for v := s.pkgs[d.target].vers; v != none; v = s.vers[v].next {
			if s.satisfied(d, s.version(v)) {
				all = append(all, v)
			}
		}
	}
	for i := s.pkgs[d.target].provs; i != none; i = s.provs[i].ofPkg {
		if pr := &s.provs[i]; !s.ignoresProvided(d, pr) && s.satisfied(d, s.provided(pr)) {
			all = append(all, pr.owner)
		}
	}
	return all
}

// tryInstall installs a package, and what it needs in turn, once in a repair and
// never what the user named. It says whether all went well.
func (r *repairer) tryInstall(p pkgID) bool {
	s := r.solver
	if !s.has(p, upgradable) || s.pkg[p].candidate == none || s.has(p, askedFor) {
		return false
	}
	s.set(p, upgradable, false)
	kept := s.kept(p)
	if !s.install(p, false, 0, false) {
		return false
	}
	v := s.pkg[p].install
	if v == none {
		return false
	}
	failed := false
	for d := s.vers[v].deps; d < s.vers[v].depEnd && !failed; {
		end := s.alternatives(d)
		if s.deps[d].critical() {
			failed = r.tryGroup(d, end)
		}
		d = end
	}
	if failed {
		if kept {
			s.keep(p, 0)
		} else {
			s.remove(p, 0)
		}
	}
	return !failed
}

// tryGroup installs one of several alternatives, and says whether that failed.
func (r *repairer) tryGroup(d, end depID) bool {
	s := r.solver
	failed := false
	for one := d; one < end && !s.met(d, end); one++ {
		q := r.likely(one)
		switch {
		case s.has(q, protected):
			failed = true
		case s.state(one)&depAvailable != 0:
			if r.tryInstall(q) {
				return false
			}
			failed = true
		case s.deps[one].negative():
			return failed
		default:
			failed = true
		}
	}
	return failed
}

// likely is the package that a dependency probably means: its target, or, if that
// has no versions, the first to provide it other than the one that depends on it.
func (r *repairer) likely(id depID) pkgID {
	s := r.solver
	d := &s.deps[id]
	t := d.target
	if s.pkgs[t].vers != none {
		return t
	}
	for i := s.pkgs[t].provs; i != none; i = s.provs[i].ofPkg {
		if owner := s.vers[s.provs[i].owner].pkg; owner != s.vers[d.ver].pkg {
			return owner
		}
	}
	return t
}
