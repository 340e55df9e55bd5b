package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ingot/internal/judge"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// TestTutorial runs every command of the tutorial, in its order.
func TestTutorial(t *testing.T) {
	judge.Needs(t, judge.CI)
	text, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "ingot"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var script strings.Builder
	script.WriteString("set -eux\n")
	for _, m := range shellBlock.FindAllStringSubmatch(string(text), -1) {
		script.WriteString(m[1])
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "INGOT_PROGRESS=plain")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"added nginx-light", "running", "package nginx", "script stamp"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the tutorial's commands said nothing of %q:\n%s", want, out)
		}
	}
}
