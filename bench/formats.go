package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// formats are the contestants that write a tree which is there already, in every
// format: what each costs beside the program that others write it with, and what all
// cost together. Peers is a root file system with the others' programs.
func (b bench) formats(peers string) ([]contestant, error) {
	build := filepath.Join(peers, "build") // where programs inside begin
	out := filepath.Join(build, "out")
	names := []string{
		"raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "lxc", "incus", "openvz", "tar.xz", "tar.zst", "tar.gz", "squashfs", "oci", "docker", "iso",
	}
	text := fmt.Sprintf("version: 1\nname: bench\ndistro: debian\nrelease: %s\nkernel: {package: linux-image-cloud-amd64}\narchives: [{url: %q, suites: [%[1]s], components: [main]}]\noutputs: [%[3]s]\n", b.suite, b.mirror, strings.Join(names, ", "))
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	definition := filepath.Join(build, "ingot.yaml")
	if err := os.WriteFile(definition, []byte(text), 0o644); err != nil {
		return nil, err
	}
	env := []string{"INGOT_HOME=" + filepath.Join(b.work, "formats-home"), "INGOT_CACHE=" + filepath.Join(b.work, "formats-cache")}
	ingot := func(more ...string) []string {
		return append([]string{b.ingot, "build", "--quiet", "--mirror", b.mirror, definition, "--to", out}, more...)
	}
	first := contestant{name: "the first build", argv: ingot(), env: env}
	if _, _, err := first.run(false); err != nil {
		return nil, err
	}
	root, err := b.place(definition, env)
	if err != nil {
		return nil, err
	}
	if err := unpack(root, filepath.Join(out, "bench-amd64.raw"), build); err != nil {
		return nil, err
	}
	// What is there is not made again.
	gone := func() error {
		old, err := filepath.Glob(filepath.Join(out, "*"))
		for _, f := range old {
			if err := os.RemoveAll(f); err != nil {
				return err
			}
		}
		return err
	}
	inside := func(argv ...string) []string { return append([]string{"bench/inside", peers}, argv...) }
	convert := func(format string, options ...string) contestant {
		made := strings.Join(ingot("--output", "raw"), " ") + " && exec " + strings.Join(inside(append([]string{"qemu-img", "convert", "-W", "-m", "4", "-f", "raw", "-O", format}, append(options, "out/bench-amd64.raw", "converted")...)...), " ")
		return contestant{name: "ingot's raw, and qemu-img convert to " + format, group: "disks of a tree", argv: []string{"sh", "-euc", made}, env: env, before: gone}
	}
	ext4 := contestant{name: "mke2fs -d: the root file system", group: "disks of a tree", argv: inside("mke2fs", "-q", "-F", "-t", "ext4", "-d", "tree", "root.ext4", strconv.FormatInt(*root.Size>>10, 10)+"k"), before: func() error {
		return os.RemoveAll(filepath.Join(build, "root.ext4"))
	}}
	alone := func(format string, held ...against) contestant {
		return contestant{name: "ingot: " + format, group: "disks of a tree", held: held, argv: ingot("--output", format), env: env, before: gone}
	}
	qcow2, vmdk, vpc := convert("qcow2"), convert("vmdk"), convert("vpc", "-o", "force_size=on")
	list := []contestant{
		ext4, alone("raw", against{ext4.name, 1.2}),
		qcow2, alone("qcow2", against{qcow2.name, 0.6}), vmdk, alone("vmdk", against{vmdk.name, 0.6}), vpc, alone("vhd", against{vpc.name, 0.6}),
	}
	pair, err := b.pair(peers, inside)
	if err != nil {
		return nil, err
	}
	list = append(list, pair...)
	const each = "all formats, each alone"
	for _, n := range names {
		c := alone(n)
		c.group, c.name, c.sum = each, "ingot: "+n+" alone", each
		list = append(list, c)
	}
	return append(list, contestant{name: "ingot: all formats in one run", group: each, held: []against{{each, 0.8}}, argv: ingot(), env: env, before: gone}), nil
}

