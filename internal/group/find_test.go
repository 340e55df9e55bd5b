package group

import (
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/flavor"
)

// at is a trove of one flavor.
func at(t testing.TB, name, frozen, of string) Trove {
	t.Helper()
	v, err := ThawVersion(frozen)
	if err != nil {
		t.Fatal(err)
	}
	return Trove{name, v, flavors(t, []string{of})[0]}
}

func TestFind(t *testing.T) {
	all := []Trove{
		at(t, "g", "/h@n:b/1:1-1-1", "~!vmware,~!xen is: x86"),
		at(t, "g", "/h@n:b/1:1-1-1", "vmware is: x86"),
		at(t, "g", "/h@n:b/1:1-1-1", "xen,domU is: x86"),
		at(t, "g", "/h@n:b/2:2-1-1", "~!vmware,~!xen is: x86"),
		at(t, "g", "/h@n:b/2:2-1-1", "vmware is: x86"),
		at(t, "g", "/h@n:b//n:qa/3:1-1-1", "vmware is: x86"),
		at(t, "g", "/x@y:z//h@n:b/4:0.9-1-1", "vmware is: x86"),
	}
	var stock Stock
	for _, a := range all {
		stock.Name = "g"
		stock.Add(a.Version, a.Flavor)
	}
	s := Search{Labels: []Label{{"h", "n", "b"}}, Query: flavor.Query{System: flavors(t, []string{"~!vmware,~!xen,~!domU is: x86"}), Order: flavor.Builtin().Order}}
	for spec, want := range map[string]string{
		"g":                           "g=/h@n:b/2-1-1[~!vmware,~!xen is: x86] g=/x@y:z//h@n:b/0.9-1-1[vmware is: x86]", // two branches
		"g=/h@n:b":                    "g=/h@n:b/2-1-1[~!vmware,~!xen is: x86]",
		"g=/h@n:b[vmware]":            "g=/h@n:b/2-1-1[vmware is: x86]",
		"g=/h@n:b[xen,domU]":          "g=/h@n:b/1-1-1[domU,xen is: x86]", // not a newer one that nobody asked for
		"g=1":                         "g=/h@n:b/1-1-1[~!vmware,~!xen is: x86]",
		"g=1-1-1[vmware]":             "g=/h@n:b/1-1-1[vmware is: x86]",
		"g=:qa":                       "g=/h@n:b//qa/1-1-1[vmware is: x86]",
		"g=@n:qa/1":                   "g=/h@n:b//qa/1-1-1[vmware is: x86]",
		"g=h@n:qa/1-1-1":              "g=/h@n:b//qa/1-1-1[vmware is: x86]",
		"g=h@/0.9":                    "g=/x@y:z//h@n:b/0.9-1-1[vmware is: x86]",
		"g=/h@n:b//qa/1-1-1[!vmware]": `error 4: g=/h@n:b//qa/1-1-1[!vmware] was not found as version /h@n:b//qa/1-1-1 (closest flavors: [~vmware is: x86])`,
		"g[is: ppc]":                  "error 4: g[is: ppc] was not found on label h@n:b (closest flavors: [is: x86])",
		"g=9":                         "error 4: g=9 was not found on label h@n:b ()",
		"none":                        `error 4: none was not found: there is no "none" ()`,
		"g=a/b/c":                     `error 2: version "a/b/c" is not whole (a whole one begins with /HOST@NAMESPACE:TAG)`,
		"g=1-x":                       `error 2: revision "1-x": "x" does not count a source (write UPSTREAM-SOURCE or UPSTREAM-SOURCE-BUILD, as 1.0-2-1)`,
		"g=a@b":                       `error 2: label "a@b": @ without a colon (write HOST@NAMESPACE:TAG)`,
	} {
		parsed, err := ParseSpec(spec)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseSpec(parsed.String()); err != nil || again.String() != parsed.String() {
			t.Errorf("%s is read back as %s, %v", parsed, again, err)
		}
		found, err := s.Find(stock, parsed)
		var got []string
		for _, f := range found {
			got = append(got, f.String())
		}
		if err != nil {
			got = append(got, "error "+string(rune('0'+fault.CodeOf(err)))+": "+err.Error()+" ("+fault.HintOf(err)+")")
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s; want %s", spec, text, want)
		}
	}
	if _, err := (Search{}).Find(stock, Spec{Name: "g"}); fault.CodeOf(err) != fault.Usage {
		t.Errorf("without labels: %v", err)
	}
}

func TestSpecErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":              "the name is missing",
		"=1.2":          "the name is missing",
		"foo=":          "the version is missing",
		"foo=1=2":       "more than one =",
		"foo=1[a][b]":   "more than one flavor",
		"foo=1[a b]":    "without a comma",
		"foo=1[ssl]x":   "a bracket that closes no flavor",
		"foo=1[":        "a bracket that closes no flavor",
		"[ssl]":         "a bracket that closes no flavor",
		"foo bar":       "cannot be the name",
		"h@n:b":         "cannot be the name",
		"foo[is:x86,y]": "a comma between architectures",
	} {
		if s, err := ParseSpec(in); err == nil || !strings.Contains(err.Error(), want) || fault.CodeOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%q: %s, %v (%s); want %q", in, s, err, fault.HintOf(err), want)
		}
	}
	s, err := ParseSpec(" foo:runtime=1[!vmware is:x86] ")
	if err != nil || s.String() != "foo:runtime=1[!vmware is: x86]" {
		t.Errorf("%s, %v", s, err)
	}
}

func TestChange(t *testing.T) {
	for in, want := range map[string]string{
		"foo=1[ssl]--2[!ssl]": "foo: =1[ssl] to =2[!ssl]",
		"foo=--2":             "foo:  to =2",
		"foo=1--":             "foo: =1 to ",
		"foo[a]--[b]":         "foo: [a] to [b]",
		"foo--2":              "foo:  to =2",
		"foo=2":               "foo:  to =2 absolute",
		"+foo=2":              "+foo:  to =2 absolute",
		"-foo=2":              "-foo: =2 to ",
		"foo=1--2--3":         "error",
		"--2":                 "error",
		"foo=1[--2":           "error",
	} {
		c, err := ParseChange(in)
		got := c.Name + ": " + c.Old.String() + " to " + c.New.String()
		if c.Absolute {
			got += " absolute"
		}
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s, %v; want %s", in, got, err, want)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, v := range readVectors(f).Spec {
		f.Add(v.In)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = ParseChange(text)
		_, _ = parseChange(text, true)
		loose, looseErr := parseSpec(text, true)
		s, err := ParseSpec(text)
		if err != nil {
			return
		}
		if looseErr != nil || loose.String() != s.String() {
			t.Fatalf("%q: %s strictly, %s loosely, %v", text, s, loose, looseErr)
		}
		if back, err := ParseSpec(s.String()); err != nil || back.String() != s.String() {
			t.Fatalf("%q: %s is read back as %s, %v", text, s, back, err)
		}
		_, _ = Search{Labels: []Label{theLabel}}.Find(Stock{Name: s.Name}, s)
	})
}

// One of 10,000 versions with 8 flavors each.
func BenchmarkFind(b *testing.B) {
	stock := Stock{Name: "g"}
	for _, use := range []string{"!dom0,!domU,!xen,!vmware", "dom0,!domU,xen,!vmware", "!dom0,domU,xen,!vmware", "!dom0,!domU,!xen,vmware"} {
		stock.Flavors = append(stock.Flavors, flavors(b, []string{use + " is: x86", use + " is: x86_64"})...)
	}
	for i := range 10000 {
		r := Revision{Upstream: "1.0", Source: Serial{1}, Build: Serial{i + 1}, Time: int64(i + 1)}
		stock.Versions = append(stock.Versions, Offer{Version{[]place{{theLabel, &r}}}, []int{0, 1, 2, 3, 4, 5, 6, 7}})
	}
	system, err := flavor.Builtin().System("x86_64")
	if err != nil {
		b.Fatal(err)
	}
	s := Search{Labels: []Label{theLabel}, Query: flavor.Query{System: []flavor.Flavor{system}, Order: flavor.Builtin().Order}}
	spec, err := ParseSpec("g[vmware]")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		found, err := s.Find(stock, spec)
		if err != nil || len(found) != 1 || found[0].String() != "g=/h@n:b/1.0-1-10000[!dom0,!domU,vmware,!xen is: x86_64]" {
			b.Fatal(found, err)
		}
	}
}
