package plan

import (
	"testing"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/tree"
)

// An initramfs that nothing starts from is refused before the outputs in front of it are
// written.
func TestInitForeseen(t *testing.T) {
	of := func(format string) Output {
		return Output{Output: definition.Output{Format: format}, Names: []string{"web." + format}}
	}
	for path, refused := range map[string]bool{"etc": true, "init": false, "sbin/init": false} {
		entries := []tree.Entry{{Kind: tree.Dir, Mode: 0o755}, {Path: path, Kind: tree.Dir, Mode: 0o755}}
		if path == "sbin/init" {
			entries = append(entries, tree.Entry{Path: "sbin", Kind: tree.Dir, Mode: 0o755})
		}
		tr, err := tree.New(entries)
		if err != nil {
			t.Fatal(err)
		}
		w := &worker{tree: tr}
		if err := w.foreseeInit(of("initramfs")); (err != nil) != refused {
			t.Errorf("with /%s: %v", path, err)
		}
		if err := w.foreseeInit(of("cpio")); err != nil {
			t.Errorf("a cpio needs no init: %v", err)
		}
		if !refused {
			continue
		}
		// A worker without a plan cannot write anything: that it does not try is the proof.
		if made, err := w.writeAll(t.Context(), []Output{of("tar"), of("initramfs")}, digest.Digest{}); err == nil || made != nil {
			t.Errorf("it made %v, %v", made, err)
		}
	}
}
