package flavor

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// vectors are inputs and what Conary 2.5.9 made of them.
type vectors struct {
	Parse []struct {
		In     string
		OK     bool
		Str    string
		Freeze string
	}
	Score []struct {
		System, Trove        string
		Score                *int
		Compatible, Strongly bool
	}
	Strong []struct{ In, Out string }
	Merge  []struct {
		Old, New, Type  string
		OverrideFlavor  outcome
		MergeFlavorList outcome
	}
	MinimalChange []struct{ Have, Want, Out string }
}

// outcome is a flavor or an error.
type outcome struct{ flavor, err string }

func (o *outcome) UnmarshalJSON(data []byte) error {
	var e struct{ Error string }
	if json.Unmarshal(data, &e) == nil && e.Error != "" {
		o.err = e.Error
		return nil
	}
	return json.Unmarshal(data, &o.flavor)
}

func (v *vectors) add(w vectors) {
	v.Parse = append(v.Parse, w.Parse...)
	v.Score = append(v.Score, w.Score...)
	v.Strong = append(v.Strong, w.Strong...)
	v.Merge = append(v.Merge, w.Merge...)
	v.MinimalChange = append(v.MinimalChange, w.MinimalChange...)
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	names := []string{"testdata/conary.json", "testdata/conary-more.json"}
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
	if other == "" && (len(all.Parse) == 0 || len(all.Score) == 0 || len(all.Merge) == 0 || len(all.Strong) == 0 || len(all.MinimalChange) == 0) {
		t.Fatal("some kind of vectors is missing")
	}
	return all
}

// loose reads a vector's flavor as Conary does.
func loose(t testing.TB, text string) Flavor {
	t.Helper()
	f, err := ParseLoose(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return f
}

func TestConaryParse(t *testing.T) {
	for _, v := range readVectors(t).Parse {
		f, err := ParseLoose(v.In)
		if (err == nil) != v.OK {
			t.Errorf("%q: error %v, Conary reads it: %v", v.In, err, v.OK)
			continue
		}
		strict, strictErr := Parse(v.In)
		if err != nil {
			if strictErr == nil {
				t.Errorf("%q is %q to Parse and an error to Conary", v.In, strict)
			}
			continue
		}
		if f.String() != v.Str || f.Freeze() != v.Freeze {
			t.Errorf("%q: %q, %q; Conary: %q, %q", v.In, f, f.Freeze(), v.Str, v.Freeze)
		}
		if thawed, err := Thaw(v.Freeze); err != nil || !thawed.Equal(f) {
			t.Errorf("%q thaws to %q, %v", v.Freeze, thawed, err)
		}
		// Parse refuses the traps, and only them.
		if trap := isTrap(v.In, f); trap != (strictErr != nil) {
			t.Errorf("%q: a trap: %v, Parse says %v", v.In, trap, strictErr)
		} else if !trap && !strict.Equal(f) {
			t.Errorf("%q: %q loosely, %q strictly", v.In, f, strict)
		}
	}
}

// touching are "is:" and "target:" that belong to the name before them.
var touching = regexp.MustCompile("[0-9A-Za-z_-](is|target):")

// isTrap says that a text is read as nobody means it: a flag's name has a sign in it,
// or "is:" touches a name.
func isTrap(text string, f Flavor) bool {
	for _, g := range f.use {
		if strings.ContainsAny(g.Name, "~!") {
			return true
		}
	}
	return touching.MatchString(text)
}

func TestConaryScore(t *testing.T) {
	for _, v := range readVectors(t).Score {
		system, trove := loose(t, v.System), loose(t, v.Trove)
		n, ok := system.Score(trove)
		if ok != (v.Score != nil) || ok && n != *v.Score {
			t.Errorf("%q scores %d, %v for %q", trove, n, ok, system)
		}
		if system.StronglySatisfies(trove) != v.Strongly {
			t.Errorf("%q strongly satisfies %q: %v", system, trove, !v.Strongly)
		}
		if system.Compatible(trove) != v.Compatible {
			t.Errorf("%q is compatible to %q: %v", system, trove, !v.Compatible)
		}
	}
}

func TestConaryStrong(t *testing.T) {
	for _, v := range readVectors(t).Strong {
		if got := loose(t, v.In).Strong().String(); got != v.Out {
			t.Errorf("%q is %q strongly, want %q", v.In, got, v.Out)
		}
	}
}

func TestConaryMerge(t *testing.T) {
	modes := map[string]Mode{"normal": Normal, "override": Over, "prefs": Prefs, "drop": Drop}
	for _, v := range readVectors(t).Merge {
		mode, ok := modes[v.Type]
		if !ok {
			t.Fatalf("no mode %q", v.Type)
		}
		old, new := loose(t, v.Old), loose(t, v.New)
		check := func(what string, want outcome, got Flavor, err error) {
			t.Helper()
			if (err != nil) != (want.err != "") || got.String() != want.flavor {
				t.Errorf("%s %s of %q and %q: %q, %v; want %q, %s", v.Type, what, old, new, got, err, want.flavor, want.err)
			}
			if err == nil {
				return
			}
			// Ours names all contradictions, Conary's one.
			if _, pair, _ := strings.Cut(want.err, ": "); !strings.Contains(err.Error(), pair) {
				t.Errorf("%v: want %s", err, want.err)
			}
		}
		got, err := Override(old, new, mode)
		check("override", v.OverrideFlavor, got, err)
		got, err = Merge([]Flavor{old, new}, mode)
		check("merge", v.MergeFlavorList, got, err)
	}
}

func TestConaryChange(t *testing.T) {
	for _, v := range readVectors(t).MinimalChange {
		if got := loose(t, v.Have).Change(loose(t, v.Want), false).String(); got != v.Out {
			t.Errorf("from %q to %q: %q, want %q", v.Have, v.Want, got, v.Out)
		}
	}
}
