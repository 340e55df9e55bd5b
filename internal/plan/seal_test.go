package plan

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/cache"
	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/format"
	"ingot/internal/lock"
	"ingot/internal/store"
	"ingot/internal/supply"
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

// runner has a store, a cache and a place for artifacts of its own.
func runner(t *testing.T) *Runner {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(filepath.Join(dir, "home"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(filepath.Join(dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	r := &Runner{Supply: &supply.Supply{Store: st, Cache: c}, To: filepath.Join(dir, "out")}
	if err := os.Mkdir(r.To, 0o755); err != nil {
		t.Fatal(err)
	}
	return r
}

// treeOf makes a tree of files, their paths and contents in turn.
func treeOf(t *testing.T, files ...string) tree.Tree {
	t.Helper()
	entries := []tree.Entry{{Kind: tree.Dir, Mode: 0o755}}
	for i := 0; i < len(files); i += 2 {
		data := []byte(files[i+1])
		entries = append(entries, tree.Entry{Path: files[i], Kind: tree.File, Mode: 0o644, Owner: "deb:made", Content: tree.Content{Size: int64(len(data)), Digest: digest.Of(data)}})
	}
	made, err := tree.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestSeal builds the same lock again and again.
func TestSeal(t *testing.T) {
	r := runner(t)
	seal := func(r *Runner, tr tree.Tree, seals ...lock.Seal) (lock.Seal, error) {
		w := &worker{Runner: r, tree: tr, chain: Chain{Arch: "amd64", Purpose: format.Container}, plan: &Plan{Definition: &definition.Definition{Name: "web"}, Lock: &lock.Lock{Seals: seals}}}
		s, err := w.seal()
		if err != nil {
			return s, err
		}
		return s, w.writeSeal()
	}
	first, err := seal(r, treeOf(t, "etc", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if want := treeOf(t, "etc", "1").Seal(); first != (lock.Seal{Arch: "amd64", Purpose: format.Container, SHA256: want}) {
		t.Errorf("got %v, want %s", first, want)
	}
	list, err := os.ReadFile(filepath.Join(r.To, "web-amd64.container.seal"))
	if err != nil || digest.Of(list) != first.SHA256 {
		t.Errorf("the list beside the artifacts is %q: %v", list, err)
	}
	if err := r.Supply.Store.Verify(first.SHA256); err != nil {
		t.Error(err)
	}
	if again, err := seal(r, treeOf(t, "etc", "1"), first); err != nil || again != first {
		t.Errorf("again: %v %v", again, err)
	}
	if _, err := seal(r, treeOf(t, "other", "1"), lock.Seal{Arch: "arm64", Purpose: format.Container, SHA256: first.SHA256}, lock.Seal{Arch: "amd64", Purpose: format.Machine, SHA256: first.SHA256}); err != nil {
		t.Errorf("the seal of another chain counts: %v", err)
	}
	for _, c := range []struct {
		summary string
		runner  *Runner
		want    string
	}{
		{"with the list in the store", r, "the container tree for amd64 differs from the one that the first build of this lock made:\n    /etc differs (package made)\n    /more is new (package made)"},
		{"with another store", runner(t), "made (whose list is not in this store)"},
	} {
		_, err := seal(c.runner, treeOf(t, "etc", "2", "more", "1"), first)
		if fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), "--reseal") {
			t.Errorf("%s: %v, hint %q", c.summary, err, fault.HintOf(err))
		}
	}
	var many []string
	for _, c := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		many = append(many, c, "1")
	}
	if _, err := seal(r, treeOf(t, many...), first); err == nil || !strings.HasSuffix(err.Error(), "\n    and 17 more") {
		t.Errorf("many differences: %v", err)
	}
}
