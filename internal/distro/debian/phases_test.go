package debian

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ingot/internal/distro"
	"ingot/internal/distro/debian/debtest"
)

// described makes packages of lines such as "a preinst Essential: yes; Depends: b":
// a name, "preinst" where it has such a script, and fields.
func described(t *testing.T, lines ...string) []*deb {
	t.Helper()
	var out []*deb
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, " ")
		fields, preinst := strings.CutPrefix(rest, "preinst")
		d := debtest.Deb{Name: name, Fields: strings.ReplaceAll(strings.TrimSpace(fields), "; ", "\n")}
		u := distro.Package{Ref: distro.Ref{Name: name, Version: "1-1", Arch: "all"}, Control: map[string]distro.ControlFile{"control": {Data: []byte(d.Stanza())}}}
		if preinst {
			u.Control["preinst"] = distro.ControlFile{Mode: 0o755, Data: []byte("#!/bin/sh\n")}
		}
		p, err := newDeb(u)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestPhases(t *testing.T) {
	for _, c := range []struct {
		summary  string
		packages []string
		want     string // names, a phase between bars
	}{
		{"nothing", nil, ""},
		{"no essential package", []string{"b", "a"}, "| a b"},
		{"the essential set comes first", []string{"a", "z Essential: yes"}, "z | a"},
		{"with all that it depends on", []string{"a", "b", "y", "z Essential: yes; Depends: b, nothing | c", "c Pre-Depends: y"}, "b y c z | a"},
		{"every alternative that is there comes along", []string{"a", "b", "z Essential: yes; Depends: a | b"}, "a b z"},
		{"also one that is provided", []string{"mawk Provides: awk", "z Essential: yes; Pre-Depends: awk", "gawk"}, "mawk z | gawk"},
		{"provided in a version", []string{"a Provides: v (= 2)", "b Provides: v (= 1)", "c Provides: v", "z Essential: yes; Depends: v (>= 2)"}, "a z | b c"},
		{"a version that is not there is no dependency", []string{"a", "z Essential: yes; Depends: a (>= 2)"}, "z | a"},
		{"base-files and base-passwd go before what they need", []string{"awk Essential: yes", "base-passwd Essential: yes; Depends: awk", "base-files Essential: yes; Pre-Depends: awk"}, "base-files base-passwd awk"},
		{"dependencies go first", []string{"a Depends: b", "b Depends: c", "c"}, "| c b a"},
		{"in a circle, the first name waits", []string{"a Depends: b", "b Depends: c", "c Depends: a"}, "| c b a"},
		{"a package that needs itself", []string{"a preinst Pre-Depends: a"}, "| a"},
		{"pre-dependencies without a preinst script make no phase", []string{"a Pre-Depends: b", "b"}, "| b a"},
		{"with one they do", []string{"a preinst Pre-Depends: b", "b Depends: c", "c", "d"}, "| c b | a d"},
		{"and again", []string{"a preinst Pre-Depends: b", "b preinst Pre-Depends: c", "c", "d"}, "| c | b | a d"},
		{"pre-dependencies in a circle are one phase", []string{"a preinst Pre-Depends: b", "b preinst Pre-Depends: a"}, "| b a"},
		{"what is essential makes no other phase", []string{"a preinst Pre-Depends: b", "b Essential: yes"}, "b | a"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			pkgs := described(t, c.packages...)
			for range 2 {
				var got []string
				for _, phase := range phases(pkgs, true) {
					var names []string
					for _, p := range phase {
						names = append(names, p.Ref.Name)
					}
					got = append(got, strings.Join(names, " "))
				}
				if s := strings.TrimSpace(strings.Join(got, " | ")); s != c.want {
					t.Errorf("got %q, want %q", s, c.want)
				}
				slices.Reverse(pkgs) // what order they are given in does not matter
			}
		})
	}
}

