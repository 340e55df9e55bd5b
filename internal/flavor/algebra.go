package flavor

import (
	"slices"
	"strings"

	"ingot/internal/fault"
)

// alike says that two senses are the same, or loosely that they point the same way.
func alike(a, b Sense, loose bool) bool {
	return a == b || loose && a != Unset && a.Strong() == b.Strong()
}

// Minus leaves out the flags that g has in the same sense (loosely: pointing the same
// way) and the architectures of which nothing stays that g does not have.
func (f Flavor) Minus(g Flavor, loose bool) Flavor {
	minus := func(fs, gs flags) flags {
		return fs.mapped(func(x Flag) Sense {
			if alike(x.Sense, gs.sense(x.Name), loose) {
				return Unset
			}
			return x.Sense
		})
	}
	out := Flavor{use: minus(f.use, g.use)}
	for class, archs := range f.archs {
		for _, a := range archs {
			of := g.archs[class].find(a.name)
			if of != nil {
				a.flags = minus(a.flags, of.flags)
			}
			if of == nil || len(a.flags) > 0 {
				out.archs[class] = append(out.archs[class], a)
			}
		}
	}
	return out
}

// Common is what two flavors share: flags in the same sense (loosely: pointing the same
// way, then strongly), architectures that both name.
func (f Flavor) Common(g Flavor, loose bool) Flavor {
	common := func(fs, gs flags) flags {
		return fs.mapped(func(x Flag) Sense {
			switch {
			case !alike(x.Sense, gs.sense(x.Name), loose):
				return Unset
			case loose:
				return x.Sense.Strong()
			default:
				return x.Sense
			}
		})
	}
	out := Flavor{use: common(f.use, g.use)}
	for class, archs := range f.archs {
		for _, a := range archs {
			if of := g.archs[class].find(a.name); of != nil {
				out.archs[class] = append(out.archs[class], arch{a.name, common(a.flags, of.flags)})
			}
		}
	}
	return out
}

// Filter keeps the flags and architectures that any of the filters names, in whatever
// sense; the senses stay f's.
func (f Flavor) Filter(by ...Flavor) Flavor {
	keep := func(fs flags, of func(Flavor) flags) flags {
		return fs.mapped(func(x Flag) Sense {
			if slices.ContainsFunc(by, func(g Flavor) bool { return of(g).sense(x.Name) != Unset }) {
				return x.Sense
			}
			return Unset
		})
	}
	out := Flavor{use: keep(f.use, func(g Flavor) flags { return g.use })}
	for class, archs := range f.archs {
		for _, a := range archs {
			if slices.ContainsFunc(by, func(g Flavor) bool { return g.archs[class].find(a.name) != nil }) {
				a.flags = keep(a.flags, func(g Flavor) flags {
					if of := g.archs[class].find(a.name); of != nil {
						return of.flags
					}
					return nil
				})
				out.archs[class] = append(out.archs[class], a)
			}
		}
	}
	return out
}

// Short gives each of several flavors a name that tells it from the others, for files
// and tags: the architecture, then the flags that it has and others lack: "x86",
// "x86-vmware". Only where that is not enough, flags that it has not: "x86-no-ssl".
// Flavors that differ in nothing a name can say are an error of code 10.
func (d Declared) Short(list []Flavor) ([]string, error) {
	var common Flavor
	for i, f := range list {
		if i == 0 {
			common = f
		} else {
			common = common.Common(f, true)
		}
	}
	names := make([]string, len(list))
	for depth := range 3 {
		for i, f := range list {
			var words []string
			if major := d.Major(f); major != "" {
				words = append(words, major)
			}
			rest := f.Minus(common, true)
			for _, g := range rest.use {
				if depth > 0 && g.Sense.Positive() {
					words = append(words, g.Name)
				}
			}
			for _, g := range rest.use {
				if depth > 1 && g.Sense.Negative() {
					words = append(words, "no", g.Name)
				}
			}
			names[i] = strings.Join(words, "-")
		}
		if distinct := slices.Compact(slices.Sorted(slices.Values(names))); len(distinct) == len(list) {
			return names, nil
		}
	}
	for i, name := range names {
		if j := slices.Index(names[:i], name); j >= 0 {
			return nil, fault.Newf(fault.Choice, "flavors %q and %q cannot be told apart by name", list[j], list[i]).
				WithHint("give one of them a flag that the other does not have")
		}
	}
	return names, nil
}
