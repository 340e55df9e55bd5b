package group

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/flavor"
)

// vectors are inputs and what Conary 2.5.9 made of them.
type vectors struct {
	Label []struct {
		In, Host, Namespace, Tag string
		Error                    *string
	}
	Revision []struct {
		In, Str, Version, Source string
		Build, Error             *string
	}
	Version []struct {
		In, Kind, Str, Branch, Label, Canonical, Source, Binary, SrcInc, BuildInc string
		Parent, Error                                                             *string
		ShadowLength                                                              int
	}
	Spec []struct {
		In, Name        string
		Version, Flavor *string
		Error           *string
	}
	ChangeSpec []struct {
		In, Name string
		Old, New [2]*string
		Absolute bool
		Error    *string
	}
	Available map[string][]string
	Find      []struct {
		Available, Spec string
		BestFlavor      bool
		FlavorPath      []string
		Prefs           []string
		Result          any // specs or an error
	}
}

func (v *vectors) add(w vectors) {
	v.Label = append(v.Label, w.Label...)
	v.Revision = append(v.Revision, w.Revision...)
	v.Version = append(v.Version, w.Version...)
	v.Spec = append(v.Spec, w.Spec...)
	v.ChangeSpec = append(v.ChangeSpec, w.ChangeSpec...)
	v.Find = append(v.Find, w.Find...)
	if v.Available == nil {
		v.Available = map[string][]string{}
	}
	maps.Copy(v.Available, w.Available)
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	names := []string{"../flavor/testdata/conary.json", "../flavor/testdata/conary-more.json"}
	other := os.Getenv("INGOT_CONARY_VECTORS")
	if other != "" {
		names = []string{other}
	}
	var all vectors
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var v vectors
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all.add(v)
	}
	if other == "" && (len(all.Label) == 0 || len(all.Revision) == 0 || len(all.Version) == 0 || len(all.Spec) == 0 || len(all.ChangeSpec) == 0 || len(all.Find) == 0) {
		t.Fatal("some kind of vectors is missing")
	}
	return all
}

// strictly holds that what Conary refuses is refused, and that what is refused beyond
// is one of the traps.
func strictly(t *testing.T, in string, looseErr, err error, trap bool) {
	t.Helper()
	if err != nil && fault.CodeOf(err) != fault.Usage {
		t.Errorf("%q: %v has code %d", in, err, fault.CodeOf(err))
	}
	if looseErr != nil && err == nil {
		t.Errorf("%q is read though Conary refuses it", in)
	}
	if looseErr == nil && (err != nil) != trap {
		t.Errorf("%q: a trap: %v; %v", in, trap, err)
	}
}

func TestConaryLabel(t *testing.T) {
	for _, v := range readVectors(t).Label {
		l, err := parseLabel(v.In, nil, true)
		if (err != nil) != (v.Error != nil) || l != (Label{v.Host, v.Namespace, v.Tag}) {
			t.Errorf("%q: %+v, %v; want %+v", v.In, l, err, v)
		}
		_, strict := ParseLabel(v.In)
		strictly(t, v.In, err, strict, l.Host == "" || strings.ContainsAny(v.In, " \t"))
		if err == nil && l.String() != v.In {
			t.Errorf("%q is written as %q", v.In, l)
		}
	}
}

func TestConaryRevision(t *testing.T) {
	for _, v := range readVectors(t).Revision {
		r, err := ParseRevision(v.In)
		if _, counts, _ := strings.Cut(v.In, "-"); strings.ContainsAny(counts, "+ \t") {
			if err == nil {
				t.Errorf("%q is read as %s", v.In, r)
			}
			continue // a trap: counts with signs or spaces
		}
		if (err != nil) != (v.Error != nil) {
			t.Errorf("%q: %v, want error %v", v.In, err, v.Error != nil)
		}
		if err != nil {
			continue
		}
		build := ""
		if v.Build != nil {
			build = *v.Build
		}
		if r.String() != v.Str || r.Upstream != v.Version || r.Source.String() != v.Source || r.Build.String() != build || (r.Build == nil) != (v.Build == nil) {
			t.Errorf("%q: %+v, want %+v", v.In, r, v)
		}
	}
}

func TestConaryVersion(t *testing.T) {
	for _, v := range readVectors(t).Version {
		got, err := parseVersion(v.In, false, true)
		strict, strictErr := ParseVersion(v.In)
		if strictErr == nil && !strict.Equal(got) {
			t.Errorf("%q: %s strictly, %s loosely", v.In, strict, got)
		}
		want := v.Parent
		if v.Kind == "Branch" {
			if err != nil || !got.IsBranch() || got.String() != v.Str {
				t.Errorf("%q: %s, %v; want branch %s", v.In, got, err, v.Str)
			}
			continue
		}
		if err == nil && !got.IsBranch() {
			var canonical, binary, source, build Version
			var errs [4]error
			canonical, errs[0] = got.Canonical()
			binary, errs[1] = got.Binary()
			source, errs[2] = got.NextSource(1)
			build, errs[3] = got.NextBuild(1)
			for _, e := range errs {
				if err == nil {
					err = e
				}
			}
			if v.Error == nil && err == nil {
				parent := "none"
				if up, ok := got.Parent(); ok {
					parent = up.String()
				}
				wantParent := "none"
				if want != nil {
					wantParent = *want
				}
				for what, pair := range map[string][2]string{
					"text": {got.String(), v.Str}, "branch": {got.Branch().String(), v.Branch}, "label": {got.Label().String(), v.Label},
					"canonical": {canonical.String(), v.Canonical}, "parent": {parent, wantParent}, "depth": {strconv.Itoa(got.Depth()), strconv.Itoa(v.ShadowLength)},
					"source": {got.Source().String(), v.Source}, "binary": {binary.String(), v.Binary},
					"next source": {source.String(), v.SrcInc}, "next build": {build.String(), v.BuildInc},
				} {
					if what == "next source" && shares(got) {
						continue
					}
					if pair[0] != pair[1] {
						t.Errorf("%q: %s %s, want %s", v.In, what, pair[0], pair[1])
					}
				}
			}
		}
		// Conary's errors are of reading, or of one of the operations.
		if (err != nil) != (v.Error != nil) {
			t.Errorf("%q: %v, want error %v", v.In, err, v.Error != nil)
		}
	}
}

