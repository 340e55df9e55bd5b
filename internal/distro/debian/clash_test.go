package debian

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/distro"
	"ingot/internal/distro/debian/debtest"
	"ingot/internal/judge"
	"ingot/internal/tree"
)

// TestKeepAsDpkg unpacks packages that bring the same files, with dpkg being told to
// overwrite and with what says whose file stays: files and dpkg's lists come out alike.
func TestKeepAsDpkg(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("dpkg gives files to root: root runs this")
	}
	a := named("a", "file usr/f 1\nfile usr/g 1\nfile usr/own 1", "")
	b := named("b", "file usr/f 2\nfile usr/g 1\nsymlink usr/l g", "")
	c := named("c", "file usr/l 3", "")
	// dpkg's last one stays.
	keep := []distro.Keep{{Path: "/usr/f", Package: "b"}, {Path: "/usr/g", Package: "b"}, {Path: "/usr/l", Package: "c"}}
	var pack debtest.Pack
	pkgs := unpackAll(t, &pack, a, b, c)
	entries, err := ground{}.merge(pkgs, unpackedNames(nil), keep)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, d := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string][]byte{"var/lib/dpkg/status": nil, "a.deb": a.Bytes(), "b.deb": b.Bytes(), "c.deb": c.Bytes()} {
		if err := os.WriteFile(filepath.Join(root, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a.deb", "b.deb", "c.deb"} {
		judge.Run(t, "dpkg", "--root="+root, "--force-overwrite", "--force-depends", "--unpack", filepath.Join(root, name))
	}
	var want, got strings.Builder
	for _, e := range entries {
		if e.Kind == tree.Dir {
			continue
		}
		path := filepath.Join(root, e.Path)
		if e.Kind == tree.Symlink {
			to, _ := os.Readlink(path)
			want.WriteString(e.Path + " -> " + to + "\n")
			got.WriteString(e.Path + " -> " + e.Link + "\n")
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		want.WriteString(e.Path + " " + string(data) + "\n")
		got.WriteString(e.Path + " " + string(pack.Bytes()[e.Content.Offset:e.Content.Offset+e.Content.Size]) + "\n")
	}
	ours := lists(pkgs)
	for _, name := range []string{"a", "b", "c"} {
		text, err := os.ReadFile(filepath.Join(root, infoDir, name+".list"))
		if err != nil {
			t.Fatal(err)
		}
		want.WriteString(name + ": " + sortedWords(string(text)) + "\n")
		got.WriteString(name + ": " + sortedWords(string(ours[infoDir+name+".list"].data)) + "\n")
	}
	if d := cmp.Diff(want.String(), got.String()); d != "" {
		t.Errorf("-dpkg +ingot:\n%s", d)
	}
}

func sortedWords(text string) string {
	return strings.Join(slices.Sorted(slices.Values(strings.Fields(text))), " ")
}
