package main_test

import (
	"strings"
	"testing"
)

// elsewhere is a definition with much that likes to write down the time: accounts,
// compiled Python, and with a disk an initramfs, a boot loader and file systems.
const elsewhere = `version: 1
name: there
distro: debian
release: bookworm
packages: [python3-minimal]
users: [{name: ops, password-hash: "$6$abcdefgh$fYBUYsBiqJY60sTN.PmYf5rralAo.gakOReTpAqc8jJQQf.Fc1IutP4hvgzKItblTbf6P0LupWLEvdzcH50sc."}]
scripts: [{name: stamp, run: ./stamp.sh}]
`

// day judges that the day of a build, its machine and its kernel do not matter: a
// machine that ingot made, whose clock is years ahead, builds a lock offline from
// what was exported, to the same bytes.
func (c *court) day(t *testing.T) {
	outputs := "outputs: [tar]\n"
	if c.full {
		outputs = "outputs: [tar, qcow2]\n"
	}
	builder := c.project(t, map[string]string{"ingot.yaml": strings.NewReplacer("small", "builder", "[tar]", "[{format: qcow2, free: 3GiB}]").Replace(minimal) + `files:
  - {path: /usr/local/bin/ingot, source: ingot, mode: "0755"}
  - {path: /root/there, source: there}
`})
	copyFile(t, builder.path("ingot"), c.bin)
	p := c.projectAt(t, builder.path("there"), map[string]string{
		"ingot.yaml": elsewhere + outputs,
		"stamp.sh":   "#!/bin/sh\ntouch /etc/stamp\nmkdir /var/lib/stamps\ncp -a /etc/passwd /var/lib/stamps/\n",
	})
	p.build(t)
	p.must(t, "store", "export", "packages.tar", "ingot.lock")
	want := sums(t, p.path("out"))

	builder.build(t)
	v := builder.ingot(t, "boot", "out/builder-amd64.qcow2", "--memory", "3GiB", "--timeout", bootPatience, "--json",
		"--run", "date -s '2031-07-01 23:59:30'",
		"--run", "cd /root/there && mv out was && export INGOT_HOME=/root/home INGOT_CACHE=/root/cache && ingot store import packages.tar && ingot build --offline --locked --to out && date +%Y",
		"--run", "cd /root/there/out && cat SHA256SUMS")
	var said struct {
		Commands []struct {
			Output string
			Exit   int
		}
	}
	parse(t, []byte(v.out), &said)
	if v.code != 0 || len(said.Commands) != 3 {
		t.Fatalf("exit code %d\n%s\n%s", v.code, tail(v.err, 20), tail(v.out, 40))
	}
	if !strings.Contains(said.Commands[1].Output, "2031") {
		t.Errorf("it was not another day:\n%s", tail(said.Commands[1].Output, 5))
	}
	got := map[string]string{}
	for _, line := range lines(said.Commands[2].Output) {
		if sum, file, ok := strings.Cut(line, "  "); ok {
			got[file] = sum
		}
	}
	sameSums(t, got, want)
}