func TestTriggers(t *testing.T) {
	trigger := func(name, files string, lines ...string) debtest.Deb {
		return named(name, files, "", debtest.File{Name: "./triggers", Data: strings.Join(lines, "\n") + "\n"})
	}
	for _, c := range []struct {
		summary   string
		before    []debtest.Deb // configured already
		now       []debtest.Deb
		records   string
		activated string
	}{
		{
			summary: "no interest",
			now:     []debtest.Deb{named("a", "file usr/a 1", "")},
		},
		{
			summary: "in paths and in names, waiting or not",
			now: []debtest.Deb{
				trigger("b", "", "# of b", "interest-noawait /usr/lib  # all of it", "interest name", "interest-await /etc/x"),
				trigger("a", "", "interest /usr/lib", "interest-noawait name", ""),
			},
			records: "File: /etc/x b, /usr/lib b/noawait, /usr/lib a\nname: b, a/noawait\n",
		},
		{
			summary: "one package for several architectures",
			now:     []debtest.Deb{{Name: "a", Arch: "amd64", Fields: "Multi-Arch: same", Control: []debtest.File{{Name: "./triggers", Data: "interest name\n"}}}},
			records: "name: a:amd64\n",
		},
		{
			summary:   "a file below a path",
			before:    []debtest.Deb{trigger("m", "", "interest-noawait /usr/share/man", "interest /usr/share/ma", "interest /etc")},
			now:       []debtest.Deb{named("a", "file usr/share/man/man1/a.1 1", "")},
			records:   "File: /etc m, /usr/share/ma m, /usr/share/man m/noawait\n",
			activated: "/usr/share/man -\n",
		},
		{
			summary:   "a file of that path",
			before:    []debtest.Deb{trigger("m", "", "interest /etc/shells")},
			now:       []debtest.Deb{named("a", "file etc/shells 1", "")},
			records:   "File: /etc/shells m\n",
			activated: "/etc/shells -\n",
		},
		{
			summary:   "by name, once",
			before:    []debtest.Deb{trigger("m", "", "interest ldconfig")},
			now:       []debtest.Deb{trigger("a", "", "activate-noawait ldconfig", "activate unknown"), trigger("b", "", "activate ldconfig")},
			records:   "ldconfig: m\n",
			activated: "ldconfig -\n",
		},
		{
			summary: "what is not configured yet is not triggered",
			now:     []debtest.Deb{trigger("m", "", "interest ldconfig", "interest /usr"), trigger("a", "file usr/a 1", "activate ldconfig")},
			records: "File: /usr m\nldconfig: m\n",
		},
	} {
		t.Run(c.summary, func(t *testing.T) {
			var pack debtest.Pack
			var tr triggers
			configured := map[string]bool{}
			before := unpackAll(t, &pack, c.before...)
			tr.add(before)
			for _, p := range before {
				configured[p.base()] = true
			}
			now := unpackAll(t, &pack, c.now...)
			tr.add(now)
			var got []string
			for path, r := range tr.records() {
				name := strings.TrimPrefix(path, "var/lib/dpkg/triggers/")
				got = append(got, fmt.Sprintf("%s: %s\n", name, strings.ReplaceAll(strings.TrimSuffix(string(r.data), "\n"), "\n", ", ")))
			}
			slices.Sort(got)
			if s := strings.Join(got, ""); s != c.records {
				t.Errorf("records are %q, want %q", s, c.records)
			}
			if s := string(tr.activated(now, configured)); s != c.activated {
				t.Errorf("activated is %q, want %q", s, c.activated)
			}
		})
	}
}

func TestExtendedStates(t *testing.T) {
	pkgs := described(t, "apt", "asked", "dep", "base Priority: required", "ess Essential: yes", "imp Priority: important", "foreign")
	pkgs[6].Ref.Arch = "i386"
	const want = `Package: dep
Architecture: amd64
Auto-Installed: 1

Package: imp
Architecture: amd64
Auto-Installed: 1

Package: foreign
Architecture: i386
Auto-Installed: 1

`
	if got := string(extendedStates(pkgs, map[string]bool{"asked": true}, "amd64")); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
