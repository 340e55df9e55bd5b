package plan

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/distro/debian/debtest"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/format"
	"ingot/internal/lock"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// built is a definition that is built, with packages of a made archive.
var built = map[string]string{
	"ingot.yaml": `version: 1
name: web
distro: debian
release: bookworm
arch: [amd64]
hostname: made
files:
  - {path: /etc/motd, content: "hi", mode: "0600", owner: daemon, group: "7"}
  - {path: /srv/site, source: ./site}
scripts:
  - {name: one, run: ./one.sh, reads: [data/]}
  - {name: two, run: ./two.sh, after: files}
outputs: [tar, dir]
`,
	"one.sh":        "#!/bin/sh\nfirst\n",
	"two.sh":        "#!/bin/sh\nsecond\n",
	"data/a":        "a",
	"site/a/b.html": "b",
	"site/run":      "#!/bin/sh\n",
}

// A factory builds a definition again and again.
type factory struct {
	*Runner
	dir  string
	refs []distro.Ref
}

func newFactory(t *testing.T, more ...debtest.Deb) *factory {
	t.Helper()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	debs := []debtest.Deb{
		{Name: "shell", Arch: "amd64", Fields: "Essential: yes", Files: append(debtest.Files("dir usr/bin"), debtest.File{Name: "./usr/bin/sh", Mode: 0o755, Data: debtest.Recorder(t)})},
		{Name: "system", Arch: "amd64", Files: append(debtest.Files(`dir etc/apt/sources.list.d
			file etc/group root:x:0:
			file etc/machine-id 0123
			file etc/ssh/ssh_host_rsa_key secret
			file etc/ssh/sshd_config kept
			file var/lib/dbus/machine-id 0123
			file var/lib/systemd/random-seed 0123
			file etc/ssl/private/ssl-cert-snakeoil.key secret
			file etc/ssl/certs/ssl-cert-snakeoil.pem cert
			symlink etc/ssl/certs/0123.0 ssl-cert-snakeoil.pem
			symlink etc/ssl/certs/4567.0 other.pem`), debtest.File{Name: "./etc/passwd", Data: "root:x:0:0::/:/bin/sh\ndaemon:x:1:1::/:/bin/sh\n"})},
	}
	debs = append(debs, more...)
	a := debtest.NewArchive(t, debtest.NewSigner(t, now))
	a.Offer(t, now, debs...)
	f := &factory{Runner: runner(t), dir: t.TempDir()}
	f.Distro, f.HostArch, f.Version = debian.Debian{}, "amd64", "test"
	f.Supply.Client, f.Supply.Distro = &fetch.Client{Backoff: time.Millisecond}, debian.Debian{}
	f.Supply.Mirrors = func(string) []string { return []string{a.URL} }
	for _, d := range debs {
		f.refs = append(f.refs, d.Ref("debian"))
	}
	write(t, f.dir, built)
	return f
}

// plan loads the definition and locks it.
func (f *factory) plan(t *testing.T) *Plan {
	t.Helper()
	def, l := locked(t, f.dir)
	l.Sets = []lock.Set{{Arch: "amd64", Purpose: format.Container, Refs: f.refs}}
	return planned(t, def, l)
}

