package flavor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func parsed(t testing.TB, texts ...string) []Flavor {
	t.Helper()
	var list []Flavor
	for _, text := range texts {
		f, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	return list
}

// stock is what the facts select from: versions newest first.
var stock = map[string][][]string{
	"g": {
		{"~!vmware,~!xen is: x86", "vmware is: x86"},
		{"~!vmware,~!xen is: x86", "vmware is: x86", "xen,domU is: x86", "~!vmware,~!xen is: x86_64"},
	},
	"arch": {{"is: x86"}, {"is: x86_64"}, {"is: x86"}},
	"ssl":  {{"ssl"}, {"~!ssl"}},
	"tie":  {{"a", "b"}},
}

func TestSelect(t *testing.T) {
	const s = "~!vmware,~!xen,~!domU is: x86(~i686)"
	for _, c := range []struct {
		from, system, asked string
		q                   Query
		want                string
	}{
		{"g", s, "-", Query{}, "2[~!vmware,~!xen is: x86]"},
		{"g", s, "vmware", Query{}, "2[vmware is: x86]"},
		{"g", s, "xen,domU", Query{}, "1[domU,xen is: x86]"},
		{"g", s, "xen,domU", Query{Rule: Loosely}, "2[vmware is: x86]"},
		{"g", s, "arm", Query{Rule: Loosely}, "2[~!vmware,~!xen is: x86]"},
		{"g", s, "arm", Query{}, "closest [domU,xen is: x86] [vmware is: x86] [~!vmware,~!xen is: x86]"},
		{"g", s, "is: arm", Query{Rule: Loosely}, "closest [is: x86] [is: x86_64]"},
		{"g", s, "is: arm", Query{}, "closest [is: x86] [is: x86_64]"},
		{"g", s, "is: x86_64", Query{}, "1[~!vmware,~!xen is: x86_64]"},
		{"g", s + " x86_64", "-", Query{}, "1[~!vmware,~!xen is: x86_64]"},
		{"g", s, "!vmware", Query{All: true}, "2[~!vmware,~!xen is: x86] 1[domU,xen is: x86]"},
		{"g", s, "~!vmware,~!xen is: x86", Query{Rule: Exactly}, "2[~!vmware,~!xen is: x86]"},
		{"g", s, "vmware", Query{Rule: Exactly}, ""},
		{"g", s, "xen,domU", Query{Rule: Installed, All: true}, "1[domU,xen is: x86]"},
		{"g", s, "arm", Query{Rule: Installed}, "closest [is: x86] [is: x86_64]"},
		{"g", s, "!arm", Query{Rule: Installed, All: true}, "2[vmware is: x86] 2[~!vmware,~!xen is: x86] 1[domU,xen is: x86] 1[~!vmware,~!xen is: x86_64]"},
		{"g", s, "~arm", Query{Rule: Installed, All: true}, "2[vmware is: x86] 2[~!vmware,~!xen is: x86] 1[domU,xen is: x86] 1[~!vmware,~!xen is: x86_64]"},
		{"g", "", "-", Query{}, "2[vmware is: x86] 2[~!vmware,~!xen is: x86] 1[domU,xen is: x86] 1[~!vmware,~!xen is: x86_64]"},
		{"g", "", "vmware is: x86", Query{}, "2[vmware is: x86]"},
		{"ssl", "~!ssl", "-", Query{}, "2[ssl]"},
		{"ssl", "!ssl", "-", Query{}, "1[~!ssl]"},
		{"ssl", "~!ssl", "!ssl", Query{}, "1[~!ssl]"},
		{"tie", "~a,~b", "-", Query{}, "1[b]"},
		{"tie", "~!a,~!b", "c", Query{}, "closest [a] [b]"},
		{"arch", "is: x86_64|is: x86", "-", Query{}, "2[is: x86_64]"},
		{"arch", "is: x86|is: x86_64", "-", Query{}, "3[is: x86]"},
		{"arch", "is: x86 x86_64", "-", Query{}, "2[is: x86_64]"},
		{"arch", "is: x86 x86_64", "is: x86", Query{Prefer: parsed(t, "is: x86_64", "is: x86")}, "3[is: x86]"},
	} {
		var flavors []Flavor
		var versions [][]int
		for _, list := range stock[c.from] {
			var v []int
			for _, f := range parsed(t, list...) {
				i := slices.IndexFunc(flavors, f.Equal)
				if i < 0 {
					i, flavors = len(flavors), append(flavors, f)
				}
				v = append(v, i)
			}
			versions = append(versions, v)
		}
		q := c.q
		q.Order = Builtin().Order
		if c.system != "" {
			q.System = parsed(t, strings.Split(c.system, "|")...)
		}
		if c.asked != "-" {
			q.Asked = &parsed(t, c.asked)[0]
		}
		hits, closest := Select(q, flavors, versions)
		var got []string
		for _, h := range hits {
			got = append(got, fmt.Sprintf("%d[%s]", len(versions)-h.Version, flavors[h.Flavor]))
		}
		if len(closest) > 0 {
			got = append(got, "closest")
		}
		for _, f := range closest {
			got = append(got, "["+f.String()+"]")
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s of %q for %q, rule %d, all %v: %s; want %s", c.asked, c.from, c.system, c.q.Rule, c.q.All, text, c.want)
		}
	}
}

// Whatever is selected suits, and what a person typed is in it.
func TestSelectLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flavors := rapid.SliceOfN(anyFlavor("a", "b"), 1, 6).Draw(t, "flavors")
		versions := rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, len(flavors)-1), 0, 4), 0, 5).Draw(t, "versions")
		system, asked := anyFlavor("a", "b").Draw(t, "system"), anyFlavor("a", "b").Draw(t, "asked")
		q := Query{System: []Flavor{system}, Asked: &asked, Order: Builtin().Order, All: rapid.Bool().Draw(t, "all")}
		hits, closest := Select(q, flavors, versions)
		query, _ := Override(system, asked, Over)
		for _, h := range hits {
			f := flavors[h.Flavor]
			if !slices.Contains(versions[h.Version], h.Flavor) || !query.Matches(f) || !f.Provides(asked) {
				t.Fatalf("%q is no answer to %q", f, query)
			}
		}
		if !q.All && len(hits) > 1 || len(hits) > 0 && closest != nil {
			t.Fatalf("hits %v, closest %v", hits, closest)
		}
		for _, v := range versions {
			for _, i := range v {
				if len(hits) == 0 && query.Matches(flavors[i]) && flavors[i].Provides(asked) {
					t.Fatalf("%q was not found", flavors[i])
				}
			}
		}
		// What strictly suits is found loosely too.
		q.Rule = Loosely
		if loosely, _ := Select(q, flavors, versions); len(loosely) < len(hits) {
			t.Fatalf("loosely only %v of %v", loosely, hits)
		}
	})
}

