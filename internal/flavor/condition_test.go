package flavor

import (
	"strings"
	"testing"

	"ingot/internal/fault"
)

func TestCondition(t *testing.T) {
	for _, c := range []struct {
		condition, of string
		want          bool
	}{
		{"vmware", "vmware is: x86_64", true},
		{"vmware", "~vmware", true},
		{"vmware", "", false},
		{"vmware", "!vmware", false},
		{"!vmware", "", true},
		{"!kernel", "", false}, // images have one
		{"!kernel", "!kernel", true},
		{"!kernel", "~!kernel", true},
		{"kernel", "vmware", true},
		{"foo", "", false},
		{"!foo", "", true},
		{"foo", "foo", true},
		{"xen,!dom0", "xen", true},
		{"xen,!dom0", "xen,dom0", false},
		{"is: x86_64", "ssl is: x86_64", true},
		{"is: x86_64", "ssl", false},
		{"is: x86", "is: x86 x86_64", true},
		{"is: x86(i586)", "is: x86(~i686)", true},
		{"is: x86(!i586)", "is: x86", true},
		{"is: x86(!i586)", "is: x86(i686)", false},
		{"vmware is: x86_64", "vmware is: x86", false},
		{"target: arm", "is: x86 target: arm", true},
	} {
		p, err := ParseCondition(c.condition)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Holds(parsed(t, c.of)[0], Builtin()); got != c.want {
			t.Errorf("%q holds for %q: %v", c.condition, c.of, got)
		}
		var again Condition
		text, err := p.MarshalText()
		if err != nil || again.UnmarshalText(text) != nil || again.String() != p.String() {
			t.Errorf("%q is read back as %q, %v", p, again, err)
		}
	}
	if p, err := ParseCondition("xen,!dom0 is: x86"); err != nil || strings.Join(p.Flags(), " ") != "dom0 xen" || p.Flavor().String() != "!dom0,xen is: x86" {
		t.Errorf("%v, %v", p, err)
	}
	for in, hint := range map[string]string{"": "write a flag", "~xen": "without ~: xen", "xen is: x86(~!sse)": "xen is: x86(!sse)", "a b": "commas"} {
		if p, err := ParseCondition(in); err == nil || fault.CodeOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), hint) {
			t.Errorf("%q: %v, %v (%s)", in, p, err, fault.HintOf(err))
		}
	}
}
