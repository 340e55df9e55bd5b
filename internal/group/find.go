package group

import (
	"maps"
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

// A Stock is what there is of one name. Its versions share one list of flavors, so that
// thousands of versions are judged by a few.
type Stock struct {
	Name     string
	Flavors  []flavor.Flavor
	Versions []Offer // in any order, each once
}

// An Offer is a version with its flavors, as places in the stock's list.
type Offer struct {
	Version Version
	Flavors []int
}

// Add adds a flavor of a version.
func (s *Stock) Add(v Version, f flavor.Flavor) {
	i := slices.IndexFunc(s.Flavors, f.Equal)
	if i < 0 {
		i, s.Flavors = len(s.Flavors), append(s.Flavors, f)
	}
	at := slices.IndexFunc(s.Versions, func(o Offer) bool { return o.Version.Equal(v) })
	if at < 0 {
		at, s.Versions = len(s.Versions), append(s.Versions, Offer{Version: v})
	}
	if o := &s.Versions[at]; !slices.Contains(o.Flavors, i) {
		o.Flavors = append(o.Flavors, i)
	}
}

// A Search says where to look, and what for where a spec does not say.
type Search struct {
	Labels []Label      // in this order; the first that has a result ends the search
	Query  flavor.Query // Asked is the spec's
}

// Find finds what a spec names in the stock of its name. Without a version it is the
// newest of each branch of the first label that has one; a version is one of
//
//	/BRANCH/REVISION  that one          HOST@NS:TAG  the newest there
//	/BRANCH           the newest there  @NS:TAG, :TAG, HOST@
//	UPSTREAM          any count of it                the same, completed from Labels
//	REVISION          exactly that      LABEL/UPSTREAM, LABEL/REVISION
//
// Flavors of the system come first in the order, labels second. Several results are
// several branches, or all flavors that suit. Nothing found is an error of code 4 whose
// hint says what flavors would have been; a version that cannot be is one of code 2.
func (s Search) Find(stock Stock, spec Spec) ([]Trove, error) {
	places, err := s.places(spec)
	if err != nil {
		return nil, err
	}
	if spec.Name != stock.Name {
		return nil, fault.Newf(fault.NotFound, "%s was not found: there is no %q", spec, spec.Name)
	}
	q := s.Query
	q.Asked = spec.Flavor
	// What each place has, by branch; newest first.
	offers := make([][][]Offer, len(places))
	var looked []Offer
	for i, p := range places {
		offers[i] = p.offers(stock.Versions)
		looked = append(looked, slices.Concat(offers[i]...)...)
	}
	for turn := range max(1, len(s.Query.System)) {
		if len(s.Query.System) > 0 {
			q.System = s.Query.System[turn : turn+1]
		}
		for _, branches := range offers {
			var found []Trove
			for _, branch := range branches {
				hits, _ := stock.choose(q, branch)
				found = append(found, hits...)
			}
			if len(found) > 0 {
				return found, nil
			}
		}
	}
	q.System = s.Query.System
	_, closest := stock.choose(q, looked)
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

// offers are the versions of a place, newest first, those of each branch by themselves
// if the place asks for that.
func (p where) offers(all []Offer) [][]Offer {
	by := map[string][]Offer{}
	for _, o := range all {
		if !p.has(o.Version) {
			continue
		}
		branch := ""
		if p.split {
			branch = o.Version.Branch().String()
		}
		by[branch] = append(by[branch], o)
	}
	var out [][]Offer
	for _, branch := range slices.Sorted(maps.Keys(by)) {
		slices.SortFunc(by[branch], func(a, b Offer) int { return b.Version.Compare(a.Version) })
		out = append(out, by[branch])
	}
	return out
}

// choose selects among versions, newest first.
func (s Stock) choose(q flavor.Query, offers []Offer) (found []Trove, closest []flavor.Flavor) {
	versions := make([][]int, len(offers))
	for i, o := range offers {
		versions[i] = o.Flavors
	}
	hits, closest := flavor.Select(q, s.Flavors, versions)
	for _, h := range hits {
		found = append(found, Trove{s.Name, offers[h.Version].Version, s.Flavors[h.Flavor]})
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
