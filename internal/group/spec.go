package group

import (
	"strings"

	"ingot/internal/fault"
	"ingot/internal/flavor"
)

// A Spec is what a person types to name a group: NAME, NAME=VERSION, NAME[FLAVOR] or
// NAME=VERSION[FLAVOR].
type Spec struct {
	Name    string
	Version *string        // whole, or any part that Find knows; nil if not said
	Flavor  *flavor.Flavor // nil if not said; "[]" says the empty one
}

// ParseSpec reads a spec. Errors have code 2 and a hint.
func ParseSpec(text string) (Spec, error) { return parseSpec(text, false) }

// parseSpec reads a spec; loosely a name may be empty, and whatever is not a flavor
// belongs to the name or the version, as Conary has it.
func parseSpec(text string, loose bool) (Spec, error) {
	wrong := func(format string, args ...any) *fault.Error {
		e := fault.Newf(fault.Usage, format, args...)
		return fault.Newf(fault.Usage, "spec %q: %w", shortened(text), e).WithHint("write NAME, NAME=VERSION, NAME[FLAVOR] or NAME=VERSION[FLAVOR]")
	}
	var s Spec
	if len(text) > maxText {
		return s, wrong("it is too long")
	}
	rest := strings.Trim(text, " \t\n\r\v\f")
	if strings.IndexByte(rest, '[') > 0 && strings.HasSuffix(rest, "]") {
		before, inner, _ := strings.Cut(rest[:len(rest)-1], "[")
		if strings.Contains(inner, "[") {
			return s, wrong("more than one flavor")
		}
		parse := flavor.Parse
		if loose {
			parse = flavor.ParseLoose
		}
		f, err := parse(inner)
		if err != nil {
			hint := fault.HintOf(err)
			return s, fault.Newf(fault.Usage, "spec %q: %w", shortened(text), err).WithHint("%s", hint)
		}
		rest, s.Flavor = before, &f
	}
	name, version, found := strings.Cut(rest, "=")
	if strings.Contains(version, "=") {
		return s, wrong("more than one =")
	}
	if s.Name = name; found {
		s.Version = &version
	}
	if loose {
		return s, nil
	}
	switch {
	case name == "":
		return s, wrong("the name is missing")
	case found && version == "":
		return s, wrong("the version is missing")
	case strings.ContainsAny(rest, "[]"):
		return s, wrong("a bracket that closes no flavor at the end")
	case strings.ContainsAny(name, " /@"):
		return s, wrong("%q cannot be the name of a group", name)
	}
	return s, nil
}

// NamesRevision says whether the spec names a version by its revision, or a part of that, and
// not only where the newest is looked for.
func (s Spec) NamesRevision() bool {
	if s.Version == nil {
		return false
	}
	if v, err := ParseVersion(*s.Version); err == nil {
		return !v.IsBranch()
	}
	last := (*s.Version)[strings.LastIndexByte(*s.Version, '/')+1:]
	return !strings.ContainsAny(last, "@:")
}

// String writes the spec as ParseSpec reads it.
func (s Spec) String() string {
	text := s.Name
	if s.Version != nil {
		text += "=" + *s.Version
	}
	if s.Flavor != nil {
		text += "[" + s.Flavor.String() + "]"
	}
	return text
}

// A Change is what a person types to name a step from one group to another:
// NAME=OLD[FLAVOR]--NEW[FLAVOR]. Without "--" it names the new one alone, whatever is
// old (Absolute); with a hyphen before the name, the old one.
type Change struct {
	Name     string // with the sign before it
	Old, New Spec   // without names
	Absolute bool
}

// ParseChange reads a change. Errors have code 2.
func ParseChange(text string) (Change, error) { return parseChange(text, false) }

func parseChange(text string, loose bool) (Change, error) {
	parts := strings.Split(text, "--")
	if len(parts) > 2 {
		return Change{}, fault.Newf(fault.Usage, "change %q: more than one --", shortened(text)).WithHint("write NAME=OLD--NEW")
	}
	left := parts[0]
	if !loose && len(parts) == 2 {
		left = strings.TrimSuffix(left, "=") // NAME=--NEW
	}
	old, err := parseSpec(left, loose)
	if err != nil {
		return Change{}, err
	}
	if old.Name == "" && (!loose || len(parts) == 1) {
		return Change{}, fault.Newf(fault.Usage, "change %q has no name", shortened(text)).WithHint("write NAME=OLD--NEW")
	}
	c := Change{Name: old.Name, Old: Spec{Version: old.Version, Flavor: old.Flavor}}
	if len(parts) == 1 {
		if c.Name[0] != '-' {
			c.Old, c.New, c.Absolute = Spec{}, c.Old, true
		}
		return c, nil
	}
	if parts[1] == "" {
		return c, nil
	}
	if !loose && strings.HasPrefix(parts[1], "[") {
		c.New, err = parseSpec(c.Name+parts[1], loose)
	} else {
		c.New, err = parseSpec(c.Name+"="+parts[1], loose)
	}
	c.New.Name = ""
	if err == nil && c.Old.says("") && !c.New.says("") {
		c.Old = Spec{}
	}
	return c, err
}

// says reports that a spec names nothing: no flavor, and no version but this.
func (s Spec) says(version string) bool {
	return s.Flavor == nil && (s.Version == nil || *s.Version == version)
}
