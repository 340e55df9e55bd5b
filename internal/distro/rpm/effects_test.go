package rpm

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/judge"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

const testEpoch = 1_700_000_000

// judged skips what takes half a minute and wants judges.
func judged(t *testing.T) {
	t.Helper()
	judge.Needs(t, judge.CI)
	for _, program := range []string{"rpmbuild", "createrepo_c", "busybox"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s, a judge, is missing: Debian's packages rpm, createrepo-c and busybox-static make this run", program)
		}
	}
}

// command runs a judge of the host.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+t.TempDir(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", testEpoch-1000))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// staticProgram finds a program that runs by itself: what a tools tree puts on PATH
// may be a script that runs it.
func staticProgram(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		f, err := elf.Open(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		dynamic := slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
		if err := f.Close(); err == nil && !dynamic {
			return filepath.Join(dir, name)
		}
	}
	t.Skipf("no static %s is on PATH: Debian's package busybox-static makes this run", name)
	return ""
}

// archive builds the packages of testdata and their metadata.
func archive(t *testing.T) string {
	t.Helper()
	busybox := staticProgram(t, "busybox")
	dir := t.TempDir()
	for _, b := range []struct{ spec, wanted string }{{"base", "1"}, {"tool-data", "0.9"}, {"tool-data", "1.0"}, {"tool", "1"}} {
		command(t, "rpmbuild", "-bb", "--quiet", "--define", "_topdir "+t.TempDir(), "--define", "_rpmdir "+dir, "--define", "clamp_mtime_to_source_date_epoch 1", "--define", "_build_name_fmt %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
			"--define", "busybox "+busybox, "--define", "wanted "+b.wanted, filepath.Join("testdata", b.spec+".spec"))
	}
	command(t, "createrepo_c", "--quiet", dir)
	return dir
}

// universe reads an archive as a client does.
func universe(t *testing.T, dir string) *Universe {
	t.Helper()
	repomd, err := os.ReadFile(filepath.Join(dir, "repodata/repomd.xml"))
	if err != nil {
		t.Fatal(err)
	}
	primary, err := Primary(repomd)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, primary.Location))
	if err != nil {
		t.Fatal(err)
	}
	if got := digest.Of(data); got != primary.SHA256 || int64(len(data)) != primary.Size {
		t.Fatalf("primary.xml has digest %s and %d bytes, repomd.xml says %s and %d", got, len(data), primary.SHA256, primary.Size)
	}
	var u Universe
	if err := u.Add("test", strings.NewReader(string(data))); err != nil {
		t.Fatal(err)
	}
	return &u
}

// A filePack is a pack in a file, and the source of it.
type filePack struct {
	*os.File
	size int64
}

func newPack(t *testing.T) *filePack {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "pack"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &filePack{File: f}
}

func (p *filePack) Name() string { return "pack" }
func (p *filePack) Size() int64  { return p.size }
func (p *filePack) Write(b []byte) (int, error) {
	n, err := p.File.Write(b)
	p.size += int64(n)
	return n, err
}

// packs are several packs by name.
type packs map[string]string

func (p packs) Open(name string) (*os.File, error) { return os.Open(p[name]) }

// workshop is a tools tree: the host's /usr, in a box.
type workshop struct {
	*sandbox.Box
}

