package plan

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"ingot/internal/tree"
)

// sealedTree is a tree of empty files, "PATH OWNER MODE" each, and its seal.
func sealedTree(t *testing.T, files ...string) (tree.Tree, []byte) {
	t.Helper()
	entries := []tree.Entry{{Kind: tree.Dir, Mode: 0o755, Owner: "deb:base-files"}}
	for _, f := range files {
		e := tree.Entry{Kind: tree.File}
		parts := strings.Split(f, "|")
		e.Path, e.Owner = parts[0], parts[1]
		if _, err := fmt.Sscanf(parts[2], "%o", &e.Mode); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	tr, err := tree.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := tr.WriteSeal(&text); err != nil {
		t.Fatal(err)
	}
	return tr, text.Bytes()
}

func TestSealDifferences(t *testing.T) {
	_, before := sealedTree(t, "bash|deb:bash|755", "gone|deb:bash|644", "a \"b\" c|step:files|644", "a \"b\" d|step:files|644", "conf|deb:bash|644", "same|deb:bash|644")
	now, text := sealedTree(t, "bash|deb:bash|755", "new|step:script setup|644", "a \"b\" c|step:files|600", "a \"b\" d|step:files|644", "conf|step:script later|600", "same|deb:bash|644")
	want := `
    /a \"b\" c differs (step files)
    /conf differs (step script later)
    /gone is gone
    /new is new (step script setup)`
	if got := listDifferences(before, text, now); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	var many []string
	for i := range 25 {
		many = append(many, fmt.Sprintf("f%02d|deb:many|644", i))
	}
	now, text = sealedTree(t, many...)
	got := listDifferences(nil, text, now)
	if !strings.HasSuffix(got, "/f08 is new (package many)\n    and 16 more") || strings.Count(got, "\n") != 11 {
		t.Errorf("of 26 differences it says %s", got)
	}
}
