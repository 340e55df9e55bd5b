package plan

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/element"
	"ingot/internal/fault"
	"ingot/internal/lock"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// furnished is a definition with elements of its own, found and merged, and its lock.
func furnished(t *testing.T, files map[string]string) *Plan {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files)
	def, err := definition.Load(dir+"/ingot.yaml", definition.Options{HostArch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	path, err := element.Open(element.Dir(dir+"/elements"), element.Own())
	if err != nil {
		t.Fatal(err)
	}
	set, err := def.Elements.Expand(path, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if def.Elements.Hooks, err = element.Merge(set); err != nil {
		t.Fatal(err)
	}
	l := lockOf(t, def)
	for _, s := range slices.Clone(l.Sets) {
		s.Purpose = lock.Base(s.Purpose)
		l.Sets = append(l.Sets, s)
	}
	return planned(t, def, l)
}

var withElements = map[string]string{
	"ingot.yaml": `version: 1
name: web
distro: debian
release: bookworm
arch: [amd64]
elements: [mine]
environment: {MINE: "1"}
users: [{name: ops}]
files: [{path: /etc/motd, content: "hi\n"}]
scripts: [{run: ./setup.sh}]
services: {enable: [mine]}
outputs: [qcow2, tar]
`,
	"setup.sh":                             "#!/bin/sh\n",
	"elements/dpkg/root.d/50-dpkg":         "#!/bin/sh\n",
	"elements/mine/post-install.d/90-do":   "#!/bin/sh\n",
	"elements/mine/finalise.d/10-end":      "#!/bin/sh\n",
	"elements/mine/bin/tool":               "#!/bin/sh\n",
	"elements/mine/post-install.d/do.conf": "a\n",
}

// What a definition says beside its elements stands between their phases, and a change
// runs again what follows it.
func TestElementsBesideTheRest(t *testing.T) {
	p := furnished(t, withElements)
	names, before := keys(p)
	want := "install,system,hooks,root.d/50-dpkg,root.d made a tree,post-install.d/90-do,users,script setup,files,services,finalise.d/10-end,leave,settle"
	for _, purpose := range []string{"container", "machine"} {
		var got []string
		for _, n := range names {
			if name, ok := strings.CutPrefix(n, purpose+": "); ok && name != "tar" && name != "qcow2" {
				got = append(got, name)
			}
		}
		if d := cmp.Diff(want, strings.Join(got, ",")); d != "" {
			t.Errorf("%s: -want +got:\n%s", purpose, d)
		}
	}
	for _, c := range []struct{ summary, file, text, first string }{
		{"an early script", "elements/mine/post-install.d/90-do", "#!/bin/sh\n:\n", "post-install.d/90-do"},
		{"a late script", "elements/mine/finalise.d/10-end", "#!/bin/sh\n:\n", "finalise.d/10-end"},
		{"a file that scripts may use", "elements/mine/bin/tool", "#!/bin/sh\n:\n", "hooks"},
		{"a file beside the scripts", "elements/mine/post-install.d/do.conf", "b\n", "hooks"},
		{"a file beside the scripts", "elements/mine/post-install.d/do.conf", "b\n", "hooks"},
		{"a variable", "ingot.yaml", strings.Replace(withElements["ingot.yaml"], `MINE: "1"`, `MINE: "2"`, 1), "hooks"},
		{"a user", "ingot.yaml", strings.Replace(withElements["ingot.yaml"], "name: ops", "name: dev", 1), "users"},
	} {
		changed := map[string]string{}
		for name, text := range withElements {
			changed[name] = text
		}
		changed[c.file] = c.text
		_, after := keys(furnished(t, changed))
		first := ""
		for _, n := range names {
			if strings.HasPrefix(n, "container: ") && before[n] != after[n] && first == "" {
				first = strings.TrimPrefix(n, "container: ")
			}
		}
		if first != c.first {
			t.Errorf("%s: the first step that runs is %q, want %q", c.summary, first, c.first)
		}
	}
}

// The base is installed before the elements' packages, which are no part of its key.
func TestElementsPackagesAreNoBase(t *testing.T) {
	p := furnished(t, withElements)
	_, before := keys(p)
	for i, s := range p.Lock.Sets {
		if s.Purpose == "container" {
			p.Lock.Sets[i].Refs = append(p.Lock.Sets[i].Refs, ref("listed", "1", "amd64"))
		}
	}
	_, after := keys(planned(t, p.Definition, p.Lock))
	for name, changes := range map[string]bool{"container: install": false, "container: hooks": true} {
		if got := before[name] != after[name]; got != changes || before[name] == (digest.Digest{}) {
			t.Errorf("%s changed: %v, want %v", name, got, changes)
		}
	}
}

// A build takes the files of elements that its plan was made of, and no others: results
// are kept by what the plan read.
func TestElementChangesWhileItBuilds(t *testing.T) {
	for _, name := range []string{"post-install.d/90-do", "post-install.d/do.conf", "bin/tool"} {
		p := furnished(t, withElements)
		w := &worker{plan: p}
		f, ok := p.Definition.Elements.Hooks.Get(name)
		if !ok {
			t.Fatal(name)
		}
		var entries []tree.Entry
		var files []sandbox.NewFile
		if err := w.hook(f, &entries, &files); err != nil || len(files) != 1 {
			t.Errorf("%s: %v, %d files", name, err, len(files))
		}
		if err := os.WriteFile(f.Host(), []byte("#!/bin/sh\n# another one\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.hook(f, &entries, &files); fault.CodeOf(err) != fault.Verification || !strings.Contains(fmt.Sprint(err), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
