package element

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
)

// What a checkout's umask makes of modes is nobody's wish: the same elements are the same.
func TestMergeUnderAnyUmask(t *testing.T) {
	h := merged(t, open(t, elements(t, "e", `
		a/install.d/10-a 0775 = a
		a/install.d/data/x 0664 = a
		a/static/secret 0600 = a
		a/static/sudo 0440 = a
	`)), "a")
	var got strings.Builder
	for _, f := range h.Files {
		if f.Mode.IsRegular() {
			fmt.Fprintf(&got, "%s %s\n", f.Path, f.Mode)
		}
	}
	want := `install.d/10-a -rwxr-xr-x
install.d/data/x -rw-r--r--
static/secret -rw-------
static/sudo -r--r-----
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

// A narrow umask shows on the element's own directory, and took the same from all in it.
// Where it was not narrow, what only the owner may read stays his.
func TestMergeUnderANarrowUmask(t *testing.T) {
	modes := func(mask fs.FileMode) string {
		dir := t.TempDir()
		for _, f := range []struct {
			path string
			mode fs.FileMode
		}{{"a", fs.ModeDir | 0o777}, {"a/install.d", fs.ModeDir | 0o777}, {"a/install.d/10-a", 0o777}, {"a/static", fs.ModeDir | 0o777}, {"a/static/x", 0o666}, {"a/README.rst", 0o666}} {
			at := filepath.Join(dir, f.path)
			if f.mode.IsDir() {
				if err := os.Mkdir(at, 0o700); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(at, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(at, f.mode.Perm()&^mask); err != nil {
				t.Fatal(err)
			}
		}
		p, err := Open(Dir(dir))
		if err != nil {
			t.Fatal(err)
		}
		h := merged(t, p, "a")
		var got strings.Builder
		for _, f := range h.Files {
			fmt.Fprintf(&got, "%s %s\n", f.Path, f.Mode)
		}
		own, err := h.Set.Elements[0].OwnFiles()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range own {
			fmt.Fprintf(&got, "own %s %s\n", f.Path, f.Mode)
		}
		return got.String()
	}
	want := modes(0o022)
	if !strings.Contains(want, "install.d/10-a -rwxr-xr-x\n") || !strings.Contains(want, "own README.rst -rw-r--r--\n") {
		t.Errorf("under 022\n%s", want)
	}
	for _, mask := range []fs.FileMode{0o002, 0o027, 0o007, 0o077} {
		if got := modes(mask); got != want {
			t.Errorf("under %o\n%swant\n%s", mask, got, want)
		}
	}
}

func TestMerge(t *testing.T) {
	h := merged(t, open(t, elements(t, "e", `
		a/README.rst = a
		a/install.d/10-a 0755 = a
		a/install.d/.hidden 0755 = a
		a/install.d/a-source-install/5-x 0755 = a
		a/install.d/tool -> 10-a
		a/static/etc/.dot = a
		a/static/etc/both = a
		a/tests/x = a
		a/__pycache__/x = a
		a/old.pyc = a
		a/empty.d/
		b/README.rst = of b
		b/install.d/20-b 0755 = b
		b/static/etc/both = of b
		b/static/etc/link -> /etc/both
	`)), "a", "b")
	var got strings.Builder
	for _, f := range h.Files {
		fmt.Fprintf(&got, "%s %s %d %s %s\n", f.Path, f.Mode, f.Size, f.Element, f.Target)
	}
	want := `README.rst -rw-r--r-- 4 b 
empty.d drwxr-xr-x 0 a 
install.d dr-xr-xr-x 0 a 
install.d/10-a -rwxr-xr-x 1 a 
install.d/20-b -rwxr-xr-x 1 b 
install.d/a-source-install dr-xr-xr-x 0 a 
install.d/a-source-install/5-x -rwxr-xr-x 1 a 
install.d/tool Lrwxrwxrwx 0 a 10-a
static dr-xr-xr-x 0 a 
static/etc dr-xr-xr-x 0 a 
static/etc/.dot -rw-r--r-- 1 a 
static/etc/both -rw-r--r-- 4 b 
static/etc/link Lrwxrwxrwx 0 b /etc/both
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
	var run []string
	for _, s := range h.Phase("install.d") {
		run = append(run, s.Name+" of "+s.Element+" = "+s.File.Path)
	}
	if want := []string{"tool of a = install.d/10-a", "10-a of a = install.d/10-a", "20-b of b = install.d/20-b"}; !slices.Equal(run, want) {
		t.Errorf("runs %q, want %q", run, want)
	}
	if data, err := h.Read("install.d/tool", 10); string(data) != "a" || err != nil {
		t.Errorf("read %q, %v", data, err)
	}
}

func TestClashes(t *testing.T) {
	for _, row := range []struct{ name, text, err string }{
		{"the same script", "a/install.d/10-x = a\nb/install.d/10-x = b", "the elements a and b both have install.d/10-x | a/install.d/10-x, b/install.d/10-x"},
		{"the same file of any directory", "a/bin/tool = a\nb/bin/tool = b", "both have bin/tool"},
		{"a directory and a file", "a/static/x/y = a\nb/static/x = b", "both have static/x"},
		{"a file and a directory", "a/x = a\nb/x/y = b", "both have x"},
		{"a file below and a directory", "a/static/etc/x/y = a\nb/static/etc/x = b", "both have static/etc/x"},
		{"files below", "a/static/etc/x = a\nb/static/etc/x = b", ""},
		{"files beside", "a/x = a\nb/x = b", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := Expand(open(t, elements(t, "e", row.text)), []string{"a", "b"}, Options{SkipBase: true, AnyOS: true})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Merge(s)
			wantFault(t, err, fault.Definition, row.err)
		})
	}
}

func TestIgnored(t *testing.T) {
	h := merged(t, open(t, elements(t, "e", `
		a/install.d/10-x.sh 0755 = x
		a/install.d/20-y = y
		a/install.d/30-gone -> /nowhere
		a/install.d/package-installs-a = p
		a/install.d/.keep = k
		a/environment.d/10-fine.bash = e
		a/environment.d/has blank = e
		a/bin/tool.sh = b
	`)), "a")
	var got []string
	for _, i := range h.Ignored() {
		got = append(got, i.Path+": "+i.Why)
	}
	want := []string{
		"e/a/install.d/.keep: names that begin with a dot are not merged",
		"a/install.d/10-x.sh: names of scripts have only letters, digits, _ and -: call it 10-x",
		"a/install.d/20-y: it is not executable",
		"a/install.d/30-gone: the link leads nowhere",
		"a/environment.d/has blank: names in environment.d have only letters, digits, _, - and .",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := h.Environment(); !slices.Equal(got, []string{"environment.d/10-fine.bash"}) {
		t.Errorf("environment: %q", got)
	}
}
