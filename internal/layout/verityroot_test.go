package layout_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/boot"
	"ingot/internal/fault"
	"ingot/internal/judge"
)

// The loader is made again with the hash that the root's partition will have, and the
// initramfs gets what opens the root by it.
func TestRootHash(t *testing.T) {
	text := strings.ReplaceAll(hashed, ", key: {file: key}, certificate: {file: certificate}", "")
	r := resolve(t, text, "amd64")
	p := parts(t, r)
	var told []string
	p.Rooted = func(hash string) (boot.Loader, error) {
		told = append(told, hash)
		return p.Loader, nil
	}
	im, err := r.Compose(p)
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || im.Roots[0].Name != "hashes" || told[0] != im.Roots[0].Hash {
		t.Errorf("told %q, and the roots are %+v", told, im.Roots)
	}
	scripts := 0
	for _, f := range r.Files() {
		if strings.HasPrefix(string(f.Data), "#!") {
			scripts++
			script := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(script, f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
			judge.Run(t, "shellcheck", "--shell=sh", "--exclude=SC1091,SC2154", script)
		}
	}
	if scripts != 2 || !slices.Contains(r.Packages("bookworm"), "cryptsetup-bin") || !slices.Contains(r.Drivers(), "dm-verity") {
		t.Errorf("%d scripts, packages %q, drivers %q", scripts, r.Packages("bookworm"), r.Drivers())
	}
	said := resolve(t, strings.Replace(text, "type: root, size", "type: root, uuid: 0FC63DAF-8483-4772-8E79-3D69D8477DE4, size", 1), "amd64")
	if _, err := said.Compose(p); fault.CodeOf(err) != fault.Definition || !strings.Contains(err.Error(), "leave uuid out") {
		t.Errorf("with an identity of its own: %v", err)
	}
}
