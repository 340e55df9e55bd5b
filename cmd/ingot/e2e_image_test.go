package main_test

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// What the rich definition says, and the cases look for.
const (
	sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHdfAI24gnjo/JLaTTGLnDyd+zFUVYAp2HGm6MQBd5A0 ops@example"
	hash   = "$6$ingotingot$KgkKpnnAVQBXjl.IENFYsA3vokHUuw28iUgJ929wnVGpnyEss0wNBxUlPnMDEN9njaa5Z36yD1RhewKneE3DU1"
)

// richArchives are the suffixes of the compressed archives that the rich definition makes.
// xz takes a core for minutes: where there is less time, the smaller tree of the container
// formats stands for it.
func (c *court) richArchives() []string {
	if c.full {
		return []string{"tar.gz", "tar.xz", "tar.zst"}
	}
	return []string{"tar.gz", "tar.zst"}
}

// richDefinition asks for every kind of customisation at once, in every format.
func (c *court) richDefinition() map[string]string {
	return map[string]string{
		"ingot.yaml": `version: 1
name: rich
distro: debian
release: bookworm
include: [./parts/people.yaml]
packages: [openssh-server, dbus]
hostname: rich.example.org
locale: de_DE.UTF-8
timezone: Europe/Paris
files:
  - {path: /etc/motd, content: "moin\n"}
  - {path: /srv/secret, content: "for ops\n", mode: "0640", owner: ops, group: media}
  - {path: /usr/local/bin/hello, source: ./hello}
  - {path: /srv/site, source: ./site, owner: "1500", group: media}
  - {path: /etc/systemd/system/marker.service, content: "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/bin/hello\n[Install]\nWantedBy=multi-user.target\n"}
services: {enable: [marker, systemd-networkd], disable: [e2scrub_all.timer], mask: [apt-daily.timer]}
scripts:
  - {name: look, run: ./look.sh, reads: [data/]}
  - {name: call, run: ./call.sh, reads: [data/port], network: true}
  - {name: late, run: ./late.sh, after: services}
kernel: {arguments: [ingot.test=1]}
tests:
  - {run: "systemctl is-active marker", expect: "^active"}
  - {run: "grep -c ingot.test=1 /proc/cmdline"}
  - {run: "runuser -u ops -- sudo -n id -u", expect: "^0$"}
  - {run: "cat /etc/motd", expect: "^moin$", timeout: 30s}
outputs: [dir, tar, ` + strings.Join(c.richArchives(), ", ") + `, raw, {format: qcow2, free: 300MiB}]
`,
		"parts/people.yaml": `unix-groups: [{name: media, gid: 2000}]
users:
  - {name: ops, uid: 1500, groups: [media, users], shell: /bin/sh, ssh-keys: ["` + sshKey + `"], password-hash: "` + hash + `", sudo: true}
  - {name: app, home: /srv/app}
`,
		"hello":         "#!/bin/sh\necho hello\n",
		"site/index":    "index\n",
		"site/sub/page": "page\n",
		"site/sub/run":  "#!/bin/sh\n",
		"data/greeting": "guten tag\n",
		"data/port":     strconv.Itoa(c.mirror.port()),
		"unread":        "not for scripts\n",
		"look.sh": `#!/bin/bash
set -eu
mkdir -p /etc/look
cat data/greeting >/etc/look/greeting
test ! -e unread
echo "$SOURCE_DATE_EPOCH" >/etc/look/epoch
if (exec 3<>/dev/tcp/127.0.0.1/$(cat data/port)) 2>/dev/null; then echo reached; else echo refused; fi >/etc/look/network
ls /sys/class/net >/etc/look/interfaces 2>/dev/null || sed 1,2d /proc/net/dev | cut -d: -f1 | tr -d ' ' >/etc/look/interfaces
id -u >/etc/look/id
`,
		"call.sh": `#!/bin/bash
set -eu
exec 3<>/dev/tcp/127.0.0.1/$(cat data/port)
echo reached >/etc/look/called
`,
		"late.sh": "#!/bin/sh\nls -d /etc/systemd/system/multi-user.target.wants/marker.service >/etc/look/late 2>&1 || echo none >/etc/look/late\n",
	}
}

