package flavor

import "slices"

// Expand adds what flags of architectures bring with them: what has i686 has i586 and
// i486, as firmly; what never has i486 never has i686. What the flavor says itself
// stays.
func (d Declared) Expand(f Flavor) Flavor {
	for class, archs := range f.archs {
		out := slices.Clone(archs)
		for i, a := range out {
			implied := map[string]Sense{}
			add := func(flag string, s Sense) {
				if old, ok := implied[flag]; a.flags.sense(flag) == Unset && (!ok || firmer(s, old)) {
					implied[flag] = s
				}
			}
			known := d.Architectures[a.name]
			for flag := range known.Flags {
				for _, sub := range known.subsumed(flag) {
					if s := a.flags.sense(flag); s.Positive() {
						add(sub, s)
					}
					if s := a.flags.sense(sub); s.Negative() {
						add(flag, s)
					}
				}
			}
			all := slices.Clone(a.flags)
			for flag, s := range implied {
				all = append(all, Flag{flag, s})
			}
			out[i].flags = sorted(all)
		}
		f.archs[class] = out
	}
	return f
}

// firmer says which of two implied senses counts: the strong one, and of equal ones the
// positive one.
func firmer(s, than Sense) bool {
	if strong := s.Strong() == s; strong != (than.Strong() == than) {
		return strong
	}
	return s.Positive() && !than.Positive()
}

// System is the flavor of a machine of one architecture as declared: every flag with
// its sense, the architecture, and those whose programs it runs too.
func (d Declared) System(architecture string) (Flavor, error) {
	a, ok := d.Architectures[architecture]
	if !ok {
		return Flavor{}, d.unknownArchitecture(architecture)
	}
	var f Flavor
	for name, flag := range d.Flags {
		f.use = append(f.use, Flag{name, flag.Sense})
	}
	f.use = sorted(f.use)
	for _, name := range slices.Sorted(slices.Values(append([]string{architecture}, a.Also...))) {
		f.archs[is] = append(f.archs[is], arch{name: name})
	}
	return f, nil
}

// Order gives what architectures a flavor's versions are preferred for: of a machine
// that runs another architecture's programs too, first its own, then the others. It is
// nil where there is nothing to prefer.
func (d Declared) Order(f Flavor) []Flavor {
	major := d.Major(f)
	also := d.Architectures[major].Also
	if len(also) == 0 {
		return nil
	}
	var order []Flavor
	for _, name := range append([]string{major}, also...) {
		order = append(order, Flavor{archs: [classes]archs{is: {{name: name}}}})
	}
	return order
}

// Major is the architecture of a flavor that runs the programs of all its others, or
// empty.
func (d Declared) Major(f Flavor) string {
	archs := f.archs[is]
	if len(archs) == 1 {
		return archs[0].name
	}
	major := ""
	for _, a := range archs {
		also := d.Architectures[a.name].Also
		all := len(also) > 0
		for _, b := range archs {
			all = all && (b.name == a.name || slices.Contains(also, b.name))
		}
		if all {
			major = a.name
		}
	}
	return major
}
