package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// example judges what a newcomer copies: every example is built, boots if it can, and
// passes its tests. The first is the README's first command.
func (c *court) example(t *testing.T) {
	found, err := filepath.Glob("../../examples/*/ingot.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range found {
		name := filepath.Base(filepath.Dir(path))
		names = append(names, name)
		t.Run(name, func(t *testing.T) {
			p := c.project(t, nil)
			if err := os.CopyFS(p.dir, os.DirFS(filepath.Dir(path))); err != nil {
				t.Fatal(err)
			}
			if name == "flavors" {
				c.flavors(t, p)
				return
			}
			text := p.read(t, "ingot.yaml")
			if !strings.Contains(text, "qcow2") {
				p.build(t)
				sums(t, p.path("out"))
				return
			}
			if !strings.Contains(text, "tests:") {
				if said := p.must(t, "boot", ".", "--timeout", bootPatience); !strings.Contains(said, "booted in") {
					t.Errorf("ingot boot says %q", said)
				}
				return
			}
			b := p.build(t, "--test")
			if len(b.Tests) != strings.Count(text, "- {run: ") {
				t.Errorf("%d tests ran: %+v", len(b.Tests), b.Tests)
			}
			for _, r := range b.Tests {
				if r.Exit != 0 {
					t.Errorf("%s exited with %d", r.Command, r.Exit)
				}
			}
			sums(t, p.path("out"))
		})
	}
	if want := []string{"flavors", "minimal", "scripts", "web-server"}; !slices.Equal(names, want) {
		t.Errorf("examples are %v, want %v", names, want)
	}
}
