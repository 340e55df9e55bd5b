package debian

import (
	"fmt"
	"strings"
	"testing"
)

func TestInstalled(t *testing.T) {
	for _, c := range []struct{ summary, status, want string }{
		{"nothing", "", ""},
		{
			"whose files are there, whatever was wanted",
			"Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\nDescription: the first\n more\n\n" +
				"Package: b\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n" +
				"Package: c\nStatus: hold ok half-configured\nArchitecture: all\nVersion: 4\n\n" +
				"Package: d\nStatus: purge ok not-installed\nArchitecture: all\n",
			"a 1:2-3 amd64 the first\nc 4 all \n",
		},
		{"no status", "Package: a\n", `error: dpkg's records cannot be read: package "a" is ""`},
		{"no fields", "nonsense\n", "error: dpkg's records cannot be read"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			var got strings.Builder
			all, err := Installed([]byte(c.status))
			if err != nil {
				fmt.Fprintf(&got, "error: %v", err)
			}
			for _, p := range all {
				fmt.Fprintf(&got, "%s %s %s %s\n", p.Ref.Name, p.Ref.Version, p.Ref.Arch, Debian{}.Describe(p).Summary)
			}
			if got.String() != c.want && (!strings.HasPrefix(c.want, "error") || !strings.HasPrefix(got.String(), c.want)) {
				t.Errorf("got\n%s\nwant\n%s", got.String(), c.want)
			}
		})
	}
}

func FuzzInstalled(f *testing.F) {
	f.Add("Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: b\nStatus: x\n")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = Installed([]byte(text)) })
}
