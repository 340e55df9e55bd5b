package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// Each example of the reference gives what the reference says.
func TestFlavorReference(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reference/flavors.md")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, block := range strings.Split(string(doc), "```console\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		for _, example := range strings.Split("\n"+block, "\n$ ")[1:] {
			command, want, _ := strings.Cut(example, "\n")
			var stdout, stderr bytes.Buffer
			run(words(command), strings.NewReader(""), &stdout, &stderr)
			got := stdout.String() + strings.ReplaceAll(stderr.String(), "ingot: ", "")
			if strings.TrimSuffix(got, "\n") != strings.TrimSuffix(want, "\n") {
				t.Errorf("%s\ngives\n%s\nthe reference says\n%s", command, got, want)
			}
			ran++
		}
	}
	if ran < 10 {
		t.Errorf("only %d examples", ran)
	}
}

// words splits a command as a shell does that knows single quotes only.
func words(command string) []string {
	var out []string
	for i, part := range strings.Split(command, "'") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}
