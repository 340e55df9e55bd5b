package repository

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/definition"
	"ingot/internal/element"
	"ingot/internal/fault"
	"ingot/internal/lock"
)

// merged loads a definition and merges its elements, as a build does with elements of this
// machine alone.
func merged(t *testing.T, dir string, path ...string) (*definition.Definition, *lock.Lock) {
	t.Helper()
	def, err := definition.Load(dir, definition.Options{HostArch: "amd64", ElementsPath: path})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range def.Variants() {
		if v.Elements == nil {
			continue
		}
		var sources []element.Source
		for _, d := range v.Elements.Path {
			sources = append(sources, element.Dir(d))
		}
		p, err := element.Open(sources...)
		if err != nil {
			t.Fatal(err)
		}
		set, err := v.Elements.Expand(p, v.Arch[0])
		if err != nil {
			t.Fatal(err)
		}
		if v.Elements.Hooks, err = element.Merge(set); err != nil {
			t.Fatal(err)
		}
	}
	files, err := lock.Files(def)
	if err != nil {
		t.Fatal(err)
	}
	return def, &lock.Lock{Files: files}
}

// hooksOf are the merged files of each flavor's elements, a line each.
func hooksOf(def *definition.Definition) string {
	var b strings.Builder
	for _, v := range def.Variants() {
		b.WriteString("[" + v.FlavorName + "]\n")
		if v.Elements == nil {
			continue
		}
		for _, f := range v.Elements.Hooks.Files {
			b.WriteString(f.Mode.String() + " " + f.Path + " " + f.Target + " " + f.Digest.Short() + " " + f.Element + "\n")
		}
	}
	return b.String()
}