func newWorkshop(t *testing.T) workshop {
	t.Helper()
	box, err := sandbox.New(t.Context(), sandbox.Options{Binds: []sandbox.Bind{{Host: "/usr", Inside: "/usr"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	entries := []tree.Entry{{Path: "", Kind: tree.Dir, Mode: 0o755}}
	for _, d := range []string{"dev", "etc", "proc", "tmp", "usr", "var", "work"} {
		entries = append(entries, tree.Entry{Path: d, Kind: tree.Dir, Mode: 0o755})
	}
	for _, l := range []string{"bin", "lib", "lib64", "sbin"} {
		entries = append(entries, tree.Entry{Path: l, Kind: tree.Symlink, Mode: 0o777, Link: "usr/" + l})
	}
	if err := box.Put(t.Context(), entries, nil); err != nil {
		t.Fatal(err)
	}
	return workshop{box}
}

func (w workshop) shell(ctx context.Context, dir, script string, args ...string) ([]byte, error) {
	out, err := w.Output(ctx, sandbox.Command{
		Argv: append([]string{"/bin/sh", "-c", script, "sh"}, args...), Dir: dir,
		Env: []string{"PATH=/usr/sbin:/usr/bin", "LC_ALL=C.UTF-8", "HOME=/tmp", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", testEpoch)},
	}, nil)
	// Debian's rpm says on every run that Debian is not made of rpms.
	var kept []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "rpm: RPM should not be used") && !strings.HasPrefix(line, "rpm: However assuming") {
			kept = append(kept, line)
		}
	}
	return []byte(strings.Join(kept, "")), err
}

func (w workshop) Run(ctx context.Context, argv []string, _ []byte, inputs map[string][]byte, outputs []string) (map[string][]byte, error) {
	if err := w.Put(ctx, []tree.Entry{{Path: "there", Kind: tree.Dir, Mode: 0o755}}, nil); err != nil {
		return nil, err
	}
	for name, data := range inputs {
		if err := w.Write(ctx, sandbox.NewFile{Path: "there/" + name, Mode: 0o644, Data: data}); err != nil {
			return nil, err
		}
	}
	if out, err := w.shell(ctx, "/there", `exec "$@"`, argv...); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	result := map[string][]byte{}
	for _, name := range outputs {
		data, err := w.Read(ctx, "there/"+name)
		if err != nil {
			return nil, err
		}
		result[name] = data
	}
	return result, w.Remove(ctx, "there")
}

// early is what lies in the tree before the packages.
var early = map[string]string{
	"etc/tool/kept.conf":  "a=early\n",
	"etc/tool/moved.conf": "b=early\n",
}

// installed runs the four effects for some packages and gives the tree, with the
// source of its contents.
func installed(t *testing.T, dir string, tools Tools, refs []distro.Ref) (tree.Tree, packs, []distro.Unpacked, string) {
	t.Helper()
	family := Family{Vendor: "test", Tools: tools}
	pack := newPack(t)
	var pkgs []distro.Unpacked
	for _, ref := range refs {
		f, err := os.Open(filepath.Join(dir, ref.Location))
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := digest.Reader(f); err != nil || got != ref.SHA256 {
			t.Fatalf("package %s has digest %s (%v), want %s", ref.Name, got, err, ref.SHA256)
		}
		u, err := readPackage(t, ref, f, pack)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		pkgs = append(pkgs, u)
	}
	box, err := sandbox.New(t.Context(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = box.Close() }()
	source := packs{"pack": pack.File.Name()}
	contents := tree.NewReader(source)
	defer func() { _ = contents.Close() }()
	var log strings.Builder
	if err := family.Configure(t.Context(), box, asked(distro.Install{
		First: true, Contents: contents, Arch: runtime.GOARCH, Early: early, Epoch: testEpoch,
		Log: func(line string) { fmt.Fprintln(&log, line) },
	}, pkgs)); err != nil {
		t.Fatal(err)
	}
	step := newPack(t)
	made, _, err := box.Capture(t.Context(), step.File, "step", "step:install", testEpoch)
	if err != nil {
		t.Fatal(err)
	}
	source["step"] = step.File.Name()
	return made, source, pkgs, log.String()
}

func TestEffectsAgreeWithRPM(t *testing.T) {
	judged(t)
	dir := archive(t)
	refs, err := universe(t, dir).Resolve(distro.Request{Arch: runtime.GOARCH, Packages: []string{"tool(api)"}})
	if err != nil {
		t.Fatal(err)
	}
	arch := arches[runtime.GOARCH]
	var chosen strings.Builder
	for _, r := range refs {
		fmt.Fprintln(&chosen, r.Name, r.Version, r.Arch, r.Location)
	}
	want := strings.ReplaceAll(`base 2:1-3 ARCH base-1-3.ARCH.rpm
tool 1.0~rc2-1 ARCH tool-1.0~rc2-1.ARCH.rpm
tool-data 1.0-1 noarch tool-data-1.0-1.noarch.rpm
`, "ARCH", arch)
	if diff := cmp.Diff(want, chosen.String()); diff != "" {
		t.Fatalf("packages chosen (-want +got):\n%s", diff)
	}
	shop := newWorkshop(t)
	made, source, pkgs, log := installed(t, dir, shop, refs)
	again, _, _, _ := installed(t, dir, shop, refs)
	if made.ID() != again.ID() {
		t.Errorf("installed twice, the trees differ:\n%s", cmp.Diff(listing(made, ""), listing(again, "")))
	}
	wantLog := `uid=0(root) gid=0(root)
package tool: user stranger does not exist, root is used
package tool: group strangers does not exist, root is used
package tool: its %post scriptlet failed: /bin/sh exited with code 1
`
	if diff := cmp.Diff(wantLog, log); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}

	// rpm's own tree, made in the workshop below /theirs.
	ctx := t.Context()
	ground := []tree.Entry{}
	for _, d := range []string{"theirs", "theirs/dev", "theirs/proc", "theirs/etc", "theirs/etc/tool", "rpms"} {
		ground = append(ground, tree.Entry{Path: d, Kind: tree.Dir, Mode: 0o755})
	}
	if err := shop.Put(ctx, ground, nil); err != nil {
		t.Fatal(err)
	}
	for path, text := range early {
		if err := shop.Write(ctx, sandbox.NewFile{Path: "theirs/" + path, Mode: 0o644, Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range refs {
		data, err := os.ReadFile(filepath.Join(dir, r.Location))
		if err != nil {
			t.Fatal(err)
		}
		if err := shop.Write(ctx, sandbox.NewFile{Path: "rpms/" + r.Location, Mode: 0o644, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := shop.shell(ctx, "/rpms", `rpm --root /theirs --dbpath /var/lib/rpm --install --nosignature *.rpm`)
	t.Logf("rpm says (%v):\n%s", err, out)
	theirs, _, err := shop.Capture(ctx, newPack(t).File, "theirs", "rpm", testEpoch+1_000_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(listing(theirs, "theirs"), listing(made, "")); diff != "" {
		t.Errorf("rpm's tree and this one (-rpm +ingot):\n%s", diff)
	}
	testQueries(t, shop, made, source)
	testDescriptions(t, pkgs)
	testLay(t, pkgs)
}

// listing is a tree as text, from a directory on. What rpm keeps beside its
// database is left out, and times of what no package brings.
func listing(t tree.Tree, below string) []string {
	var out []string
	names := map[string]bool{}
	for e := range t.All() {
		path, ok := e.Path, true
		if below != "" {
			path, ok = strings.CutPrefix("/"+e.Path, "/"+below)
			path = strings.TrimPrefix(path, "/")
		}
		if !ok || strings.HasPrefix(path, "var/lib/rpm/.") || strings.HasPrefix(path, "var/lib/rpm/rpmdb.sqlite") {
			continue
		}
		names[path] = true
		line := fmt.Sprintf("%s %04o %d:%d /%s", e.Kind, e.Mode, e.UID, e.GID, path)
		switch e.Kind {
		case tree.File:
			line += fmt.Sprintf(" %d %s", e.Content.Size, e.Content.Digest.Short())
		case tree.Symlink:
			line += " " + e.Link
		case tree.Hardlink:
			line += " " + strings.TrimPrefix(e.Link, below+"/")
		case tree.Dir, tree.Char, tree.Block, tree.Fifo:
		}
		if e.Kind != tree.Dir && path != "var/log/order" && path != "etc/passwd" && path != "etc/group" && path != "etc/tool/made" && !strings.HasPrefix(path, "etc/tool/moved.conf.") && path != "etc/tool/kept.conf" {
			line += fmt.Sprintf(" @%d", e.Mtime.Sec)
		}
		for _, x := range e.Xattrs {
			line += fmt.Sprintf(" %s=%x", x.Name, x.Value)
		}
		out = append(out, line)
	}
	return out
}

// testQueries lets rpm read the database and verify the tree. What it finds is what
// it finds of its own: a configuration file that was kept, and hard links whose
// names do not agree on their owner.
func testQueries(t *testing.T, shop workshop, made tree.Tree, source packs) {
	t.Helper()
	ctx := t.Context()
	var entries []tree.Entry
	for e := range made.All() {
		e.Path = strings.TrimSuffix("ours/"+e.Path, "/")
		if e.Kind == tree.Hardlink {
			e.Link = "ours/" + e.Link
		}
		entries = append(entries, e)
	}
	contents := tree.NewReader(source)
	defer func() { _ = contents.Close() }()
	if err := shop.Put(ctx, entries, contents); err != nil {
		t.Fatal(err)
	}
	const queries = `run() { where=$1; shift; command rpm --root /$where --dbpath /var/lib/rpm "$@" 2>&1; }
run $1 -qa --qf '%{DBINSTANCE} %{NEVRA} [%{FILESTATES}]\n'
echo verified:; run $1 -Va --nosignature
echo owner:; run $1 -qf /usr/libexec/tool/third
echo installed at:; run $1 -q --qf '%{INSTALLTIME} %{INSTALLTID}\n' tool
true
`
	ours, err := shop.shell(ctx, "/", queries, "ours")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := shop.shell(ctx, "/", queries, "theirs")
	if err != nil {
		t.Fatal(err)
	}
	want := `1 base-2:1-3.ARCH 00000000000000
2 tool-data-1.0-1.noarch 00000
3 tool-1.0~rc2-1.ARCH 000000000000000
verified:
S.5....T.  c /etc/tool/kept.conf
.M....G..    /usr/bin/tool
.M...UG..    /usr/bin/tool-again
owner:
tool-1.0~rc2-1.ARCH
installed at:
1700000002 1700000000
`
	if diff := cmp.Diff(strings.ReplaceAll(want, "ARCH", arches[runtime.GOARCH]), string(ours)); diff != "" {
		t.Errorf("rpm of the tree (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(string(theirs), string(ours)); diff != "" {
		t.Errorf("rpm of its own tree and of this one (-rpm +ingot):\n%s", diff)
	}
}

func testDescriptions(t *testing.T, pkgs []distro.Unpacked) {
	t.Helper()
	var got strings.Builder
	for _, u := range pkgs {
		d := Family{Vendor: "test"}.Describe(u.Package)
		fmt.Fprintf(&got, "%s | %s | %s | %s | %s | %s | %v\n", d.Purl, d.Source, d.Maintainer, d.Homepage, d.Summary, strings.Join(d.Licences, ","), d.Installed > 0)
	}
	want := strings.ReplaceAll(`pkg:rpm/test/base@1-3?arch=ARCH&epoch=2 | base 1-3 |  |  | Directories, users and a shell | GPL-2.0-only | true
pkg:rpm/test/tool@1.0~rc2-1?arch=ARCH | tool 1.0~rc2-1 | Ada <ada@example.org> | https://example.org/tool | A tool |  | true
pkg:rpm/test/tool-data@1.0-1?arch=noarch | tool-data 1.0-1 |  |  | Data of tool | MIT,Apache-2.0 | true
`, "ARCH", arches[runtime.GOARCH])
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("descriptions (-want +got):\n%s", diff)
	}
}

// testLay makes a tree of the files alone.
func testLay(t *testing.T, pkgs []distro.Unpacked) {
	t.Helper()
	laid, err := Family{}.Lay(pkgs, runtime.GOARCH, testEpoch)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"": "dir 0555", "bin": "symlink 0777", "usr/bin/busybox": "file 0755", "etc/tool/kept.conf": "file 0644", "etc/tool/made": "not there", "var/log/tool.log": "not there"} {
		got := "not there"
		if e, ok := laid.Lookup(path); ok {
			got = fmt.Sprintf("%s %04o", e.Kind, e.Mode)
		}
		if got != want {
			t.Errorf("laid, /%s is %s, want %s", path, got, want)
		}
	}
}
