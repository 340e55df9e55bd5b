package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// hostDefinition is a machine with LVM, in which ingot looks after the host.
const hostDefinition = `version: 1
name: host
distro: debian
release: bookworm
packages: [lvm2, thin-provisioning-tools]
kernel: {package: linux-image-cloud-amd64}
outputs: [qcow2]
files: [{path: /usr/local/bin/ingot, source: ./ingot, mode: "0755"}]
`

// hosts has a session of imgbase and of host verbs in a machine, on a real thin pool, line by
// line: making bases and layers, and removing what is not whole.
func (c *court) hosts(t *testing.T) {
	judge.Needs(t, judge.Full)
	bin, err := os.ReadFile(c.bin)
	if err != nil {
		t.Fatal(err)
	}
	p := c.project(t, map[string]string{"ingot.yaml": hostDefinition, "ingot": string(bin)})
	p.build(t)
	// The disk for the pool has the mark of a boot sector, without which it is no disk to boot.
	group := make([]byte, 512)
	group[510], group[511] = 0x55, 0xaa
	if err := os.WriteFile(p.path("group.raw"), group, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(p.path("group.raw"), 2<<30); err != nil {
		t.Fatal(err)
	}
	script, session := hostSession(t)
	out := p.must(t, "boot", p.path("out/host-amd64.qcow2"), "--drive", p.path("group.raw"), "--timeout", bootPatience, "--json", "--run", script)
	var booted struct {
		Commands []struct{ Output string }
	}
	if err := json.Unmarshal([]byte(out), &booted); err != nil || len(booted.Commands) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	got, want := strings.Split(booted.Commands[0].Output, "\n"), strings.Split(session, "\n")
	at := 0 // what LVM says on the way to the session is its own
	for at < len(got) && got[at] != want[0] {
		at++
	}
	if text := strings.Join(got[at:], "\n"); text != session {
		t.Errorf("the session is\n%s\nand not\n%s", booted.Commands[0].Output, session)
	}
}

// hostSession is the shell's text of the session, and what it is to say.
func hostSession(t *testing.T) (script, session string) {
	t.Helper()
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join("testdata", "host", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	session = read("session")
	var b strings.Builder
	b.WriteString(read("prelude"))
	for line := range strings.Lines(session) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ "); ok {
			b.WriteString("say '" + strings.ReplaceAll(command, "'", `'\''`) + "'\n")
		}
	}
	return b.String(), session
}
