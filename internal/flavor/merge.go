package flavor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// A Mode is what becomes of a flag of which two flavors say different things.
type Mode uint8

// The modes of merging.
const (
	Normal Mode = iota // the stronger counts; a contradiction is an error
	Over               // the new one counts
	Prefs              // the new one counts, weakly where it contradicts; what the old one says strongly stays strong
	Drop               // the stronger counts; a contradiction is left out
)

// rules are what two senses become, by mode: a row for each old sense, a column for
// each new one, both in the order required, preferred, rather not, never. "?" is a
// contradiction, "-" is gone.
var rules = [...][4]string{
	Normal: {
		"rrr?",
		"rp?n",
		"r?wn",
		"?nnn",
	},
	Over: {
		"rpwn",
		"rpwn",
		"rpwn",
		"rpwn",
	},
	Prefs: {
		"rrwn",
		"ppww",
		"ppww",
		"rpnn",
	},
	Drop: {
		"rrr-",
		"rp-n",
		"r-wn",
		"-nnn",
	},
}

// both is what an old and a new sense of one flag become; ok is false where they
// contradict each other.
func (m Mode) both(old, new Sense) (s Sense, ok bool) {
	switch {
	case old == Unset:
		return new, true
	case new == Unset:
		return old, true
	}
	c := rules[m][old-Required][new-Required]
	return Sense(strings.IndexByte("-rpwn", c)), c != '?'
}

// Override puts what a person wrote over what was there. Flags merge by mode, usually
// [Over]. Where new names any architecture, those of old that it does not name are
// gone; so with targets. Only [Normal] fails, with code 10, naming the flags.
func Override(old, new Flavor, mode Mode) (Flavor, error) {
	f := old
	var bad clashes
	f.use = old.use.merge(new.use, mode, &bad)
	f.emptyUse = old.emptyUse && len(f.use) == 0
	for class := range f.archs {
		kept := old.archs[class]
		if len(new.archs[class]) > 0 || new.emptyArch[class] {
			kept = slices.DeleteFunc(slices.Clone(kept), func(a arch) bool { return new.archs[class].find(a.name) == nil })
		}
		f.archs[class] = kept.merge(new.archs[class], mode, &bad)
		f.emptyArch[class] = old.emptyArch[class] && len(f.archs[class]) == 0
	}
	if err := bad.err(); err != nil {
		return Flavor{}, err
	}
	return f, nil
}

// clashes are the contradictions of one merge.
type clashes []string

func (c *clashes) add(name string, a, b Sense) {
	*c = append(*c, fmt.Sprintf("%s%s and %s%s", a, name, b, name))
}

// err names all of them.
func (c clashes) err() error {
	if len(c) == 0 {
		return nil
	}
	return fault.Newf(fault.Choice, "%s contradict each other", strings.Join(c, ", ")).
		WithHint("say which counts, or merge in another mode")
}

// merge merges two lists of flags.
func (fs flags) merge(gs flags, mode Mode, bad *clashes) flags {
	if len(gs) == 0 {
		return fs
	}
	out := make(flags, 0, len(fs)+len(gs))
	for len(fs) > 0 || len(gs) > 0 {
		switch {
		case len(gs) == 0 || len(fs) > 0 && fs[0].Name < gs[0].Name:
			out, fs = append(out, fs[0]), fs[1:]
		case len(fs) == 0 || gs[0].Name < fs[0].Name:
			out, gs = append(out, gs[0]), gs[1:]
		default:
			s, ok := mode.both(fs[0].Sense, gs[0].Sense)
			switch {
			case !ok:
				bad.add(fs[0].Name, fs[0].Sense, gs[0].Sense)
			case s != Unset:
				out = append(out, Flag{fs[0].Name, s})
			}
			fs, gs = fs[1:], gs[1:]
		}
	}
	return out
}

