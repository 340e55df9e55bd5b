package definition

import (
	"path/filepath"
	"testing"

	"ingot/internal/fault"
)

func TestAsked(t *testing.T) {
	dir := lay(t, map[string]string{
		FileName: five + `timezone: Europe/Paris
include: [more/site.yaml]
users:
- name: ops
  uid: 1000
scripts:
- run: ./setup.sh
- {name: late, run: ./setup.sh}
services:
  enable: [nginx,
    cron]
flavors:
  "vmware":
    files:
    - {path: /vm, content: x}
    outputs: [vmdk]
`,
		"more/site.yaml": "unix-groups:\n- {name: media}\nfiles:\n- path: /x\n  content: x\n",
		"setup.sh":       "#!/bin/sh\n",
	})
	d, err := Load(filepath.Join(dir, FileName), Options{HostArch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	main, site := filepath.Join(dir, FileName), filepath.Join(dir, "more/site.yaml")
	for _, c := range []struct {
		key, name string
		want      fault.Position
	}{
		{"timezone", "", fault.Position{File: main, Line: 6}},
		{"locale", "", fault.Position{}},
		{"users", "ops", fault.Position{File: main, Line: 9}},
		{"scripts", "setup", fault.Position{File: main, Line: 12}},
		{"scripts", "late", fault.Position{File: main, Line: 13}},
		{"services", "nginx", fault.Position{File: main, Line: 15}},
		{"services", "cron", fault.Position{File: main, Line: 16}},
		{"unix-groups", "media", fault.Position{File: site, Line: 2}},
		{"files", "/x", fault.Position{File: site, Line: 4}},
		{"files", "/vm", fault.Position{}},
	} {
		if got := d.Asked(c.key, c.name); got != c.want {
			t.Errorf("%s %s is asked for at %v, want %v", c.key, c.name, got, c.want)
		}
	}
	flavors := d.Variants()
	if got, want := flavors[len(flavors)-1].Asked("files", "/vm"), (fault.Position{File: main, Line: 20}); got != want {
		t.Errorf("a flavor's file is asked for at %v, want %v", got, want)
	}
}
