package debian

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/distro/debian/debtest"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// ground are the packages that the tests put others on top of.
func groundDebs(t *testing.T) []debtest.Deb {
	return []debtest.Deb{
		{Name: "shell", Arch: "amd64", Fields: "Essential: yes", Control: []debtest.File{control("triggers", "interest-noawait /usr/share/doc", "interest word")},
			Files: append(debtest.Files("file usr/lib/shell/file 1\nsymlink usr/share/dirlink lib\nfile etc/shell 1"), debtest.File{Name: "./usr/bin/sh", Mode: 0o755, Data: debtest.Recorder(t)},
				debtest.File{Name: "./usr/share/lib/", Type: '5', Mode: 0o700})},
		named("apt", "file usr/share/apt 1\ndir var/lib/apt", "Breaks: broken (<< 2)\nProvides: package-manager"),
		named("dep", "file usr/share/dep 1", ""),
		named("kernel", "program usr/sbin/update-initramfs real\nfile usr/share/kernel 1", "", control("conffiles", "/etc/gone")),
	}
}

// standing gives a yard that has packages.
func newStanding(t *testing.T, ground []debtest.Deb, files ...sandbox.NewFile) *yard {
	t.Helper()
	y := newYard(t)
	if err := y.install(t, true, "", ground...); err != nil {
		t.Fatal(err)
	}
	if err := y.box.Remove(t.Context(), "said"); err != nil {
		t.Fatal(err)
	}
	if err := y.box.Put(t.Context(), []tree.Entry{{Path: "var/log", Kind: tree.Dir, Mode: 0o755}, {Path: "etc/dpkg", Kind: tree.Dir, Mode: 0o755}, {Path: "usr/local", Kind: tree.Dir, Mode: 0o700}, {Path: "usr/local/dir", Kind: tree.Dir, Mode: 0o700}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := y.box.Write(t.Context(), files...); err != nil {
		t.Fatal(err)
	}
	return y
}

func text(path, data string) sandbox.NewFile {
	return sandbox.NewFile{Path: path, Mode: 0o644, Data: []byte(data), Mtime: 1000}
}

func TestConfigureOnTop(t *testing.T) {
	y := newStanding(t, groundDebs(t),
		text("usr/share/unowned", "theirs"),
		text("var/log/dpkg.log", "log\n"),
		text("var/lib/dpkg/diversions", "/usr/share/kernel\n/usr/share/kernel.real\nlate\n"))
	err := y.install(t, false, "late",
		named("dep", "file usr/share/dep 1", ""), // is there
		named("late", "file usr/share/late 1\nfile usr/share/unowned ours\nfile usr/share/kernel 2\nfile usr/share/doc/late 1\nfile usr/share/dirlink/late 1\nfile usr/local/late 1\nfile etc/late.conf 1",
			"Pre-Depends: early\nDepends: package-manager", script("preinst"), control("conffiles", "/etc/late.conf"), control("triggers", "activate-noawait word")),
		named("early", "file usr/share/early 1", "", script("preinst")),
		debtest.Deb{Name: "again", Files: []debtest.File{{Name: "./usr/local/", Type: '5', Mode: 0o755}, {Name: "./usr/local/new/", Type: '5', Mode: 0o711}}, Control: []debtest.File{control("triggers", "interest /usr/share/dep")}},
	)
	if err != nil {
		t.Fatal(err)
	}
	got := y.outcome(t)
	held := strconv.Quote(noting)
	said := `preinst of early with control preinst, files there: false
configure early
  update-initramfs is ` + held + `
preinst of late with conffiles control preinst triggers, files there: false
configure again late
  triggered: /usr/share/doc -
  triggered: word -
  update-initramfs is ` + held + `
`
	if diff := cmp.Diff(said, got.said); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for path, want := range map[string]string{
		"etc/early/file":                 "early\n",
		"etc/late.conf.dpkg-new":         "1",
		"usr/share/unowned":              "ours",
		"usr/share/kernel":               "2",
		"usr/share/lib/late":             "1",
		"usr/sbin/update-initramfs":      "real",
		"usr/sbin/policy-rc.d":           "",
		"var/log/dpkg.log":               "log\n",
		"var/lib/dpkg/info/late.list":    "/.\n/usr\n/usr/share\n/usr/share/late\n/usr/share/unowned\n/usr/share/kernel\n/usr/share/doc\n/usr/share/doc/late\n/usr/share/dirlink\n/usr/share/dirlink/late\n/usr/local\n/usr/local/late\n/etc\n/etc/late.conf\n",
		"var/lib/dpkg/triggers/File":     "/usr/share/dep again\n/usr/share/doc shell/noawait\n",
		"var/lib/dpkg/triggers/word":     "shell\n",
		"var/lib/dpkg/triggers/Unincorp": "/usr/share/doc -\nword -\n", // dpkg would have taken them up
		"var/lib/apt/extended_states":    "Package: dep\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: kernel\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: again\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: early\nArchitecture: amd64\nAuto-Installed: 1\n\n",
	} {
		if diff := cmp.Diff(want, got.file(path)); diff != "" {
			t.Errorf("/%s (-want +got):\n%s", path, diff)
		}
	}
	for path, want := range map[string]tree.Entry{
		"usr/local":                 {Kind: tree.Dir, Mode: 0o700, Owner: "step:install"},
		"usr/local/new":             {Kind: tree.Dir, Mode: 0o711, Owner: "deb:again"},
		"usr/share/lib":             {Kind: tree.Dir, Mode: 0o700, Owner: "deb:shell"},
		"usr/share/dirlink":         {Kind: tree.Symlink, Mode: 0o777, Owner: "deb:shell"},
		"usr/share/late":            {Kind: tree.File, Mode: 0o644, Owner: "deb:late"},
		"usr/sbin/update-initramfs": {Kind: tree.File, Mode: 0o755, Owner: "deb:kernel"},
	} {
		e, _ := got.tree.Lookup(path)
		if e.Kind != want.Kind || e.Mode != want.Mode || e.Owner != want.Owner {
			t.Errorf("/%s is %v %o of %s, want %v %o of %s", path, e.Kind, e.Mode, e.Owner, want.Kind, want.Mode, want.Owner)
		}
	}
	if n := strings.Count(got.file(statusPath), "\nStatus: install ok installed\n"); n != 7 {
		t.Errorf("%d of 7 packages are recorded:\n%s", n, got.file(statusPath))
	}
	for e := range got.tree.All() {
		if strings.Contains(e.Path, "dpkg/ci.") || strings.Contains(e.Path, "tmp.ci") || strings.HasSuffix(e.Path, heldSuffix) || e.Path == askedPath || e.Path == policyPath {
			t.Errorf("/%s is left", e.Path)
		}
	}
}

// What dpkg alone can do is refused, and nothing has changed.
func TestConfigureOnTopAsks(t *testing.T) {
	ground := groundDebs(t)
	whole := func(name, status string) string {
		return "Package: " + name + "\nVersion: 1\nArchitecture: all\nStatus: " + status + "\n\n"
	}
	for _, c := range []struct {
		summary string
		files   []sandbox.NewFile
		status  string // more of it
		pkg     debtest.Deb
		want    string
	}{
		{summary: "another version", pkg: debtest.Deb{Name: "dep", Version: "2"}, want: "package dep is installed as 1-1 for all"},
		{summary: "another architecture", pkg: debtest.Deb{Name: "b", Arch: "i386"}, want: "package b is of architecture i386"},
		{summary: "the same for another architecture", pkg: debtest.Deb{Name: "dep", Arch: "amd64"}, want: "package dep is installed as 1-1 for all"},
		{summary: "half-installed", status: whole("x", "install ok half-installed"), want: "package x is half-installed"},
		{summary: "triggers pending", status: whole("x", "install ok triggers-pending"), want: "package x is triggers-pending"},
		{summary: "to be installed again", status: whole("x", "install reinstreq installed"), want: `package x is "install reinstreq installed"`},
		{summary: "removed, conffiles left", status: whole("made", "deinstall ok config-files"), want: "package made left conffiles"},
		{summary: "a conffile of a removed package", status: "Package: x\nVersion: 1\nArchitecture: all\nStatus: deinstall ok config-files\nConffiles:\n /etc/x 00\n\n",
			pkg: named("b", "file etc/x 1", "", control("conffiles", "/etc/x")), want: "/etc/x of b was a conffile of x before"},
		{summary: "a record that is none", status: "no record\n\n", want: "dpkg's record cannot be read"},
		{summary: "triggers not noted", files: []sandbox.NewFile{text(unincorpPath, "x -\n")}, want: "dpkg has triggers to note"},
		{summary: "interrupted", files: []sandbox.NewFile{text("var/lib/dpkg/updates/0001", "")}, want: "dpkg was interrupted"},
		{summary: "an old database", files: []sandbox.NewFile{text("var/lib/dpkg/info/format", "0\n")}, want: "no database of dpkg's present form"},
		{summary: "paths left out", files: []sandbox.NewFile{text("etc/dpkg/dpkg.cfg", "# why\nlog /var/log/dpkg.log\npath-exclude=/usr/share/doc/*\n")}, want: "(dpkg.cfg) says path-exclude"},
		{summary: "a file of an installed package", pkg: named("b", "file usr/share/kernel 1", "Replaces: kernel"), want: "/usr/share/kernel of b is a file of kernel"},
		{summary: "the same by a merged path", pkg: named("b", "file lib/shell/file 1", ""), want: "/lib/shell/file of b is a file of shell"},
		{summary: "the same by a linked directory", files: []sandbox.NewFile{text("var/lib/dpkg/info/dep.list", "/usr/share/lib/x\n")}, pkg: named("b", "file usr/share/dirlink/x 1", ""), want: "/usr/share/dirlink/x of b is a file of dep"},
		{summary: "diverted to a file of an installed package", files: []sandbox.NewFile{text(diversionsPath, "/usr/b\n/usr/share/dep\n:\n")}, pkg: named("b", "file usr/b 1", ""), want: "/usr/b of b is a file of dep"},
		{summary: "diverted, but by neither", files: []sandbox.NewFile{text(diversionsPath, "/usr/share/dep\n/usr/share/dep.real\nshell\n")}, pkg: named("b", "file usr/share/dep 1", ""), want: "/usr/share/dep of b is a file of dep"},
		{summary: "a file in the place of a directory", pkg: named("b", "file usr/local/dir 1", ""), want: "/usr/local/dir of b is in the place of a directory"},
		{summary: "a directory in the place of a file", files: []sandbox.NewFile{text("usr/local/f", "")}, pkg: named("b", "file usr/local/f/x 1", ""), want: "/usr/local/f of b is a directory, and there is something else"},
		{summary: "set by the administrator", files: []sandbox.NewFile{text("var/lib/dpkg/statoverride", "root root 4755 /usr/lib/x\n")}, pkg: named("b", "file lib/x 1", ""), want: "has set owner and mode of /lib/x"},
		{summary: "a conflict", pkg: named("b", "", "Conflicts: package-manager"), want: "package b does not go together with apt"},
		{summary: "broken by what is there", pkg: debtest.Deb{Name: "broken"}, want: "package apt does not go together with broken"},
		{summary: "a dependency that is not there", pkg: named("b", "", "Depends: apt (>> 2) | c"), want: "package b depends on apt (>> 2), which is not there"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			y := newStanding(t, ground, c.files...)
			if c.status != "" {
				old, err := y.box.Read(t.Context(), statusPath)
				if err != nil {
					t.Fatal(err)
				}
				if err := y.box.Write(t.Context(), text(statusPath, string(old)+c.status)); err != nil {
					t.Fatal(err)
				}
			}
			before := slices.Collect(y.outcome(t).tree.All())
			err := y.install(t, false, "", c.pkg)
			if !errors.Is(err, ErrAsk) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want ErrAsk with %q", err, c.want)
			}
			if diff := cmp.Diff(before, slices.Collect(y.outcome(t).tree.All())); diff != "" {
				t.Errorf("changed (-before +after):\n%s", diff)
			}
		})
	}
	t.Run("an empty tree", func(t *testing.T) {
		if err := newYard(t).install(t, false, "", debtest.Deb{}); !errors.Is(err, ErrAsk) {
			t.Errorf("error is %v, want ErrAsk", err)
		}
	})
}