// image builds the rich definition and has every output judged.
func (c *court) image(t *testing.T) {
	p, err := c.rich()
	if err != nil {
		t.Fatal(err)
	}
	out := p.path("out")
	var b built
	parse(t, []byte(p.read(t, "first.json")), &b)
	if len(b.Artifacts) != 4+len(c.richArchives()) || b.Schema != 1 || !strings.HasPrefix(b.Group, "rich=") || b.Lock != p.path("ingot.lock") {
		t.Errorf("build --json printed %+v", b)
	}
	sealed := sums(t, out)
	artifactsOnly(t, out)

	t.Run("papers", func(t *testing.T) { judgePapers(t, p, b) })
	t.Run("archives", func(t *testing.T) { judgeArchives(t, out, c.richArchives()) })
	t.Run("disks", func(t *testing.T) { judgeDisks(t, out) })
	plain := readTar(t, filepath.Join(out, "rich-amd64.tar"))
	t.Run("contents", func(t *testing.T) { judgeContents(t, p, plain) })
	t.Run("machine", func(t *testing.T) { judgeMachine(t, out) })
	t.Run("dir", func(t *testing.T) {
		if !isRoot() {
			t.Skip("root runs this: only root's directory has owners and devices")
		}
		judge.Run(t, "tar", "--compare", "--numeric-owner", "--xattrs", "-f", filepath.Join(out, "rich-amd64.tar"), "-C", filepath.Join(out, "rich-amd64"))
		compareTrees(t, readDir(t, filepath.Join(out, "rich-amd64")), plain, nil)
	})
	t.Run("inside", func(t *testing.T) { judgeInside(t, filepath.Join(out, "rich-amd64.tar")) })
	if len(sealed) < (len(b.Artifacts)-1)*4 { // all but the directory
		t.Errorf("SHA256SUMS has %d lines", len(sealed))
	}
}

