package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// differing are the paths in which a tree of ingot's may differ from mmdebstrap's of
// the same packages, each with its reason. None is of a package, a script or a package's
// configuration.
var differing = map[string]string{
	"/etc/fstab":                      "mmdebstrap's own remark that nothing is configured",
	"/etc/resolv.conf":                "mmdebstrap's copy of the host's",
	"/var/cache/apt/archives/lock":    "left by apt, which mmdebstrap runs",
	"/var/cache/apt/archives/partial": "its mode is changed by apt when it runs",
	"/var/lib/apt/lists/lock":         "left by apt",
	"/var/lib/apt/lists/partial":      "its mode is changed by apt",
	"/var/lib/apt/extended_states":    "apt's note of what was asked for: of the essential set ingot writes it, too",
	"/var/lib/dpkg/status-old":        "dpkg's record before its last run, which differs with how often it runs",
}

// merged makes /usr merged before anything is unpacked, as debootstrap does. Else the
// package usrmerge would copy files about, and break up hard links.
func merged(release, arch string) string {
	more := map[string]string{"amd64": "lib64", "ppc64el": "lib64"}
	if release == "bookworm" {
		// For foreign programs too, which are gone from trixie's debootstrap.
		more = map[string]string{"amd64": "lib64 lib32 libx32", "i386": "lib64 libx32", "ppc64el": "lib64", "s390x": "lib32"}
	}
	dirs := "bin sbin lib " + more[arch]
	return `for d in ` + dirs + `; do mkdir -p "$1/usr/$d" && ln -s "usr/$d" "$1/$d"; done`
}

// settings is how mmdebstrap is told what the definition says of the system.
const settings = `set -eu; cd "$1"
echo small >etc/hostname; chmod 644 etc/hostname
printf '127.0.0.1\tlocalhost\n127.0.1.1\tsmall\n\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n' >etc/hosts
echo LANG=C.UTF-8 >etc/default/locale; echo LANG=C.UTF-8 >etc/locale.conf
rm etc/apt/sources.list
`

// mmdebstrap has mmdebstrap install the same packages and compares the trees.
func (c *court) mmdebstrap(t *testing.T) {
	program, err := exec.LookPath("mmdebstrap")
	if err != nil {
		t.Skip("mmdebstrap, the judge, is not installed: the package of that name makes this run")
	}
	releases := []string{"bookworm"}
	if c.full {
		releases = append(releases, "trixie")
	}
	for _, release := range releases {
		t.Run(release, func(t *testing.T) {
			p := c.project(t, map[string]string{"ingot.yaml": strings.Replace(minimal, "bookworm", release, 1)})
			p.build(t)
			ours := readTar(t, p.path("out/small-amd64.tar"))
			theirs := readTar(t, c.bootstrap(t, bootstrap{program: program, release: release, arch: "amd64", purpose: "container", variant: "minbase"}, p))
			compareTrees(t, ours, theirs, differing)
		})
	}
}

// A bootstrap is what mmdebstrap is to make.
type bootstrap struct {
	program, release, arch, purpose, variant string
	emulator                                 *emulator
}

// bootstrap makes mmdebstrap's tree of what a lock names.
func (c *court) bootstrap(t *testing.T, b bootstrap, p *project) string {
	t.Helper()
	lock := p.read(t, "ingot.lock")
	var sources []string
	for _, a := range []string{"debian", "debian-security"} {
		for _, s := range suitesOf(lock, a) {
			sources = append(sources, "deb "+strings.TrimSuffix(c.mirror.debian(), "debian")+a+" "+s+" main")
		}
	}
	file := filepath.Join(p.dir, "theirs.tar")
	hook := settings
	for _, a := range []string{"debian", "debian-security"} {
		if len(suitesOf(lock, a)) == 0 {
			continue
		}
		hook += fmt.Sprintf("printf 'Types: deb\\nURIs: %s\\nSuites: %s\\nComponents: main\\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\\n' >etc/apt/sources.list.d/%s.sources\n",
			strings.TrimSuffix(c.mirror.debian(), "debian")+a, strings.Join(suitesOf(lock, a), " "), a)
	}
	script := filepath.Join(p.dir, "settings")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"+hook), 0o755); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--architectures=" + b.arch, "--setup-hook=" + merged(b.release, b.arch), "--customize-hook=" + script, "--variant=" + b.variant, "--format=tar", b.release, file}, sources...)
	if b.emulator != nil {
		args = append([]string{"--skip=check/qemu"}, args...) // it asks a program that is not there
	}
	cmd := exec.CommandContext(t.Context(), b.program, args...)
	b.emulator.with(cmd)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+epochOf(lock), "TMPDIR="+p.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mmdebstrap: %v\n%s", err, tail(string(out), 30))
	}
	// The judge chose the same packages.
	status := readTar(t, file)["/var/lib/dpkg/status"].content
	var theirs, ours []string
	for _, m := range regexp.MustCompile(`(?m)^Package: (.*)\n(?:.+\n)*?Architecture: (.*)\n(?:.+\n)*?Version: (.*)$`).FindAllStringSubmatch(status, -1) {
		theirs = append(theirs, m[1]+" "+m[3]+" "+m[2])
	}
	for _, l := range lockedSets(lock)[b.purpose] {
		ours = append(ours, strings.Join(strings.Fields(l)[:3], " "))
	}
	slices.Sort(theirs)
	if !slices.Equal(ours, theirs) {
		t.Fatalf("mmdebstrap chose %d packages, the lock has %d:\n%s\n%s", len(theirs), len(ours), theirs, ours)
	}
	return file
}

// suitesOf are those of an archive of a lock.
func suitesOf(lock, archive string) []string {
	in := false
	for _, l := range lines(lock) {
		f := strings.Fields(l)
		switch {
		case f[0] == "archive":
			in = f[1] == archive
		case in && f[0] == "suites":
			return f[1:]
		}
	}
	return nil
}