// content is the files of the built archive: mode, owner and what they hold.
func content(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	out := map[string]string{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(io.LimitReader(r, 1<<16))
		if err != nil {
			t.Fatal(err)
		}
		out["/"+strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")] = fmt.Sprintf("%04o %d:%d %s", h.Mode&0o7777, h.Uid, h.Gid, data)
	}
}

// TestRun builds, changes one thing, and looks what runs again and what comes out.
func TestRun(t *testing.T) {
	f := newFactory(t)
	path := filepath.Join(f.To, "web-amd64.tar")
	const all = "install system script one files script two settle"
	var first [32]byte
	for i, c := range []struct {
		summary string
		happens func() error
		runs    string // steps and outputs
		same    bool   // the bytes of the archive as those of the first build
	}{
		{"the first time", func() error { return nil }, all + " tar dir", true},
		{"again", func() error { return nil }, "", true},
		{"the archive is gone", func() error { return os.Remove(path) }, "tar", true},
		{"what a script reads changes", func() error { return os.WriteFile(filepath.Join(f.dir, "data/a"), []byte("b"), 0o600) }, "script one files script two settle tar dir", true},
		{"a later script changes", func() error {
			return os.WriteFile(filepath.Join(f.dir, "two.sh"), []byte("#!/bin/sh\nthird\n"), 0o600)
		}, "script two settle tar dir", false},
		{"it changes back", func() error {
			return errors.Join(os.WriteFile(filepath.Join(f.dir, "two.sh"), []byte(built["two.sh"]), 0o755), os.Chmod(filepath.Join(f.dir, "two.sh"), 0o755))
		}, "tar dir", true},
		{"the cache is emptied", func() error { return os.RemoveAll(filepath.Join(f.Supply.Cache.Dir(), "entries")) }, all + " tar dir", true},
		{"without the cache", func() error { f.NoCache = true; return nil }, all + " tar dir", true},
	} {
		if err := c.happens(); err != nil {
			t.Fatal(err)
		}
		p := f.plan(t)
		var runs []string
		steps, outputs := f.Known(p, p.Chains[0])
		for i, s := range p.Chains[0].Steps {
			if !steps[i] {
				runs = append(runs, s.Name)
			}
		}
		for i, o := range p.Chains[0].Outputs {
			if !outputs[i] {
				runs = append(runs, o.Format)
			}
		}
		if got := strings.Join(runs, " "); got != c.runs {
			t.Errorf("%s: to run are %q, want %q", c.summary, got, c.runs)
		}
		got, err := f.Run(t.Context(), p)
		if err != nil {
			t.Fatalf("%s: %v", c.summary, err)
		}
		if got.Run != len(runs) || got.Run+got.Cached != len(steps)+len(outputs) {
			t.Errorf("%s: %d ran and %d did not, want %d and %d", c.summary, got.Run, got.Cached, len(runs), len(steps)+len(outputs)-len(runs))
		}
		for _, a := range got.Artifacts {
			if a.Format != "tar" {
				continue
			}
			if i == 0 {
				first = a.Files[0].SHA256
			}
			if same := a.Files[0].SHA256 == first; same != c.same {
				t.Errorf("%s: the archive is the same: %v", c.summary, same)
			}
		}
	}
}

func TestRunMakesWhatTheDefinitionSays(t *testing.T) {
	f := newFactory(t)
	if _, err := f.Run(t.Context(), f.plan(t)); err != nil {
		t.Fatal(err)
	}
	got := content(t, filepath.Join(f.To, "web-amd64.tar"))
	for path, want := range map[string]string{
		"/etc/hostname":                          "0644 0:0 made\n",
		"/etc/motd":                              "0600 1:7 hi",
		"/srv/site/a/b.html":                     "0644 0:0 b",
		"/srv/site/run":                          "0755 0:0 #!/bin/sh\n",
		"/etc/apt/sources.list.d/debian.sources": "0644 0:0 Types: deb\nURIs: http://archive.example/debian\nSuites: bookworm\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
		"/etc/machine-id":                        "0444 0:0 ",
		"/etc/ssh/sshd_config":                   "0644 0:0 kept",
		"/etc/ssl/certs/4567.0":                  "0777 0:0 ",
		"/etc/ssh/ssh_host_rsa_key":              "",
		"/var/lib/dbus/machine-id":               "",
		"/var/lib/systemd/random-seed":           "",
		"/etc/ssl/private/ssl-cert-snakeoil.key": "",
		"/etc/ssl/certs/ssl-cert-snakeoil.pem":   "",
		"/etc/ssl/certs/0123.0":                  "",
		"/" + sandbox.Scripts:                    "",
		"/usr/sbin/policy-rc.d":                  "",
		"/var/lib/dpkg/info/shell.list":          "0644 0:0 /.\n/usr\n/usr/bin\n/usr/bin/sh\n",
		"/var/lib/dpkg/triggers/Unincorp":        "0644 0:0 ",
		"/etc/initramfs-tools/conf.d/root-type":  "",
	} {
		if diff := cmp.Diff(want, got[path]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	said := got["/said"]
	at := -1
	for _, want := range []string{"configure shell", "configure system", "zoneinfo", "first", "second"} {
		now := strings.Index(said, want)
		if now <= at {
			t.Errorf("%q is not said, or too early:\n%s", want, said)
		}
		at = now
	}
	var names []string
	entries, err := os.ReadDir(f.To)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"SHA256SUMS", "web-amd64", "web-amd64.container.seal", "web-amd64.intoto.json", "web-amd64.manifest.json", "web-amd64.spdx.json", "web-amd64.tar", "web-amd64.tar.intoto.json", "web-amd64.tar.manifest.json", "web-amd64.tar.spdx.json"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestRunFails(t *testing.T) {
	ready := newFactory(t) // its cache has the first step's result
	if _, err := ready.Run(t.Context(), ready.plan(t)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		summary string
		files   map[string]string
		happens func(dir string, p *Plan) error // after the plan was made
		want    string
		code    fault.Code
	}{
		{"a script fails", map[string]string{"two.sh": "#!/bin/sh\nfail\n"}, nil, "/ingot.yaml:12: script \"two\" exited with code 3; it said:\n    it fails", fault.Failed},
		{"a script without its interpreter", map[string]string{"two.sh": "#!/bin/nothing\n"}, nil, "/ingot.yaml:12: script two: the image has no /bin/nothing", fault.Failed},
		{"a user that is not there", map[string]string{"ingot.yaml": strings.Replace(built["ingot.yaml"], "owner: daemon", "owner: nobody", 1)}, nil, `file /etc/motd: the image has no user "nobody"`, fault.Definition},
		{"a group that is not there", map[string]string{"ingot.yaml": strings.Replace(built["ingot.yaml"], `group: "7"`, "group: staff", 1)}, nil, `file /etc/motd: the image has no group "staff"`, fault.Definition},
		{"a script that changed since", map[string]string{"one.sh": "#!/bin/sh\nnew\n"}, func(dir string, _ *Plan) error {
			return os.WriteFile(filepath.Join(dir, "one.sh"), []byte("#!/bin/sh\nnewer\n"), 0o600)
		}, "one.sh is not the file that the lock names", fault.Verification},
		{"a source that went away", map[string]string{"site/a/b.html": "new"}, func(dir string, _ *Plan) error { return os.Remove(filepath.Join(dir, "site/a/b.html")) }, "cannot read what the definition names", fault.Failed},
		{"a source that became a link out", map[string]string{"site/a/b.html": "newer"}, func(dir string, _ *Plan) error {
			file := filepath.Join(dir, "site/a/b.html")
			return errors.Join(os.Remove(file), os.Symlink("/etc/passwd", file))
		}, "cannot read what the definition names", fault.Failed},
		{"another tree than that of the first build", nil, func(_ string, p *Plan) error {
			p.Lock.Seals = []lock.Seal{{Arch: "amd64", Purpose: format.Container, SHA256: p.Lock.Definition}}
			return nil
		}, "differs from the one that the first build of this lock made", fault.Verification},
		{"a package that no mirror has", nil, func(_ string, p *Plan) error {
			p.Chains[0].Set.Refs[1].SHA256[0] ^= 1
			*p = *planned(t, p.Definition, p.Lock)
			return nil
		}, "system", fault.Verification},
	} {
		t.Run(c.summary, func(t *testing.T) {
			f := *ready
			f.dir, f.refs = t.TempDir(), slices.Clone(ready.refs)
			files := maps.Clone(built)
			maps.Copy(files, c.files)
			write(t, f.dir, files)
			p := f.plan(t)
			if c.happens != nil {
				if err := c.happens(f.dir, p); err != nil {
					t.Fatal(err)
				}
			}
			_, err := f.Run(t.Context(), p)
			if err == nil || !strings.Contains(err.Error(), c.want) || fault.CodeOf(err) != c.code {
				t.Errorf("error is %v with code %d, want %q and %d", err, fault.CodeOf(err), c.want, c.code)
			}
		})
	}
	p := ready.plan(t)
	ready.To = filepath.Join(ready.dir, "one.sh", "below a file")
	if _, err := ready.Run(t.Context(), p); fault.CodeOf(err) != fault.Preflight {
		t.Errorf("no place for artifacts: %v", err)
	}
}

func TestScripts(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{shellQuote("a'b $c"), `'a'\''b $c'`},
		{quoteAll([]string{"a", "b c"}), "'a' 'b c'"},
		{timezoneScript("Etc/UTC"), "else :; fi"},
		{timezoneScript("Europe/Paris"), "the image has no time zone"},
		{timezoneScript("x'; reboot; '"), `'x'\''; reboot; '\'''`},
		{localeScript("de_DE.ISO-8859-1@euro"), "'de_DE.ISO-8859-1@euro ISO-8859-1'"},
		{localeScript("de_DE"), "'de_DE UTF-8'"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("%q does not contain %q", c.got, c.want)
		}
	}
	for name, want := range map[string]string{"web": "web", "web.example.org": "web.example.org web"} {
		if got := hostNames(name); got != want {
			t.Errorf("the names of %s are %q, want %q", name, got, want)
		}
	}
	if strings.Contains(localeScript("C.UTF-8"), "locale-gen") {
		t.Error("C.UTF-8 is generated")
	}
}

// heavy has packages that are larger than any disk once they are installed.
type heavy struct{ distro.Distro }

func (h heavy) Describe(p distro.Package) distro.Description {
	d := h.Distro.Describe(p)
	d.Installed = 1 << 60
	return d
}

// TestRunWithoutRoom has packages larger than any disk, and an artifact that cannot be
// put in its place.
func TestRunWithoutRoom(t *testing.T) {
	f := newFactory(t)
	p := f.plan(t)
	p.Chains[0].Set.Refs = slices.Clone(f.refs)
	p.Chains[0].Set.Refs[0].Size = 1 << 60
	_, err := f.Run(t.Context(), p)
	if fault.CodeOf(err) != fault.Preflight || !strings.Contains(err.Error(), "artifacts in "+f.To) || !strings.Contains(fault.HintOf(err), "--to") {
		t.Errorf("%v", err)
	}
	// Packages that say they install more: known before a step runs.
	all := f.Distro
	f.Distro = heavy{all}
	out, err := f.Run(t.Context(), f.plan(t))
	if fault.CodeOf(err) != fault.Preflight || !strings.Contains(err.Error(), "artifacts in "+f.To) || out == nil || len(out.Times) > 0 || strings.Contains(err.Error(), "step ") {
		t.Errorf("%v", err)
	}
	f.Distro = all
	if err := os.MkdirAll(filepath.Join(f.To, "web-amd64.tar", "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Run(t.Context(), f.plan(t)); err == nil {
		t.Error("it is done")
	}
	left, err := filepath.Glob(filepath.Join(f.To, "*"))
	if err != nil || !slices.Equal(left, []string{filepath.Join(f.To, "web-amd64.tar")}) {
		t.Errorf("beside no artifact lie %q, %v", left, err)
	}
}

// TestResultsOfTwoRuns has a run leave the first step's work to the second's result, and end
// before that is kept: the second's of an earlier run holds nothing of the first's.
func TestResultsOfTwoRuns(t *testing.T) {
	r := runner(t)
	r.Progress = nil
	var steps []Step
	for _, name := range []string{"one", "two"} {
		steps = append(steps, Step{Name: name, Key: digest.Of([]byte(name)), data: func(e *edit) error {
			n, err := e.file(name, 0o644, []byte(name))
			if err != nil {
				return err
			}
			return e.apply([]tree.Entry{{Kind: tree.Dir, Mode: 0o755}, n})
		}})
	}
	c := Chain{Steps: steps}
	begin := func() *worker {
		w := newWorker(r, &Plan{Lock: &lock.Lock{}}, c)
		t.Cleanup(w.close)
		return w
	}
	first := begin()
	for _, s := range steps {
		if err := first.perform(t.Context(), s, true); err != nil {
			t.Fatal(err)
		}
	}
	known := func() (int, bool) {
		_, whole := r.Tree(c)
		return begin().applyKnown(&Result{}), whole
	}
	if next, whole := known(); next != 2 || !whole {
		t.Errorf("step %d is next, whole %t", next, whole)
	}
	foreseen := func() bool {
		r.HostArch, r.foreign = runtime.GOARCH, nil
		if err := r.foreseeForeign(t.Context(), &Plan{Lock: &lock.Lock{}, Chains: []Chain{{Arch: runtime.GOARCH, Steps: steps, Definition: &definition.Definition{}}}}); err != nil {
			t.Fatal(err)
		}
		_, asked := r.foreign[runtime.GOARCH]
		return asked
	}
	if foreseen() {
		t.Error("what programs need is asked where none will run")
	}
	broken := begin()
	broken.started = time.Now()
	light := steps[0]
	light.light, light.work = true, func(context.Context, *worker) error { return nil }
	if err := broken.perform(t.Context(), light, false); err != nil {
		t.Fatal(err)
	}
	if next, whole := known(); next != 0 || whole {
		t.Errorf("after the other run step %d is next, whole %t", next, whole)
	}
	if !foreseen() {
		t.Error("what programs need is not asked before they run")
	}
	if all, _ := r.Known(&Plan{Lock: &lock.Lock{}, Definition: &definition.Definition{}}, Chain{Steps: steps, Definition: &definition.Definition{}}); slices.Contains(all, true) {
		t.Errorf("known: %v", all)
	}
}

// TestStepsAtOnce has another build perform the same step meanwhile, with another
// outcome: each reads what it made, and the cache holds one of both whole.
func TestStepsAtOnce(t *testing.T) {
	r := runner(t)
	r.Progress = nil
	p := &Plan{Lock: &lock.Lock{}}
	step := func(said string) Step {
		return Step{Name: "one", Key: digest.Of([]byte("key")), data: func(e *edit) error {
			n, err := e.file("said", 0o644, []byte(said))
			if err != nil {
				return err
			}
			return e.apply([]tree.Entry{{Kind: tree.Dir, Mode: 0o755}, n})
		}}
	}
	begin := func() *worker {
		w := newWorker(r, p, Chain{Steps: []Step{step("")}})
		t.Cleanup(w.close)
		return w
	}
	said := []string{"first", "other"}
	workers := []*worker{begin(), begin()}
	for i, w := range workers {
		if err := w.perform(t.Context(), step(said[i]), true); err != nil {
			t.Fatal(err)
		}
	}
	for i, w := range workers {
		if got, err := w.read(w.tree, "said"); err != nil || string(got) != said[i] {
			t.Errorf("build %d reads %q, %v, want %q", i, got, err, said[i])
		}
	}
	// A build that is killed between pack and delta leaves the pack alone.
	pack, err := r.Supply.Cache.Create(packName(digest.Of([]byte("third"))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pack.Write([]byte("third")); err != nil {
		t.Fatal(err)
	}
	if err := pack.Commit(); err != nil {
		t.Fatal(err)
	}
	later := begin()
	if next := later.applyKnown(&Result{}); next != 1 {
		t.Fatalf("step %d is next, want none", next)
	}
	if got, err := later.read(later.tree, "said"); err != nil || string(got) != "other" {
		t.Errorf("a later build reads %q, %v", got, err)
	}
	if !r.known(step("")) {
		t.Error("the step is not known")
	}
	if err := os.Remove(filepath.Join(r.Supply.Cache.Dir(), "entries", packName(digest.Of([]byte("other"))))); err != nil {
		t.Fatal(err)
	}
	if r.known(step("")) {
		t.Error("the step is known without its pack")
	}
}

func TestShellError(t *testing.T) {
	exit := &sandbox.ExitError{Program: "/bin/sh", Code: 6}
	for _, c := range []struct {
		err              error
		said, want, hint string
	}{
		{nil, "all is well\n", "", ""},
		{io.ErrUnexpectedEOF, "useradd: no\n", "unexpected EOF", ""},
		{exit, " \n", "/bin/sh exited with code 6", ""},
		{exit, "useradd: no\n", "useradd: no", ""},
		{exit, "one\ntwo\n", "a program of the image failed:\n    one\n    two", ""},
		{exit, "no zone\nhint: add it\n", "no zone", "add it"},
		{&sandbox.ExitError{Program: "/bin/sh", Code: -1, Signal: 9}, "one\n", "/bin/sh was ended by signal 9 (killed)", ""},
	} {
		got := shellError(c.err, c.said)
		if got == nil {
			got = errors.New("")
		}
		if got.Error() != c.want || fault.HintOf(got) != c.hint {
			t.Errorf("%v after %q is %q with hint %q, want %q and %q", c.err, c.said, got, fault.HintOf(got), c.want, c.hint)
		}
	}
}
