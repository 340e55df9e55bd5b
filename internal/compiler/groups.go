package compiler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/definition"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/flavor"
	"ingot/internal/group"
	"ingot/internal/lock"
)

// A Version is a version of a group, as its repository has it.
type Version struct {
	Version string // whole
	Lock    *lock.Lock
	// Flavors are those that the spec names; nil is all.
	Flavors []flavor.Flavor
	// Packages is what packages of the version say of themselves.
	Packages func(ctx context.Context, refs []distro.Ref) ([]distro.Package, error)
}

// members are the groups of a definition, by their specs.
type members struct {
	versions map[string]*Version
	lock     *lock.Lock // which records them
	outdated []string   // that are not the newest
	about    map[distro.Ref]distro.Package
}

// members reads the groups that a definition's flavors name. What an old lock has of one stays,
// unless it is to move.
func (c *Compiler) members(ctx context.Context, def *definition.Definition, l, old *lock.Lock, move Move) (*members, error) {
	m := &members{versions: map[string]*Version{}, lock: l, about: map[distro.Ref]distro.Package{}}
	for _, v := range def.Variants() {
		for _, g := range v.Groups {
			if err := m.read(ctx, c, def, g, old, move); err != nil {
				return nil, fmt.Errorf("group %s: %w", g.Spec, err)
			}
		}
	}
	return m, nil
}

func (m *members) read(ctx context.Context, c *Compiler, def *definition.Definition, g definition.Group, old *lock.Lock, move Move) error {
	if m.versions[g.Spec] == nil {
		if c.Group == nil {
			return fault.Newf(fault.Preflight, "no repository of groups is known")
		}
		kept := keptGroup(old, g, move)
		v, err := c.Group(ctx, g.Spec, kept)
		if err != nil {
			return err
		}
		if kept != nil && v.Lock.Digest() != kept.Lock {
			return fault.Newf(fault.Verification, "version %s is of lock %s, and the lock that is there says %s", v.Version, v.Lock.Digest().Short(), kept.Lock.Short()).
				WithHint("the repository is another, or somebody has put another version in its place; 'ingot lock --update %s' takes what is there now", kept.Name())
		}
		if kept != nil && move.Latest {
			newest, err := c.Group(ctx, g.Spec, nil)
			if err != nil {
				return err
			}
			if newest.Version != v.Version {
				m.outdated = append(m.outdated, fmt.Sprintf("group %s=%s (%s)", kept.Name(), v.Version, newest.Version))
			}
		}
		if v.Lock.Distro != def.Distro || v.Lock.Release != def.Release {
			return fault.Newf(fault.Definition, "its packages are of %s %s, and the definition's are of %s %s", v.Lock.Distro, v.Lock.Release, def.Distro, def.Release)
		}
		m.versions[g.Spec] = v
		m.lock.Epoch = max(m.lock.Epoch, v.Lock.Epoch)
	}
	if m.label(g) != "" {
		return nil
	}
	one := lock.Group{Use: g.Use, Spec: g.Spec, Version: m.versions[g.Spec].Version, Lock: m.versions[g.Spec].Lock.Digest()}
	taken := func(label string) bool {
		return slices.ContainsFunc(m.lock.Groups, func(o lock.Group) bool { return o.Label == label })
	}
	one.Label = one.Name()
	for n := 2; taken(one.Label); n++ {
		one.Label = fmt.Sprintf("%s-%d", one.Name(), n)
	}
	m.lock.Groups = append(m.lock.Groups, one)
	return nil
}

// keptGroup is what a lock has of a group that is not to move, or nil.
func keptGroup(old *lock.Lock, g definition.Group, move Move) *lock.Group {
	if old == nil || move.All {
		return nil
	}
	for _, o := range old.Groups {
		if o.Spec == g.Spec && !slices.Contains(move.Packages, o.Name()) {
			return &o
		}
	}
	return nil
}

// label is what the lock calls a group.
func (m *members) label(g definition.Group) string {
	for _, o := range m.lock.Groups {
		if o.Spec == g.Spec && o.Use == g.Use {
			return o.Label
		}
	}
	return ""
}

// called is a group with its version, for people.
func (m *members) called(label string) string {
	for _, o := range m.lock.Groups {
		if o.Label == label {
			return o.String()
		}
	}
	return label
}

// A choice is what the groups of a definition say of one set.
type choice struct {
	exact  map[string]pinned // what is taken of each name, if it is taken
	ask    []string          // names that are to be in the set
	strong []string          // of them, what the groups' own definitions asked for
	gone   map[string]string // names that are not among these because a group is subtracted, with its label
}

// A pinned package is one that a group decides.
type pinned struct {
	ref    distro.Ref // as this lock calls its archive
	label  string     // of the group
	from   *Version
	theirs distro.Ref
}

// A groupError is about a group, and not about what there is to choose from.
type groupError struct{ error }

func (e groupError) Unwrap() error { return e.error }

