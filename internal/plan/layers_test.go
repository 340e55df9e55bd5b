package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/tree"
)

func TestCut(t *testing.T) {
	dir := func(path string, sec int64) tree.Entry {
		return tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: sec}, Owner: "step:install"}
	}
	file := func(path, owner string) tree.Entry {
		return tree.Entry{Path: path, Kind: tree.File, Mtime: tree.Time{Sec: 1}, Owner: owner}
	}
	link := func(path, to, owner string) tree.Entry {
		return tree.Entry{Path: path, Kind: tree.Hardlink, Link: to, Mtime: tree.Time{Sec: 1}, Owner: owner}
	}
	level := func(owner string) int {
		return map[string]int{"deb:base": 0, "deb:web": 1}[owner] + map[bool]int{true: 2}[strings.HasPrefix(owner, "step:")]
	}
	for _, c := range []struct {
		summary string
		entries []tree.Entry
		want    string
	}{
		{"nothing", []tree.Entry{dir("", 5)}, "what was set up: /5"},
		{"all of them", []tree.Entry{
			dir("", 5), dir("bin", 6), dir("empty", 7), dir("etc", 8), dir("etc/web", 9),
			file("bin/sh", "deb:base"), link("bin/rsh", "bin/a", "deb:base"), file("bin/a", "deb:web"), file("etc/web/conf", "deb:web"), file("etc/passwd", "step:install"),
		}, "base packages: /0 bin/0 bin/sh1\npackages: /0 bin/0 bin/a1 bin/rsh1 etc/0 etc/web/0 etc/web/conf1\nwhat was set up: /5 bin/6 empty/7 etc/8 etc/passwd1 etc/web/9"},
		{"a link that a step made", []tree.Entry{dir("", 5), file("a", "deb:base"), link("b", "a", "step:x")}, "what was set up: /5 a1 b1"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			whole, err := tree.New(c.entries)
			if err != nil {
				t.Fatal(err)
			}
			parts, err := cut(whole, level)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, p := range parts {
				line := p.about + ":"
				for e := range p.tree.All() {
					name := e.Path
					if e.Kind == tree.Dir {
						name += "/"
					}
					line += fmt.Sprintf(" %s%d", name, e.Mtime.Sec)
				}
				lines = append(lines, line)
			}
			if d := cmp.Diff(c.want, strings.Join(lines, "\n")); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