// Of 10,000 versions with 8 flavors each one is chosen at once.
func TestSelectMany(t *testing.T) {
	var flavors []Flavor
	for _, use := range []string{"!dom0,!domU,!xen,!vmware", "dom0,!domU,xen,!vmware", "!dom0,domU,xen,!vmware", "!dom0,!domU,!xen,vmware"} {
		flavors = append(flavors, parsed(t, use+" is: x86", use+" is: x86_64")...)
	}
	versions := make([][]int, 10000)
	for i := range versions {
		versions[i] = []int{0, 1, 2, 3, 4, 5, 6, 7}
		if i < 9999 {
			versions[i] = versions[i][:6]
		}
	}
	system, err := Builtin().System("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	q := Query{System: []Flavor{system}, Asked: &parsed(t, "vmware")[0], Order: Builtin().Order}
	start := time.Now()
	hits, _ := Select(q, flavors, versions)
	took := time.Since(start)
	if len(hits) != 1 || hits[0] != (Hit{9999, 7}) {
		t.Fatalf("%v", hits)
	}
	t.Logf("%v", took)
}

func BenchmarkSelect(b *testing.B) {
	f := parsed(b, "vmware is: x86_64", "!vmware is: x86_64", "is: x86")
	versions := make([][]int, 10000)
	for i := range versions {
		versions[i] = []int{2, 2, 2, 2, 2, 2, 1, 2}
	}
	versions[9999] = []int{0}
	system, _ := Builtin().System("x86_64")
	q := Query{System: []Flavor{system}, Asked: &f[0], Order: Builtin().Order}
	for b.Loop() {
		if hits, _ := Select(q, f, versions); len(hits) != 1 {
			b.Fatal(hits)
		}
	}
}
