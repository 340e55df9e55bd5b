package reason

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/lock"
)

// control are made-up packages: a control file each.
var control = []string{
	"Package: base\nVersion: 1\nEssential: yes\nInstalled-Size: 10",
	"Package: libc\nVersion: 2\nPriority: optional\nPre-Depends: base",
	"Package: web\nVersion: 1\nDepends: libc (>= 2), mail | mail-agent, tool\nRecommends: docs, tool\nSuggests: web-extras",
	"Package: postcard\nVersion: 3\nProvides: mail-agent\nDepends: libc (>= 1)",
	"Package: tool\nVersion: 5\nDepends: libc, base",
	"Package: docs-lite\nVersion: 1\nProvides: docs (= 1)",
}

func set(asked ...string) *Set {
	s := lock.Set{Arch: "amd64", Purpose: "container", Start: "minbase", Asked: asked}
	texts := map[string]string{}
	for _, c := range control {
		fields := map[string]string{}
		for line := range strings.Lines(c + "\n") {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			fields[key] = value
		}
		s.Refs = append(s.Refs, distro.Ref{Name: fields["Package"], Version: fields["Version"], Arch: "amd64", Size: 100})
		texts[fields["Package"]] = c + "\n"
	}
	return Of(s, func(r distro.Ref) distro.Description {
		return debian.Debian{}.Describe(distro.Package{Ref: r, Control: map[string]distro.ControlFile{"control": {Data: []byte(texts[r.Name])}}})
	})
}

func told(r Reason) string {
	var b strings.Builder
	fmt.Fprintf(&b, "in %v strong %v asked %q start %q through %v installed %d\n", r.In(), r.Strong, r.Asked, r.Start, r.Through, r.Installed)
	for _, n := range r.By {
		fmt.Fprintf(&b, "by %s %s %s met %v\n", n.Package, n.Kind, n.Relation, n.Met)
	}
	for _, n := range r.Open {
		fmt.Fprintf(&b, "open %s %s\n", n.Kind, n.Relation)
	}
	return b.String()
}

func TestWhy(t *testing.T) {
	s := set("docs", "mail-agent", "web=1")
	for _, c := range []struct{ name, want string }{
		{"base", `in true strong false asked [] start "minbase" through [] installed 10240
by libc pre-depends base met [base]
by tool depends base met [base]
`},
		{"web", `in true strong true asked ["web=1"] start "" through [] installed 0
open suggests web-extras
`},
		{"libc", `in true strong false asked [] start "" through [postcard libc] installed 0
by postcard depends libc (>= 1) met [libc]
by tool depends libc met [libc]
by web depends libc (>= 2) met [libc]
`},
		{"tool", `in true strong false asked [] start "" through [web tool] installed 0
by web depends tool met [tool]
by web recommends tool met [tool]
`},
		{"postcard", `in true strong true asked ["mail-agent"] start "" through [] installed 0
by web depends mail | mail-agent met [postcard]
`},
		{"docs-lite", `in true strong true asked ["docs"] start "" through [] installed 0
by web recommends docs met [docs-lite]
`},
		{"mail", `in false strong false asked [] start "" through [] installed 0
by web depends mail | mail-agent met [postcard]
`},
		{"web-extras", `in false strong false asked [] start "" through [] installed 0
by web suggests web-extras met []
`},
		{"nothing", `in false strong false asked [] start "" through [] installed 0
`},
	} {
		if d := cmp.Diff(c.want, told(s.Why(c.name))); d != "" {
			t.Errorf("%s: -want +got:\n%s", c.name, d)
		}
	}
	// Nobody asked for what leads to it: the way is over what goes with it.
	if r := set("web").Why("docs-lite"); r.Strong || cmp.Diff([]string{"web", "docs-lite"}, r.Through) != "" {
		t.Errorf("got %s", told(r))
	}
}
