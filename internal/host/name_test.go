package host_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/host"
)

func TestNames(t *testing.T) {
	for text, want := range map[string]host.Name{
		"Base-1-0":                {Name: "Base", Version: "1", Release: "0"},
		"Base-1-0+1":              {Name: "Base", Version: "1", Release: "0", Layer: 1},
		"ovirt-node-ng-4.5.5-0.2": {Name: "ovirt-node-ng", Version: "4.5.5", Release: "0.2"},
		"a-1-1.el9+git+12":        {Name: "a", Version: "1", Release: "1.el9+git", Layer: 12},
		"a-1-1+git":               {Name: "a", Version: "1", Release: "1+git"},
		"a-1-1+0":                 {Name: "a", Version: "1", Release: "1+0"}, // no layer has the number 0
	} {
		got, err := host.ParseName(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Base", "Base-1", "-1-0", "a b-1-0", "a/b-1-0", "../x-1-0", "-a-1-0", "snapshot-1-0", "a_tmeta-1-0", "ä-1-0", strings.Repeat("a", 95) + "-1-0", "--", "a--0", "a-1-"} {
		if n, err := host.ParseName(text); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q: %+v, %v", text, n, err)
		}
	}
	// imgbased's order: 2-0 before 13-0, +9 before +10.
	want := []string{"A-9-0", "Base-1-0", "Base-1-0+1", "Base-1-0+9", "Base-1-0+10", "Base-2-0", "Base-2-1", "Base-13-0", "Base-13-0+1"}
	var names []host.Name
	for _, text := range want {
		names = append(names, name(t, text))
	}
	slices.Reverse(names)
	slices.SortFunc(names, host.Name.Compare)
	for i, n := range names {
		if n.String() != want[i] {
			t.Fatalf("the order is %v", names)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("Base-1-0+1")
	f.Add("a-1-1+0+1")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := host.ParseName(text)
		if err != nil {
			return
		}
		if n.String() != text || n.Base().Layer != 0 {
			t.Fatalf("%q reads as %q", text, n)
		}
		next := n
		next.Layer++
		if again, err := host.ParseName(next.String()); err == nil && again != next {
			t.Fatalf("layer %q of %q reads as %+v", next, text, again)
		}
	})
}

// TestTags takes over what imgbased left, and keeps apart what is not whole.
func TestTags(t *testing.T) {
	for _, c := range []struct {
		name, tags string
		want       host.Volume
		ok         bool
	}{
		{"Base-1-0", "imgbased:base", host.Volume{}, true},
		{"Base-1-0", "imgbased:layer", host.Volume{}, true}, // as imgbased tags its first base
		{"Base-1-0+1", "imgbased:layer foreign", host.Volume{}, true},
		{"root", "imgbased:init", host.Volume{}, false},
		{"var", "imgbased:volume", host.Volume{}, false},
		{"odd", "imgbased:base", host.Volume{}, false},
		{"Base-2-0", "", host.Volume{}, false},
		{"Base-2-0", "ingot:building ingot:image=0123456789ab", host.Volume{Building: true, Image: "0123456789ab"}, true},
		{"Base-2-0+1", "imgbased:layer ingot:pinned ingot:retired ingot:restart ingot:image=xyz", host.Volume{Pinned: true, Retired: true, Restarted: true}, true},
	} {
		got, ok := host.FromTags(c.name, strings.Fields(c.tags))
		if c.ok {
			c.want.Name = name(t, c.name)
		}
		if ok != c.ok || got != c.want {
			t.Errorf("%s with %s: %+v, %t", c.name, c.tags, got, ok)
		}
	}
	tags := []string{"imgbased:vg", host.BadTag("ffffffffffff"), host.BadTag("000000000000"), "ingot:bad=no"}
	if got := host.BadFromTags(tags); !reflect.DeepEqual(got, []string{"000000000000", "ffffffffffff"}) {
		t.Error(got)
	}
}
