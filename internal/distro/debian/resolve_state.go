package debian

// A solver is one resolution at work: for each package the version that might be
// installed (its candidate) and the one that will be, and what follows from these
// for each dependency.
//
// The state of a dependency is remembered and looked at again only when apt would
// look again, because apt acts on what it remembers: a candidate that is given up
// on the way stays "available" to those that depend on it until something else
// about the name changes. What is remembered is made when it is first asked for,
// as it was at the start.
type solver struct {
	*Universe
	recommends bool

	start        []verID // the candidates at the start
	pkg          []state
	dep          []depState
	broken       int // packages to be installed with a dependency unmet
	policyBroken int // the same, with a Recommends unmet
}

// A state is what is decided on a package.
type state struct {
	candidate verID
	install   verID // the version that will be installed, or none
	flags     stateFlags
}

type stateFlags uint16

const (
	installing   stateFlags = 1 << iota // is to be installed
	protected                           // only the user may change what is decided
	auto                                // nobody asked for it by name
	held                                // must not be installed
	badDeps                             // to be installed, with a dependency unmet
	badPolicy                           // the same, or with a Recommends unmet
	marked                              // reached from what was asked for
	explored                            // all who bear the name were followed
	garbage                             // to be installed, and not reached
	askedFor                            // the user named it: the repair's own protection
	shunned                             // the user named it with a minus
	preInstalled                        // was to be installed before repair
	upgradable                          // repair has not tried to install it
)

// A depState is what is remembered of a dependency.
type depState uint8

const (
	depMet       depState = 1 << iota // by what will be installed
	depAvailable                      // by the candidates
	depKnown                          // the others are valid
)

func newSolver(u *Universe, recommends bool) *solver {
	s := &solver{
		Universe:   u,
		recommends: recommends,
		start:      make([]verID, len(u.pkgs)),
		pkg:        make([]state, len(u.pkgs)),
		dep:        make([]depState, len(u.deps)),
	}
	for p := range u.pkgs {
		c := u.candidate(pkgID(p))
		s.start[p] = c
		s.pkg[p] = state{candidate: c, install: none}
	}
	return s
}

// candidate is the version of a package that apt's policy prefers: the newest of
// those with the highest priority.
func (u *Universe) candidate(p pkgID) verID {
	best, pin := verID(none), 0
	for v := u.pkgs[p].vers; v != none; v = u.vers[v].next {
		at := 0
		for f := u.vers[v].files; f != none; f = u.files[f].next {
			at = max(at, u.pins[u.files[f].index])
		}
		if at > pin {
			best, pin = v, at
		}
	}
	return best
}

func (s *solver) has(p pkgID, f stateFlags) bool { return s.pkg[p].flags&f != 0 }

func (s *solver) set(p pkgID, f stateFlags, on bool) {
	if on {
		s.pkg[p].flags |= f
	} else {
		s.pkg[p].flags &^= f
	}
}

// kept says that a package is neither to be installed nor anything else.
func (s *solver) kept(p pkgID) bool { return !s.has(p, installing) }

// wanted says whether a dependency has to be met: all but Recommends, where these
// are off, and Suggests.
func (s *solver) wanted(d *dep) bool {
	return d.critical() || s.recommends && d.kind&kindMask == recommends
}

// state is what is remembered of a dependency. For one that excludes, "met" and
// "available" mean that nothing excluded is there.
func (s *solver) state(d depID) depState {
	if s.dep[d]&depKnown == 0 {
		s.dep[d] = s.look(d, func(p pkgID) verID { return none }, func(p pkgID) verID { return s.start[p] })
	}
	return s.dep[d]
}

// lookAgain brings up to date what is remembered of a dependency and of the
// package that has it.
func (s *solver) lookAgain(d depID) {
	s.dep[d] = s.look(d, func(p pkgID) verID { return s.pkg[p].install }, func(p pkgID) verID { return s.pkg[p].candidate })
	v := s.deps[d].ver
	if p := s.vers[v].pkg; s.pkg[p].install == v {
		s.judge(p)
	}
}

func (s *solver) look(id depID, install, candidate func(pkgID) verID) depState {
	d := &s.deps[id]
	st := depKnown
	if s.meets(id, install) {
		st |= depMet
	}
	if s.meets(id, candidate) {
		st |= depAvailable
	}
	if d.negative() {
		st ^= depMet | depAvailable
	}
	return st
}

// meets says whether the target of a dependency is there in the right version, or
// else somebody who provides it.
func (s *solver) meets(id depID, selected func(pkgID) verID) bool {
	d := &s.deps[id]
	if !s.ignores(d, d.target) {
		if v := selected(d.target); v != none && s.within(id, v) {
			return true
		}
	}
	for at := s.pkgs[d.target].provs; at != none; at = s.provs[at].ofPkg {
		p := &s.provs[at]
		if selected(s.vers[p.owner].pkg) == p.owner && !s.ignoresProvided(d, p) && s.satisfied(d, s.provided(p)) {
			return true
		}
	}
	return false
}

// judge says anew whether a package's own dependencies are met.
func (s *solver) judge(p pkgID) {
	old := s.pkg[p].flags
	s.pkg[p].flags = old&^(badDeps|badPolicy) | s.fault(s.pkg[p].install)
	count := func(n *int, f stateFlags) {
		switch now := s.pkg[p].flags; {
		case now&f != 0 && old&f == 0:
			*n++
		case now&f == 0 && old&f != 0:
			*n--
		}
	}
	count(&s.broken, badDeps)
	count(&s.policyBroken, badPolicy)
}

// fault is how the dependencies of a version stand.
func (s *solver) fault(v verID) stateFlags {
	if v == none {
		return 0
	}
	var bad stateFlags
	for d := s.vers[v].deps; d < s.vers[v].depEnd; {
		end := s.alternatives(d)
		if first := &s.deps[d]; s.wanted(first) && !s.met(d, end) {
			if first.critical() {
				return badDeps | badPolicy
			}
			bad |= badPolicy
		}
		d = end
	}
	return bad
}

// met says whether one of several alternatives is.
func (s *solver) met(d, end depID) bool {
	for ; d < end; d++ {
		if s.state(d)&depMet != 0 {
			return true
		}
	}
	return false
}

// changed is called when a package's version or candidate is another: it and all
// that depend on it, or on what its candidate provides, are looked at again.
func (s *solver) changed(p pkgID) {
	s.judge(p)
	for _, d := range s.revs(p) {
		s.lookAgain(d)
	}
	if c := s.pkg[p].candidate; c != none {
		for id := s.vers[c].provs; id != none; id = s.provs[id].ofVer {
			for _, d := range s.revs(s.provs[id].target) {
				s.lookAgain(d)
			}
		}
	}
}