func writeAll(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(at, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// elementDefinition is a definition that has an element in one flavor and another in all.
var elementDefinition = map[string]string{
	"ingot.yaml":                         "version: 1\nname: web\ndistro: debian\nrelease: bookworm\ndeclared: ./declared\nelements: [greet, {name: far, when: two}]\nfiles: [{path: /etc/x, source: ./elements/greet/static/etc/x}]\nscripts: [{run: ./setup.sh}]\noutputs: [tar]\nflavors: {two: {packages: [tree]}}\n",
	"declared/flags/two":                 "sense: prefernot\nabout: a second one\n",
	"setup.sh":                           "#!/bin/sh\n",
	"elements/greet/element-deps":        "dpkg\n",
	"elements/greet/pkg-map":             "{}\n",
	"elements/greet/install.d/50-greet":  "#!/bin/sh\n",
	"elements/greet/install.d/deep/data": "plain\n",
	"elements/greet/static/.profile":     "hidden\n", "elements/greet/.notes": "scripts may read it\n", "elements/greet/bin/.dot": "and this\n",
	"elements/greet/static/etc/x":            "x\n",
	"elements/greet/static/root/.ssh/secret": "key\n",
	"elements/greet/tests/never":             "no\n",
	"elements/greet/package-installs.yaml":   "tree:\n",
	"elements/unused/install.d/50-never":     "#!/bin/sh\n",
}

// TestElementsAreKept holds that what a group keeps of a definition has the elements that it is
// made of, wherever they lay, so that another machine merges the same.
func TestElementsAreKept(t *testing.T) {
	dir, far := t.TempDir(), t.TempDir()
	writeAll(t, dir, elementDefinition)
	writeAll(t, far, map[string]string{
		"dpkg/element-provides": "", "dpkg/bin/install-packages": "#!/bin/sh\n",
		"far/install.d/60-far": "#!/bin/sh\n", "far/pkg-map": "{ }\n", "shared/finalise.d/70-shared": "#!/bin/sh\n",
	})
	for at, mode := range map[string]os.FileMode{"elements/greet/static/root/.ssh": 0o700, "elements/greet/static/root/.ssh/secret": 0o600} {
		if err := os.Chmod(filepath.Join(dir, at), mode); err != nil {
			t.Fatal(err)
		}
	}
	for at, to := range map[string]string{
		filepath.Join(dir, "elements/greet/static/link"): "/nowhere/at/all", filepath.Join(far, "far/finalise.d"): "../shared/finalise.d",
		filepath.Join(far, "far/empty"): "", // a directory
	} {
		var err error
		if to == "" {
			err = os.MkdirAll(at, 0o755)
		} else {
			err = os.Symlink(to, at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	def, l := merged(t, dir, far)
	source, err := pack(def, l)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := pack(def, l); err != nil || !bytes.Equal(source, again) {
		t.Errorf("packed again it has other bytes: %v", err)
	}
	out := t.TempDir()
	root, err := os.OpenRoot(out)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close() //nolint:errcheck // a test's
	if err := unpack(root, source); err != nil {
		t.Fatal(err)
	}
	got, now := merged(t, out)
	if d := cmp.Diff(hooksOf(def), hooksOf(got)); d != "" {
		t.Errorf("merged from what was kept, -was +is:\n%s", d)
	}
	if d := cmp.Diff(l.Files, now.Files); d != "" {
		t.Errorf("the lock's files, -was +is:\n%s", d)
	}
	if got.Digest() != def.Digest() {
		t.Error("the definition is another")
	}
	for _, name := range []string{"elements/greet/.notes", "elements/greet/bin/.dot"} {
		if _, err := os.Lstat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"elements/unused", "elements/greet/tests"} {
		if _, err := os.Lstat(filepath.Join(out, name)); err == nil {
			t.Errorf("%s is kept, and nothing reads it", name)
		}
	}
}

func TestElementsThatCannotBeKept(t *testing.T) {
	for what, change := range map[string]struct {
		do   func(t *testing.T, dir string)
		code fault.Code
		want string
	}{
		"changed since": {func(t *testing.T, dir string) {
			writeAll(t, dir, map[string]string{"elements/greet/install.d/50-greet": "#!/bin/sh\nexit 1\n"})
		}, fault.Verification, "install.d/50-greet"},
		"a link to a neighbour": {func(t *testing.T, dir string) {
			if err := os.Symlink("../../unused/install.d/50-never", filepath.Join(dir, "elements/greet/static/never")); err != nil {
				t.Fatal(err)
			}
		}, fault.Definition, "static/never is a link that leads out"},
		"gone since": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "elements/greet/install.d/50-greet")); err != nil {
				t.Fatal(err)
			}
		}, fault.Verification, "install.d/50-greet"},
		"a list that is a link out": {func(t *testing.T, dir string) {
			at := filepath.Join(dir, "elements/greet/svc-map")
			if err := os.Symlink("../../setup.sh", at); err != nil {
				t.Fatal(err)
			}
		}, fault.Definition, "svc-map"},
	} {
		t.Run(what, func(t *testing.T) {
			dir, far := t.TempDir(), t.TempDir()
			writeAll(t, dir, elementDefinition)
			writeAll(t, far, map[string]string{"dpkg/element-provides": "", "far/install.d/60-far": "#!/bin/sh\n"})
			def, l := merged(t, dir, far)
			change.do(t, dir)
			_, err := pack(def, l)
			if fault.CodeOf(err) != change.code || err == nil || !strings.Contains(err.Error(), change.want) {
				t.Errorf("exit code %d, %v", fault.CodeOf(err), err)
			}
		})
	}
}

// TestUnpackModes holds that what comes out has its permissions, whatever the umask, and no
// others than files can have.
func TestUnpackModes(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "d", Typeflag: tar.TypeDir, Mode: 0o500}, {Name: "d/f", Typeflag: tar.TypeReg, Mode: 0o4640}, {Name: "x", Typeflag: tar.TypeReg, Mode: 0o777},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close() //nolint:errcheck // a test's
	if err := unpack(root, b.Bytes()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"d": fs.ModeDir | 0o500, "d/f": 0o640, "x": 0o755} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want %v", name, info.Mode(), err, want)
		}
	}
	_ = os.Chmod(filepath.Join(dir, "d"), 0o700)
}
