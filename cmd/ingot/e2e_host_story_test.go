package main_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// storyDefinition is a host of bases and layers. Its layers run a script in place of systemd,
// so that each of the story's many boots is short.
const storyDefinition = `version: 1
name: host
distro: debian
release: bookworm
packages: [lvm2, thin-provisioning-tools]
kernel: {package: linux-image-cloud-amd64, arguments: [init=/usr/local/sbin/story, no_timer_check]}
boot: {firmware: [uefi], loader: systemd-boot, timeout: 1s}
outputs: [OUTPUT]
layout:
- local_loop: {name: disk}
- partitioning:
    base: disk
    label: gpt
    partitions:
    - {name: esp, type: esp, size: 400MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {by: uuid}}}}
    - {name: rest, type: lvm, size: 100%}
- lvm:
    name: lvm
    pvs: [{name: pv, base: rest}]
    vgs: [{name: hv, base: [pv]}]
    lvs:
    - {name: pool, base: hv, type: thin-pool, size: 6GiB}
    - {name: root, base: hv, type: thin, thin-pool: pool, size: 2GiB, mkfs: {type: ext4, mount: {mount_point: /, fstab: {by: uuid, fsck-passno: 1}}}}
    - {name: var, base: hv, type: thin, thin-pool: pool, size: 2GiB, mkfs: {type: ext4, mount: {mount_point: /var, fstab: {by: uuid}}}}
files:
- {path: /usr/local/bin/ingot, source: ./ingot, mode: "0755"}
- {path: /usr/local/sbin/story, source: ./story, mode: "0755"}
`

// storyMore are what later images have: files for the merge, and a group whose number is taken.
const storyMore = `- {path: /etc/both, content: "the image's\n"}
- {path: /usr/lib/story-owned, content: "", group: story}
- {path: /usr/lib/story-version, content: "%d\n"}
`

const (
	storyGroup = "unix-groups: [{name: story, gid: 799}]\n"
	storyIll   = `- {path: /usr/lib/ingot/health.d/required/never, mode: "0755", content: "#!/bin/sh\necho never well\nexit 1\n"}` + "\n"
)

// hostStory installs 1, updates to 2, boots and confirms it; 3 fails its health check until its
// tries are used up, and 2 comes back by itself; then back to 1. The machine restarts itself
// from step to step: testdata/host/story has the steps, and what is held to what in each.
func (c *court) hostStory(t *testing.T) {
	judge.Needs(t, judge.Full)
	bin, err := os.ReadFile(c.bin)
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join("testdata", "host", "story"))
	if err != nil {
		t.Fatal(err)
	}
	built := func(output, more string) *project {
		p := c.project(t, map[string]string{"ingot.yaml": strings.Replace(storyDefinition, "OUTPUT", output, 1) + more, "ingot": string(bin), "story": string(script)})
		p.build(t)
		return p
	}
	p := built("qcow2", "")
	images := map[string][]byte{}
	for version, more := range map[int]string{2: storyGroup, 3: storyIll + storyGroup} {
		of := built("base", fmt.Sprintf(storyMore, version)+more)
		if images[fmt.Sprintf("%d.base.tar.zst", version)], err = os.ReadFile(of.path("out/host-amd64.base.tar.zst")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(p.path("images.raw"), storyImages(t, images), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"boot", p.path("out/host-amd64.qcow2"), "--firmware", "uefi", "--drive", p.path("images.raw"), "--memory", "1536MiB", "--cpus", "1", "--timeout", "90m"}
	for _, said := range []string{
		"step 0 on none", "1 is installed", `step 1 on Host-1-0\+1`, "updated to 2", `step 2 on Host-2-0\+1`, "updated to 3",
		`step 3 on Host-3-0\+1`, "3 is not healthy", `step 3 on Host-2-0\+1`, "2 came back by itself", "back to 1", `step 4 on Host-1-0\+1`, "done",
	} {
		args = append(args, "--expect", "^story: "+said+"$")
	}
	p.must(t, args...)
}

// storyImages is a disk with an archive behind its first sector, which has the mark of a boot
// sector: without one it would be no disk to boot.
func storyImages(t *testing.T, images map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	b.Write(append(bytes.Repeat([]byte{0}, 510), 0x55, 0xaa))
	w := tar.NewWriter(&b)
	add := func(name string, data []byte) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	var sums strings.Builder
	for name, data := range images {
		add(name, data)
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), name)
	}
	add("SHA256SUMS", []byte(sums.String()))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
