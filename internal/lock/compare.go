package lock

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/distro"
)

// A Comparison is what changed between two locks, for people and, as JSON, for
// programs.
type Comparison struct {
	Schema  int           `json:"schema"` // of this form: 1
	Old     digest.Digest `json:"old"`    // the locks' digests
	New     digest.Digest `json:"new"`
	Changes []Change      `json:"changes"`
}

// A Change is one thing that differs between two locks.
type Change struct {
	// Part is "definition", "distro", "release", "epoch", "archive", "index",
	// "file", "group", "set", "package" or "tool".
	Part   string `json:"part"`
	Action string `json:"action"`         // "added", "removed" or "changed"
	Name   string `json:"name,omitempty"` // of what changed; of packages with ":ARCH" if there are several of the name
	Old    string `json:"old,omitempty"`  // a package's version, a time, …
	New    string `json:"new,omitempty"`
	// Sets are the sets that a package changed in, such as "amd64 machine".
	Sets []string `json:"sets,omitempty"`
	// Note says what Old and New do not, such as that only the file changed.
	Note string `json:"note,omitempty"`
}

// String says the change in words.
func (c Change) String() string {
	name := c.Name
	if c.Part != "package" {
		name = strings.TrimSpace(c.Part + " " + c.Name)
	}
	var s string
	switch {
	case c.Action == "added":
		s = strings.TrimSpace("added " + name + " " + c.New)
	case c.Action == "removed":
		s = strings.TrimSpace("removed " + name + " " + c.Old)
	case c.Old == c.New && c.Old == "":
		s = name + " changed"
	case c.Old == c.New:
		s = name + " " + c.Old
	default:
		s = name + " " + orNothing(c.Old) + " -> " + orNothing(c.New)
	}
	var notes []string
	if c.Note != "" {
		notes = append(notes, c.Note)
	}
	if len(c.Sets) > 0 {
		notes = append(notes, strings.Join(c.Sets, ", "))
	}
	if len(notes) > 0 {
		s += " (" + strings.Join(notes, "; ") + ")"
	}
	return s
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// Text is the comparison in words, a line a change, or that there is none.
func (c Comparison) Text() string {
	if len(c.Changes) == 0 {
		return "nothing changed\n"
	}
	var b strings.Builder
	for _, x := range c.Changes {
		b.WriteString(x.String() + "\n")
	}
	return b.String()
}

// Compare says what changed between two locks. Seals do not count: they follow
// from the rest.
func Compare(before, after *Lock) Comparison {
	return Comparison{Schema: 1, Old: before.Digest(), New: after.Digest(), Changes: Changes(before, after)}
}

// Changes are those of a comparison.
func Changes(before, after *Lock) []Change {
	out := []Change{}
	add := func(x ...Change) { out = append(out, x...) }
	if before.Definition != after.Definition {
		add(Change{Part: "definition", Action: "changed"})
	}
	for _, x := range [][3]string{
		{"distro", before.Distro, after.Distro},
		{"release", before.Release, after.Release},
		{"epoch", clock(before.Epoch), clock(after.Epoch)},
	} {
		if x[1] != x[2] {
			add(Change{Part: x[0], Action: "changed", Old: x[1], New: x[2]})
		}
	}
	add(compareArchives(before.Archives, after.Archives)...)
	add(compareIndexLists(before.Indexes, after.Indexes)...)
	add(compareFiles(before.Files, after.Files)...)
	add(compareGroups(before.Groups, after.Groups)...)
	add(compareSets(before.Sets, after.Sets)...)
	add(comparePackages("tool", before.Tools, after.Tools)...)
	return out
}

// paired walks two lists side by side by key, sorted. A missing partner is nil.
func paired[T any](before, after []T, key func(T) string, each func(name string, old, new *T)) {
	index := func(list []T) map[string]*T {
		m := make(map[string]*T, len(list))
		for i := range list {
			m[key(list[i])] = &list[i]
		}
		return m
	}
	o, n := index(before), index(after)
	var keys []string
	for k := range o {
		keys = append(keys, k)
	}
	for k := range n {
		if o[k] == nil {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		each(k, o[k], n[k])
	}
}

func compareArchives(before, after []Archive) []Change {
	var out []Change
	paired(before, after, func(a Archive) string { return a.Name }, func(name string, old, new *Archive) {
		switch {
		case old == nil:
			out = append(out, Change{Part: "archive", Action: "added", Name: name, New: new.words()})
		case new == nil:
			out = append(out, Change{Part: "archive", Action: "removed", Name: name, Old: old.words()})
		default:
			for _, x := range [][3]string{
				{"url", old.Address(), new.Address()},
				{"password", password(old), password(new)},
				{"suites", strings.Join(old.Suites, " "), strings.Join(new.Suites, " ")},
				{"components", strings.Join(old.Components, " "), strings.Join(new.Components, " ")},
				{"key", old.Key, new.Key},
				{"valid-until", validity(old.Expired), validity(new.Expired)},
			} {
				if x[1] != x[2] {
					out = append(out, Change{Part: "archive", Action: "changed", Name: name + " " + x[0], Old: x[1], New: x[2]})
				}
			}
		}
	})
	names := func(list []Archive) (out []string) {
		for _, a := range list {
			out = append(out, a.Name)
		}
		return out
	}
	if o, n := names(before), names(after); len(out) == 0 && !slices.Equal(o, n) {
		out = append(out, Change{Part: "archive", Action: "changed", Name: "order", Old: strings.Join(o, " "), New: strings.Join(n, " ")})
	}
	return out
}

func (a *Archive) words() string {
	return strings.Join(append([]string{a.Address()}, append(slices.Clone(a.Suites), a.Components...)...), " ")
}

// password says whether an archive's URL has a name or password, which is not shown.
func password(a *Archive) string {
	if a.URL != a.Address() {
		return "in its url"
	}
	return "none"
}

func validity(expired bool) string {
	if expired {
		return "waived"
	}
	return "kept"
}

func compareIndexLists(before, after []Index) []Change {
	var out []Change
	key := func(i Index) string {
		return strings.TrimSpace(strings.Join([]string{i.Archive, i.Suite, i.Component, i.Arch}, " "))
	}
	paired(before, after, key, func(name string, old, new *Index) {
		switch {
		case old == nil:
			out = append(out, Change{Part: "index", Action: "added", Name: name, New: clock(new.Date)})
		case new == nil:
			out = append(out, Change{Part: "index", Action: "removed", Name: name, Old: clock(old.Date)})
		case *old != *new:
			c := Change{Part: "index", Action: "changed", Name: name, Old: clock(old.Date), New: clock(new.Date)}
			if c.Old == c.New {
				c.Note = "other content of the same date"
			} else if old.SHA256 == new.SHA256 {
				c.Note = "same content"
			}
			out = append(out, c)
		}
	})
	return out
}

func compareFiles(before, after []File) []Change {
	var out []Change
	paired(before, after, func(f File) string { return f.Path }, func(name string, old, new *File) {
		switch {
		case old == nil:
			out = append(out, Change{Part: "file", Action: "added", Name: name})
		case new == nil:
			out = append(out, Change{Part: "file", Action: "removed", Name: name})
		case *old != *new:
			out = append(out, Change{Part: "file", Action: "changed", Name: name})
		}
	})
	return out
}

// compareGroups tells of groups by their labels.
func compareGroups(before, after []Group) []Change {
	var out []Change
	paired(before, after, func(g Group) string { return g.Label }, func(name string, old, new *Group) {
		switch {
		case old == nil:
			out = append(out, Change{Part: "group", Action: "added", Name: name, New: new.Version, Note: new.Use})
		case new == nil:
			out = append(out, Change{Part: "group", Action: "removed", Name: name, Old: old.Version, Note: old.Use})
		case *old != *new:
			c := Change{Part: "group", Action: "changed", Name: name, Old: old.Version, New: new.Version}
			switch {
			case old.Use != new.Use:
				c.Note = old.Use + " -> " + new.Use
			case old.Version == new.Version && old.Lock != new.Lock:
				c.Note = "same version, other lock"
			case old.Version == new.Version:
				c.Note = "same version, asked for otherwise"
			}
			out = append(out, c)
		}
	})
	return out
}

// compareSets says a package's change once, with the sets it changed in unless
// it changed in all that both locks have.
func compareSets(before, after []Set) []Change {
	var out, packages []Change
	common := 0
	paired(before, after, Set.Name, func(name string, old, new *Set) {
		switch {
		case old == nil:
			out = append(out, Change{Part: "set", Action: "added", Name: name, Note: count(new.Refs)})
		case new == nil:
			out = append(out, Change{Part: "set", Action: "removed", Name: name, Note: count(old.Refs)})
		default:
			common++
			for _, c := range comparePackages("package", old.Refs, new.Refs) {
				i := slices.IndexFunc(packages, func(x Change) bool {
					return x.Name == c.Name && x.Action == c.Action && x.Old == c.Old && x.New == c.New && x.Note == c.Note
				})
				if i < 0 {
					packages = append(packages, c)
					i = len(packages) - 1
				}
				packages[i].Sets = append(packages[i].Sets, name)
			}
		}
	})
	for i := range packages {
		if len(packages[i].Sets) == common {
			packages[i].Sets = nil
		}
	}
	slices.SortStableFunc(packages, func(x, y Change) int { return cmp.Compare(x.Name, y.Name) })
	return append(out, packages...)
}

func count(list []distro.Ref) string { return fmt.Sprintf("%d packages", len(list)) }

func comparePackages(part string, before, after []distro.Ref) []Change {
	// Names that stand for several architectures are told apart.
	several := map[string]bool{}
	for _, list := range [][]distro.Ref{before, after} {
		perList := map[string]int{}
		for _, r := range list {
			perList[r.Name]++
			if perList[r.Name] > 1 {
				several[r.Name] = true
			}
		}
	}
	key := func(r distro.Ref) string {
		if several[r.Name] {
			return r.Name + ":" + r.Arch
		}
		return r.Name
	}
	var out []Change
	paired(before, after, key, func(name string, old, new *distro.Ref) {
		switch {
		case old == nil:
			out = append(out, Change{Part: part, Action: "added", Name: name, New: new.Version})
		case new == nil:
			out = append(out, Change{Part: part, Action: "removed", Name: name, Old: old.Version})
		case *old != *new:
			c := Change{Part: part, Action: "changed", Name: name, Old: old.Version, New: new.Version}
			switch {
			case old.Arch != new.Arch:
				c.Note = old.Arch + " -> " + new.Arch
			case old.Version == new.Version && old.SHA256 != new.SHA256:
				c.Note = "same version, other file"
			case old.Version == new.Version:
				c.Note = "same file, from elsewhere"
			}
			out = append(out, c)
		}
	})
	return out
}