// merge merges two lists of architectures: all of both.
func (as archs) merge(bs archs, mode Mode, bad *clashes) archs {
	out := slices.Clone(as)
	for _, b := range bs {
		if a := out.find(b.name); a != nil {
			a.flags = a.flags.merge(b.flags, mode, bad)
			continue
		}
		i := slices.IndexFunc(out, func(a arch) bool { return a.name > b.name })
		if i < 0 {
			i = len(out)
		}
		out = slices.Insert(out, i, b)
	}
	return out
}

// Merge puts flavors together that have equal rights: all flags and all architectures
// of all. Each flag is decided once, from what all say of it: in mode [Over] and for
// contradictions in [Prefs] the last counts. Only [Normal] fails, with code 10.
func Merge(list []Flavor, mode Mode) (Flavor, error) {
	var f Flavor
	var bad clashes
	uses := make([]flags, len(list))
	for i, g := range list {
		uses[i] = g.use
	}
	f.use = mergeFlags(uses, mode, &bad)
	for class := range f.archs {
		own := map[string][]flags{}
		for _, g := range list {
			for _, a := range g.archs[class] {
				own[a.name] = append(own[a.name], a.flags)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(own)) {
			f.archs[class] = append(f.archs[class], arch{name, mergeFlags(own[name], mode, &bad)})
		}
	}
	if err := bad.err(); err != nil {
		return Flavor{}, err
	}
	return f, nil
}

// mergeFlags decides each flag of all lists.
func mergeFlags(lists []flags, mode Mode, bad *clashes) flags {
	said := map[string][]Sense{}
	for _, fs := range lists {
		for _, f := range fs {
			said[f.Name] = append(said[f.Name], f.Sense)
		}
	}
	var out flags
	for _, name := range slices.Sorted(maps.Keys(said)) {
		switch s, ok := mode.all(said[name]); {
		case !ok:
			positive, negative := strongest(said[name])
			bad.add(name, negative, positive)
		case s != Unset:
			out = append(out, Flag{name, s})
		}
	}
	return out
}

// all is what the senses that several flavors give one flag become; ok is false where
// they contradict each other.
func (m Mode) all(said []Sense) (s Sense, ok bool) {
	first, last := said[0], said[len(said)-1]
	if m == Over {
		return last, true
	}
	positive, negative := strongest(said)
	even := positive.Weak() == positive && negative.Weak() == negative || positive.Strong() == positive && negative.Strong() == negative
	switch contradict := positive != Unset && negative != Unset && even; {
	case contradict && m == Drop:
		return Unset, true
	case contradict && m == Normal:
		return Unset, false
	case contradict: // the last of the strongest
		for i := len(said) - 1; ; i-- {
			if said[i] == positive || said[i] == negative {
				return said[i], true
			}
		}
	case m == Prefs:
		if first.Strong() == first && (positive == Unset || negative == Unset) {
			return first, true
		}
		return last.Weak(), true
	case negative == Unset || positive == Required:
		return positive, true
	default:
		return negative, true
	}
}

// strongest are the strongest positive and the strongest negative sense.
func strongest(said []Sense) (positive, negative Sense) {
	for _, s := range said {
		switch {
		case s == Required, s == Preferred && positive == Unset:
			positive = s
		case s == Disallowed, s == PreferNot && negative == Unset:
			negative = s
		}
	}
	return positive, negative
}

// Fill takes the flags and the architectures ("is:") of base where f says nothing at
// all of them. A class that was written empty ("use:", "is:") stays empty.
func Fill(f, base Flavor) Flavor {
	if len(f.use) == 0 && !f.emptyUse {
		f.use = base.use
	}
	if len(f.archs[is]) == 0 && !f.emptyArch[is] {
		f.archs[is] = base.archs[is]
	}
	return f
}

// Strong is the flavor without any "rather".
func (f Flavor) Strong() Flavor { return f.mapped(func(g Flag) Sense { return g.Sense.Strong() }) }

// mapped gives every flag another sense.
func (f Flavor) mapped(to func(Flag) Sense) Flavor {
	f.use = f.use.mapped(to)
	for class := range f.archs {
		f.archs[class] = f.archs[class].mapped(to)
	}
	return f
}
