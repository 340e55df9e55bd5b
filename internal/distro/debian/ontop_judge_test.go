package debian

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/judge"
	"ingot/internal/sandbox"
	"ingot/internal/tree"
)

// apart are the paths in which a tree of ingot's may differ from apt-get's after the same
// packages came on top of the same tree, each with its reason.
var apart = map[string]string{
	"var/log/dpkg.log":             "dpkg's log: ingot unpacks without it",
	"var/log/alternatives.log":     "a log",
	"var/log/apt":                  "apt's logs",
	"var/cache/apt":                "apt's caches",
	"var/cache/debconf":            "a copy before the last change, which comes more often under apt",
	"var/cache/ldconfig/aux-cache": "a cache with change times of files",
	"var/lib/apt/lists":            "the index of the judge's archive",
	"var/lib/dpkg/status-old":      "dpkg's record before its last change",
	"var/lib/dpkg/available":       "what dpkg has unpacked itself; nobody reads it",
	"etc/apt/sources.list":         "the judge's archive",
	"etc/group-":                   "a copy before the last change: apt configures in another order",
	"etc/gshadow-":                 "the same",
	"etc/passwd-":                  "the same",
	"etc/shadow-":                  "the same",
}

// An archiveOf is packages of Debian on this machine's disk.
type archiveOf struct {
	*court
	roots []string
	pack  *packFile
	have  map[distro.Ref]distro.Unpacked
}

