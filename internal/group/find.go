package group

import (
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/flavor"
)

// A Trove is something that has a version and a flavor: a group, or a member of one.
type Trove struct {
	Name    string
	Version Version
	Flavor  flavor.Flavor
}

// String is the trove as a spec with its version whole.
func (t Trove) String() string {
	return t.Name + "=" + t.Version.String() + "[" + t.Flavor.String() + "]"
}

// A Search says where to look, and what for where a spec does not say.
type Search struct {
	Labels []Label      // in this order; the first that has a result ends the search
	Query  flavor.Query // Asked is the spec's
}

// Find finds what a spec names. Without a version it is the newest of each branch of
// the first label that has one; a version is one of
//
//	/BRANCH/REVISION  that one          HOST@NS:TAG  the newest there
//	/BRANCH           the newest there  @NS:TAG, :TAG, HOST@
//	UPSTREAM          any count of it                the same, completed from Labels
//	REVISION          exactly that      LABEL/UPSTREAM, LABEL/REVISION
//
// Flavors of the system come first in the order, labels second. Several results are
// several branches, or all flavors that suit. Nothing found is an error of code 4 whose
// hint says what flavors would have been; a version that cannot be is one of code 2.
func (s Search) Find(all []Trove, spec Spec) ([]Trove, error) {
	places, err := s.places(spec)
	if err != nil {
		return nil, err
	}
	systems := s.Query.System
	if len(systems) == 0 {
		systems = []flavor.Flavor{{}}
	}
	q := s.Query
	q.Asked = spec.Flavor
	var looked []Trove
	for i, system := range systems {
		if len(s.Query.System) > 0 {
			q.System = []flavor.Flavor{system}
		}
		for _, p := range places {
			parts := map[string][]Trove{}
			var branches []string
			for _, t := range all {
				if t.Name != spec.Name || !p.has(t.Version) {
					continue
				}
				if i == 0 {
					looked = append(looked, t)
				}
				branch := ""
				if p.split {
					branch = t.Version.Branch().String()
				}
				if parts[branch] == nil {
					branches = append(branches, branch)
				}
				parts[branch] = append(parts[branch], t)
			}
			var found []Trove
			slices.Sort(branches)
			for _, b := range branches {
				hits, _ := choose(q, parts[b])
				found = append(found, hits...)
			}
			if len(found) > 0 {
				return found, nil
			}
		}
	}
	q.System = s.Query.System
	_, closest := choose(q, looked)
	e := fault.Newf(fault.NotFound, "%s was not found %s", spec, told(places))
	if len(closest) > 0 {
		var texts []string
		for _, f := range closest {
			texts = append(texts, "["+f.String()+"]")
		}
		return nil, e.WithHint("closest flavors: %s", strings.Join(texts, ", "))
	}
	return nil, e
}

// choose selects among troves of one name.
func choose(q flavor.Query, troves []Trove) (found []Trove, closest []flavor.Flavor) {
	slices.SortStableFunc(troves, func(a, b Trove) int { return b.Version.Compare(a.Version) })
	var flavors []flavor.Flavor
	var versions [][]int
	var at []Version
	known := map[string]int{}
	for i, t := range troves {
		if i == 0 || !t.Version.Equal(troves[i-1].Version) {
			versions, at = append(versions, nil), append(at, t.Version)
		}
		key := t.Flavor.Freeze()
		f, ok := known[key]
		if !ok {
			f, flavors = len(flavors), append(flavors, t.Flavor)
			known[key] = f
		}
		versions[len(versions)-1] = append(versions[len(versions)-1], f)
	}
	hits, closest := flavor.Select(q, flavors, versions)
	for _, h := range hits {
		found = append(found, Trove{troves[0].Name, at[h.Version], flavors[h.Flavor]})
	}
	return found, closest
}

// where is one place to look.
type where struct {
	label    *Label
	branch   *Version
	version  *Version
	revision string // an upstream version or a whole revision
	split    bool   // whether each branch has a result of its own
	name     string
}

func (p where) has(v Version) bool {
	r, ok := v.Revision()
	switch {
	case !ok:
		return false
	case p.version != nil:
		return p.version.Equal(v)
	case p.branch != nil:
		return p.branch.Equal(v.Branch())
	case p.label != nil && *p.label != v.Label():
		return false
	case p.revision == "":
		return true
	}
	if want, err := ParseRevision(p.revision); err == nil {
		return want.Equal(r)
	}
	return r.Upstream == p.revision
}

// places are where a spec's version tells to look.
func (s Search) places(spec Spec) ([]where, error) {
	var text string
	if spec.Version != nil {
		text = *spec.Version
	}
	if strings.HasPrefix(text, "/") {
		v, err := ParseVersion(text)
		if err != nil {
			return nil, err
		}
		if v.IsBranch() {
			return []where{{branch: &v, name: "on branch " + v.String()}}, nil
		}
		return []where{{version: &v, name: "as version " + v.String()}}, nil
	}
	if strings.Count(text, "/") > 1 {
		return nil, fault.Newf(fault.Usage, "version %q is not whole", shortened(text)).WithHint("a whole one begins with /HOST@NAMESPACE:TAG")
	}
	labels, revision, err := s.labels(text)
	if err != nil {
		return nil, err
	}
	if strings.Contains(revision, "-") {
		if _, err := ParseRevision(revision); err != nil {
			return nil, err
		}
	}
	if len(labels) == 0 {
		return nil, fault.Newf(fault.Usage, "no label to look for %s on", spec).WithHint("write %s=HOST@NAMESPACE:TAG", spec.Name)
	}
	var places []where
	for _, l := range labels {
		p := where{label: &l, revision: revision, split: revision == "", name: "on label " + l.String()}
		places = append(places, p)
	}
	return places, nil
}

// labels splits a version into labels, completed from those of the search, and what
// stands behind them.
func (s Search) labels(text string) ([]Label, string, error) {
	part, revision, _ := strings.Cut(text, "/")
	complete := func(of func(Label) string) ([]Label, string, error) {
		var out []Label
		for _, l := range s.Labels {
			full, err := ParseLabel(of(l))
			if err != nil {
				return nil, "", err
			}
			if !slices.Contains(out, full) {
				out = append(out, full)
			}
		}
		return out, revision, nil
	}
	switch {
	case strings.HasPrefix(part, ":"):
		return complete(func(l Label) string { return l.Host + "@" + l.Namespace + part })
	case strings.HasPrefix(part, "@"):
		return complete(func(l Label) string { return l.Host + part })
	case strings.HasSuffix(part, "@"):
		return complete(func(l Label) string { return part + l.Namespace + ":" + l.Tag })
	case strings.Contains(part, "@"):
		l, err := ParseLabel(part)
		return []Label{l}, revision, err
	default:
		return s.Labels, text, nil
	}
}

// told tells where a search looked.
func told(places []where) string {
	var names []string
	for _, p := range places {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}