// key tells choices of exact packages apart.
func (c *choice) key() string {
	if c == nil {
		return ""
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.exact)) {
		p := c.exact[name]
		b.Write(p.ref.SHA256[:])
	}
	return b.String()
}

// choose works out what the groups say of a set. Own are the packages that are asked for otherwise: those with a
// version are nobody else's business, the others no group takes away. The order of groups
// has no meaning: what is included, without what is subtracted, in the versions of what patches.
func (m *members) choose(def *definition.Definition, arch, purpose string, own []string) (*choice, error) {
	if len(def.Groups) == 0 {
		return nil, nil //nolint:nilnil // there is nothing to choose
	}
	asked, versioned := map[string]bool{}, map[string]bool{}
	for _, token := range own {
		name := nameOf(token)
		asked[name] = true
		versioned[name] = versioned[name] || strings.ContainsAny(token, "=/")
	}
	included, patched := map[string][]pinned{}, map[string][]pinned{}
	c := &choice{exact: map[string]pinned{}, gone: map[string]string{}}
	var strong []string
	for _, g := range def.Groups {
		v, label := m.versions[g.Spec], m.label(g)
		set, err := v.set(def, g, arch, purpose)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", m.called(label), err)
		}
		into := map[string]map[string][]pinned{definition.Include: included, definition.Patch: patched}[g.Use]
		for _, r := range set.Refs {
			if g.Use == definition.Subtract {
				if !asked[r.Name] {
					c.gone[r.Name] = label
				}
				continue
			}
			if versioned[r.Name] {
				continue
			}
			p := pinned{ref: r, label: label, from: v, theirs: r}
			if !slices.ContainsFunc(into[r.Name], func(o pinned) bool { return o.ref.SHA256 == r.SHA256 }) {
				into[r.Name] = append(into[r.Name], p)
			}
		}
		if g.Use == definition.Include {
			strong = append(strong, set.Asked...)
		}
	}
	var differ []string
	decide := func(name string, list []pinned) {
		c.exact[name] = list[0]
		if len(list) == 1 {
			return
		}
		var words []string
		for _, p := range list {
			words = append(words, p.ref.Version+" of "+p.label)
		}
		differ = append(differ, name+" ("+strings.Join(words, ", ")+")")
	}
	for name, list := range patched {
		decide(name, list)
	}
	for name, list := range included {
		if _, ok := patched[name]; !ok {
			decide(name, list)
		}
	}
	if len(differ) > 0 {
		slices.Sort(differ)
		return nil, fault.Newf(fault.Choice, "groups have different packages of one name: %s", some(differ)).
			WithHint("say which: packages: [NAME=VERSION], or one more group that has the right ones, with use: patch")
	}
	for _, name := range slices.Sorted(maps.Keys(included)) {
		if c.gone[name] == "" && !slices.Contains(def.Remove, name) {
			c.ask = append(c.ask, name)
		}
	}
	for _, token := range strong {
		if name := nameOf(token); c.gone[name] == "" && !slices.Contains(def.Remove, name) && !asked[name] {
			c.strong = append(c.strong, token)
		}
	}
	for name, p := range c.exact {
		p.ref.Archive = m.adopt(p.from.Lock, p.ref.Archive)
		c.exact[name] = p
	}
	return c, nil
}

// nameOf is the name in a token of a package.
func nameOf(token string) string {
	if i := strings.IndexAny(token, "=/:"); i >= 0 {
		return token[:i]
	}
	return token
}

// adopt gives this lock's name of an archive of another lock; one that it lacks it gets, beside
// the image's own. Archives of one name that the distribution's keys sign have the same packages, whichever
// mirror was in force when a lock was written.
func (m *members) adopt(from *lock.Lock, name string) string {
	i := slices.IndexFunc(from.Archives, func(a lock.Archive) bool { return a.Name == name })
	if i < 0 {
		return name // which a lock's check refuses
	}
	theirs := from.Archives[i]
	theirs.URL = theirs.Address()
	for n := 1; ; n++ {
		if n > 1 {
			name = fmt.Sprintf("%s-%d", theirs.Name, n)
		}
		at := slices.IndexFunc(m.lock.Archives, func(a lock.Archive) bool { return a.Name == name })
		if at < 0 {
			theirs.Name, theirs.Key, theirs.Expired, theirs.Beside = name, "", false, true
			m.lock.Archives = append(m.lock.Archives, theirs)
			return name
		}
		if ours := m.lock.Archives[at]; ours.URL == theirs.URL || n == 1 && ours.Key == "" && theirs.Key == "" && !ours.Beside && !theirs.Beside {
			return name
		}
	}
}

