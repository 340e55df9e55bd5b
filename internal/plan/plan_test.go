package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/boot"
	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/format"
	"ingot/internal/lock"
)

//go:generate go test -run "^TestGoldenPlans$" -update .

var updating = flag.Bool("update", false, "write the golden plans anew instead of comparing with them")

// write puts files below a directory; those that begin with "#!" are programs.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for path, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
}

// ref is a package as it could be locked.
func ref(name, version, arch string) distro.Ref {
	return distro.Ref{
		Name: name, Version: version, Arch: arch, Archive: "debian", Location: "pool/" + name + "_" + version + ".deb",
		Size: 1000, SHA256: digest.Of([]byte(name + version + arch)),
	}
}

// locked loads a definition and makes a lock for it, of packages that are named
// after what asks for them.
func locked(t *testing.T, path string) (*definition.Definition, *lock.Lock) {
	t.Helper()
	def, err := definition.Load(path, definition.Options{HostArch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	return def, lockOf(t, def)
}

// lockOf makes the lock of a definition.
func lockOf(t *testing.T, def *definition.Definition) *lock.Lock {
	t.Helper()
	files, err := lock.Files(def)
	if err != nil {
		t.Fatal(err)
	}
	l := &lock.Lock{
		Definition: def.Digest(), Request: digest.Of([]byte("request")), Distro: def.Distro, Release: def.Release, Epoch: 1_750_000_000, Files: files,
		Archives: []lock.Archive{{Name: "debian", URL: "http://archive.example/debian", Suites: []string{def.Release}, Components: []string{"main"}}},
		Indexes:  []lock.Index{{Archive: "debian", Suite: def.Release, Component: "main", Arch: "amd64", Path: "dists/x/main/binary-amd64/Packages.xz", Date: 1_750_000_000, Size: 10, SHA256: digest.Of([]byte("index"))}},
	}
	for i, a := range def.Archives {
		archive := lock.Archive{Name: fmt.Sprintf("archive-%d", i+1), URL: a.URL, Suites: a.Suites, Components: a.Components}
		if a.Key != "" {
			archive.Key = relative(def.Dir, a.Key)
		}
		l.Archives = append(l.Archives, archive)
	}
	var tools []string
	for _, v := range def.Variants() {
		for _, arch := range v.Arch {
			for _, purpose := range Purposes(v) {
				names := append([]string{"base-files"}, append(slices.Clone(v.Packages), Implied(v)...)...)
				more, err := PurposePackages(v, arch, purpose)
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, more...)
				slices.Sort(names)
				s := lock.Set{Arch: arch, Purpose: purpose, Flavor: v.FlavorLabel()}
				for _, n := range slices.Compact(names) {
					s.Refs = append(s.Refs, ref(PackageName(n), "1-1", arch))
				}
				l.Sets = append(l.Sets, s)
			}
		}
		more, err := ToolPackages(v, "")
		if err != nil {
			t.Fatal(err)
		}
		tools = append(tools, more...)
	}
	slices.Sort(tools)
	for _, n := range slices.Compact(tools) {
		l.Tools = append(l.Tools, ref(n, "1-1", "amd64"))
	}
	return l
}

// planned makes the plan of all of a definition.
func planned(t *testing.T, def *definition.Definition, l *lock.Lock) *Plan {
	t.Helper()
	p, err := Make(def, l, Wish{Variants: def.Variants()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// text is a plan as golden files show it: each step with the beginning of its key
// and with what it reads.
func text(t *testing.T, p *Plan) string {
	t.Helper()
	var b strings.Builder
	for _, c := range p.Chains {
		fmt.Fprintf(&b, "%s\n", strings.TrimSpace(c.Purpose+" "+c.Arch+" "+c.Set.Flavor))
		for i, s := range p.Of(c).steps(c) {
			reads, err := json.Marshal(s.reads)
			if err != nil {
				t.Fatal(err)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, reads, "      ", "  "); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "  %s %.12s reads\n      %s\n", s.Name, c.Steps[i].Key, pretty.Bytes())
		}
		for _, o := range c.Outputs {
			fmt.Fprintf(&b, "  output %s %.12s\n", strings.Join(o.Names, " "), o.Key)
		}
	}
	return b.String()
}

// TestGoldenPlans shows in a review what a change does to plans. Keys change with
// the generation and the form of packages; "go generate ./internal/plan" writes the
// files anew.
func TestGoldenPlans(t *testing.T) {
	plans := map[string]string{} // golden file to text
	for _, release := range []string{"bookworm", "trixie", "forky", "sid"} {
		for _, output := range []string{"tar", "tar.zst", "dir", "lxc", "oci", "oci-layout", "docker", "squashfs", "incus", "openvz", "iso", "raw", "qcow2"} {
			dir := t.TempDir()
			write(t, dir, map[string]string{"ingot.yaml": fmt.Sprintf("version: 1\nname: image\ndistro: debian\nrelease: %s\narch: [amd64]\noutputs: [%s]\n", release, output)})
			def, l := locked(t, dir)
			plans[release] += fmt.Sprintf("# %s\n%s\n", output, text(t, planned(t, def, l)))
		}
	}
	for _, example := range []string{"flavors", "minimal", "scripts", "web-server"} {
		def, l := locked(t, filepath.Join("../../examples", example))
		plans["example-"+example] = text(t, planned(t, def, l))
	}
	for name, made := range plans {
		path := filepath.Join("testdata/plans", name+".txt")
		if *updating {
			if err := os.WriteFile(path, []byte(made), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		shipped, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(shipped), made); diff != "" {
			t.Errorf("%s is not what is planned now; if that is meant so, run go generate ./internal/plan\n-shipped +planned:\n%s", path, diff)
		}
	}
}

// whole is a definition with a step of every kind, in both chains.
var whole = map[string]string{
	"ingot.yaml": `version: 1
name: whole
distro: debian
release: bookworm
arch: [amd64]
include: [./more.yaml]
packages: [nginx, "curl=7.88.1-10"]
hostname: whole
users: [{name: ops, uid: 1000, groups: [media], shell: /bin/sh}]
unix-groups: [{name: media, gid: 2000}]
archives: [{url: "http://archive.example/debian", suites: [bookworm], key: ./key.asc}]
files: [{path: /etc/motd, content: "hi"}, {path: /srv/site, source: ./site}]
scripts:
  - {name: one, run: ./one.sh, reads: [data/]}
  - {name: two, run: ./two.sh, after: files}
  - {name: three, run: ./three.sh, after: services}
outputs: [tar, raw]
`,
	"more.yaml":     "services: {enable: [nginx]}\n",
	"one.sh":        "#!/bin/sh\n",
	"two.sh":        "#!/bin/sh\n",
	"three.sh":      "#!/bin/sh\n",
	"data/a":        "a",
	"site/a/b.html": "b",
	"key.asc":       "key",
	"other":         "nobody reads it",
}

// keys are those of a plan by purpose and name.
func keys(p *Plan) (names []string, of map[string]digest.Digest) {
	of = map[string]digest.Digest{}
	for _, c := range p.Chains {
		for _, s := range c.Steps {
			names = append(names, c.Purpose+": "+s.Name)
			of[c.Purpose+": "+s.Name] = s.Key
		}
		for _, o := range c.Outputs {
			names = append(names, c.Purpose+": "+o.Format)
			of[c.Purpose+": "+o.Format] = o.Key
		}
	}
	return names, of
}

// TestKeysFollowWhatIsRead changes one thing and looks whose keys change: of the
// first step that reads it, and of all after it. The end of a machine's chain
// knows the lock's identity, and so do the papers of every output; these change
// with everything that is locked.
func TestKeysFollowWhatIsRead(t *testing.T) {
	const identity = "container: tar, machine: settle, machine: raw"
	after := func(step string) string { // and all that follows it, in both chains
		all := []string{"install", "system", "users", "script one", "files", "script two", "services", "script three", "settle"}
		var out []string
		for _, c := range []struct{ purpose, output string }{{format.Container, "tar"}, {format.Machine, "raw"}} {
			for _, s := range append(all[slices.Index(all, step):len(all):len(all)], c.output) {
				out = append(out, c.purpose+": "+s)
			}
		}
		return strings.Join(out, ", ")
	}
	edit := func(file, old, new string) func(map[string]string) {
		return func(files map[string]string) {
			if !strings.Contains(files[file], old) {
				panic("nothing to change in " + file)
			}
			files[file] = strings.Replace(files[file], old, new, 1)
		}
	}
	def := func(old, new string) func(map[string]string) { return edit("ingot.yaml", old, new) }
	none := func(map[string]string) {}
	for _, c := range []struct {
		summary string
		files   func(map[string]string)
		lock    func(*lock.Lock)
		want    string
	}{
		{"nothing, but another directory", none, nil, ""},
		{"a file that nobody reads", edit("other", "nobody", "still nobody"), nil, ""},
		{"seals", none, func(l *lock.Lock) {
			l.Seals = []lock.Seal{{Arch: "amd64", Purpose: format.Container, SHA256: digest.Of([]byte("x"))}}
		}, ""},
		{"a lock that was written and read", none, func(l *lock.Lock) {
			read, err := lock.Decode(lock.Encode(*l))
			if err != nil {
				panic(err)
			}
			*l = *read
		}, ""},
		{"a comment", def("name: whole\n", "name: whole # it is\n"), nil, identity},
		{"the order of keys", def("name: whole\ndistro: debian\n", "distro: debian\nname: whole\n"), nil, identity},
		{"an included file's comment", edit("more.yaml", "\n", " # more\n"), nil, identity},
		{"a test", def("outputs:", "tests: [{run: 'true'}]\noutputs:"), nil, identity},
		{"where a package lies", none, func(l *lock.Lock) { l.Sets[0].Refs[0].Location = "elsewhere.deb" }, identity},
		{"what an index was", none, func(l *lock.Lock) { l.Indexes[0].SHA256 = digest.Of([]byte("another")) }, identity},
		{"a package's version", none, func(l *lock.Lock) {
			for i := range l.Sets {
				l.Sets[i].Refs[0] = ref("base-files", "1-2", "amd64")
			}
		}, after("install")},
		{"a package's version in one chain", none, func(l *lock.Lock) { l.Sets[1].Refs[0] = ref("base-files", "1-2", "amd64") },
			"container: tar, " + after("install")[strings.Index(after("install"), format.Machine):]},
		{"a package's bytes", none, func(l *lock.Lock) {
			for i := range l.Sets {
				l.Sets[i].Refs[0].SHA256 = digest.Of([]byte("rebuilt"))
			}
		}, after("install")},
		{"the clock", none, func(l *lock.Lock) { l.Epoch++ }, after("install")},
		{"the release", def("release: bookworm\n", "release: trixie\n"), nil, after("install")},
		{"who asked for a package", def("packages: [nginx,", "packages: [nginx, base-files,"), nil, after("install")},
		{"the host's name", def("hostname: whole", "hostname: other"), nil, after("system")},
		{"the image's sources", none, func(l *lock.Lock) { l.Archives[0].URL = "http://other.example/debian" }, after("system")},
		{"the key of a source", edit("key.asc", "key", "another"), nil, after("system")},
		{"a user", def("uid: 1000", "uid: 1001"), nil, after("users")},
		{"a group", def("gid: 2000", "gid: 2001"), nil, after("users")},
		{"a script", edit("one.sh", "\n", "\n:\n"), nil, after("script one")},
		{"a script's name", def("name: one", "name: uno"), nil, strings.ReplaceAll(after("script one"), "script one", "script uno")},
		{"what a script reads", edit("data/a", "a", "b"), nil, after("script one")},
		{"more that a script reads", func(f map[string]string) { f["data/b"] = "b" }, nil, after("script one")},
		{"the network of a script", def("name: one", "network: true, name: one"), nil, after("script one")},
		{"the content of a file", def("content: \"hi\"", "content: \"ho\""), nil, after("files")},
		{"the mode of a file", def("content: \"hi\"", "content: \"hi\", mode: \"0600\""), nil, after("files")},
		{"a source of files", edit("site/a/b.html", "b", "c"), nil, after("files")},
		{"a later script", edit("two.sh", "\n", "\n:\n"), nil, after("script two")},
		{"services, in an included file", edit("more.yaml", "[nginx]", "[nginx, cron]"), nil, after("services")},
		{"the last script", edit("three.sh", "\n", "\n:\n"), nil, after("script three")},
		{"the kernel's arguments", def("outputs:", "kernel: {arguments: [quiet]}\noutputs:"), nil, identity},
		{"room on the disk", def("outputs: [tar, raw]", "outputs: [tar, {format: raw, free: 1GiB}]"), nil, identity},
		{"the tools", none, func(l *lock.Lock) { l.Tools[0].SHA256 = digest.Of([]byte("rebuilt")) }, identity},
	} {
		t.Run(c.summary, func(t *testing.T) {
			make := func(change func(map[string]string), inLock func(*lock.Lock)) *Plan {
				files := map[string]string{}
				for path, text := range whole {
					files[path] = text
				}
				change(files)
				dir := t.TempDir()
				write(t, dir, files)
				def, l := locked(t, dir)
				if inLock != nil {
					inLock(l)
				}
				return planned(t, def, l)
			}
			_, before := keys(make(none, nil))
			names, now := keys(make(c.files, c.lock))
			var changed []string
			for _, n := range names {
				if before[n] != now[n] {
					changed = append(changed, n)
				}
			}
			if got := strings.Join(changed, ", "); got != c.want {
				t.Errorf("changed is\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestNames has the files that are not called as their format's table says.
// TestScriptsKnowTheirTree plans two kinds of tree with the same packages: they share
// steps up to the first script, which finds the kind in its environment.
func TestScriptsKnowTheirTree(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"ingot.yaml": "version: 1\nname: web\ndistro: debian\nrelease: bookworm\narch: [amd64]\npackages: [" + strings.Join(boot.ContainerPackages("bookworm"), ", ") + "]\noutputs: [tar, lxc]\nscripts: [{name: say, run: ./say.sh}]\n",
		"say.sh":     "#!/bin/sh\necho $INGOT_PURPOSE >/purpose\n",
	})
	def, l := locked(t, dir)
	for i := range l.Sets {
		l.Sets[i].Refs = l.Sets[0].Refs
	}
	p := planned(t, def, l)
	if len(p.Chains) != 2 {
		t.Fatalf("%d chains", len(p.Chains))
	}
	var got []string
	for i, s := range p.Chains[0].Steps {
		got = append(got, fmt.Sprintf("%s %v", s.Name, s.Key == p.Chains[1].Steps[i].Key))
	}
	if got, want := strings.Join(got, ", "), "install true, system true, script say false, settle false"; got != want {
		t.Errorf("what is shared is %q, want %q", got, want)
	}
}

func TestNames(t *testing.T) {
	for output, want := range map[string]string{
		"lxc":                                "web-amd64.rootfs.tar.xz web-amd64.meta.tar.xz",
		"incus":                              "web-amd64.rootfs.squashfs web-amd64.incus.tar.xz",
		"{format: incus, type: unified}":     "web-amd64.incus.tar.xz",
		"openvz":                             "debian-12-x86_64-web.tar.gz",
		"{format: openvz, compress: zstd}":   "debian-12-x86_64-web.tar.zst",
		"{format: squashfs, compress: gzip}": "web-amd64.squashfs",
	} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"ingot.yaml": "version: 1\nname: web\ndistro: debian\nrelease: bookworm\narch: [amd64]\noutputs: [" + output + "]\n"})
		def, l := locked(t, dir)
		if got := strings.Join(planned(t, def, l).Chains[0].Outputs[0].Names, " "); got != want {
			t.Errorf("%s is called %s, want %s", output, got, want)
		}
	}
}

func TestMake(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"ingot.yaml": "version: 1\nname: web\ndistro: debian\nrelease: bookworm\narch: [amd64, arm64]\noutputs: [dir, tar, qcow2]\n"})
	def, l := locked(t, dir)
	lacking := *l
	lacking.Sets = l.Sets[:1]
	for _, c := range []struct {
		summary string
		lock    *lock.Lock
		wish    Wish
		want    string
		code    fault.Code
		err     string
	}{
		{"all of it", l, Wish{}, "container amd64: web-amd64 web-amd64.tar; machine amd64: web-amd64.qcow2; container arm64: web-arm64 web-arm64.tar; machine arm64: web-arm64.qcow2; ", 0, ""},
		{"one format", l, Wish{Formats: []string{"tar"}}, "container amd64: web-amd64.tar; container arm64: web-arm64.tar; ", 0, ""},
		{"one architecture", l, Wish{Arch: []string{"arm64"}}, "container arm64: web-arm64 web-arm64.tar; machine arm64: web-arm64.qcow2; ", 0, ""},
		{"one of both", l, Wish{Arch: []string{"amd64"}, Formats: []string{"qcow2"}}, "machine amd64: web-amd64.qcow2; ", 0, ""},
		{"a format that is not there", l, Wish{Formats: []string{"raw"}}, "", fault.Usage, `the definition has no output "raw"`},
		{"an architecture that is not there", l, Wish{Arch: []string{"i386"}}, "", fault.Usage, `the definition has no architecture "i386"`},
		{"a lock that lacks a set", &lacking, Wish{}, "", fault.Verification, "the lock has no packages for a machine of amd64"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			p, err := Make(def, c.lock, c.wish)
			if c.err != "" {
				if fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.err) || fault.HintOf(err) == "" {
					t.Errorf("error is %v with code %d and hint %q, want %q", err, fault.CodeOf(err), fault.HintOf(err), c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, chain := range p.Chains {
				fmt.Fprintf(&b, "%s %s:", chain.Purpose, chain.Arch)
				for _, o := range chain.Outputs {
					b.WriteString(" " + o.Name())
				}
				b.WriteString("; ")
			}
			if b.String() != c.want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), c.want)
			}
		})
	}
}

// secretLayout has two disks, hashes that a key signs, and a root in a container.
const secretLayout = `version: 1
name: web
distro: debian
release: bookworm
arch: [amd64]
outputs: [raw, qcow2]
layout:
- local_loop: {name: system}
- local_loop: {name: data}
- partitioning:
    base: system
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: boot, size: fit, mkfs: {type: ext4, mount: {mount_point: /boot, fstab: {}}}}
    - name: root
      type: root
      size: fit
      luks: {name: crypt, passphrase: {file: ./secret/pass}, seed: {file: /run/seed}, mkfs: {type: ext4, label: root, mount: {mount_point: /, fstab: {}}}}
- partitioning:
    base: data
    label: gpt
    partitions:
    - {name: srv, size: fit, mkfs: {type: ext4, mount: {mount_point: /srv, fstab: {options: ro}}}}
    - {name: srv-verity, size: fit, verity: {data: mkfs_srv, key: {file: secret/key}, certificate: {file: cert}}}
`

// Without secrets everybody knows a container's key until a machine started, and a plan
// says so.
func TestEnrolled(t *testing.T) {
	dir := t.TempDir()
	layout := strings.Replace(secretLayout, ", passphrase: {file: ./secret/pass}, seed: {file: /run/seed}", "", 1)
	layout = strings.Replace(layout, ", key: {file: secret/key}, certificate: {file: cert}", "", 1)
	write(t, dir, map[string]string{"ingot.yaml": layout})
	def, l := locked(t, dir)
	for _, o := range planned(t, def, l).Chains[0].Outputs {
		if o.Anew || len(o.Secrets) > 0 || o.Caveat() != "everybody knows the key of crypt until a machine's first start" {
			t.Errorf("caveat %q, secrets %s, made anew %v", o.Caveat(), o.Secrets, o.Anew)
		}
	}
}

// What depends on secrets is made by each build, which needs them, and no lock knows them.
func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"ingot.yaml": secretLayout, "secret/pass": "x", "secret/key": "x", "cert": "x"})
	def, l := locked(t, dir)
	p := planned(t, def, l)
	want := [][]string{
		{"web-amd64.raw", "web-amd64-data.raw", "web-amd64.roothash", "web-amd64.roothash.p7s"},
		{"web-amd64.qcow2", "web-amd64-data.qcow2", "web-amd64.qcow2.roothash", "web-amd64.qcow2.roothash.p7s"},
	}
	for i, o := range p.Chains[0].Outputs {
		if o.Caveat() != "its bytes depend on the secret files /run/seed, cert, secret/key, secret/pass too" {
			t.Errorf("caveat %q", o.Caveat())
		}
		if !slices.Equal(o.Names, want[i]) || !slices.Equal(o.Drives, want[i][1:2]) {
			t.Errorf("names %q, drives %q", o.Names, o.Drives)
		}
		if got := strings.Join(o.Secrets, " "); got != "/run/seed cert secret/key secret/pass" || !o.Anew {
			t.Errorf("secrets %s, made anew %v", got, o.Anew)
		}
	}
	for _, f := range l.Files {
		t.Errorf("the lock knows %s", f.Path)
	}
	if err := p.foreseeSecrets(p.Chains[0], p.Chains[0].Outputs); fault.CodeOf(err) != fault.Preflight || !strings.Contains(err.Error(), "ingot.yaml:19: cannot read the secret file /run/seed") || fault.HintOf(err) == "" {
		t.Errorf("without a seed: %v", err)
	}
	early := p.early(p.Chains[0])
	if got := early["etc/crypttab"]; !strings.Contains(got, "crypt LABEL=crypt none luks,initramfs\n") {
		t.Errorf("crypttab %q", got)
	}
	if got := early["etc/initramfs-tools/conf.d/root-type"]; got != "FSTYPE=ext4\n" {
		t.Errorf("root-type %q", got)
	}
}

