package element

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ingot/internal/fault"
)

func TestAbout(t *testing.T) {
	for text, want := range map[string]string{
		"=====\nnginx\n=====\n\nBrings a web\nserver. And more.\n":   "Brings a web server.",
		"nginx\n=====\nBrings a web server\n":                        "Brings a web server",
		"# nginx\n\nBrings\x1b[31m it.\n":                            "Brings[31m it.",
		".. note:: x\n\n====\nname\n====\n\n.. image:: x\n\nReally.": "Really.",
		"": "",
	} {
		if got := sentence(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	p := open(t, Own())
	e, err := p.Load("install-bin")
	if err != nil || e.About() == "" {
		t.Errorf("%q, %v", e.About(), err)
	}
}

func TestBlockDevice(t *testing.T) {
	h := merged(t, open(t, elements(t, "e", `
		a/README.rst = a
		b/block-device-default.yaml = default
		b/block-device-arm64.yaml = arm
		b/block-device-ppc64el.yaml = ppc
		c/block-device-amd64.yaml = c
	`)), "a", "b", "c")
	for arch, want := range map[string]string{"amd64": "default", "arm64": "arm", "ppc64el": "ppc", "ppc64le": "ppc"} {
		data, file, others, err := h.Set.BlockDevice(arch)
		if string(data) != want || err != nil || file == "" || (len(others) == 1) != (arch == "amd64") {
			t.Errorf("%s: %s of %s, and %v, %v", arch, data, file, others, err)
		}
	}
}

// A new element has nothing that lint would warn of.
func TestStarter(t *testing.T) {
	for _, name := range []string{"nginx", "my-web_2", "a.b"} {
		files, err := Starter(name)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), name)
		for _, f := range files {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			at := filepath.Join(dir, f.Path)
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			to, err := os.OpenFile(at, os.O_CREATE|os.O_WRONLY, f.Mode)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := to.ReadFrom(r); err != nil {
				t.Fatal(err)
			}
			if err := to.Close(); err != nil {
				t.Fatal(err)
			}
		}
		p := open(t, Own(), Dir(filepath.Dir(dir)))
		list, err := Lint(p, []string{name})
		if err != nil || len(list) != 0 {
			t.Errorf("%s: %v, %v", name, list, err)
		}
		var run []string
		for _, s := range merged(t, p, name).Phase("install.d") {
			if s.Element == name {
				run = append(run, s.Name)
			}
		}
		if len(run) != 1 || !slices.Contains([]string{"50-nginx", "50-my-web_2", "50-a-b"}, run[0]) {
			t.Errorf("%s runs %q", name, run)
		}
	}
	for _, name := range []string{"", "A", "-x", "a/b", "a b"} {
		_, err := Starter(name)
		wantFault(t, err, fault.Usage, "is no name for an element")
	}
}