func judgePapers(t *testing.T, p *project, b built) {
	sets := lockedSets(p.read(t, "ingot.lock"))
	for _, a := range b.Artifacts {
		var manifest struct {
			Schema   int
			Format   string
			SHA256   string
			Packages []struct{ Name, Version, Arch, SHA256, Purl string }
		}
		parse(t, []byte(p.read(t, a.Manifest)), &manifest)
		purpose := "container"
		if a.Format == "raw" || a.Format == "qcow2" {
			purpose = "machine"
		}
		var got []string
		for _, q := range manifest.Packages {
			got = append(got, strings.Join([]string{q.Name, q.Version, q.Arch, q.SHA256}, " "))
			if !strings.HasPrefix(q.Purl, "pkg:deb/debian/") {
				t.Errorf("%s: purl %q of %s", a.Manifest, q.Purl, q.Name)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, sets[purpose]) {
			t.Errorf("%s lists %d packages, the lock has %d for a %s", a.Manifest, len(got), len(sets[purpose]), purpose)
		}
		if manifest.Schema != 1 || manifest.Format != a.Format || manifest.SHA256 != a.SHA256 {
			t.Errorf("%s: %+v", a.Manifest, manifest)
		}
		var bom struct {
			SPDXVersion string `json:"spdxVersion"`
			Packages    []struct {
				Name string `json:"name"`
			} `json:"packages"`
		}
		parse(t, []byte(p.read(t, a.SBOM)), &bom)
		if !strings.HasPrefix(bom.SPDXVersion, "SPDX-2.3") || len(bom.Packages) < len(got) {
			t.Errorf("%s: %s with %d packages", a.SBOM, bom.SPDXVersion, len(bom.Packages))
		}
		var statement struct {
			Type          string `json:"_type"`
			PredicateType string `json:"predicateType"`
			Subject       []struct {
				Name   string
				Digest map[string]string
			}
		}
		parse(t, []byte(p.read(t, a.Provenance)), &statement)
		if statement.Type != "https://in-toto.io/Statement/v1" || statement.PredicateType != "https://slsa.dev/provenance/v1" ||
			len(statement.Subject) != 1 || statement.Subject[0].Name != filepath.Base(a.Path) || statement.Subject[0].Digest["sha256"] != a.SHA256 {
			t.Errorf("%s: %+v", a.Provenance, statement)
		}
		for _, paper := range []string{a.Manifest, a.SBOM, a.Provenance} {
			if text := p.read(t, paper); strings.Contains(text, p.dir) || strings.Contains(text, p.c.mirror.server.URL) {
				t.Errorf("%s names a place of this machine or the mirror", paper)
			}
		}
	}
}

// lockedSets reads a lock's sets as lines of name, version, architecture and digest.
func lockedSets(text string) map[string][]string {
	out := map[string][]string{}
	purpose := ""
	for _, l := range lines(text) {
		f := strings.Fields(l)
		switch {
		case f[0] == "set":
			purpose = f[2]
		case !strings.HasPrefix(l, "  "):
			purpose = ""
		case purpose != "" && len(f) == 7: // a package
			out[purpose] = append(out[purpose], strings.Join([]string{f[0], f[1], f[2], f[4]}, " "))
		}
	}
	for _, s := range out {
		slices.Sort(s)
	}
	return out
}

// judgeArchives compares the tar archive with those that are compressed.
func judgeArchives(t *testing.T, out string, compressed []string) {
	listing := func(suffix string) []string {
		all := lines(judge.Run(t, "tar", "--list", "--verbose", "--full-time", "--numeric-owner", "-f", filepath.Join(out, "rich-amd64."+suffix)))
		slices.Sort(all)
		return all
	}
	want := listing("tar")
	if len(want) < 5000 {
		t.Errorf("tar lists %d entries", len(want))
	}
	for _, suffix := range compressed {
		program := map[string]string{"tar.gz": "gzip", "tar.xz": "xz", "tar.zst": "zstd"}[suffix]
		judge.Run(t, program, "-q", "-t", filepath.Join(out, "rich-amd64."+suffix))
		if got := listing(suffix); !slices.Equal(got, want) {
			t.Errorf("%s lists %d entries, tar %d, and they differ", suffix, len(got), len(want))
		}
	}
}

// partitions are where those of a raw disk begin and end, in bytes, by their type's
// first digits.
func partitions(t *testing.T, raw string) map[string][2]int64 {
	t.Helper()
	var table struct {
		PartitionTable struct {
			SectorSize int64
			Partitions []struct {
				Start, Size int64
				Type        string
			}
		}
	}
	out := judge.Run(t, "sfdisk", "--json", raw)
	parse(t, []byte(out), &table)
	found := map[string][2]int64{}
	for _, p := range table.PartitionTable.Partitions {
		found[p.Type[:8]] = [2]int64{p.Start * table.PartitionTable.SectorSize, p.Size * table.PartitionTable.SectorSize}
	}
	return found
}

// The types of partitions (the Discoverable Partitions Specification), and the
// BIOS boot partition's.
const (
	espType  = "C12A7328"
	rootType = "4F68BCE3"
	biosType = "21686148"
)

func judgeDisks(t *testing.T, out string) {
	raw, qcow2 := filepath.Join(out, "rich-amd64.raw"), filepath.Join(out, "rich-amd64.qcow2")
	if said := judge.Run(t, "sgdisk", "-v", raw); !strings.Contains(said, "No problems found") {
		t.Errorf("sgdisk -v: %s", said)
	}
	judge.Run(t, "sfdisk", "-V", raw)
	judge.Run(t, "qemu-img", "check", qcow2)
	found := partitions(t, raw)
	for _, typ := range []string{espType, rootType, biosType} {
		if found[typ][1] == 0 {
			t.Fatalf("no partition of type %s: %v", typ, found)
		}
	}
	judgeFileSystems(t, raw, found)
	if text := judge.Run(t, "qemu-img", "info", "--output=json", qcow2); !strings.Contains(text, `"format": "qcow2"`) {
		t.Error(text)
	}
	// Another free space, so another disk: its own file systems are judged.
	flat := filepath.Join(t.TempDir(), "flat")
	judge.Run(t, "qemu-img", "convert", "-O", "raw", qcow2, flat)
	judgeFileSystems(t, flat, partitions(t, flat))
	a, err := os.Stat(raw)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Stat(flat)
	if err != nil {
		t.Fatal(err)
	}
	if less := a.Size() - b.Size(); less < 150<<20 || less > 280<<20 {
		t.Errorf("raw with 512 MiB free is %d bytes larger than qcow2 with 300 MiB", less)
	}
}

func judgeFileSystems(t *testing.T, raw string, found map[string][2]int64) {
	t.Helper()
	judge.Run(t, "fsck.ext4", "-fn", fmt.Sprintf("%s?offset=%d", raw, found[rootType][0]))
	esp := filepath.Join(t.TempDir(), "esp")
	copyPart(t, esp, raw, found[espType])
	judge.Run(t, "fsck.vfat", "-n", esp)
}

// judgeContents looks for everything that the definition asks for.
func judgeContents(t *testing.T, p *project, tree map[string]entry) {
	for _, c := range []struct{ path, want string }{
		{"/etc/motd", "-rw-r--r-- 0:0 moin\n"},
		{"/srv/secret", "-rw-r----- 1500:2000 for ops\n"},
		{"/usr/local/bin/hello", "-rwxr-xr-x 0:0 #!/bin/sh\necho hello\n"},
		{"/srv/site", "drwxr-xr-x 1500:2000 "},
		{"/srv/site/index", "-rw-r--r-- 1500:2000 index\n"},
		{"/srv/site/sub", "drwxr-xr-x 1500:2000 "},
		{"/srv/site/sub/page", "-rw-r--r-- 1500:2000 page\n"},
		{"/srv/site/sub/run", "-rwxr-xr-x 1500:2000 #!/bin/sh\n"},
		{"/etc/hostname", "-rw-r--r-- 0:0 rich.example.org\n"},
		{"/etc/default/locale", "-rw-r--r-- 0:0 LANG=de_DE.UTF-8\n"},
		{"/etc/timezone", "-rw-r--r-- 0:0 Europe/Paris\n"},
		{"/etc/localtime", "lrwxrwxrwx 0:0 -> /usr/share/zoneinfo/Europe/Paris"},
		{"/home/ops/.ssh", "drwx------ 1500:1500 "},
		{"/home/ops/.ssh/authorized_keys", "-rw------- 1500:1500 " + sshKey + "\n"},
		{"/etc/sudoers.d/ops", "-r--r----- 0:0 ops ALL=(ALL:ALL) NOPASSWD: ALL\n"},
		{"/etc/look/greeting", "-rw-r--r-- 0:0 guten tag\n"},
		{"/etc/look/network", "-rw-r--r-- 0:0 refused\n"},
		{"/etc/look/interfaces", "-rw-r--r-- 0:0 lo\n"},
		{"/etc/look/called", "-rw-r--r-- 0:0 reached\n"},
		{"/etc/look/id", "-rw-r--r-- 0:0 0\n"},
		{"/etc/look/epoch", "-rw-r--r-- 0:0 " + epochOf(p.read(t, "ingot.lock")) + "\n"},
	} {
		if got := tree[c.path].String(); got != c.want {
			t.Errorf("%s is %q, want %q", c.path, got, c.want)
		}
	}
	for _, c := range []struct{ path, line string }{
		{"/etc/passwd", `ops:x:1500:1500::/home/ops:/bin/sh`},
		{"/etc/passwd", `app:x:[0-9]+:[0-9]+::/srv/app:/bin/bash`},
		{"/etc/shadow", regexp.QuoteMeta("ops:"+hash) + `:[0-9]+:0:99999:7:::`},
		{"/etc/shadow", `app:!:[0-9]+:0:99999:7:::`},
		{"/etc/shadow", `root:\*:[0-9]*:.*`},
		{"/etc/group", `media:x:2000:ops`},
		{"/etc/group", `users:x:100:ops`},
		{"/etc/hosts", `127\.0\.1\.1\s+rich\.example\.org.*`},
		{"/etc/locale.gen", `de_DE\.UTF-8 UTF-8`},
	} {
		if !regexp.MustCompile(`(?m)^` + c.line + `$`).MatchString(tree[c.path].content) {
			t.Errorf("%s has no line %s:\n%s", c.path, c.line, tree[c.path].content)
		}
	}
	for _, gone := range []string{"/ingot", "/etc/systemd/system/ingot", "/usr/sbin/policy-rc.d", "/etc/ssh/ssh_host_ed25519_key", "/var/lib/dbus/machine-id"} {
		if _, ok := tree[gone]; ok {
			t.Errorf("%s was left in the image", gone)
		}
	}
	if id, ok := tree["/etc/machine-id"]; ok && id.content != "" {
		t.Errorf("/etc/machine-id is %q", id.content)
	}
	if _, ok := tree["/usr/lib/locale/locale-archive"]; !ok {
		t.Error("no locale was generated")
	}
	epoch, err := strconv.ParseInt(epochOf(p.read(t, "ingot.lock")), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range tree {
		if e.mtime > epoch {
			t.Errorf("%s is of %d, later than the lock's %d", name, e.mtime, epoch)
		}
		if strings.Contains(e.content, p.dir) {
			t.Errorf("%s names the directory of the build", name)
		}
	}
}

func epochOf(lock string) string {
	for _, l := range lines(lock) {
		if f := strings.Fields(l); f[0] == "epoch" {
			return f[1]
		}
	}
	return ""
}

// judgeMachine reads the raw disk's root file system with debugfs.
func judgeMachine(t *testing.T, out string) {
	raw := filepath.Join(out, "rich-amd64.raw")
	root := fmt.Sprintf("%s?offset=%d", raw, partitions(t, raw)[rootType][0])
	cat := func(name string) string {
		t.Helper()
		text := judge.Run(t, "debugfs", "-R", "cat "+name, root)
		_, text, _ = strings.Cut(text, "\n") // its version
		return text
	}
	for _, c := range []struct{ path, want string }{
		{"/etc/motd", `^moin\n$`},
		{"/etc/hostname", `^rich\.example\.org\n$`},
		{"/etc/fstab", `(?m)^UUID=[0-9a-f-]{36}\s+/\s+ext4\s`},
		{"/boot/grub/grub.cfg", `ingot\.test=1`},
		{"/boot/grub/grub.cfg", `console=ttyS0`},
		{"/etc/look/late", "marker.service"},
		{"/home/ops/.ssh/authorized_keys", regexp.QuoteMeta(sshKey)},
	} {
		if text := cat(c.path); !regexp.MustCompile(c.want).MatchString(text) {
			t.Errorf("%s does not match %s:\n%s", c.path, c.want, text)
		}
	}
	for name, want := range map[string]string{
		"/etc/systemd/system/multi-user.target.wants/marker.service": "/etc/systemd/system/marker.service",
		"/etc/systemd/system/apt-daily.timer":                        "/dev/null",
	} {
		if text := judge.Run(t, "debugfs", "-R", "stat "+name, root); !strings.Contains(text, `Fast link dest: "`+want+`"`) {
			t.Errorf("%s does not lead to %s:\n%s", name, want, text)
		}
	}
	if text := judge.Run(t, "debugfs", "-R", "stat /etc/systemd/system/timers.target.wants/e2scrub_all.timer", root); !strings.Contains(text, "not found") {
		t.Errorf("e2scrub_all.timer is still enabled:\n%s", text)
	}
	if text := judge.Run(t, "debugfs", "-R", "ls -p /etc/ssh", root); strings.Contains(text, "ssh_host_") {
		t.Errorf("the image has SSH host keys:\n%s", text)
	}
	for name, want := range map[string]string{"/srv/secret": "Mode:  0640", "/home/ops/.ssh": "Mode:  0700"} {
		if text := judge.Run(t, "debugfs", "-R", "stat "+name, root); !strings.Contains(text, want) || !regexp.MustCompile(`User:\s+1500\s`).MatchString(text) {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// An entry is a path of a tree, read from an archive or a directory by Go's own
// packages.
type entry struct {
	mode    os.FileMode
	uid     int
	gid     int
	link    string // of symbolic links; of hard links the first path with a "=" before it
	device  [2]int64
	xattrs  string
	mtime   int64
	content string
}

// String is what a short expectation says: mode, owner, target or content.
func (e entry) String() string {
	if e.mode == 0 && e.content == "" {
		return "missing"
	}
	s := fmt.Sprintf("%s %d:%d ", strings.Replace(e.mode.String(), "L", "l", 1), e.uid, e.gid)
	if e.link != "" {
		return s + "-> " + e.link
	}
	return s + e.content
}

// all says everything but times.
func (e entry) all() string {
	return fmt.Sprintf("%s %d:%d %q %v %q %q", e.mode, e.uid, e.gid, e.link, e.device, e.xattrs, e.content)
}

// readTar reads an archive whole.
func readTar(t *testing.T, name string) map[string]entry {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tree := map[string]entry{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return tree
		}
		if err != nil {
			t.Fatal(err)
		}
		at := path.Join("/", h.Name)
		if _, twice := tree[at]; twice {
			t.Errorf("%s has %s twice", name, at)
		}
		e := entry{mode: h.FileInfo().Mode(), uid: h.Uid, gid: h.Gid, link: h.Linkname, device: [2]int64{h.Devmajor, h.Devminor}, mtime: h.ModTime.Unix()}
		if h.Typeflag == tar.TypeLink {
			// What a name of it says is not the archive's to choose: all are one file.
			first := path.Join("/", h.Linkname)
			e = tree[first]
			e.link = "=" + first
		}
		var names []string
		for k, v := range h.PAXRecords {
			if n, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
				names = append(names, n+"="+v)
			}
		}
		slices.Sort(names)
		if h.Typeflag != tar.TypeLink {
			e.xattrs = strings.Join(names, "\n")
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			e.content = string(b)
		}
		tree[at] = e
	}
}

// compareTrees says where two trees differ, but for paths that are allowed to.
func compareTrees(t *testing.T, got, want map[string]entry, allowed map[string]string) {
	t.Helper()
	settleLinks(got)
	settleLinks(want)
	paths := maps.Clone(want)
	maps.Copy(paths, got)
	differ, used := 0, map[string]bool{}
	for _, p := range slices.Sorted(maps.Keys(paths)) {
		g, w := got[p], want[p]
		if g.all() == w.all() {
			continue
		}
		if _, ok := allowed[p]; ok {
			used[p] = true
			continue
		}
		if differ++; differ <= 20 {
			t.Errorf("%s:\n got %.300s\nwant %.300s", p, g.all(), w.all())
		}
	}
	if differ > 20 {
		t.Errorf("and %d more", differ-20)
	}
	for p, why := range allowed {
		if !used[p] {
			t.Errorf("%s does not differ: take it off the list (%s)", p, why)
		}
	}
}

// settleLinks names the first path of each file with several.
func settleLinks(tree map[string]entry) {
	groups := map[string][]string{}
	for p, e := range tree {
		if first, ok := strings.CutPrefix(e.link, "="); ok {
			groups[first] = append(groups[first], p)
		}
	}
	for first, others := range groups {
		all := append(others, first)
		slices.Sort(all)
		for _, p := range slices.Compact(all) {
			e := tree[p]
			e.link = "=" + all[0]
			tree[p] = e
		}
	}
}

// judgeInside unpacks an archive and asks the image's own dpkg and apt whether all
// is well.
func judgeInside(t *testing.T, archive string) {
	if !isRoot() {
		t.Skip("root runs this: it unpacks with owners and devices, and chroots")
	}
	dir := t.TempDir()
	judge.Run(t, "tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f", archive, "-C", dir)
	before := stateOf(t, dir)
	for _, c := range []struct{ command, want string }{
		{"dpkg --audit", `^$`},
		{"dpkg --verify", `^$`},
		{"apt-get check 2>&1", `(?s)^(Reading package lists|Building dependency tree|Reading state information|[^EW\n]*\.\.\.|\s|Done)*$`},
		{"apt-get -s -f install", `(?m)^0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded\.$`},
		{"apt-get -s autoremove", `(?m)^0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded\.$`},
		{"dpkg --configure --pending 2>&1", `^$`},
		{`dpkg-query -W -f '${db:Status-Abbrev}|${db:Status-Eflag}|${Package}\n' | grep -v '^ii |ok|' || true`, `^$`},
		{"cat /var/lib/dpkg/triggers/Unincorp; grep -c '^Triggers-\\(Pending\\|Awaited\\):' /var/lib/dpkg/status || true", `^0\n$`},
		{"ls /var/lib/dpkg/updates", `^$`},
		{"find / -xdev -name '*.dpkg-new' -o -xdev -name '*.dpkg-tmp' -o -xdev -name '*.dpkg-dist'", `^$`},
	} {
		got := inside(t, dir, c.command)
		if !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("%s says\n%s", c.command, tail(got, 30))
		}
	}
	if after := stateOf(t, dir); after != before {
		t.Errorf("asking changed dpkg's records:\n%s\n%s", before, after)
	}
}

// stateOf digests dpkg's and debconf's records.
func stateOf(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	for _, name := range []string{"var/lib/dpkg/status", "var/lib/dpkg/triggers/File", "var/cache/debconf/config.dat", "var/cache/debconf/templates.dat"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			all = append(all, sha256File(t, filepath.Join(dir, name))[:12]+" "+name)
		}
	}
	return strings.Join(all, "\n")
}

// inside runs a command of a tree, in namespaces that end with it.
func inside(t *testing.T, dir, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", "--net", "--",
		"sh", "-c", `mount -t proc proc "$0/proc" && exec chroot "$0" /bin/sh -c "$1"`, dir, command)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"}
	out, err := cmd.Output()
	if err != nil {
		var text []byte
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			text = e.Stderr
		}
		t.Errorf("%s: %v\n%s%s", command, err, out, text)
	}
	return string(out)
}

// buildRich makes the project that several cases look at, once.
func (c *court) buildRich(t *testing.T) (*project, error) {
	dir := filepath.Join(c.dir, "rich")
	p := c.projectAt(t, dir, c.richDefinition())
	v := p.ingot(t, "build", "--to", "out", "--json")
	if v.code != 0 {
		return nil, fmt.Errorf("exit code %d\n%s", v.code, tail(v.err, 40))
	}
	if !json.Valid([]byte(v.out)) {
		return nil, fmt.Errorf("no JSON: %.200s", v.out)
	}
	return p, os.WriteFile(p.path("first.json"), []byte(v.out), 0o644)
}
