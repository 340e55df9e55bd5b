package plan

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/definition"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/tree"
)

// TestSideKeepsInputs has scripts leave files with the names of what the build reads: they
// are refused, and the user's are as they were.
func TestSideKeepsInputs(t *testing.T) {
	dir := t.TempDir()
	d := &definition.Definition{Dir: dir, Elements: &definition.Elements{}, Inputs: []definition.Input{{Path: filepath.Join(dir, "ingot.yaml")}, {Path: filepath.Join(dir, "parts/more.yaml")}}}
	l := &lock.Lock{Files: []lock.File{{Path: "elements/own/install.d/10-do"}}}
	for _, name := range []string{"ingot.yaml", "ingot.lock", "parts/more.yaml", "elements/own/install.d/10-do"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("mine"), 0o644); err != nil {
			t.Fatal(err)
		}
		w := &worker{plan: &Plan{Definition: d, Lock: l}, side: []tree.Entry{{Path: name, Kind: tree.File, Mode: 0o644}}}
		err := w.writeSide(dir)
		if fault.CodeOf(err) != fault.Choice || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if text, err := os.ReadFile(path); string(text) != "mine" {
			t.Errorf("%s holds %q, %v", name, text, err)
		}
	}
}
