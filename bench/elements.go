package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// elements are the contestants that build an image from diskimage-builder's elements:
// debian-minimal as a tar by Debian stable's diskimage-builder and by ingot, and an
// operating system that is nothing but a few directories, which shows what each costs by
// itself. Peers is a root file system with diskimage-builder; it runs as root and keeps its
// temporary files on a tmpfs, as it does where it finds the memory.
func (b bench) elements(peers string) ([]contestant, error) {
	build := filepath.Join(peers, "build") // where programs inside begin
	own := filepath.Join(build, "elements")
	files := map[string]string{
		// What changes is in the last phase, as far from the beginning as a script can be.
		"last/cleanup.d/99-last":    "#!/bin/bash\nset -eu\necho 0 | sudo tee $TARGET_ROOT/etc/last >/dev/null\n",
		"empty/element-provides":    "operating-system\n",
		"empty/environment.d/10-os": "export DISTRO_NAME=debian DIB_RELEASE=" + b.suite + " DIB_INIT_SYSTEM=systemd\n",
		"empty/root.d/10-empty":     "#!/bin/bash\nset -eu\nsudo mkdir -p $TARGET_ROOT/{bin,etc,usr,root,tmp,var/log,proc,sys,dev}\n",
	}
	write := func(name, text string) error {
		path := filepath.Join(own, name)
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			return err
		}
		return os.Chmod(path, mode) // whatever the umask
	}
	for name, text := range files {
		if err := write(name, text); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(b.work, "dib"), 0o755); err != nil {
		return nil, err
	}
	image := []string{
		"DIB_RELEASE=" + b.suite, "DIB_DISTRIBUTION_MIRROR=" + b.mirror, "DIB_APT_SOURCES_CONF=default:deb " + b.mirror + " " + b.suite + " main",
		"DIB_QUIET=1", "OVERWRITE_OLD_IMAGE=1",
	}
	theirs := append([]string{"HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "ELEMENTS_PATH=/build/elements", "LC_ALL=C", "TMP_DIR=/tmp"}, image...)
	peer := func(name string, elements ...string) []string {
		argv := append([]string{"bench/inside", peers, "env", "-i"}, theirs...)
		return append(append(argv, "disk-image-create", "-n", "-o", name, "-t", "tar"), elements...)
	}
	ours := append([]string{"ELEMENTS_PATH=" + own, "INGOT_HOME=" + filepath.Join(b.work, "dib-home"), "INGOT_CACHE=" + filepath.Join(b.work, "dib-cache")}, image...)
	ingot := func(name string, more ...string) []string {
		argv := []string{b.ingot, "--quiet", "disk-image-create", "--mirror", b.mirror, "--accept-expired", "-n", "-o", filepath.Join(b.work, "dib", name), "-t", "tar"}
		return append(argv, more...)
	}
	gone := func(paths ...string) func() error {
		return func() error {
			for _, p := range paths {
				if err := os.RemoveAll(p); err != nil {
					return err
				}
			}
			return nil
		}
	}
	n := 0
	changed := func() error {
		n++
		return write("last/cleanup.d/99-last", fmt.Sprintf("#!/bin/bash\nset -eu\necho %d | sudo tee $TARGET_ROOT/etc/last >/dev/null\n", n))
	}
	const minimal, empty = "debian-minimal as a tar", "an empty operating system as a tar"
	const first, again, nothing = "diskimage-builder: debian-minimal, nothing here", "diskimage-builder: debian-minimal, packages in its cache", "diskimage-builder: an empty operating system"
	state := []string{filepath.Join(b.work, "dib-home"), filepath.Join(b.work, "dib-cache")}
	lock := filepath.Join(b.work, "dib", "minimal.lock")
	weighed := []string{filepath.Join(b.work, "dib", "minimal.tar")}
	return []contestant{
		{name: first, group: minimal, before: gone(filepath.Join(peers, "root", ".cache")), argv: peer("minimal", "debian-minimal", "last"), size: []string{filepath.Join(build, "minimal.tar")}},
		{name: again, group: minimal, argv: peer("minimal", "debian-minimal", "last")},
		{name: "ingot: debian-minimal, nothing here, no lock", group: minimal, held: []against{{peer: first}}, before: gone(append(state, lock)...), argv: ingot("minimal", "debian-minimal", "last"), env: ours},
		{name: "ingot: debian-minimal, cold store, locked", group: minimal, held: []against{{first, 0.20}}, before: gone(state...), argv: ingot("minimal", "debian-minimal", "last"), env: ours, size: weighed},
		{name: "ingot: debian-minimal, packages in the store", group: minimal, held: []against{{again, 0.10}}, argv: ingot("minimal", "--no-cache", "debian-minimal", "last"), env: ours},
		{name: "ingot: debian-minimal, one script of the last phase changed", group: minimal, held: []against{{again, 0.03}}, before: changed, argv: ingot("minimal", "debian-minimal", "last"), env: ours},
		{name: "ingot: debian-minimal, nothing changed", group: minimal, limit: 0.5, argv: ingot("minimal", "debian-minimal", "last"), env: ours},
		{name: nothing, group: empty, argv: peer("empty", "empty")},
		{name: "ingot: an empty operating system", group: empty, held: []against{{peer: nothing}}, limit: 0.3, argv: ingot("empty", "--no-cache", "empty"), env: ours},
	}, nil
}
