package flavor

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var allSenses = []Sense{Unset, Required, Preferred, PreferNot, Disallowed}

// anyFlavor draws a flavor of few names, so that they meet.
func anyFlavor(names ...string) *rapid.Generator[Flavor] {
	if names == nil {
		names = []string{"a", "b", "c", "k.s"}
	}
	return rapid.Custom(func(t *rapid.T) Flavor {
		own := func(label string, names []string) flags {
			var fs flags
			for _, n := range names {
				if s := rapid.SampledFrom(allSenses).Draw(t, label+n); s != Unset {
					fs = append(fs, Flag{n, s})
				}
			}
			return sorted(fs)
		}
		f := Flavor{use: own("use ", names)}
		for class := range f.archs {
			for _, n := range []string{"x86", "x86_64"} {
				if rapid.IntRange(0, 2+2*class).Draw(t, "arch") == 0 {
					f.archs[class] = append(f.archs[class], arch{n, own(n, []string{"i686", "sse"})})
				}
			}
		}
		return f
	})
}

func TestRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFlavor().Draw(t, "f")
		if g, err := Parse(f.String()); err != nil || !g.Equal(f) {
			t.Fatalf("%q is read as %q, %v", f, g, err)
		}
		if g, err := Thaw(f.Freeze()); err != nil || !g.Equal(f) {
			t.Fatalf("%q thaws to %q, %v", f.Freeze(), g, err)
		}
		if f.Compare(f) != 0 {
			t.Fatalf("%q is not itself", f)
		}
	})
}

func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyFlavor().Draw(t, "a"), anyFlavor().Draw(t, "b"), anyFlavor().Draw(t, "c")
		if a.Compare(b) != -b.Compare(a) || (a.Compare(b) == 0) != a.Equal(b) || a.Equal(b) != (a.Freeze() == b.Freeze()) {
			t.Fatalf("%q and %q are in no order", a, b)
		}
		list := []Flavor{a, b, c}
		slices.SortFunc(list, Flavor.Compare)
		if list[0].Compare(list[2]) > 0 {
			t.Fatalf("%q, %q and %q are in no order", a, b, c)
		}
	})
}

// The laws that merging keeps, in each mode.
func TestMergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyFlavor().Draw(t, "a"), anyFlavor().Draw(t, "b"), anyFlavor().Draw(t, "c")
		mode := rapid.SampledFrom([]Mode{Normal, Over, Prefs, Drop}).Draw(t, "mode")
		same := func(what string, f Flavor, err error, g Flavor) {
			t.Helper()
			if err != nil || !f.Equal(g) {
				t.Fatalf("mode %d, %s: %q, %v; want %q", mode, what, f, err, g)
			}
		}
		var empty Flavor
		f, err := Override(a, empty, mode)
		same("nothing over a flavor", f, err, a)
		f, err = Override(empty, a, mode)
		same("a flavor over nothing", f, err, a)
		f, err = Override(a, a, mode)
		same("a flavor over itself", f, err, a)
		f, err = Merge([]Flavor{a}, mode)
		if mode != Prefs { // which makes a preference of it only where several speak
			same("one flavor", f, err, a)
		}
		f, err = Merge([]Flavor{a, empty}, mode)
		one, _ := Merge([]Flavor{a}, mode)
		same("a flavor and nothing", f, err, one)

		// Where the stronger counts, the order of equal rights does not matter.
		if mode == Normal || mode == Drop {
			f, err = Merge([]Flavor{a, b, c}, mode)
			g, err2 := Merge([]Flavor{c, a, b}, mode)
			if (err == nil) != (err2 == nil) || !f.Equal(g) {
				t.Fatalf("mode %d, in another order: %q, %v; %q, %v", mode, f, err, g, err2)
			}
		}
		// What Normal merges, Drop merges alike.
		if f, err := Override(a, b, Normal); err == nil {
			g, err := Override(a, b, Drop)
			same("without contradiction", g, err, f)
		}
		// Overriding is associative, and what was typed is in it.
		ab, _ := Override(a, b, Over)
		bc, _ := Override(b, c, Over)
		f, err = Override(ab, c, Over)
		g, _ := Override(a, bc, Over)
		if f.use.compare(g.use) != 0 || err != nil {
			t.Fatalf("%q, %q, %q: %q or %q", a, b, c, f, g)
		}
		for _, flag := range b.use {
			if ab.Sense(flag.Name) != flag.Sense {
				t.Fatalf("%q over %q is %q", b, a, ab)
			}
		}
		if len(b.archs[is]) > 0 && len(ab.archs[is]) != len(b.archs[is]) {
			t.Fatalf("%q over %q runs on what was not named: %q", b, a, ab)
		}
		// Filling changes nothing that was said.
		filled := Fill(a, b)
		if len(a.use) > 0 && filled.use.compare(a.use) != 0 || len(a.archs[is]) > 0 && !filled.archs[is].equal(a.archs[is]) {
			t.Fatalf("%q filled by %q is %q", a, b, filled)
		}
	})
}

func TestScoreLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		system, f, g := anyFlavor().Draw(t, "system"), anyFlavor().Draw(t, "f"), anyFlavor().Draw(t, "g")
		if n, ok := system.Score(Flavor{}); n != 0 || !ok {
			t.Fatalf("the empty flavor scores %d, %v", n, ok)
		}
		if !f.Matches(f) || !f.StronglySatisfies(f) || !f.Compatible(f) {
			t.Fatalf("%q does not suit itself", f)
		}
		if s := f.Strong(); !s.Strong().Equal(s) {
			t.Fatalf("%q is not strong", s)
		}
		sum, all := 0, true
		for _, p := range system.Explain(f) {
			sum, all = sum+p.Score, all && p.Matches
		}
		if n, ok := system.Score(f); ok != all || ok && n != sum {
			t.Fatalf("%q scores %d, %v for %q; explained as %d, %v", f, n, ok, system, sum, all)
		}
		// The least change is enough.
		changed, err := Override(system, system.Change(f, true), Over)
		if err != nil || !changed.Matches(f) {
			t.Fatalf("%q changed by %q does not suit %q", system, system.Change(f, true), f)
		}
		if system.Matches(f) != system.Change(f, false).IsEmpty() {
			t.Fatalf("%q suits %q: %v, least change %q", f, system, system.Matches(f), system.Change(f, false))
		}
		// What provides all that was asked for points the same way, where it names no more
		// architectures.
		if !f.Compatible(g) && f.Provides(g.Strong()) && len(f.archs[is]) == len(g.archs[is]) && len(f.archs[target]) == len(g.archs[target]) {
			t.Fatalf("%q provides %q and is not compatible", f, g)
		}
	})
}

// No operation changes a flavor that it was given.
func TestValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyFlavor().Draw(t, "a"), anyFlavor().Draw(t, "b")
		was := a.Freeze() + b.Freeze()
		for _, mode := range []Mode{Normal, Over, Prefs, Drop} {
			_, _ = Override(a, b, mode)
			_, _ = Merge([]Flavor{a, b}, mode)
		}
		Fill(a, b)
		a.Strong()
		a.Change(b, true)
		Builtin().Expand(a)
		for _, f := range a.Use() {
			f.Name = "z"
		}
		if use := a.Use(); len(use) > 0 {
			use[0].Sense = Unset
		}
		if a.Freeze()+b.Freeze() != was {
			t.Fatalf("%q became %q and %q", was, a, b)
		}
	})
}