// A secret that no disk can be written with is known before an hour's work.
func TestSecretsForeseen(t *testing.T) {
	for _, c := range []struct{ pass, seed, key, want string }{
		{"one\ntwo\n", strings.Repeat("s", 32), "x", "ingot.yaml:19: layout: luks crypt: passphrase: file secret/pass does not hold one line"},
		{"one\n", "short", "x", "ingot.yaml:19: layout: luks crypt: seed: file secret/seed has 5 bytes"},
		{"one\n", strings.Repeat("s", 32), "x", "ingot.yaml:25: layout: verity verity_srv-verity: verity: the key is no PEM"},
	} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"ingot.yaml": strings.Replace(secretLayout, "/run/seed", "secret/seed", 1), "secret/pass": c.pass, "secret/seed": c.seed, "secret/key": c.key, "cert": "x"})
		def, l := locked(t, dir)
		p := planned(t, def, l)
		if err := p.foreseeSecrets(p.Chains[0], p.Chains[0].Outputs); fault.CodeOf(err) != fault.Preflight || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("it says %v, want %s", err, c.want)
		}
	}
}

// TestIdentityStays: what an image is called follows from its lock, and not from how this ingot
// builds it. An image whose UUIDs changed with each ingot would not be the one that was sealed.
func TestIdentityStays(t *testing.T) {
	const want = "1f70298a8d6d57457a619f95d52179955ab99180c66ed18424d2343cf8519218"
	if got := identityOf("identity", digest.Of([]byte("a lock")), []string{"web", "amd64", "machine"}).String(); got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
}
