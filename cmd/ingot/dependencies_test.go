package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// docs/dependencies.md gives a reason for each module that go.mod names directly,
// and for no other.
func TestDependenciesAreExplained(t *testing.T) {
	read := func(path, pattern string) []string {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(data), -1) {
			if !strings.HasSuffix(m[0], "// indirect") {
				out = append(out, m[1])
			}
		}
		slices.Sort(out)
		return out
	}
	direct := read("../../go.mod", `(?m)^(?:require |\t)(\S+) v\S+.*$`)
	if len(direct) < 10 {
		t.Fatalf("go.mod has %q", direct)
	}
	// Three columns or more behind the module, none of them empty.
	explained := read("../../docs/dependencies.md", `(?m)^\| ([a-z][^ |]*\.[^ |]*)(?: \| [^|]*[^| ]){3,} \|$`)
	if d := cmp.Diff(direct, explained); d != "" {
		t.Errorf("go.mod against docs/dependencies.md (-go.mod +docs):\n%s", d)
	}
}