// set is the set of a group that suits an image.
func (v *Version) set(def *definition.Definition, g definition.Group, arch, purpose string) (lock.Set, error) {
	declared := def.Declared()
	spec, err := group.ParseSpec(g.Spec)
	if err != nil {
		return lock.Set{}, err
	}
	var sets []lock.Set
	var flavors []flavor.Flavor // of the sets
	var arches []string
	for _, s := range v.Lock.Sets {
		if !s.IsImage() {
			continue
		}
		f, err := flavor.Parse(strings.TrimSpace(s.Flavor + " is: " + runsOn(declared, s.Arch)))
		if err != nil {
			return lock.Set{}, err
		}
		if s.Arch == arch && (v.Flavors == nil || slices.ContainsFunc(v.Flavors, f.Equal)) {
			sets, flavors = append(sets, s), append(flavors, f)
		}
		arches = append(arches, s.Arch)
	}
	if len(sets) == 0 {
		slices.Sort(arches)
		return lock.Set{}, fault.Newf(fault.NotFound, "it has nothing for %s", arch).WithHint("it is for %s", strings.Join(slices.Compact(arches), ", "))
	}
	all := make([]int, len(flavors))
	for i := range all {
		all[i] = i
	}
	system, err := systemOf(def, arch, flavors)
	if err != nil {
		return lock.Set{}, err
	}
	hits, closest := flavor.Select(flavor.Query{System: []flavor.Flavor{system}, Asked: spec.Flavor}, flavors, [][]int{all})
	if len(hits) == 0 {
		var words []string
		for _, f := range closest {
			words = append(words, "["+f.String()+"]")
		}
		return lock.Set{}, fault.Newf(fault.NotFound, "it has no flavor that suits [%s]", system).WithHint("closest flavors: %s", strings.Join(words, ", "))
	}
	var fit []lock.Set
	var purposes []string
	for i, s := range sets {
		if flavors[i].Equal(flavors[hits[0].Flavor]) {
			fit, purposes = append(fit, s), append(purposes, s.Purpose)
		}
	}
	want := g.Purpose
	if want == "" {
		want = strings.TrimSuffix(purpose, lock.Base(""))
	}
	switch i := slices.Index(purposes, want); {
	case i >= 0:
		return fit[i], nil
	case g.Purpose != "":
		return lock.Set{}, fault.Newf(fault.NotFound, "it has no packages for a %s", want).WithHint("it is for: %s", strings.Join(purposes, ", "))
	case len(fit) == 1:
		return fit[0], nil
	}
	return lock.Set{}, fault.Newf(fault.Choice, "it has no packages for a %s, and several others: %s", want, strings.Join(purposes, ", ")).
		WithHint("say which with purpose: {spec: %q, purpose: %s}", g.Spec, purposes[0])
}

// runsOn is an architecture as flavors call it.
func runsOn(d flavor.Declared, arch string) string {
	if known := d.ArchitectureOf(arch); known != "" {
		return known
	}
	return arch
}

// systemOf is what an image is, as far as flavors of a group ask: what its own flavor says, then
// what is declared.
func systemOf(def *definition.Definition, arch string, asked []flavor.Flavor) (flavor.Flavor, error) {
	declared := def.Declared()
	senses := map[string]string{}
	for _, f := range asked {
		for _, g := range f.Use() {
			if s := declared.Flags[g.Name].Sense; s != flavor.Unset {
				senses[g.Name] = s.String()
			}
		}
	}
	for _, g := range def.Flavor.Use() {
		senses[g.Name] = g.Sense.String()
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(senses)) {
		words = append(words, senses[name]+name)
	}
	return flavor.Parse(strings.TrimSpace(strings.Join(words, ",") + " is: " + runsOn(declared, arch)))
}

// indexes are those that offer the exact packages of a choice, and stand for them.
func (m *members) indexes(ctx context.Context, def *definition.Definition, c *choice, arch string) ([]*debian.Index, error) {
	wanted := map[*Version][]distro.Ref{}
	var order []*Version
	names := slices.Sorted(maps.Keys(c.exact))
	for _, name := range names {
		p := c.exact[name]
		if _, ok := m.about[p.ref]; ok {
			continue
		}
		if wanted[p.from] == nil {
			order = append(order, p.from)
		}
		wanted[p.from] = append(wanted[p.from], p.theirs)
	}
	for _, v := range order {
		list, err := v.Packages(ctx, wanted[v])
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			p.Ref.Archive = m.adopt(v.Lock, p.Ref.Archive)
			m.about[p.Ref] = p
		}
	}
	lists := map[string][]distro.Package{}
	for _, name := range names {
		p := c.exact[name]
		about, ok := m.about[p.ref]
		if !ok {
			return nil, fault.Newf(fault.NotFound, "package %s %s of group %s is not here", name, p.ref.Version, m.called(p.label))
		}
		lists[p.ref.Archive] = append(lists[p.ref.Archive], about)
	}
	var out []*debian.Index
	for _, archive := range slices.Sorted(maps.Keys(lists)) {
		x, err := debian.IndexOf(debian.Source{Archive: archive, Asked: def.Release, Codename: def.Release, Component: "main", Arch: arch, Exact: true}, lists[archive])
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}
