package page

import (
	"cmp"
	"maps"
	"slices"

	"ingot/internal/artifact"
	"ingot/internal/catalog"
	"ingot/internal/ui"
)

// A change is what became of a version since the one before: of its packages, as their manifests list
// them, and of its size.
type change struct {
	Since   string // the version before
	Growth  int64  // bytes
	Rows    []packageChange
	More    int
	Known   bool // there are manifests to compare
	Added   int
	Removed int
	Changed int
}

type packageChange struct {
	Sign, Name, Old, New string // Sign is +, − or ~
}

// Class is the sign's for the style sheet.
func (p packageChange) Class() string {
	return map[string]string{"+": "added", "−": "removed", "~": "changed"}[p.Sign]
}

// maxRows bounds the table.
const maxRows = 500

func between(before, after catalog.Version, old, now *artifact.Manifest) *change {
	c := &change{Since: before.Version, Growth: after.Size() - before.Size(), Known: old != nil && now != nil}
	if !c.Known {
		return c
	}
	index := func(m *artifact.Manifest) map[string]string {
		out := map[string]string{}
		for _, e := range m.Packages {
			name := e.Name
			if _, twice := out[name]; twice {
				name += ":" + e.Arch
			}
			out[name] = e.Version
		}
		return out
	}
	a, b := index(old), index(now)
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, cmp.Compare)
	for _, name := range names {
		x, was := a[name]
		y, is := b[name]
		r := packageChange{"~", name, x, y}
		switch {
		case !was:
			r.Sign = "+"
			c.Added++
		case !is:
			r.Sign = "−"
			c.Removed++
		case x == y:
			continue
		default:
			c.Changed++
		}
		if len(c.Rows) == maxRows {
			c.More++
			continue
		}
		c.Rows = append(c.Rows, r)
	}
	return c
}

// Grown is the growth for people.
func (c *change) Grown() string {
	switch {
	case c.Growth > 0:
		return "+" + ui.Size(c.Growth)
	case c.Growth < 0:
		return "−" + ui.Size(-c.Growth)
	}
	return "the same size"
}
