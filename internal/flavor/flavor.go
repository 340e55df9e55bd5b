// Package flavor is what an image or a package was built for: which flags, which
// architectures. Its notation and its rules are Conary's:
//
//	~!xen,ssl is: x86_64(~nx)
//
// says: of flag xen rather not, of flag ssl certainly; runs on x86_64, rather with
// nx. In front of a name stands nothing (required), "~" (preferred), "~!"
// (rather not) or "!" (never). Words without "is:" are flags, whatever they are
// called. "target:" lists the architectures that a compiler makes programs for.
//
// [Parse] reads it, [Flavor.String] is its one canonical form, [Flavor.Freeze] a
// short one for keys. Flavors are merged ([Override], [Merge], [Fill]), compared
// ([Flavor.Score]) and chosen by ([Select]). Which flags and architectures there are
// is declared in small files ([Declared]).
//
// The rules are facts about Conary 2.5.9, judged by its own outputs in
// testdata. Where it reads something that nobody means, such as
// "!~ssl", Parse refuses with a hint; [ParseLoose] reads as it does.
package flavor

import (
	"cmp"
	"slices"
	"strings"
)

// A Flag is a name with a sense.
type Flag struct {
	Name  string
	Sense Sense
}

// An Arch is an architecture with flags of its own, such as x86(sse2).
type Arch struct {
	Name  string
	Flags []Flag
}

// flags are sorted by name, each name once.
type flags []Flag

// arch is an architecture whose flags are sorted.
type arch struct {
	name  string
	flags flags
}

// archs are sorted by name, each name once.
type archs []arch

// The classes of architectures, as places in Flavor.archs.
const (
	is     = iota // what it runs on
	target        // what its compilers make programs for
	classes
)

// A Flavor is a value: no method changes it. The zero Flavor is the empty one, which
// fits everywhere.
type Flavor struct {
	use   flags
	archs [classes]archs
	// A class that was written and is empty ("use:", "is:", "target:"): Fill
	// does not fill it.
	emptyUse  bool
	emptyArch [classes]bool
}

// Use gives the flags, sorted by name.
func (f Flavor) Use() []Flag { return slices.Clone(f.use) }

// Is gives the architectures that it runs on, sorted by name.
func (f Flavor) Is() []Arch { return f.archs[is].list() }

// Target gives the architectures of its compilers, sorted by name.
func (f Flavor) Target() []Arch { return f.archs[target].list() }

// Sense is what the flavor says of a flag.
func (f Flavor) Sense(flag string) Sense { return f.use.sense(flag) }

// RunsOn says whether "is:" names the architecture.
func (f Flavor) RunsOn(arch string) bool { return f.archs[is].find(arch) != nil }

// IsEmpty says that the flavor says nothing.
func (f Flavor) IsEmpty() bool {
	return len(f.use) == 0 && len(f.archs[is]) == 0 && len(f.archs[target]) == 0
}

// Equal says that two flavors say the same.
func (f Flavor) Equal(g Flavor) bool {
	return slices.Equal(f.use, g.use) && f.archs[is].equal(g.archs[is]) && f.archs[target].equal(g.archs[target])
}

// Compare orders flavors, for lists and to break ties between equal scores: "is:"
// first, then flags, then "target:". A flavor that lacks one of them is the greater.
func (f Flavor) Compare(g Flavor) int {
	of := func(f Flavor) [3]archs {
		var use archs
		if len(f.use) > 0 {
			use = archs{{"use", f.use}}
		}
		return [...]archs{f.archs[is], use, f.archs[target]}
	}
	a, b := of(f), of(g)
	for i := range a {
		switch {
		case len(a[i]) > 0 && len(b[i]) == 0:
			return -1
		case len(a[i]) == 0 && len(b[i]) > 0:
			return 1
		}
	}
	for i := range a {
		if c := a[i].compare(b[i]); c != 0 {
			return c
		}
	}
	return 0
}

// String is the canonical form: everything sorted by name, Parse reads it back.
func (f Flavor) String() string {
	var b strings.Builder
	f.use.write(&b)
	for class, name := range []string{is: "is:", target: "target:"} {
		if len(f.archs[class]) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(name)
		for _, a := range f.archs[class] {
			b.WriteByte(' ')
			b.WriteString(a.name)
			if len(a.flags) > 0 {
				b.WriteByte('(')
				a.flags.write(&b)
				b.WriteByte(')')
			}
		}
	}
	return b.String()
}

func (fs flags) write(b *strings.Builder) {
	for i, f := range fs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(f.Sense.String())
		b.WriteString(f.Name)
	}
}

func (fs flags) sense(name string) Sense {
	if i, ok := slices.BinarySearchFunc(fs, name, func(f Flag, name string) int { return cmp.Compare(f.Name, name) }); ok {
		return fs[i].Sense
	}
	return Unset
}

func (fs flags) compare(gs flags) int {
	return slices.CompareFunc(fs, gs, func(f, g Flag) int {
		return cmp.Or(cmp.Compare(f.Name, g.Name), cmp.Compare(f.Sense, g.Sense))
	})
}

// mapped gives every sense another; Unset removes the flag.
func (fs flags) mapped(to func(Flag) Sense) flags {
	var out flags
	for _, f := range fs {
		if s := to(f); s != Unset {
			out = append(out, Flag{f.Name, s})
		}
	}
	return out
}

// sorted sorts flags by name; of several of one name the last stays.
func sorted(fs []Flag) flags {
	out := slices.Clone(fs)
	slices.Reverse(out)
	slices.SortStableFunc(out, func(f, g Flag) int { return cmp.Compare(f.Name, g.Name) })
	return slices.CompactFunc(out, func(f, g Flag) bool { return f.Name == g.Name })
}

func (as archs) find(name string) *arch {
	if i, ok := slices.BinarySearchFunc(as, name, func(a arch, name string) int { return cmp.Compare(a.name, name) }); ok {
		return &as[i]
	}
	return nil
}

func (as archs) list() []Arch {
	var out []Arch
	for _, a := range as {
		out = append(out, Arch{a.name, slices.Clone(a.flags)})
	}
	return out
}

func (as archs) equal(bs archs) bool {
	return slices.EqualFunc(as, bs, func(a, b arch) bool { return a.name == b.name && slices.Equal(a.flags, b.flags) })
}

// compare looks at all names first, then at the flags.
func (as archs) compare(bs archs) int {
	return cmp.Or(
		slices.CompareFunc(as, bs, func(a, b arch) int { return cmp.Compare(a.name, b.name) }),
		slices.CompareFunc(as, bs, func(a, b arch) int { return a.flags.compare(b.flags) }))
}

// mapped gives every flag of every architecture another sense.
func (as archs) mapped(to func(Flag) Sense) archs {
	var out archs
	for _, a := range as {
		out = append(out, arch{a.name, a.flags.mapped(to)})
	}
	return out
}