// Stand-ins go again, also when the installation fails, and what holds services back
// already stays.
func TestStandInsOnTop(t *testing.T) {
	ground := groundDebs(t)
	for _, c := range []struct {
		summary string
		files   []sandbox.NewFile
		made    []debtest.Deb
		want    map[string]string
		err     string
	}{
		{summary: "dpkg fails", made: []debtest.Deb{named("b", "file fail no", "")}, err: "dpkg --configure: ", want: map[string]string{updateInitramfs: "real", policyPath: ""}},
		{summary: "a policy is there", files: []sandbox.NewFile{text(policyPath, "exit 101 # own")}, made: []debtest.Deb{{}}, want: map[string]string{updateInitramfs: "real", policyPath: "exit 101 # own"}},
		{summary: "a policy comes", made: []debtest.Deb{named("b", "program usr/sbin/policy-rc.d new", "")}, want: map[string]string{updateInitramfs: "real", policyPath: "new"}},
		{summary: "a policy comes where one is", files: []sandbox.NewFile{text(policyPath, "exit 101 # own")}, made: []debtest.Deb{named("b", "program usr/sbin/policy-rc.d new", "")}, want: map[string]string{policyPath: "new"}},
		{summary: "it is diverted", files: []sandbox.NewFile{text(diversionsPath, "/usr/sbin/update-initramfs\n/usr/sbin/update-initramfs.real\n:\n"), text(updateInitramfs, "stand-in")}, made: []debtest.Deb{{}}, want: map[string]string{updateInitramfs: "stand-in", "said": "configure made\n  update-initramfs is \"stand-in\"\n"}},
		{summary: "calls are replayed", files: []sandbox.NewFile{text(askedPath, " update-initramfs -u\n")}, made: []debtest.Deb{{}}, want: map[string]string{
			"said": "configure made\n  update-initramfs is " + strconv.Quote(noting) + "\ninitramfs by \"real\"\n"}},
	} {
		t.Run(c.summary, func(t *testing.T) {
			y := newStanding(t, ground, c.files...)
			err := y.install(t, false, "", c.made...)
			if (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) || errors.Is(err, ErrAsk) {
				t.Errorf("error is %v, want %q", err, c.err)
			}
			got := y.outcome(t)
			for path, want := range c.want {
				if s := got.file(path); s != want {
					t.Errorf("/%s is %q, want %q", path, s, want)
				}
			}
			for e := range got.tree.All() {
				if strings.HasSuffix(e.Path, heldSuffix) || e.Path == askedPath {
					t.Errorf("/%s is left", e.Path)
				}
			}
		})
	}
}

