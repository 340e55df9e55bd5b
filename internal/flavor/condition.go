package flavor

import (
	"strings"

	"ingot/internal/fault"
)

// A Condition says for which flavors something is: "vmware", "!kernel", or
// "xen,!dom0 is: x86_64", which asks for all of it.
type Condition struct{ asks Flavor }

// ParseCondition reads a condition. It is written as a flavor without "~": something is
// there or it is not, and a condition that leaves it open would always hold. An empty
// one is an error too. Errors have code 2 and a hint.
func ParseCondition(text string) (Condition, error) {
	f, err := Parse(text)
	if err != nil {
		return Condition{}, err
	}
	if f.IsEmpty() {
		return Condition{}, fault.Newf(fault.Usage, "condition %q asks for nothing", shortened(text)).WithHint("write a flag, as vmware or !kernel")
	}
	if !f.Equal(f.Strong()) {
		return Condition{}, fault.Newf(fault.Usage, "condition %q leaves something open", shortened(text)).
			WithHint("without ~: %s", f.Strong())
	}
	return Condition{f}, nil
}

// String is the canonical form.
func (c Condition) String() string { return c.asks.String() }

// Flavor is what the condition asks for.
func (c Condition) Flavor() Flavor { return c.asks }

// Flags are the names of the flags that the condition tests, sorted.
func (c Condition) Flags() []string {
	var names []string
	for _, f := range c.asks.use {
		names = append(names, f.Name)
	}
	return names
}

// Holds says whether a flavor meets the condition. Of a flag that the flavor does not
// name, its declaration decides: images have a kernel, so "!kernel" holds for those
// alone that say so. What is not declared either is not there. An architecture holds
// if the flavor runs on it.
func (c Condition) Holds(f Flavor, d Declared) bool {
	for _, g := range c.asks.use {
		says := f.use.sense(g.Name)
		if says == Unset {
			says = d.Flags[g.Name].Sense
		}
		if says.Positive() != g.Sense.Positive() {
			return false
		}
	}
	expanded := d.Expand(f)
	for class, archs := range c.asks.archs {
		for _, a := range archs {
			of := expanded.archs[class].find(a.name)
			if of == nil {
				return false
			}
			for _, g := range a.flags {
				if of.flags.sense(g.Name).Positive() != g.Sense.Positive() {
					return false
				}
			}
		}
	}
	return true
}

// MarshalText writes the canonical form.
func (c Condition) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a condition.
func (c *Condition) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCondition(strings.TrimSpace(string(text)))
	return err
}
