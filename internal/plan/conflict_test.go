package plan

import (
	"strings"
	"testing"

	"ingot/internal/distro/debian/debtest"
	"ingot/internal/fault"
)

// TestPathConflicts builds an image of packages that bring one path, with and without
// saying whose file stays.
func TestPathConflicts(t *testing.T) {
	bring := func(name, text string) debtest.Deb {
		return debtest.Deb{Name: name, Arch: "amd64", Files: debtest.Files("file usr/tool " + text)}
	}
	f := newFactory(t, bring("one", "1"), bring("two", "2"))
	for _, c := range []struct{ more, want string }{
		{"", "packages one and two both bring /usr/tool, and neither says that it replaces the other"},
		{"path-conflicts: [{path: /usr/tool, keep: one}]\n", "0644 0:0 1"},
		{"path-conflicts: [{path: /usr, keep: two}]\n", "0644 0:0 2"},
		{"path-conflicts: [{path: /usr/tool, keep: shell}]\n", "packages one and two both bring /usr/tool"},
	} {
		write(t, f.dir, map[string]string{"ingot.yaml": built["ingot.yaml"] + c.more})
		got, err := f.Run(t.Context(), f.plan(t))
		if err != nil {
			if fault.CodeOf(err) != fault.Choice || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), "path-conflicts: [{path: /usr/tool, keep: two}]") {
				t.Errorf("%s: got %v, hint %q", c.more, err, fault.HintOf(err))
			}
			continue
		}
		if tool := content(t, got.Artifacts[0].Path)["/usr/tool"]; tool != c.want {
			t.Errorf("%s: the file is %q, want %q", c.more, tool, c.want)
		}
	}
}
