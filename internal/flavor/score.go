package flavor

// no is the score of what does not match.
const no = -128

// scores are by what the system says (rows: nothing, required, preferred, rather not,
// never) and what a flavor says (columns: the same but nothing).
var scores = [5][4]int{
	Unset:      {no, -1, 1, 0},
	Required:   {2, 1, no, no},
	Preferred:  {1, 2, -1, no},
	PreferNot:  {-2, -1, 1, 1},
	Disallowed: {no, no, 1, 2},
}

// score is what one flag adds.
func score(system, flavor Sense) (int, bool) {
	if flavor == Unset {
		return 0, true
	}
	n := scores[system][flavor-Required]
	return n, n != no
}

// Score says how well something of flavor f suits a system of this flavor: each flag
// that f names adds from -2 to 2, each architecture 1. It does not match at all if f
// requires what the system lacks, or runs on an architecture that is not the
// system's. What f does not name costs nothing: the empty flavor scores 0 anywhere.
func (system Flavor) Score(f Flavor) (sum int, matches bool) {
	if sum, matches = system.use.score(f.use); !matches {
		return 0, false
	}
	for class, archs := range f.archs {
		for _, a := range archs {
			of := system.archs[class].find(a.name)
			if of == nil {
				return 0, false
			}
			n, ok := of.flags.score(a.flags)
			if !ok {
				return 0, false
			}
			sum += n + 1
		}
	}
	return sum, true
}

func (fs flags) score(gs flags) (int, bool) {
	sum := 0
	for _, g := range gs {
		n, ok := score(fs.sense(g.Name), g.Sense)
		if !ok {
			return 0, false
		}
		sum += n
	}
	return sum, true
}

// Matches says that f scores at all.
func (system Flavor) Matches(f Flavor) bool {
	_, ok := system.Score(f)
	return ok
}

// A Part is what one flag or architecture adds to a score.
type Part struct {
	Arch    string // the architecture, as "is: x86" or "target: x86"; empty for a flag of its own
	Flag    string // the flag; empty for the architecture's own name
	System  Sense  // what the system says of the flag
	Flavor  Sense  // what the flavor says of it
	Score   int
	Matches bool
}

// Explain lists what adds to a score, in the order of the canonical form.
func (system Flavor) Explain(f Flavor) []Part {
	parts := explain("", system.use, f.use)
	for class, name := range []string{is: "is: ", target: "target: "} {
		for _, a := range f.archs[class] {
			of := system.archs[class].find(a.name)
			if of == nil {
				parts = append(parts, Part{Arch: name + a.name})
				continue
			}
			parts = append(parts, Part{Arch: name + a.name, Score: 1, Matches: true})
			parts = append(parts, explain(name+a.name, of.flags, a.flags)...)
		}
	}
	return parts
}

func explain(arch string, system, f flags) []Part {
	var parts []Part
	for _, g := range f {
		p := Part{Arch: arch, Flag: g.Name, System: system.sense(g.Name), Flavor: g.Sense}
		if n, ok := score(p.System, g.Sense); ok {
			p.Score, p.Matches = n, true
		}
		parts = append(parts, p)
	}
	return parts
}

// Provides is the strong match, with the roles turned round: f, taken at its word, has
// what asked asks for. Flags that a person types are matched by it.
func (f Flavor) Provides(asked Flavor) bool { return f.Strong().Matches(asked) }

// StronglySatisfies says that f has what g asks for, both taken at their word.
func (f Flavor) StronglySatisfies(g Flavor) bool { return f.Strong().Matches(g.Strong()) }

// Compatible says that no flag that both name points the other way, and that g, if it
// names architectures, names all of f's. It is not the same from the other side.
func (f Flavor) Compatible(g Flavor) bool {
	if !f.use.compatible(g.use) {
		return false
	}
	for class, archs := range f.archs {
		if len(g.archs[class]) == 0 {
			continue
		}
		for _, a := range archs {
			of := g.archs[class].find(a.name)
			if of == nil || !a.flags.compatible(of.flags) {
				return false
			}
		}
	}
	return true
}

func (fs flags) compatible(gs flags) bool {
	for _, f := range fs {
		if s := gs.sense(f.Name); s != Unset && s.Positive() != f.Sense.Positive() {
			return false
		}
	}
	return true
}

// Change is the least that has to be put over a system's flavor so that f matches it.
// With keep it names all of f's architectures, so that it can be typed as it is.
func (system Flavor) Change(f Flavor, keep bool) Flavor {
	change := Flavor{use: system.use.change(f.use)}
	for class, archs := range f.archs {
		for _, a := range archs {
			of := system.archs[class].find(a.name)
			var own flags
			if of != nil {
				own = of.flags
			}
			if needed := own.change(a.flags); of == nil || keep || len(needed) > 0 {
				change.archs[class] = append(change.archs[class], arch{a.name, needed})
			}
		}
	}
	return change
}

// change is weak: it says no more than it must.
func (fs flags) change(gs flags) flags {
	return gs.mapped(func(g Flag) Sense {
		if _, ok := score(fs.sense(g.Name), g.Sense); ok {
			return Unset
		}
		return g.Sense.Weak()
	})
}

// size is how many names a flavor has, flags of its own counting for one more.
func (f Flavor) size() int {
	n := len(f.use)
	if n > 0 {
		n++
	}
	for _, archs := range f.archs {
		for _, a := range archs {
			n += 1 + len(a.flags)
		}
	}
	return n
}
