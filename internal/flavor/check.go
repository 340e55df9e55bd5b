package flavor

import (
	"maps"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/spell"
)

// Check finds the traps of reading in what a person typed, with code 4: architectures
// and their flags that nothing declares, and flags that neither a declaration nor any
// of the known flavors names. So "arm" is told to be an architecture, and "vmwrae" is
// not silently ignored. A package's own flags (kernel.smp) are not declared.
func (d Declared) Check(typed Flavor, known ...Flavor) error {
	flags := map[string]bool{}
	archFlags := map[string]bool{}
	for name := range d.Flags {
		flags[name] = true
	}
	architectures := map[string]bool{}
	for name, a := range d.Architectures {
		architectures[name] = true
		for f := range a.Flags {
			archFlags[name+"("+f] = true
		}
	}
	for _, f := range known {
		for _, g := range f.use {
			flags[g.Name] = true
		}
		for _, as := range f.archs {
			for _, a := range as {
				architectures[a.name] = true
				for _, g := range a.flags {
					archFlags[a.name+"("+g.Name] = true
				}
			}
		}
	}
	for _, g := range typed.use {
		if !flags[g.Name] && !strings.Contains(g.Name, ".") {
			return d.unknownFlag(g, slices.Sorted(maps.Keys(flags)))
		}
	}
	for _, as := range typed.archs {
		for _, a := range as {
			if !architectures[a.name] {
				return d.unknownArchitecture(a.name)
			}
			for _, g := range a.flags {
				if !archFlags[a.name+"("+g.Name] {
					e := fault.Newf(fault.NotFound, "architecture %s has no flag %q", a.name, g.Name)
					there := slices.Sorted(maps.Keys(d.Architectures[a.name].Flags))
					if near := spell.Nearest(g.Name, there); near != "" {
						return e.WithHint("did you mean %s?", near)
					}
					return e.WithHint("it has %s", listed(there))
				}
			}
		}
	}
	return nil
}

// Trapped finds what is wrong wherever it stands: a flag that is called as an
// architecture is, and an architecture by the name that only Debian gives it. It has
// code 2.
func (d Declared) Trapped(f Flavor) error {
	for _, g := range f.use {
		if _, isFlag := d.Flags[g.Name]; isFlag {
			continue
		}
		if name := d.ArchitectureOf(g.Name); name != "" {
			return fault.Newf(fault.Usage, "%q is an architecture and stands where flags do", g.Name).
				WithHint("architectures stand behind is:, as in \"is: %s\"", name)
		}
	}
	for _, as := range f.archs {
		for _, a := range as {
			if name := d.ArchitectureOf(a.name); name != "" && name != a.name {
				return fault.Newf(fault.Usage, "%q is Debian's name for an architecture", a.name).
					WithHint("in flavors it is called %s", name)
			}
		}
	}
	return nil
}

// ArchitectureOf is the declared architecture of a name, ours or Debian's, or empty.
func (d Declared) ArchitectureOf(name string) string {
	if _, ok := d.Architectures[name]; ok {
		return name
	}
	for _, n := range slices.Sorted(maps.Keys(d.Architectures)) {
		if d.Architectures[n].Debian == name {
			return n
		}
	}
	return ""
}

func (d Declared) unknownFlag(g Flag, among []string) error {
	e := fault.Newf(fault.NotFound, "no flag %q", g.Name)
	if name := d.ArchitectureOf(g.Name); name != "" {
		return e.WithHint("an architecture stands behind is:, as in \"is: %s\"", name)
	}
	if near := spell.Nearest(g.Name, among); near != "" {
		return e.WithHint("did you mean %s?", near)
	}
	return e.WithHint("flags are %s", listed(among))
}

func (d Declared) unknownArchitecture(name string) error {
	e := fault.Newf(fault.NotFound, "no architecture %q", name)
	if other := d.ArchitectureOf(name); other != "" {
		return e.WithHint("it is called %s here", other)
	}
	among := slices.Sorted(maps.Keys(d.Architectures))
	if near := spell.Nearest(name, among); near != "" {
		return e.WithHint("did you mean %s?", near)
	}
	return e.WithHint("architectures are %s", listed(among))
}

// listed is a list that fits a hint.
func listed(names []string) string {
	const most = 12
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + " and others"
	default:
		return strings.Join(names, ", ")
	}
}

// Undeclared are the names in a flavor that nothing declares, as they are written:
// "foo", "is: x87", "x86(i886)". A package's own flags are not among them.
func (d Declared) Undeclared(f Flavor) []string {
	var out []string
	for _, g := range f.use {
		if _, ok := d.Flags[g.Name]; !ok && !strings.Contains(g.Name, ".") {
			out = append(out, g.Name)
		}
	}
	for class, word := range []string{is: "is: ", target: "target: "} {
		for _, a := range f.archs[class] {
			known, ok := d.Architectures[a.name]
			if !ok {
				out = append(out, word+a.name)
				continue
			}
			for _, g := range a.flags {
				if _, ok := known.Flags[g.Name]; !ok {
					out = append(out, a.name+"("+g.Name+")")
				}
			}
		}
	}
	return out
}
