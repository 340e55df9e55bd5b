package main_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// A planned is what plan --json prints.
type planned struct {
	Chains []struct {
		Purpose string
		Missing int
		Steps   []struct {
			Name, Key string
			Cached    bool
		}
	}
}

// running names the steps that a plan would run.
func (p *project) running(t *testing.T, args ...string) []string {
	t.Helper()
	var plan planned
	parse(t, []byte(p.must(t, append([]string{"plan", "--json", "--to", "out"}, args...)...)), &plan)
	names := []string{}
	for _, c := range plan.Chains {
		for _, s := range c.Steps {
			if !s.Cached {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// caching judges which steps run again, what plan says of it before, and who put a
// path there.
func (c *court) caching(t *testing.T) {
	p := c.project(t, map[string]string{
		"ingot.yaml": `version: 1
name: steps
distro: debian
release: bookworm
kernel: none
files: [{path: /etc/note, source: ./note}]
scripts:
  - {name: one, run: ./one.sh, reads: [data/]}
  - {name: two, run: ./two.sh}
  - {name: three, run: ./three.sh, after: files}
outputs: [tar, tar.gz]
`,
		"note": "a note\n", "data/in": "1\n",
		"one.sh": "#!/bin/sh\ncp data/in /etc/one\n", "two.sh": "#!/bin/sh\necho 2 >/etc/two\n", "three.sh": "#!/bin/sh\ncat /etc/one /etc/note >/etc/three\n",
	})
	p.build(t)
	first := sums(t, p.path("out"))
	t.Run("told to programs", func(t *testing.T) {
		v := p.ingot(t, "build", "--to", "out", "--progress", "json")
		v.check(t, 0, nil, "build")
		said := lines(v.err)
		var last struct {
			Event     string
			Artifacts []struct{ Path, SHA256 string }
			Seconds   float64
		}
		parse(t, []byte(said[len(said)-1]), &last)
		if last.Event != "summary" || len(last.Artifacts) != 2 || last.Artifacts[0].Path != "out/steps-amd64.tar" || last.Artifacts[0].SHA256 != first["steps-amd64.tar"] || last.Seconds <= 0 {
			t.Errorf("its last line is %s", said[len(said)-1])
		}
	})
	step := func(summary string, want []string, args ...string) {
		t.Helper()
		before := p.running(t)
		if !slices.Equal(before, want) {
			t.Errorf("%s: plan would run %q, want %q", summary, before, want)
		}
		if b := p.build(t, args...); b.Steps.Run != len(want) || b.Steps.Run+b.Steps.Cached != 9 {
			t.Errorf("%s: build ran %d steps and had %d, want %d of 9", summary, b.Steps.Run, b.Steps.Cached, len(want))
		}
	}

	t.Run("nothing", func(t *testing.T) {
		if names := p.running(t); len(names) != 0 {
			t.Errorf("plan would run %q", names)
		}
		if b := p.build(t); b.Steps.Run != 0 || b.Steps.Cached != 9 || b.Seconds >= 1 {
			t.Errorf("build: %+v in %.3f s", b.Steps, b.Seconds)
		}
		sameSums(t, sums(t, p.path("out")), first)
	})
	t.Run("no cache", func(t *testing.T) {
		if b := p.build(t, "--no-cache"); b.Steps.Run != 9 || b.Steps.Cached != 0 {
			t.Errorf("build --no-cache: %+v", b.Steps)
		}
		sameSums(t, sums(t, p.path("out")), first)
	})
	t.Run("script", func(t *testing.T) {
		p.write(t, map[string]string{"two.sh": "#!/bin/sh\necho zwei >/etc/two\n"})
		step("the second of three scripts changed", []string{"script two", "files", "script three", "settle", "output steps-amd64.tar", "output steps-amd64.tar.gz"})
		if text := readTar(t, p.path("out/steps-amd64.tar"))["/etc/two"].content; text != "zwei\n" {
			t.Errorf("/etc/two is %q", text)
		}
		p.write(t, map[string]string{"data/in": "eins\n"})
		step("what the first reads changed", []string{"script one", "script two", "files", "script three", "settle", "output steps-amd64.tar", "output steps-amd64.tar.gz"})
		if text := readTar(t, p.path("out/steps-amd64.tar"))["/etc/three"].content; text != "eins\na note\n" {
			t.Errorf("/etc/three is %q", text)
		}
		p.write(t, map[string]string{"note": "another note\n"})
		step("a file changed", []string{"files", "script three", "settle", "output steps-amd64.tar", "output steps-amd64.tar.gz"})
	})
	t.Run("back", func(t *testing.T) {
		p.write(t, map[string]string{"note": "a note\n", "data/in": "1\n", "two.sh": "#!/bin/sh\necho 2 >/etc/two\n"})
		step("all as at first", []string{"output steps-amd64.tar", "output steps-amd64.tar.gz"})
		sameSums(t, sums(t, p.path("out")), first)
	})
	t.Run("mode", func(t *testing.T) {
		if err := os.Chmod(p.path("note"), 0o755); err != nil {
			t.Fatal(err)
		}
		step("a file may be executed", []string{"files", "script three", "settle", "output steps-amd64.tar", "output steps-amd64.tar.gz"})
		if err := os.Chmod(p.path("note"), 0o600); err != nil {
			t.Fatal(err)
		}
		step("only its owner may read it, as a umask makes it", []string{"output steps-amd64.tar", "output steps-amd64.tar.gz"})
		sameSums(t, sums(t, p.path("out")), first)
	})
	t.Run("artifact", func(t *testing.T) {
		name := p.path("out/steps-amd64.tar")
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		step("an artifact is gone", []string{"output steps-amd64.tar"})
		if err := os.WriteFile(name, []byte("something else"), 0o644); err != nil {
			t.Fatal(err)
		}
		step("an artifact was written over", []string{"output steps-amd64.tar"})
		sameSums(t, sums(t, p.path("out")), first)
	})
	t.Run("sbom", func(t *testing.T) {
		plain := p.must(t, "sbom")
		var doc struct {
			SpdxVersion string
			Packages    []struct{ Name string }
		}
		parse(t, []byte(plain), &doc)
		if doc.SpdxVersion != "SPDX-2.3" || len(doc.Packages) < 50 {
			t.Errorf("%s with %d packages", doc.SpdxVersion, len(doc.Packages))
		}
		if p.must(t, "sbom", "--json") != plain {
			t.Error("sbom --json prints another document")
		}
	})
	t.Run("papers", func(t *testing.T) {
		both := []string{"output steps-amd64.tar", "output steps-amd64.tar.gz"}
		for name, want := range map[string][]string{
			"steps-amd64.tar.manifest.json": both[:1], "steps-amd64.tar.spdx.json": both[:1], "steps-amd64.tar.gz.intoto.json": both[1:],
			"steps-amd64.container.seal": both, "SHA256SUMS": both,
		} {
			text := p.read(t, "out/"+name)
			changed := strings.Replace(text, "a", "b", 1)
			if name == "SHA256SUMS" {
				changed = strings.ReplaceAll(text, "0", "1")
			}
			p.write(t, map[string]string{"out/" + name: changed})
			step(name+" was changed", want)
			sameSums(t, sums(t, p.path("out")), first)
		}
		if err := os.Remove(p.path("out/SHA256SUMS")); err != nil {
			t.Fatal(err)
		}
		step("the checksums are gone", both)
		sameSums(t, sums(t, p.path("out")), first)
	})
	t.Run("dir", func(t *testing.T) { c.changedDir(t) })
	t.Run("why", func(t *testing.T) {
		version := versions(p.read(t, "ingot.lock"))
		for name, want := range map[string]string{
			"/usr/bin/apt-get":                       "package apt " + version["apt"],
			"/bin/sh":                                "package dash " + version["dash"],
			"usr/share/zoneinfo/Europe/Paris":        "package tzdata " + version["tzdata"],
			"/usr/share/doc/bash/copyright":          "package bash " + version["bash"],
			"/lib/x86_64-linux-gnu/libc.so.6":        "package libc6 " + version["libc6"],
			"/etc/note":                              "step files",
			"/etc/one":                               "step script one",
			"/etc/three":                             "step script three",
			"/etc/hostname":                          "step system",
			"/etc/shadow":                            "step install",
			"/etc/apt/sources.list.d/debian.sources": "step system",
			"//usr/./bin/../bin/apt-get":             "package apt " + version["apt"],
			"/var/lib/dpkg/info/base-files.list":     "step install",
		} {
			if out := p.must(t, "why", name); !strings.Contains(out, want) {
				t.Errorf("why %s says %q, want %q", name, strings.TrimSpace(out), want)
			}
		}
		var why struct {
			Schema  int
			Reasons []struct{ Package, Version, Step, Kind string }
		}
		parse(t, []byte(p.must(t, "why", "--json", "/bin/sh")), &why)
		if why.Schema != 1 || len(why.Reasons) != 1 || why.Reasons[0].Package != "dash" || why.Reasons[0].Kind != "symlink" {
			t.Errorf("why --json /bin/sh: %+v", why)
		}
		p.refuse(t, 4, []string{"/no/such/path"}, "why", "/no/such/path")
	})
	t.Run("emptied", func(t *testing.T) {
		// A cache may be emptied at any time; what it held is made again.
		q := *p
		q.cache = filepath.Join(p.dir, "another-cache")
		if b := q.build(t, "--to", "out2"); b.Steps.Run != 9 {
			t.Errorf("with an empty cache: %+v", b.Steps)
		}
		sameSums(t, sums(t, p.path("out2")), first)
		for _, part := range []string{"packages", "steps"} {
			if err := os.RemoveAll(filepath.Join(q.cache, "entries", part)); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(p.path("out2")); err != nil {
				t.Fatal(err)
			}
			q.build(t, "--to", "out2")
			sameSums(t, sums(t, p.path("out2")), first)
		}
	})
}

// changedDir judges that a directory in which somebody changed something is made
// again, and one that was only read is not.
func (c *court) changedDir(t *testing.T) {
	p := c.project(t, map[string]string{"ingot.yaml": strings.Replace(minimal, "[tar]", "[dir]", 1)})
	p.build(t)
	top := p.path("out/small-amd64")
	if b := p.build(t); b.Steps.Run != 0 || b.Seconds >= 1 {
		t.Errorf("with nothing changed: %+v in %.3f s", b.Steps, b.Seconds)
	}
	for summary, change := range map[string]string{
		"another content of the same size and time": `t=$(stat -c %y etc/hostname); sed -i s/s/t/ etc/hostname; touch -d "$t" etc/hostname`,
		"another mode": "chmod 600 etc/hosts", "a file more": "echo x >opt/x", "a file less": "rm etc/issue",
		"another link": "ln -sfn /nowhere etc/os-release", "another time": "touch -d 2001-01-01 usr/bin",
	} {
		judge.RunIn(t, top, "sh", "-euc", change)
		if names := p.running(t); !slices.Equal(names, []string{"output small-amd64"}) {
			t.Errorf("%s: plan would run %q", summary, names)
		}
		if b := p.build(t); b.Steps.Run != 1 {
			t.Errorf("%s: %+v", summary, b.Steps)
		}
	}
	judge.RunIn(t, top, "sh", "-euc", "test small = \"$(cat etc/hostname)\"; test ! -e opt/x; test -e etc/issue; cat usr/bin/* >/dev/null")
	if b := p.build(t); b.Steps.Run != 0 {
		t.Errorf("read by somebody: %+v", b.Steps)
	}
}

// versions are those of a lock's packages.
func versions(lock string) map[string]string {
	out := map[string]string{}
	for _, set := range lockedSets(lock) {
		for _, l := range set {
			f := strings.Fields(l)
			out[f[0]] = f[1]
		}
	}
	return out
}

// offline judges builds when the mirror is gone.
func (c *court) offline(t *testing.T) {
	m := c.mirror.source.serve(t)
	p := c.project(t, map[string]string{"ingot.yaml": strings.Replace(minimal, "[tar]", "[tar, tar.zst]", 1)}).fresh().from(m)
	p.build(t)
	first := sums(t, p.path("out"))
	m.close()
	t.Run("no cache", func(t *testing.T) {
		for _, args := range [][]string{{"--no-cache", "--offline"}, {"--no-cache", "--locked"}} {
			if b := p.build(t, append(args, "--to", "again")...); b.Steps.Cached != 0 {
				t.Errorf("%q: %+v", args, b.Steps)
			}
			sameSums(t, sums(t, p.path("again")), first)
		}
	})
	t.Run("lock", func(t *testing.T) {
		p.refuse(t, 7, []string{"InRelease", "127.0.0.1"}, "lock", "--update")
		p.refuse(t, 7, []string{"offline"}, "lock", "--update", "--offline")
	})
	t.Run("export", func(t *testing.T) {
		p.must(t, "store", "export", "all.tar")
		q := c.project(t, map[string]string{"ingot.yaml": p.read(t, "ingot.yaml"), "ingot.lock": p.read(t, "ingot.lock")}).fresh()
		q.refuse(t, 7, nil, "build", "--locked", "--offline", "--to", "out")
		q.must(t, "store", "import", p.path("all.tar"))
		q.build(t, "--locked", "--offline")
		sameSums(t, sums(t, q.path("out")), first)
	})
	t.Run("damaged store", func(t *testing.T) {
		blobs, err := filepath.Glob(filepath.Join(p.home, "store", "blobs", "*", "*"))
		if err != nil || len(blobs) == 0 {
			t.Fatal(err, len(blobs))
		}
		largest, size := "", int64(0)
		for _, b := range blobs {
			if info, err := os.Stat(b); err == nil && info.Size() > size {
				largest, size = b, info.Size()
			}
		}
		data, err := os.ReadFile(largest)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(largest, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(largest, flip(data, len(data)/2), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(p.cache); err != nil {
			t.Fatal(err)
		}
		p.refuse(t, 5, nil, "build", "--offline", "--to", "out3")
		again := p.from(c.mirror) // the damaged one is fetched anew
		again.build(t, "--to", "out3")
		sameSums(t, sums(t, p.path("out3")), first)
		again.storeWhole(t)
	})
	t.Run("seal", func(t *testing.T) {
		text := p.read(t, "ingot.lock")
		at := strings.Index(text, "\nseal ")
		if at < 0 {
			t.Fatal("the lock has no seal")
		}
		// The seal of another tree, with the sum that belongs to it.
		head, rest := text[:at+1], text[at+1:]
		f := strings.Fields(rest)
		f[3] = strings.Repeat("0", 63) + "1"
		head += strings.Join(f[:4], " ") + "\n"
		_, after, _ := strings.Cut(rest, "\n")
		middle, _, _ := strings.Cut(after, "sum ")
		head += middle
		p.write(t, map[string]string{"ingot.lock": head + "sum " + sha256Text(head) + "\n"})
		p.refuse(t, 5, []string{"container tree", "differs", "--reseal"}, "build", "--offline", "--no-cache", "--to", "out4")
		p.write(t, map[string]string{"ingot.lock": text})
	})
}

// user judges that an ordinary user with another environment gets root's bytes.
func (c *court) user(t *testing.T) {
	if !isRoot() {
		t.Skip("root runs this: it compares root's bytes with those of an ordinary user, whom it makes")
	}
	rich, err := c.rich()
	if err != nil {
		t.Fatal(err)
	}
	want := sums(t, rich.path("out"))
	name := c.makeUser(t)
	files := c.richDefinition()
	files["ingot.lock"] = rich.read(t, "ingot.lock")
	p := c.project(t, files).fresh()
	p.asUser(t, name)
	p.env = []string{"TZ=Asia/Kathmandu", "GOMAXPROCS=1", "LC_ALL=tr_TR.UTF-8", "USER=" + name, "XDG_RUNTIME_DIR=/nonexistent"}
	formats := append([]string{"tar", "raw", "qcow2"}, c.richArchives()...)
	args := []string{"--locked"}
	for _, f := range formats {
		args = append(args, "--output", f)
	}
	p.build(t, args...)
	got := sums(t, p.path("out"))
	for file := range want {
		if strings.HasPrefix(file, "rich-amd64.intoto") || strings.HasPrefix(file, "rich-amd64.manifest") || strings.HasPrefix(file, "rich-amd64.spdx") {
			delete(want, file) // the directory's
		}
	}
	sameSums(t, got, want)
	for _, f := range formats {
		info, err := os.Stat(p.path("out/rich-amd64." + f))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want what the umask leaves", f, info.Mode(), err)
		}
	}

	t.Run("directory", func(t *testing.T) {
		v := p.ingot(t, "build", "--locked", "--output", "dir", "--to", "out")
		if v.code != 0 || !strings.Contains(v.err, "owners") {
			t.Errorf("exit code %d, or it does not say what a user's directory lacks:\n%s", v.code, tail(v.err, 10))
		}
	})
	t.Run("deletable", func(t *testing.T) {
		// No file of home, cache or artifacts belongs to anybody else.
		v := finish(t, p.wrap(t, "rm", "-rf", p.home, p.cache, p.path("out")))
		if v.code != 0 {
			t.Errorf("an ordinary user cannot delete what ingot kept: %s", tail(v.err, 5))
		}
	})
	t.Run("no subordinate ids", func(t *testing.T) {
		bare := c.makeUser(t)
		judge.Run(t, "usermod", "--del-subuids", "0-4294967294", "--del-subgids", "0-4294967294", bare)
		q := c.project(t, map[string]string{"ingot.yaml": minimal}).fresh()
		q.prefix = []string{"setpriv", "--reuid", bare, "--regid", bare, "--init-groups", "--"}
		judge.Run(t, "chown", "-R", bare+":", q.dir)
		q.refuse(t, 9, []string{bare, "hint:", "usermod --add-subuids"}, "build", "--to", "out")
		if found, err := os.ReadDir(q.path("out")); err == nil && len(found) > 0 {
			t.Errorf("it wrote %v", found)
		}
	})
}

// makeUser makes an account for as long as the test runs.
func (c *court) makeUser(t *testing.T) string {
	t.Helper()
	name := "ingot-e2e-" + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(len(t.Name()))
	for _, program := range []string{"useradd", "userdel", "setpriv", "newuidmap"} {
		if _, err := judge.Find(program); err != nil {
			t.Skipf("%s is missing: the packages passwd, util-linux and uidmap make this run", program)
		}
	}
	judge.Run(t, "useradd", "--no-create-home", "--home-dir", "/nonexistent", name)
	t.Cleanup(func() { removeUser(t, name) })
	ranges, err := os.ReadFile("/etc/subuid")
	if err != nil || !strings.Contains(string(ranges), name+":") {
		judge.Run(t, "usermod", "--add-subuids", "1700000000-1700065535", "--add-subgids", "1700000000-1700065535", name)
	}
	return name
}

// asUser gives the project to a user, who runs ingot from then on.
func (p *project) asUser(t *testing.T, name string) {
	t.Helper()
	p.prefix = []string{"setpriv", "--reuid", name, "--regid", name, "--init-groups", "--", "sh", "-c", `umask 0077; exec "$@"`, "sh"}
	judge.Run(t, "chown", "-R", name+":", p.dir)
}

func removeUser(t *testing.T, name string) {
	t.Helper()
	path, err := judge.Find("userdel")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, name).CombinedOutput(); err != nil {
		t.Errorf("userdel: %v\n%s", err, out)
	}
}

// wrap is a command run as the project runs ingot.
func (p *project) wrap(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	argv := append(slices.Clone(p.prefix), args...)
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = "/"
	return cmd
}

func sha256Text(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