// file is a package, as an archive signs for it.
func (a *archiveOf) file(t *testing.T, ref distro.Ref) []byte {
	t.Helper()
	kept := filepath.Join(courtDir(t), "packages", ref.SHA256.String())
	if data, err := os.ReadFile(kept); err == nil && digest.Of(data) == ref.SHA256 {
		return data
	}
	var data []byte
	err := fmt.Errorf("no mirror has it")
	for _, url := range Locate(a.roots, ref.Location) {
		if data, err = download(t, url); err == nil {
			break
		}
	}
	if err != nil || digest.Of(data) != ref.SHA256 {
		t.Fatalf("%s of the length %d cannot be had: %v", ref.Location, len(data), err)
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return data
}

// packages are what a request chooses, unpacked.
func (a *archiveOf) packages(t *testing.T, req distro.Request) []distro.Package {
	t.Helper()
	req.Arch = "amd64"
	refs, err := a.universe.Resolve(req)
	if err != nil {
		t.Fatal(err)
	}
	var out []distro.Package
	for _, ref := range refs {
		u, ok := a.have[ref]
		if !ok {
			if u, err = inspectAndUnpack(t.Context(), ref, a.file(t, ref), a.pack); err != nil {
				t.Fatal(err)
			}
			a.have[ref] = u
		}
		out = append(out, u.Package)
	}
	return out
}

func (a *archiveOf) unpacked(_ context.Context, refs []distro.Ref) ([]distro.Unpacked, error) {
	var out []distro.Unpacked
	for _, ref := range refs {
		out = append(out, a.have[ref])
	}
	return out, nil
}

// sources are the packs of a tree that has come to be in several steps.
type sources map[string]*packFile

func (s sources) Open(name string) (*os.File, error) { return os.Open(s[name].File.Name()) }

// A stage is a box, and what its files come from.
type stage struct {
	box     *sandbox.Box
	archive *archiveOf
	packs   sources
}

func (a *archiveOf) stage(t *testing.T, packs sources) *stage {
	t.Helper()
	box, err := sandbox.New(t.Context(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	return &stage{box, a, packs}
}

const judgeEpoch = 1700000000

// install is ingot's installation.
func (s *stage) install(t *testing.T, first bool, pkgs []distro.Package, asked ...string) error {
	t.Helper()
	in := distro.Install{First: first, Packages: pkgs, Unpacked: s.archive.unpacked, Arch: "amd64", Release: s.archive.suite, Asked: map[string]bool{}, Epoch: judgeEpoch, Log: func(string) {}, Contents: tree.NewReader(s.packs)}
	defer func() { _ = in.Contents.Close() }()
	for _, name := range asked {
		in.Asked[name] = true
	}
	return Debian{}.Configure(t.Context(), s.box, in)
}

func (s *stage) capture(t *testing.T, name string) tree.Tree {
	t.Helper()
	p := newPackFile(t)
	got, _, err := s.box.Capture(t.Context(), p.File, name, "step:"+name, judgeEpoch)
	if err != nil {
		t.Fatal(err)
	}
	s.packs[name] = p
	return got
}

// run is a program inside, which must be content.
func (s *stage) run(t *testing.T, script string) {
	t.Helper()
	i := installer{in: distro.Install{Epoch: judgeEpoch}}
	out, err := s.box.Output(t.Context(), sandbox.Command{Argv: []string{"/bin/sh", "-ec", script}, Env: i.environment()}, nil)
	if err != nil {
		t.Fatalf("%v%s", err, tail(out))
	}
}

// describeEntries is a tree by path, times left out.
func describeEntries(all tree.Tree) map[string]string {
	out := map[string]string{}
	for e := range all.All() {
		line := fmt.Sprintf("%s %04o %d:%d", e.Kind, e.Mode, e.UID, e.GID)
		switch e.Kind {
		case tree.File:
			if drawn(e.Path) {
				break
			}
			line += fmt.Sprintf(" %d %s", e.Content.Size, e.Content.Digest)
		case tree.Symlink, tree.Hardlink:
			line += " " + e.Link
		default:
		}
		for _, x := range e.Xattrs {
			line += fmt.Sprintf(" %s=%q", x.Name, x.Value)
		}
		out[e.Path] = line
	}
	return out
}

// unordered are files whose lines come in the order in which packages were unpacked or
// configured, which among such that do not depend on each other means nothing.
var unordered = []string{"var/lib/dpkg/triggers/File", "etc/group", "etc/gshadow", "etc/passwd", "etc/shadow"}

// sameLines says whether two boxes' files differ in the order of their lines alone.
func sameLines(t *testing.T, ours, theirs *stage, path string) bool {
	t.Helper()
	var sorted [2][]string
	for n, s := range []*stage{ours, theirs} {
		data, err := s.box.Read(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		sorted[n] = slices.Sorted(strings.Lines(string(data)))
	}
	return slices.Equal(sorted[0], sorted[1])
}

// drawn says whether a file is random: its metadata alone are compared.
func drawn(path string) bool {
	return strings.Contains(path, "/ssh_host_") || path == "etc/machine-id" || path == "var/lib/dbus/machine-id"
}

// may says whether trees may differ in a path.
func may(path string) bool {
	for p := path; p != ""; p = tree.Parent(p) {
		if _, ok := apart[p]; ok {
			return true
		}
	}
	return false
}

// compare says in what a box of ingot's differs from the judge's.
func compare(t *testing.T, ours, theirs *stage) {
	t.Helper()
	got, want := describeEntries(ours.capture(t, "ours")), describeEntries(theirs.capture(t, "theirs"))
	var paths []string
	for p := range got {
		paths = append(paths, p)
	}
	for p := range want {
		if _, ok := got[p]; !ok {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	said := 0
	for _, p := range paths {
		if got[p] == want[p] || may(p) || p == extendedStatesPath || slices.Contains(unordered, p) && sameLines(t, ours, theirs, p) {
			continue
		}
		if said++; said > 40 {
			t.Fatal("and more")
		}
		t.Errorf("/%s is\n%q, apt-get leaves\n%q%s", p, got[p], want[p], contentDiff(t, ours, theirs, p))
	}
	if diff := cmp.Diff(states(t, theirs), states(t, ours)); diff != "" {
		t.Errorf("/%s (-apt-get +ours):\n%s", extendedStatesPath, diff)
	}
	t.Logf("%d paths are compared", len(paths))
}

// contentDiff is how the texts of two files differ.
func contentDiff(t *testing.T, ours, theirs *stage, path string) string {
	t.Helper()
	a, errA := ours.box.Read(t.Context(), path)
	b, errB := theirs.box.Read(t.Context(), path)
	if errA != nil || errB != nil || bytes.IndexByte(a, 0) >= 0 {
		return ""
	}
	out := cmp.Diff(strings.Split(string(b), "\n"), strings.Split(string(a), "\n"))
	if len(out) > 2000 {
		out = out[:2000]
	}
	return "\n" + out
}

// states are apt's notes of what was installed automatically, sorted: apt's order is that
// of a hash table.
func states(t *testing.T, s *stage) []string {
	t.Helper()
	data, err := s.box.Read(t.Context(), extendedStatesPath)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for stanza := range Stanzas(data) {
		all = append(all, string(stanza))
	}
	slices.Sort(all)
	return all
}

// TestOnTopAsAptGet has apt-get install packages on top of a tree, and ingot the same on
// top of the same.
func TestOnTopAsAptGet(t *testing.T) {
	// What an administrator may have left: files in the way, a conffile of his own, another
	// mode of a directory, a diversion, triggers' records and packages that nobody asked for.
	const odd = `mkdir -m 700 /etc/sudoers.d /usr/share/doc/sudo; chown daemon /usr/share/doc/sudo
echo own >/etc/sudo.conf; echo own >/etc/sudoers; chmod 600 /etc/sudoers; ln -s sudo_logsrvd.own /etc/sudo_logsrvd.conf
ln -s /nowhere /usr/bin/sudo; ln -s dash /usr/bin/visudo; echo own >/usr/share/doc/sudo/copyright; mkdir /opt/ssh; ln -s /opt/ssh /etc/ssh
dpkg-divert --quiet --local --rename --divert /bin/busybox.real --add /bin/busybox; echo own >/bin/busybox
echo 'force-confold' >/etc/dpkg/dpkg.cfg.d/own; useradd -r own; apt-mark auto mount >/dev/null`
	for _, c := range []struct {
		level   judge.Level
		release string
		rounds  []string // each on top of the one before
		prepare string   // run in both before
	}{
		{level: judge.CI, release: "bookworm", rounds: []string{"sudo busybox", "python3-minimal debconf mount openssh-server"}, prepare: odd},
		{level: judge.Full, release: "trixie", rounds: []string{"sudo busybox", "python3-minimal openssh-server", "systemd-sysv dbus libpam-systemd"}},
		{level: judge.Full, release: "bookworm", rounds: []string{"initramfs-tools linux-image-cloud-amd64 systemd-sysv", "busybox cryptsetup-initramfs", "grub-pc man-db"}},
		{level: judge.Full, release: "trixie", rounds: []string{"linux-image-cloud-amd64", "initramfs-tools systemd-sysv", "busybox cryptsetup-initramfs"}},
	} {
		t.Run(c.release+" "+strings.Join(c.rounds, ", "), func(t *testing.T) {
			judge.Needs(t, c.level)
			a := newArchiveOf(t, c.release)
			base := a.packages(t, distro.Request{Start: "minbase"})
			packs := sources{"pack": a.pack}
			ground := a.stage(t, packs)
			if err := ground.install(t, true, base); err != nil {
				t.Fatal(err)
			}
			from := ground.capture(t, "ground")
			_ = ground.box.Close()

			ours, theirs := a.stage(t, packs), a.stage(t, packs)
			for _, s := range []*stage{ours, theirs} {
				r := tree.NewReader(packs)
				if err := s.box.Put(t.Context(), slices.Collect(from.All()), r); err != nil {
					t.Fatal(err)
				}
				_ = r.Close()
				if c.prepare != "" {
					s.run(t, c.prepare)
				}
			}
			var asked []string
			for _, round := range c.rounds {
				asked = append(asked, strings.Fields(round)...)
				all := a.packages(t, distro.Request{Start: "minbase", Packages: asked})
				start := time.Now()
				if err := ours.install(t, false, all, strings.Fields(round)...); err != nil {
					t.Fatal(err)
				}
				took := time.Since(start)
				start = time.Now()
				theirs.aptGet(t, all, round)
				t.Logf("%s: ingot took %v, apt-get %v", round, took.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
			}
			compare(t, ours, theirs)
		})
	}
}

func newArchiveOf(t *testing.T, release string) *archiveOf {
	t.Helper()
	a := &archiveOf{court: openCourt(t, release), pack: newPackFile(t), have: map[distro.Ref]distro.Unpacked{}}
	m := mirrors(t)
	for _, d := range DefaultArchives(release) {
		if d.Name == "debian" {
			a.roots = m.Roots(d)
		}
	}
	return a
}

// aptGet installs packages with the tree's own apt-get, from an archive of these alone.
func (s *stage) aptGet(t *testing.T, all []distro.Package, asked string) {
	t.Helper()
	var index strings.Builder
	var files []sandbox.NewFile
	for _, p := range all {
		name := filepath.Base(p.Ref.Location)
		files = append(files, sandbox.NewFile{Path: "srv/" + name, Mode: 0o644, Data: s.archive.file(t, p.Ref)})
		fmt.Fprintf(&index, "%s\nFilename: ./%s\nSize: %d\nSHA256: %s\n\n", strings.TrimSpace(string(p.Control["control"].Data)), name, p.Ref.Size, p.Ref.SHA256)
	}
	files = append(files, sandbox.NewFile{Path: "srv/Packages", Mode: 0o644, Data: []byte(index.String())})
	if err := s.box.Write(t.Context(), files...); err != nil {
		t.Fatal(err)
	}
	const options = "-q -y -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=false"
	s.run(t, "printf 'deb [trusted=yes] file:/srv ./\\n' >/etc/apt/sources.list\n"+
		"printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d\n"+
		"apt-get "+options+" update\napt-get "+options+" install "+asked+"\nrm -r /usr/sbin/policy-rc.d /etc/apt/sources.list /srv/*")
}
