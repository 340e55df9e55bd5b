package flavor

import (
	"strings"
	"testing"

	"ingot/internal/fault"
	"pgregory.net/rapid"
)

func TestAlgebra(t *testing.T) {
	for _, c := range []struct{ op, f, g, want string }{
		{"minus", "foo,bar is: x86", "foo,~!bar", "bar is: x86"},
		{"loosely minus", "foo,bar", "~foo,~!bar,bam", "bar"},
		{"minus", "is: x86(i686,sse) ppc", "is: x86(i686)", "is: ppc x86(sse)"},
		{"minus", "is: x86 ppc", "is: x86(i686)", "is: ppc"},
		{"common", "foo,~bar,!a is: x86(i686) ppc", "foo,bar,a is: x86", "foo is: x86"},
		{"loosely common", "foo,~bar,!a is: x86(~i686) ppc", "~foo,bar,~!a is: x86(i686)", "!a,bar,foo is: x86(i686)"},
		{"filter", "readline,!ssl is: x86", "!readline|ssl", "readline,!ssl"},
		{"filter", "a is: x86(i686,~sse) ppc", "is: x86(!sse)", "is: x86(~sse)"},
	} {
		f, gs := parsed(t, c.f)[0], parsed(t, strings.Split(c.g, "|")...)
		var got Flavor
		switch c.op {
		case "minus", "loosely minus":
			got = f.Minus(gs[0], c.op != "minus")
		case "common", "loosely common":
			got = f.Common(gs[0], c.op != "common")
		default:
			got = f.Filter(gs...)
		}
		if got.String() != c.want {
			t.Errorf("%q %s %q is %q, want %q", c.f, c.op, c.g, got, c.want)
		}
	}
}

func TestShort(t *testing.T) {
	for in, want := range map[string]string{
		"foo is: x86|foo,bar is: x86":                          "x86 x86-bar",
		"foo is: x86|foo,bar is: x86_64":                       "x86 x86_64",
		"vmware is: x86_64|xen,domU is: x86_64|is: x86 x86_64": "x86_64-vmware x86_64-domU-xen x86_64",
		"~ssl is: x86|!ssl is: x86|is: x86":                    "x86-ssl x86-no-ssl x86",
		"!kernel|":                                             "no-kernel ",
		"~ssl is: x86|ssl is: x86":                             "error",
		"ssl":                                                  "",
		"is: arm":                                              "arm",
	} {
		got, err := Builtin().Short(parsed(t, strings.Split(in, "|")...))
		text := strings.Join(got, " ")
		if err != nil {
			text = "error"
			if fault.CodeOf(err) != fault.Choice {
				t.Errorf("%q: %v", in, err)
			}
		}
		if text != want {
			t.Errorf("%q: %s, %v; want %s", in, text, err, want)
		}
	}
}

func TestAlgebraLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, g := anyFlavor().Draw(t, "f"), anyFlavor().Draw(t, "g")
		loose := rapid.Bool().Draw(t, "loose")
		if !f.Minus(f, loose).IsEmpty() || !f.Minus(Flavor{}, loose).Equal(f) {
			t.Fatalf("%q minus itself is %q", f, f.Minus(f, loose))
		}
		if !f.Common(f, false).Equal(f) || !f.Common(f, true).Equal(f.Strong()) {
			t.Fatalf("%q has %q in common with itself", f, f.Common(f, loose))
		}
		if !f.Common(g, loose).Equal(g.Common(f, loose)) {
			t.Fatalf("%q and %q have %q or %q in common", f, g, f.Common(g, loose), g.Common(f, loose))
		}
		if !f.Filter(f, g).Equal(f) || !f.Filter().IsEmpty() {
			t.Fatalf("%q filtered by itself is %q", f, f.Filter(f, g))
		}
		// What is taken away and what was common are the whole again.
		back, err := Merge([]Flavor{f.Minus(g, false), f.Common(g, false)}, Normal)
		if err != nil || !back.Equal(f) {
			t.Fatalf("%q minus and common with %q: %q, %v", f, g, back, err)
		}
	})
}