// pair are the ways to an LXC pair of files.
func (b bench) pair(peers string, inside func(...string) []string) ([]contestant, error) {
	const group = "an LXC pair"
	build := filepath.Join(peers, "build")
	other := fmt.Sprintf(`image: {distribution: debian, release: %s, expiry: 30d}
source: {downloader: debootstrap, url: %q, variant: minbase, skip_verification: true}
targets: {lxc: {create_message: "", config: [{type: all, before: 5, content: "lxc.include = LXC_TEMPLATE_CONFIG/common.conf"}]}}
files: [{path: /etc/hostname, generator: hostname}]
packages: {manager: apt, update: false, cleanup: true, sets: [{action: install, packages: [systemd-sysv, udev, dbus, login, passwd, systemd-resolved]}]}
mappings: {architecture_map: debian}
`, b.suite, b.mirror)
	if err := os.WriteFile(filepath.Join(build, "lxc.yaml"), []byte(other), 0o644); err != nil {
		return nil, err
	}
	ours := fmt.Sprintf("version: 1\nname: pair\ndistro: debian\nrelease: %s\narchives: [{url: %q, suites: [%[1]s], components: [main]}]\noutputs: [lxc]\n", b.suite, b.mirror)
	dir := filepath.Join(b.work, "pair")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "ingot.yaml"), []byte(ours), 0o644); err != nil {
		return nil, err
	}
	remove := func(paths ...string) func() error {
		return func() error {
			for _, p := range paths {
				if err := os.RemoveAll(p); err != nil {
					return err
				}
			}
			return nil
		}
	}
	home, cache, out := filepath.Join(dir, "home"), filepath.Join(dir, "cache"), filepath.Join(dir, "out")
	argv := []string{b.ingot, "build", "--quiet", "--mirror", b.mirror, filepath.Join(dir, "ingot.yaml"), "--to", out}
	env := []string{"INGOT_HOME=" + home, "INGOT_CACHE=" + cache}
	peer := contestant{name: "distrobuilder build-lxc", group: group, argv: inside("distrobuilder", "build-lxc", "lxc.yaml", "pair"), before: remove(filepath.Join(build, "pair")),
		size: []string{filepath.Join(build, "pair", "rootfs.tar.xz"), filepath.Join(build, "pair", "meta.tar.xz")}}
	size := []string{filepath.Join(out, "pair-amd64.rootfs.tar.xz"), filepath.Join(out, "pair-amd64.meta.tar.xz")}
	return []contestant{
		peer,
		{name: "ingot: pair, nothing here", group: group, held: []against{{peer.name, 0.6}}, argv: argv, env: env, before: remove(home, cache, out, filepath.Join(dir, "ingot.lock")), size: size},
		{name: "ingot: pair, its members cached", group: group, held: []against{{peer.name, 0.1}}, argv: argv, env: env, before: remove(out), size: size},
	}, nil
}

// unpack copies a root file system of a raw disk to a directory: what mke2fs gets.
func unpack(root block, raw, build string) error {
	const script = `mkdir -p "$2/tree" "$2/mnt"
loop=$(losetup --find --show --read-only --offset "$3" --sizelimit "$4" "$1")
trap 'umount "$2/mnt" || true; losetup -d "$loop"' EXIT
mount -o ro,noload "$loop" "$2/mnt"
cp -a "$2/mnt/." "$2/tree/"`
	cmd := exec.Command("sh", "-euc", script, "sh", raw, build, strconv.FormatInt(*root.Offset, 10), strconv.FormatInt(*root.Size, 10)) //nolint:noctx // runs to its end
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// A block is a part of a disk, as "layout show --json" has it.
type block struct {
	Mount        string
	Offset, Size *int64
}

// place is where the root file system lies on the raw disk.
func (b bench) place(definition string, env []string) (block, error) {
	cmd := exec.Command(b.ingot, "layout", "show", "--json", "--output", "raw", definition) //nolint:noctx // runs to its end
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	data, err := cmd.Output()
	if err != nil {
		return block{}, err
	}
	var said struct{ Disks []struct{ Blocks []block } }
	if err := json.Unmarshal(data, &said); err != nil {
		return block{}, err
	}
	for _, p := range said.Disks[0].Blocks {
		if p.Mount == "/" && p.Offset != nil {
			return p, nil
		}
	}
	return block{}, fmt.Errorf("no root in %s", data)
}