func TestReplay(t *testing.T) {
	const one = "update-initramfs -c -t -k 6.1 -b /boot\n"
	for _, c := range []struct{ asked, want string }{
		{"update-initramfs -u\n", "set -e\nupdate-initramfs -u\n"},
		{"update-initramfs -u\n" + one + "update-initramfs -u -k all\n" + one,
			"set -e\n" + one + "[ $(linux-version list | wc -l) = 1 ] || update-initramfs -u\nupdate-initramfs -u -k all\n"},
	} {
		if got := replay([]byte(c.asked)); got != c.want {
			t.Errorf("got\n%swant\n%s", got, c.want)
		}
	}
}

func TestMergeStates(t *testing.T) {
	const old = "Package: plain\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: was\nMore: said\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: stays\nAuto-Installed: 1\nArchitecture: amd64\n\nPackage: man\nArchitecture: amd64\nAuto-Installed: 0\n"
	const want = `Package: was
More: said
Architecture: amd64
Auto-Installed: 0

Package: stays
Auto-Installed: 1
Architecture: amd64

Package: man
Architecture: amd64
Auto-Installed: 0

Package: dep
Architecture: amd64
Auto-Installed: 1

`
	got := string(mergeStates([]byte(old), described(t, "dep", "asked", "stays"), map[string]bool{"asked": true, "was": true, "plain": true, "man": true}, "amd64"))
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// FuzzStanding reads databases of foreign trees: no text of theirs makes a reader stumble.
func FuzzStanding(f *testing.F) {
	f.Add([]byte("Package: a\nVersion: 1\nArchitecture: all\nStatus: install ok installed\nConflicts: b\nConffiles:\n /etc/a 00 obsolete\n\n"), []byte("/usr a/noawait\nx\n"))
	f.Add([]byte("Package: a\nStatus: deinstall ok config-files\n"), []byte("path-exclude /usr\n# \n\n=\n"))
	f.Fuzz(func(t *testing.T, status, other []byte) {
		s := &standing{residual: map[string]bool{}, conffiles: map[string]string{}}
		err := s.readStatus(status)
		if err != nil && !errors.Is(err, ErrAsk) {
			t.Errorf("%v", err)
		}
		if err := s.relations(s.installed, "amd64"); err != nil && !errors.Is(err, ErrAsk) {
			t.Errorf("%v", err)
		}
		s.triggers.read(map[string][]byte{"File": other, "name": other})
		_ = s.triggers.records()
		if err := checkOptions(map[string][]byte{"dpkg.cfg": other}); err != nil && !errors.Is(err, ErrAsk) {
			t.Errorf("%v", err)
		}
		_ = parseDiversions(other)
		_ = mergeStates(other, s.installed, map[string]bool{"a": true}, "amd64")
	})
}

// What a failed installation has noted of triggers is not noted twice.
func TestTriggersNotTwice(t *testing.T) {
	var pack debtest.Pack
	pkgs := unpackAll(t, &pack, named("a", "", "", control("triggers", "interest /usr", "interest-noawait name")))
	var tr triggers
	tr.read(map[string][]byte{"File": []byte("/usr a\n"), "name": []byte("a/noawait\n")})
	tr.add(pkgs)
	got := tr.records()
	if f, n := string(got[triggersDir+"File"].data), string(got[triggersDir+"name"].data); f != "/usr a\n" || n != "a/noawait\n" {
		t.Errorf("records are %q and %q", f, n)
	}
}
