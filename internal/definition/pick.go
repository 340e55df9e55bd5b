package definition

import (
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/flavor"
)

// Pick are the variants that a flavor asks for, one an architecture: those that have what
// it says, taken at its word, and of these the one that suits best what such a machine is
// otherwise. Errors have code 4 where there is none, with the closest ones, 10 where
// several suit alike, and 2 or 4 where it cannot be read or names what nothing declares.
func (d *Definition) Pick(asked string) ([]*Definition, error) {
	want, err := flavor.Parse(asked)
	if err != nil {
		return nil, err
	}
	declared := d.Declared()
	variants := d.Variants()
	var all []flavor.Flavor
	for _, v := range variants {
		all = append(all, v.architectural())
	}
	if err := declared.Trapped(want); err != nil {
		return nil, err
	}
	if err := declared.Check(want, all...); err != nil {
		return nil, err
	}
	var out []*Definition
	var systems []flavor.Flavor
	for _, arch := range d.Arch {
		name := declared.ArchitectureOf(arch)
		if len(want.Is()) > 0 && !want.RunsOn(name) {
			continue
		}
		system, err := declared.System(name)
		if err != nil {
			return nil, err
		}
		systems = append(systems, system)
		system, _ = flavor.Override(system, want, flavor.Over) // which refuses nothing
		var best []*Definition
		top := 0
		for i, v := range variants {
			score, suits := system.Score(all[i])
			if v.Arch[0] != arch || !suits || !all[i].Provides(want) {
				continue
			}
			if len(best) == 0 || score > top {
				best, top = nil, score
			}
			if score == top {
				best = append(best, v)
			}
		}
		if len(best) > 1 {
			return nil, fault.Newf(fault.Choice, "several flavors suit %q alike: %s", asked, bracketed(best, all, variants)).
				WithHint("say more of it, such as --flavor %q", best[0].FlavorLabel())
		}
		out = append(out, best...)
	}
	if len(out) > 0 {
		return out, nil
	}
	e := fault.Newf(fault.NotFound, "no flavor of %s is %q", d.Name, asked)
	if len(systems) == 0 {
		return nil, e.WithHint("it is built for %s", strings.Join(d.architectures(), ", "))
	}
	_, near := flavor.Select(flavor.Query{System: systems, Asked: &want, Rule: flavor.Strongly}, all, [][]int{numbers(len(all))})
	return nil, e.WithHint("closest: %s", flavors(near))
}

// architectural is a variant's flavor, with its architecture also where the definition
// tests no flag.
func (d *Definition) architectural() flavor.Flavor {
	if len(d.Flavor.Is()) > 0 || len(d.Arch) != 1 {
		return d.Flavor
	}
	f, err := flavor.Parse("is: " + d.Declared().ArchitectureOf(d.Arch[0]))
	if err != nil {
		return d.Flavor
	}
	return f
}

func (d *Definition) architectures() []string {
	var out []string
	for _, a := range d.Arch {
		out = append(out, d.Declared().ArchitectureOf(a))
	}
	return out
}

func numbers(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// flavors is a list of flavors as people read it.
func flavors(list []flavor.Flavor) string {
	var out []string
	for _, f := range list {
		out = append(out, "["+f.String()+"]")
	}
	return strings.Join(out, ", ")
}

func bracketed(some []*Definition, all []flavor.Flavor, variants []*Definition) string {
	var out []flavor.Flavor
	for _, v := range some {
		out = append(out, all[slices.Index(variants, v)])
	}
	return flavors(out)
}