// shares says that the last revision has its source count from the one before, by being
// short. Conary then counts both up at once.
func shares(v Version) bool {
	last, _ := v.Revision()
	for _, p := range v.places[:len(v.places)-1] {
		if p.revision != nil && &p.revision.Source[0] == &last.Source[0] {
			return true
		}
	}
	return false
}

// text is a flavor as a vector has it.
func text(f *flavor.Flavor) *string {
	if f == nil {
		return nil
	}
	s := f.String()
	return &s
}

func same(a, b *string) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

func TestConarySpec(t *testing.T) {
	for _, v := range readVectors(t).Spec {
		s, err := parseSpec(v.In, true)
		if (err != nil) != (v.Error != nil) || err == nil && (s.Name != v.Name || !same(s.Version, v.Version) || !same(text(s.Flavor), v.Flavor)) {
			t.Errorf("%q: %+v, %v; want %+v", v.In, s, err, v)
		}
		_, strict := ParseSpec(v.In)
		junk := strings.ContainsAny(s.Name, "[] /@") || s.Name == "" || s.Version != nil && (*s.Version == "" || strings.ContainsAny(*s.Version, "[]"))
		if s.Flavor != nil {
			// The flavor's own traps are judged where flavors are.
			_, inner, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(v.In), "]"), "[")
			_, trap := flavor.Parse(inner)
			junk = junk || trap != nil
		}
		strictly(t, v.In, err, strict, junk)
	}
}

func TestConaryChange(t *testing.T) {
	for _, v := range readVectors(t).ChangeSpec {
		c, err := parseChange(v.In, true)
		if (err != nil) != (v.Error != nil) {
			t.Errorf("%q: %v, want error %v", v.In, err, v.Error != nil)
			continue
		}
		if err != nil {
			continue
		}
		if c.Name != v.Name || c.Absolute != v.Absolute || !same(c.Old.Version, v.Old[0]) || !same(text(c.Old.Flavor), v.Old[1]) ||
			!same(c.New.Version, v.New[0]) || !same(text(c.New.Flavor), v.New[1]) {
			t.Errorf("%q: %+v, want %+v", v.In, c, v)
		}
	}
}

// theLabel is where everything is that vectors select from.
var theLabel = Label{"h", "n", "b"}

// trove reads "g=1@2[FLAVOR]": upstream version 1, made at second 2.
func trove(t testing.TB, text string) Trove {
	t.Helper()
	s, err := parseSpec(text, true)
	if err != nil || s.Version == nil || s.Flavor == nil {
		t.Fatalf("%q: %v", text, err)
	}
	upstream, clock, _ := strings.Cut(*s.Version, "@")
	seconds, err := strconv.Atoi(clock)
	if err != nil {
		t.Fatal(err)
	}
	r := Revision{Upstream: upstream, Source: Serial{1}, Build: Serial{1}, Time: int64(seconds) * 1000}
	return Trove{s.Name, Version{[]place{{theLabel, &r}}}, *s.Flavor}
}

func flavors(t testing.TB, texts []string) []flavor.Flavor {
	t.Helper()
	var list []flavor.Flavor
	for _, text := range texts {
		f, err := flavor.ParseLoose(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	return list
}

func TestConaryFind(t *testing.T) {
	vs := readVectors(t)
	stores := map[string]Stock{}
	for name, list := range vs.Available {
		for _, text := range list {
			one := trove(t, text)
			s := stores[name+" "+one.Name]
			s.Name = one.Name
			s.Add(one.Version, one.Flavor)
			stores[name+" "+one.Name] = s
		}
	}
	for _, v := range vs.Find {
		s := Search{Labels: []Label{theLabel}, Query: flavor.Query{
			System: flavors(t, v.FlavorPath), Prefer: flavors(t, v.Prefs), Order: flavor.Builtin().Order, Rule: flavor.Loosely, All: !v.BestFlavor,
		}}
		what := v.Spec + " of " + v.Available + " for " + strings.Join(v.FlavorPath, " | ")
		spec, err := parseSpec(v.Spec, true)
		if err != nil {
			t.Fatal(err)
		}
		found, err := s.Find(stores[v.Available+" "+spec.Name], spec)
		if complaint, ok := v.Result.(string); ok {
			if err == nil {
				t.Errorf("%s: %v; want %s", what, found, complaint)
				continue
			}
			_, closest, _ := strings.Cut(complaint, "Closest alternate flavors found: ")
			hint := strings.TrimPrefix(fault.HintOf(err), "closest flavors: ")
			if closest = strings.TrimSuffix(closest, ")"); strings.HasPrefix(complaint, "TroveNotFound") && closest != "" && hint != closest {
				t.Errorf("%s: %v (%s); want %s", what, err, hint, complaint)
			}
			if closest == "" && strings.Contains(fault.HintOf(err), "closest") {
				t.Errorf("%s: %v (%s); want %s", what, err, hint, complaint)
			}
			continue
		}
		var got, want []string
		for _, f := range found {
			r, _ := f.Version.Revision()
			got = append(got, f.Name+"="+r.Upstream+"["+f.Flavor.String()+"]")
		}
		for _, r := range v.Result.([]any) {
			want = append(want, r.(string))
		}
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
	}
}
