package debian

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/distro"
	"ingot/internal/distro/debian/debtest"
	"ingot/internal/fault"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// A packFile is a pack, and the place where a box reads it.
type packFile struct {
	*os.File
	size int64
}

func newPackFile(t *testing.T) *packFile {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "pack"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &packFile{File: f}
}

func (p *packFile) Name() string                        { return "pack" }
func (p *packFile) Size() int64                         { return p.size }
func (p *packFile) Open(string) (f *os.File, err error) { return os.Open(p.File.Name()) }
func (p *packFile) Write(b []byte) (int, error) {
	n, err := p.File.Write(b)
	p.size += int64(n)
	return n, err
}

// An outcome is a tree, and what the recorder said.
type outcome struct {
	tree tree.Tree
	said string
	file func(path string) string
}

// A yard is a box where made packages are installed.
type yard struct {
	box  *sandbox.Box
	pack *packFile
}

func newYard(t *testing.T) *yard {
	t.Helper()
	box, err := sandbox.New(t.Context(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	return &yard{box, newPackFile(t)}
}

// install installs packages: into an empty box, or on top of what it has.
func (s *yard) install(t *testing.T, first bool, asked string, made ...debtest.Deb) error {
	t.Helper()
	install := distro.Install{First: first, Arch: "amd64", Epoch: 2000, Asked: map[string]bool{asked: true}, Early: map[string]string{"etc/early/file": "early\n"}, Log: func(string) {}}
	us := map[distro.Ref]distro.Unpacked{}
	for _, m := range made {
		u, err := inspectAndUnpack(t.Context(), m.Ref("test"), m.Bytes(), s.pack)
		if err != nil {
			t.Fatal(err)
		}
		us[u.Ref] = u
		install.Packages = append(install.Packages, u.Package)
	}
	install.Unpacked = func(_ context.Context, refs []distro.Ref) ([]distro.Unpacked, error) {
		var out []distro.Unpacked
		for _, ref := range refs {
			out = append(out, us[ref])
		}
		return out, nil
	}
	install.Contents = tree.NewReader(s.pack)
	defer func() { _ = install.Contents.Close() }()
	return Debian{}.Configure(t.Context(), s.box, install)
}

// outcome is what the box holds.
func (s *yard) outcome(t *testing.T) (out outcome) {
	t.Helper()
	contents := map[string]string{}
	out.file = func(path string) string { return contents[path] }
	step := newPackFile(t)
	var err error
	if out.tree, _, err = s.box.Capture(t.Context(), step.File, "step", "step:install", 2000); err != nil {
		t.Fatal(err)
	}
	for e := range out.tree.All() {
		if e.Kind == tree.File && e.Content.Size < 1<<16 {
			data, err := s.box.Read(t.Context(), e.Path)
			if err != nil {
				t.Fatal(err)
			}
			contents[e.Path] = string(data)
		}
	}
	out.said = contents["said"]
	return out
}

// configure installs made packages into an empty box.
func configure(t *testing.T, asked string, made ...debtest.Deb) (outcome, error) {
	t.Helper()
	s := newYard(t)
	if err := s.install(t, true, asked, made...); err != nil {
		return outcome{}, err
	}
	return s.outcome(t), nil
}

func script(name string) debtest.File {
	return debtest.File{Name: "./" + name, Mode: 0o755, Data: "#!/bin/sh\n"}
}

func control(name string, lines ...string) debtest.File {
	return debtest.File{Name: "./" + name, Data: strings.Join(lines, "\n") + "\n"}
}

func TestConfigure(t *testing.T) {
	shell := debtest.Deb{Name: "shell", Arch: "amd64", Fields: "Essential: yes", Control: []debtest.File{script("preinst"), control("triggers", "interest-noawait /usr/share/doc")},
		Files: append(debtest.Files("dir usr/bin\nfile usr/share/shell 1\nfile usr/share/taken old\nfile usr/share/kept mine"), debtest.File{Name: "./usr/bin/sh", Mode: 0o755, Data: debtest.Recorder(t)})}
	packages := []debtest.Deb{
		shell,
		named("apt", "file usr/share/apt 1\ndir var/lib/apt", ""),
		named("early", "file usr/share/early 1", "", script("preinst")),
		named("kernel", "program usr/sbin/update-initramfs real\nprogram usr/sbin/policy-rc.d own\nfile usr/share/kernel 1", ""),
		named("late", "file usr/share/late 1\nfile usr/share/taken new\nfile usr/share/doc/late 1\nfile etc/late.conf 1", "Pre-Depends: early\nReplaces: shell, loser",
			script("preinst"), control("conffiles", "/etc/late.conf"), control("triggers", "activate-noawait nobody")),
		named("loser", "file usr/share/late 2\nfile usr/share/loser 2\nfile usr/share/kept theirs", "Replaces: nothing"),
	}
	packages[0].Fields += "\nReplaces: loser"
	got, err := configure(t, "late", packages...)
	if err != nil {
		t.Fatal(err)
	}
	const said = `preinst of shell with control preinst triggers, files there: true
configure shell
preinst of early with control preinst, files there: false
configure early
preinst of late with conffiles control preinst triggers, files there: false
configure apt kernel late loser
  triggered: /usr/share/doc -
  update-initramfs is "#!/bin/sh\nexit 0\n"
initramfs by "real"
`
	if diff := cmp.Diff(said, got.said); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for path, want := range map[string]string{
		"etc/early/file":                  "early\n",
		"etc/late.conf.dpkg-new":          "1",
		"usr/share/taken":                 "new",
		"usr/share/kept":                  "mine",
		"usr/share/late":                  "1",
		"usr/sbin/update-initramfs":       "real",
		"usr/sbin/policy-rc.d":            "own",
		"var/lib/dpkg/arch":               "amd64\n",
		"var/lib/dpkg/info/format":        "1\n",
		"var/lib/dpkg/info/shell.list":    "/.\n/usr\n/usr/bin\n/usr/share\n/usr/share/shell\n/usr/share/kept\n/usr/bin/sh\n",
		"var/lib/dpkg/info/loser.list":    "/.\n/usr\n/usr/share\n/usr/share/loser\n",
		"var/lib/dpkg/info/late.list":     "/.\n/usr\n/usr/share\n/usr/share/late\n/usr/share/taken\n/usr/share/doc\n/usr/share/doc/late\n/etc\n/etc/late.conf\n",
		"var/lib/dpkg/triggers/File":      "/usr/share/doc shell/noawait\n",
		"var/lib/apt/extended_states":     "Package: early\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: kernel\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: loser\nArchitecture: amd64\nAuto-Installed: 1\n\n",
		"var/lib/dpkg/info/late.preinst":  "#!/bin/sh\n",
		"var/lib/dpkg/info/late.triggers": "activate-noawait nobody\n",
	} {
		if diff := cmp.Diff(want, got.file(path)); diff != "" {
			t.Errorf("/%s (-want +got):\n%s", path, diff)
		}
	}
	if n := strings.Count(got.file("var/lib/dpkg/status"), "\nStatus: install ok installed\n"); n != len(packages) {
		t.Errorf("%d of %d packages are recorded:\n%s", n, len(packages), got.file("var/lib/dpkg/status"))
	}
	for e := range got.tree.All() {
		if strings.Contains(e.Path, "dpkg/ci.") || strings.Contains(e.Path, "tmp.ci") {
			t.Errorf("/%s is left", e.Path)
		}
	}
	var owners []string
	for _, path := range []string{"usr/share/taken", "usr/share/kept", "usr/share/late", "var/lib/dpkg/status"} {
		e, _ := got.tree.Lookup(path)
		owners = append(owners, e.Owner)
	}
	if want := []string{"deb:late", "deb:shell", "deb:late", "step:install"}; !slices.Equal(owners, want) {
		t.Errorf("owners are %q, want %q", owners, want)
	}

	for _, c := range []struct {
		summary string
		more    []debtest.Deb
		want    string
		code    fault.Code
	}{
		{"two packages of different phases bring one file", []debtest.Deb{named("b", "file usr/share/shell 2", "")}, "packages b and shell both bring /usr/share/shell", fault.Choice},
		{"two packages of one phase bring one file", []debtest.Deb{named("b", "file usr/b 1", ""), named("c", "file usr/b 2", "")}, "packages b and c both bring /usr/b", fault.Choice},
		{"another architecture", []debtest.Deb{{Name: "b", Arch: "i386"}}, "package b is of architecture i386, the image of amd64", fault.Verification},
		{"dpkg fails", []debtest.Deb{named("b", "file fail no", "")}, "dpkg --configure: ", fault.Failed},
	} {
		t.Run(c.summary, func(t *testing.T) {
			if _, err := configure(t, "", append(c.more, shell)...); err == nil || !strings.Contains(err.Error(), c.want) || fault.CodeOf(err) != c.code {
				t.Errorf("error is %v with code %d, want %q and %d", err, fault.CodeOf(err), c.want, c.code)
			}
		})
	}
}
