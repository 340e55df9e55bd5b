package layout_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"ingot/internal/blockdevice"
	"ingot/internal/boot"
	"ingot/internal/digest"
	"ingot/internal/disk"
	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/layout"
	"ingot/internal/qcow2"
	"ingot/internal/tree"
)

var identity = digest.Of([]byte("a lock"))

func resolve(t testing.TB, text, arch string, firmware ...string) layout.Resolved {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	c, err := blockdevice.Parse(doc.Content[0], blockdevice.Params{Arch: arch, Firmware: firmware})
	if err != nil {
		t.Fatal(err)
	}
	r, err := layout.Resolve(c, identity)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// volumes is a layout with all that a disk can have here: an MBR, logical partitions, a
// boot file system, a group on two partitions, volumes of all kinds, swap.
const volumes = `
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: mbr
    partitions:
    - name: boot
      size: 64MiB
      flags: [boot, primary]
      mkfs: {type: ext4, mount: {mount_point: /boot, fstab: {by: uuid, options: nodev}}}
    - {name: one, type: lvm, size: 300MiB}
    - {name: two, type: lvm, size: 200MiB}
- lvm:
    name: lvm
    pvs: [{name: pv1, base: one}, {name: pv2, base: two}]
    vgs: [{name: my-vg, base: [pv1, pv2]}]
    lvs:
    - name: var-log
      base: my-vg
      type: striped
      stripes: 2
      size: 40MiB
      mkfs: {type: ext4, label: log, mount: {mount_point: /var/log, fstab: {by: uuid}}}
    - {name: pool, base: my-vg, type: thin-pool, size: 160MiB}
    - name: root
      base: my-vg
      type: thin
      thin-pool: pool
      size: 2GiB
      mkfs: {type: ext4, label: root, opts: "-m 2 -i 8192", mount: {mount_point: /, fstab: {fsck-passno: 1}}}
    - name: swap
      base: my-vg
      size: 32MiB
      mkfs: {type: swap, label: swap, mount: {mount_point: none, fstab: {by: uuid}}}
    - name: srv
      base: my-vg
      size: fit
      mkfs: {type: ext4, free: 30MiB, label: srv, mount: {mount_point: /srv, fstab: {by: uuid, discard: true}}}
`

// fixed is a layout whose disk has a size, which partitions share.
const fixed = `
- local_loop: {name: image0, size: 700MiB}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: esp, type: esp, size: 40MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {fsck-passno: 2}}}}
    - {name: root, type: root, size: 75%, mkfs: {type: ext4, mount: {mount_point: /, fstab: {fsck-passno: 1}}}}
    - {name: home, type: home, size: 100%, mkfs: {type: ext4, mount: {mount_point: /home, fstab: {}}}}
`

// xfsVolumes is a layout as diskimage-builder's efi-lvm, whose volumes are xfs, with a
// /boot of xfs beside it and less room.
const xfsVolumes = `
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: ESP, type: 'EF00', size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {options: defaults, fsck-passno: 2}}}}
    - {name: BSP, type: 'EF02', size: 8MiB}
    - {name: boot, type: '8300', size: 400MiB, mkfs: {type: xfs, mount: {mount_point: /boot, fstab: {options: defaults}}}}
    - {name: root, type: '8300', size: 1500MiB}
- lvm:
    name: lvm
    base: [root]
    pvs: [{name: pv, base: root, options: ["--force"]}]
    vgs: [{name: vg, base: [pv], options: ["--force"]}]
    lvs:
    - {name: lv_root, base: vg, extents: 40%VG}
    - {name: lv_var, base: vg, extents: 30%VG}
    - {name: lv_home, base: vg, extents: 22%VG}
- mkfs: {name: fs_root, base: lv_root, type: xfs, label: img-rootfs, mount: {mount_point: /, fstab: {options: "rw,relatime", fsck-passno: 1}}}
- mkfs: {name: fs_var, base: lv_var, type: xfs, opts: "-l size=70m -d agcount=3 -i size=512,sparse=1", mount: {mount_point: /var, fstab: {options: "rw,nodev"}}}
- mkfs: {name: fs_home, base: lv_home, type: xfs, mount: {mount_point: /home, fstab: {options: "rw,nodev"}}}
`

// btrfsVolumes has a root, and what lies below it, on subvolumes; /boot is with the root.
const btrfsVolumes = `
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: esp, type: esp, size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {fsck-passno: 2}}}}
    - name: root
      type: root
      size: 100%
      mkfs:
        type: btrfs
        label: system
        subvolumes:
        - {name: "@", mount: {mount_point: /, fstab: {by: uuid, options: "compress=zstd", fsck-passno: 0}}}
        - {name: "@home", mount: {mount_point: /home, fstab: {by: uuid, options: noatime, fsck-passno: 0}}}
        - {name: log, path: "@/var/log", mount: {mount_point: /var/log, fstab: {}}}
        - {name: snapshots, path: more/snapshots}
`

// twoDisks has a root on one disk, and a group on both.
const twoDisks = `
- local_loop: {name: system}
- local_loop: {name: data, size: 600MiB}
- partitioning:
    base: system
    label: gpt
    partitions:
    - {name: esp, type: esp, size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {fsck-passno: 2}}}}
    - {name: pv1, type: lvm, size: 100MiB}
    - {name: root, type: root, size: 100%, mkfs: {type: ext4, mount: {mount_point: /, fstab: {fsck-passno: 1}}}}
- partitioning:
    base: data
    label: mbr
    partitions:
    - {name: srv, size: 350MiB, flags: [primary], mkfs: {type: xfs, mount: {mount_point: /srv, fstab: {}}}}
    - {name: pv2, type: lvm, size: 100%, flags: [primary]}
- lvm:
    name: lvm
    pvs: [{name: one, base: pv1}, {name: two, base: pv2}]
    vgs: [{name: vg, base: [one, two]}]
    lvs:
    - {name: var, base: vg, type: striped, size: 120MiB, mkfs: {type: ext4, label: var, mount: {mount_point: /var, fstab: {}}}}
    - {name: home, base: vg, extents: 100%FREE, mkfs: {type: ext4, label: home, mount: {mount_point: /home, fstab: {}}}}
`

// hashed is a disk whose root and /srv have hashes, the latter signed.
const hashed = `
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: boot, size: fit, mkfs: {type: ext4, mount: {mount_point: /boot, fstab: {}}}}
    - {name: root, type: root, size: fit, mkfs: {type: ext4, label: root, mount: {mount_point: /, fstab: {options: "ro,noatime"}}}}
    - {name: root-verity, type: root-verity, size: fit, verity: {name: hashes, data: mkfs_root}}
    - {name: srv, type: srv, size: 400MiB, mkfs: {type: xfs, label: srv, mount: {mount_point: /srv, fstab: {options: ro}}}}
    - {name: srv-verity, size: fit, verity: {data: mkfs_srv, key: {file: key}, certificate: {file: certificate}}}
`

// largeSectors is a disk of sectors of 4096 bytes with all kinds of file systems.
const largeSectors = `
- local_loop: {name: image0, block_size: 4096}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: esp, type: esp, size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {fsck-passno: 2}}}}
    - {name: root, type: root, size: fit, mkfs: {type: ext4, mount: {mount_point: /, fstab: {fsck-passno: 1}}}}
    - {name: home, type: home, size: fit, mkfs: {type: xfs, mount: {mount_point: /home, fstab: {}}}}
    - {name: srv, type: srv, size: fit, mkfs: {type: btrfs, mount: {mount_point: /srv, fstab: {}}}}
    - {name: pv1, type: lvm, size: 100MiB}
- lvm:
    name: lvm
    pvs: [{name: pv, base: pv1}]
    vgs: [{name: vg, base: [pv]}]
    lvs: [{name: var, base: vg, size: 80MiB, mkfs: {type: ext4, label: var, mount: {mount_point: /var, fstab: {}}}}]
`

// rootAlone is a layout with a root that takes its size from what it holds.
const rootAlone = `
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: root, type: root, size: 100%, mkfs: {type: ext4, mount: {mount_point: /, fstab: {fsck-passno: 1}}}}
`

// What a layout becomes, as people see it, and what fstab says of it.
func TestShow(t *testing.T) {
	tests := []struct {
		summary, text, arch string
		firmware            []string
		want                string
	}{
		{"hybrid", "hybrid", "amd64", nil, `
hybrid  GPT disk  109.0 MiB  4241a48d-050c-89e3-bfac-f35249d886f0
├─ 1 bios            1.0 MiB at    1.0 MiB  boot loader
├─ 2 esp            64.0 MiB at    2.0 MiB  vfat /boot/efi   2BC3-BFA1
└─ 3 root           42.0 MiB at   66.0 MiB  ext4 /           9c2b3f30-2ed2-8679-99a3-30743c848fdc, grows

/                         ext4  root
└─ /boot/efi              vfat  esp

# file system, mount point, type, options, dump, pass
UUID=9c2b3f30-2ed2-8679-99a3-30743c848fdc / ext4 errors=remount-ro,x-systemd.growfs 0 1
UUID=2BC3-BFA1 /boot/efi vfat umask=0077,nofail,x-systemd.automount,x-systemd.idle-timeout=1min 0 0
`},
		{"UEFI alone", "hybrid", "amd64", []string{"uefi"}, ""},
		{"BIOS alone", "bios", "amd64", nil, ""},
		{"arm64 has no BIOS", "hybrid", "arm64", nil, ""},
		{"a volume", "hybrid-lvm", "amd64", nil, ""},
		{"no table", "whole-disk", "amd64", nil, ""},
		{"volumes", volumes, "amd64", nil, ""},
		{"a fixed size", fixed, "amd64", nil, ""},
		{"xfs on volumes", xfsVolumes, "amd64", nil, ""},
		{"btrfs", btrfsVolumes, "amd64", nil, ""},
		{"two disks", twoDisks, "amd64", nil, ""},
	}
	for _, test := range tests {
		t.Run(test.summary, func(t *testing.T) {
			im := image(t, resolve(t, test.text, test.arch, test.firmware...))
			got := "\n" + im.Draw().Text() + "\n" + im.Fstab()
			if test.want == "" {
				golden := filepath.Join("testdata", strings.ReplaceAll(test.summary, " ", "-")+".txt")
				if os.Getenv("INGOT_GOLDEN") == "write" {
					if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				test.want = string(want)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("(-want +got):\n%s\n%s", d, got)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	const disk = "- local_loop: {name: image0, mkfs: {type: ext4, name: root, mount: {mount_point: /}}}\n"
	for _, test := range []struct {
		text, want string
		code       fault.Code
	}{
		{strings.Replace(volumes, "image0", "image0, block_size: 4096", 1), "an MBR on sectors of 4096 bytes", fault.Definition},
		{disk + "- local_loop: {name: x/../../evil}\n", "x/../../evil: the name of one disk of several is part of a file's", fault.Definition},
		{strings.Replace(disk, "image0", "image0, size: 10MiB", 1), "needs", fault.Preflight},
		{strings.Replace(fixed, "700MiB", "60MiB", 1), "needs", fault.Preflight},
		{strings.Replace(xfsVolumes, "1500MiB", "1000MiB", 1), "lv_var: it has 296 MiB and needs 300 MiB", fault.Preflight},
		{strings.Replace(volumes, "size: 160MiB", "size: 8MiB", 1), "needs", fault.Preflight},
	} {
		err := func() error {
			var doc yaml.Node
			if err := yaml.Unmarshal([]byte(test.text), &doc); err != nil {
				t.Fatal(err)
			}
			c, err := blockdevice.Parse(doc.Content[0], blockdevice.Params{Arch: "amd64"})
			if err != nil {
				t.Fatal(err)
			}
			r, err := layout.Resolve(c, identity)
			if err == nil {
				_, err = r.Compose(parts(t, r))
			}
			return err
		}()
		if err == nil || !strings.Contains(err.Error(), test.want) || fault.CodeOf(err) != test.code {
			t.Errorf("error %v with code %d, want %d with %q", err, fault.CodeOf(err), test.code, test.want)
		}
	}
}

// All identities of two locks differ, and none depends on the other partitions.
func TestIdentities(t *testing.T) {
	a := resolve(t, "hybrid", "amd64")
	b, err := layout.Resolve(a.Config, digest.Of([]byte("another lock")))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range []layout.Resolved{a, b} {
		for _, fs := range r.Filesystems {
			if id := r.UUID(fs); seen[id] {
				t.Errorf("%s is there twice", id)
			} else {
				seen[id] = true
			}
		}
	}
	only := resolve(t, "hybrid", "amd64", "uefi")
	if one, other := a.UUID(a.Root()), only.UUID(only.Root()); one != other {
		t.Errorf("the root's identities depend on the firmware")
	}
	said := resolve(t, strings.NewReplacer(
		"type: vfat", "type: vfat, uuid: ABCD-1234", "type: ext4, mount: {mount_point: /home", "type: ext4, uuid: 0FC63DAF-8483-4772-8E79-3D69D8477DE4, mount: {mount_point: /home",
	).Replace(fixed), "amd64")
	var got []string
	for _, fs := range said.Filesystems {
		got = append(got, said.UUID(fs))
	}
	if d := cmp.Diff("ABCD-1234 9c2b3f30-2ed2-8679-99a3-30743c848fdc 0fc63daf-8483-4772-8e79-3d69d8477de4", strings.Join(got, " ")); d != "" {
		t.Errorf("what was said (-want +got):\n%s", d)
	}
}

// Which file system each part of a tree comes to, and under which name.
func TestDivide(t *testing.T) {
	r := resolve(t, strings.Replace(volumes, "/srv", "/var/lib/data", 1), "amd64")
	made, err := tree.New([]tree.Entry{
		{Path: "", Kind: tree.Dir, Mode: 0o755},
		{Path: "boot", Kind: tree.Dir, Mode: 0o700},
		{Path: "boot/vmlinuz", Kind: tree.File, Mode: 0o600},
		{Path: "bin", Kind: tree.Dir, Mode: 0o755},
		{Path: "bin/a", Kind: tree.File, Mode: 0o755},
		{Path: "bin/b", Kind: tree.Hardlink, Link: "bin/a"},
		{Path: "var", Kind: tree.Dir, Mode: 0o755},
		{Path: "var/lib", Kind: tree.Dir, Mode: 0o755},
		{Path: "var/lib/data", Kind: tree.Dir, Mode: 0o750, UID: 33},
		{Path: "var/lib/data/c", Kind: tree.Hardlink, Link: "bin/a"},
		{Path: "var/lib/data/d", Kind: tree.Hardlink, Link: "bin/a"},
		{Path: "var/lib/database", Kind: tree.File, Mode: 0o644},
		{Path: "var/log", Kind: tree.Dir, Mode: 0o755},
		{Path: "var/log/link", Kind: tree.Symlink, Link: "../x", Mode: 0o777},
		{Path: "z", Kind: tree.Hardlink, Link: "bin/a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	divided, err := r.Divide(made)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, fs := range r.Filesystems {
		fmt.Fprintf(&got, "%s:", fs.Name)
		for e := range divided[fs].All() {
			fmt.Fprintf(&got, " /%s", e.Path)
			if e.Link != "" {
				fmt.Fprintf(&got, "->%s", e.Link)
			}
			if e.UID != 0 {
				fmt.Fprintf(&got, "(%d)", e.UID)
			}
		}
		got.WriteString("\n")
	}
	want := `mkfs_boot: / /vmlinuz
mkfs_var-log: / /link->../x
mkfs_root: / /bin /bin/a /bin/b->bin/a /boot /var /var/lib /var/lib/data(33) /var/lib/database /var/log /z->bin/a
mkfs_swap:
mkfs_srv: /(33) /c /d->c
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A subvolume that nothing mounts is a file system of its own all the same: no file has
// names within it and without.
func TestDivideSubvolumes(t *testing.T) {
	r := resolve(t, "- local_loop: {name: d, mkfs: {type: btrfs, name: r, subvolumes: [{name: home}, {name: deep, path: home/deep}], mount: {mount_point: /, fstab: {}}}}\n", "amd64")
	made, err := tree.New([]tree.Entry{
		{Kind: tree.Dir, Mode: 0o755}, {Path: "a", Kind: tree.File, Mode: 0o644},
		{Path: "home", Kind: tree.Dir, Mode: 0o755}, {Path: "home/b", Kind: tree.Hardlink, Link: "a"}, {Path: "home/c", Kind: tree.Hardlink, Link: "a"},
		{Path: "home/deep", Kind: tree.Dir, Mode: 0o755}, {Path: "home/deep/d", Kind: tree.Hardlink, Link: "a"},
		{Path: "home/deeper", Kind: tree.Hardlink, Link: "a"}, {Path: "z", Kind: tree.Hardlink, Link: "a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	divided, err := r.Divide(made)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for e := range divided[r.Root()].All() {
		fmt.Fprintf(&got, "/%s", e.Path)
		if e.Link != "" {
			fmt.Fprintf(&got, "->%s", e.Link)
		}
		got.WriteString(" ")
	}
	if want := "/ /a /home /home/b /home/c->home/b /home/deep /home/deep/d /home/deeper->home/b /z->a "; got.String() != want {
		t.Errorf("%s, want %s", got.String(), want)
	}
}

// What a vfat holds of the tree comes whole: directories in which nothing is, as other
// file systems are mounted there, and files by the thousand.
func TestPlain(t *testing.T) {
	const text = `
- local_loop: {name: image0, mkfs: {type: ext4, name: root, mount: {mount_point: /, fstab: {}}}}
- local_loop: {name: data, mkfs: {type: vfat, name: plain, mount: {mount_point: /data, fstab: {}}}}
- local_loop: {name: more, mkfs: {type: ext4, name: within, mount: {mount_point: /data/more, fstab: {}}}}
`
	r := resolve(t, text, "amd64")
	p := newPack(t)
	entries := []tree.Entry{
		{Kind: tree.Dir, Mode: 0o755}, {Path: "data", Kind: tree.Dir, Mode: 0o755, UID: 7},
		{Path: "data/empty", Kind: tree.Dir, Mode: 0o755}, {Path: "data/more", Kind: tree.Dir, Mode: 0o755, GID: 8}, {Path: "data/many", Kind: tree.Dir, Mode: 0o755},
	}
	for i := range 9000 {
		c, err := p.add(strings.NewReader(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, tree.Entry{Path: fmt.Sprintf("data/many/file number %d", i), Kind: tree.File, Mode: 0o644, Content: c})
	}
	made, err := tree.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	im, err := r.Compose(layout.Parts{Tree: made, Reader: p.reader(t), Epoch: 1700000000, Free: 20 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var disks []disk.Disk
	var paths []string
	for i := range im.Disks {
		f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d, err := disk.NewRaw(f, im.SizeOf(i))
		if err != nil {
			t.Fatal(err)
		}
		disks, paths = append(disks, d), append(paths, f.Name())
	}
	if err := im.Write(t.Context(), disks...); err != nil {
		t.Fatal(err)
	}
	judge.Run(t, "fsck.vfat", "-n", paths[1])
	for dir, want := range map[string]string{"::/": "empty/\nmany/\nmore/\n", "::/many/file number 8999": "many/file number 8999\n"} {
		if got := strings.ReplaceAll(judge.Run(t, "mdir", "-b", "-i", paths[1], dir), "::/", ""); got != want {
			t.Errorf("mdir lists %q in %s, want %q", got, dir, want)
		}
	}
}

// parts are a small tree and a loader for a layout.
func parts(t testing.TB, r layout.Resolved) layout.Parts {
	t.Helper()
	p := newPack(t)
	entries := map[string]tree.Entry{}
	dirs := []string{"", "boot", "boot/grub", "boot/extlinux", "etc"}
	for _, f := range r.Files() {
		if f.Kind == tree.Dir {
			dirs = append(dirs, f.Path)
		}
	}
	for _, dir := range dirs {
		entries[dir] = tree.Entry{Path: dir, Kind: tree.Dir, Mode: 0o755}
	}
	for i := range 300 {
		c, err := p.add(io.LimitReader(strings.NewReader(strings.Repeat(fmt.Sprintf("file %d ", i), 20000)), int64(i)*300))
		if err != nil {
			t.Fatal(err)
		}
		path := fmt.Sprintf("%s/file%d", []string{"etc", "boot", "etc", "etc"}[i%4], i)
		entries[path] = tree.Entry{Path: path, Kind: tree.File, Mode: 0o644, Content: c}
	}
	made, err := tree.New(slices.Collect(maps.Values(entries)))
	if err != nil {
		t.Fatal(err)
	}
	out := layout.Parts{Tree: made, Reader: p.reader(t), Epoch: 1700000000, Free: 20 << 20}
	if firmware := r.Firmware(); !slices.Contains(firmware, blockdevice.Direct) {
		places, err := r.Places()
		if err != nil {
			t.Fatal(err)
		}
		if out.Loader, err = boot.MakeLoader(t.Context(), judge.Tools{T: t}, boot.LoaderOptions{Arch: "amd64", Firmware: firmware, Places: places}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func image(t testing.TB, r layout.Resolved) *layout.Image {
	t.Helper()
	im, err := r.Compose(parts(t, r))
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// writeRaw and writeQcow2 give the path of the disk in a file.
func writeRaw(t testing.TB, im *layout.Image) string {
	t.Helper()
	return writeImage(t, im, func(f *os.File) (disk.Image, error) { return disk.NewRaw(f, im.Size()) })
}

func writeQcow2(t testing.TB, im *layout.Image, c qcow2.Compression) string {
	t.Helper()
	return writeImage(t, im, func(f *os.File) (disk.Image, error) {
		return qcow2.Create(f, im.Size(), im.Extents(), qcow2.Options{Compression: c})
	})
}

func writeImage(t testing.TB, im *layout.Image, create func(*os.File) (disk.Image, error)) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := create(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{im.Write(t.Context(), d), d.Finish(t.Context()), f.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

// Whatever the layout, the tables, volume groups and file systems are what others read.
func TestJudgesAcceptImage(t *testing.T) {
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	for _, test := range []struct{ summary, text string }{
		{"hybrid", "hybrid"}, {"efi", "efi"}, {"bios", "bios"}, {"hybrid-lvm", "hybrid-lvm"}, {"whole-disk", "whole-disk"}, {"volumes", volumes}, {"fixed", fixed},
		{"xfs", strings.ReplaceAll(rootAlone, "ext4", "xfs")}, {"xfs on volumes", xfsVolumes},
		{"btrfs", btrfsVolumes}, {"large sectors", largeSectors}, {"btrfs alone", strings.ReplaceAll(rootAlone, "ext4", "btrfs")},
		{"ext2 and ext3", strings.NewReplacer("type: ext4, mount", "type: ext2, mount", "type: ext4, free", "type: ext3, free").Replace(volumes)},
	} {
		t.Run(test.summary, func(t *testing.T) {
			im := image(t, resolve(t, test.text, "amd64"))
			raw := writeRaw(t, im)
			if im.Disks[0].BlockSize != 512 { // only a device of such sectors shows them to sgdisk
				judgeSectors(t, im, raw)
			} else if table := im.Disks[0].Table; table != nil {
				if out := judge.Run(t, "sfdisk", "-V", raw); !strings.Contains(out, "No errors detected") {
					t.Errorf("sfdisk -V: %s", out)
				}
				if table.Label == blockdevice.GPT {
					if out := judge.Run(t, "sgdisk", "-v", raw); !strings.Contains(out, "No problems found.") {
						t.Errorf("sgdisk -v: %s", out)
					}
				}
			}
			for _, g := range im.Fitted.Groups {
				for _, pv := range g.PVs {
					out := filepath.Join(t.TempDir(), pv.PV.Name)
					copyRange(t, out, raw, pv.Place)
					if text := judge.Run(t, "pvck", "--driverloaded", "n", "--dump", "metadata", out); !strings.Contains(text, "vgname "+g.VG.Name) {
						t.Errorf("pvck: %s", text)
					}
				}
			}
			files := im.Carve(t, raw)
			for _, fs := range im.Filesystems {
				path := files[fs.Name]
				switch fs.Type {
				case "ext2", "ext3", "ext4":
					judge.Run(t, "e2fsck", "-fn", path)
				case "xfs":
					judge.Run(t, "xfs_repair", "-n", path)
				case "btrfs":
					judge.Run(t, "btrfs", "check", "--check-data-csum", path)
				case "vfat":
					if out := judge.Run(t, "fsck.vfat", "-n", path); strings.Count(out, "\n") != 2 {
						t.Errorf("fsck.vfat: %s", out)
					}
				}
				tags := map[string]string{}
				for line := range strings.Lines(judge.Run(t, "blkid", "-p", "-o", "export", path)) {
					key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
					tags[key] = value
				}
				label := fs.Label
				if fs.Type == "vfat" {
					label = strings.ToUpper(label)
				}
				want := im.UUID(fs) + " " + fs.Type + " " + label
				if got := tags["UUID"] + " " + tags["TYPE"] + " " + tags["LABEL"]; got != want {
					t.Errorf("blkid sees %q, want %q", got, want)
				}
			}
			for _, c := range []qcow2.Compression{qcow2.None, qcow2.Zstd} {
				path := writeQcow2(t, im, c)
				judge.Run(t, "qemu-img", "check", path)
				judge.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, path)
			}
		})
	}
}

// judgeSectors has a table judged whose disk has larger sectors than files do.
func judgeSectors(t *testing.T, im *layout.Image, raw string) {
	t.Helper()
	if !strings.Contains(judge.Run(t, "sfdisk", "--help"), "--sector-size") {
		if judge.At() != judge.Plain {
			t.Error("this sfdisk knows no --sector-size")
		}
		return // before util-linux 2.40
	}
	out := judge.Run(t, "sfdisk", "--sector-size", fmt.Sprint(im.Disks[0].BlockSize), "--verify", raw)
	if !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk --verify: %s", out)
	}
	list := judge.Run(t, "sfdisk", "--sector-size", fmt.Sprint(im.Disks[0].BlockSize), "--dump", raw)
	if !strings.Contains(list, "sector-size: 4096") || strings.Count(list, "start=") != len(im.Disks[0].Table.Partitions) {
		t.Errorf("sfdisk --dump: %s", list)
	}
}

// What has hashes is what veritysetup finds whole, and the partitions go by them.
func TestHashed(t *testing.T) {
	dir := t.TempDir()
	judge.Run(t, "openssl", "req", "-x509", "-nodes", "-batch", "-subj", "/CN=a signer", "-newkey", "rsa:2048", "-keyout", dir+"/key", "-out", dir+"/certificate")
	r := resolve(t, hashed, "amd64")
	p := parts(t, r)
	p.Secret = func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }
	im, err := r.Compose(p)
	if err != nil {
		t.Fatal(err)
	}
	raw := writeRaw(t, im)
	if len(im.Roots) != 2 || im.Roots[0].Signature != nil || im.Roots[1].Signature == nil {
		t.Fatalf("root hashes %+v", im.Roots)
	}
	for i, data := range []string{"root", "srv"} {
		root := im.Roots[i]
		var parts []string
		for n, name := range []string{data, data + "-verity"} {
			p := im.Find(name).(*blockdevice.Partition)
			_, place := im.Fitted.Place(p)
			to := filepath.Join(t.TempDir(), name)
			copyRange(t, to, raw, place)
			parts = append(parts, to)
			half := strings.ToUpper(root.Hash[n*32 : n*32+32])
			guid := half[:8] + "-" + half[8:12] + "-" + half[12:16] + "-" + half[16:20] + "-" + half[20:]
			if out := judge.Run(t, "sgdisk", "-i", fmt.Sprint(p.Number), raw); !strings.Contains(out, "Partition unique GUID: "+guid) {
				t.Errorf("partition %s is not %s: %s", name, guid, out)
			}
		}
		judge.Run(t, "veritysetup", "verify", parts[0], parts[1], root.Hash)
	}
	for name, data := range map[string][]byte{"hash": []byte(im.Roots[1].Hash), "signature": im.Roots[1].Signature} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	judge.Run(t, "openssl", "smime", "-verify", "-binary", "-inform", "der", "-in", dir+"/signature", "-content", dir+"/hash", "-certfile", dir+"/certificate", "-nointern", "-noverify")
	again, err := r.Compose(p)
	if err != nil {
		t.Fatal(err)
	}
	writeRaw(t, again)
	if d := cmp.Diff(im.Roots, again.Roots); d != "" {
		t.Errorf("two images of the same parts differ: %s", d)
	}
}

// Each disk of several is whole, and what lies on both is where it belongs.
func TestTwoDisks(t *testing.T) {
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	im := image(t, resolve(t, twoDisks, "amd64"))
	var disks []disk.Disk
	var names []string
	for i, d := range im.Disks {
		f, err := os.Create(filepath.Join(t.TempDir(), d.Name))
		if err != nil {
			t.Fatal(err)
		}
		q, err := qcow2.Create(f, im.SizeOf(i), im.ExtentsOf(i), qcow2.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}()
		disks, names = append(disks, q), append(names, f.Name())
		defer func() { _ = q.Close() }()
	}
	if err := im.Write(t.Context(), disks[0]); err == nil {
		t.Error("one disk takes an image of two")
	}
	if err := im.Write(t.Context(), disks...); err != nil {
		t.Fatal(err)
	}
	var raws []string
	for i, d := range disks {
		if err := d.(disk.Image).Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		raw := names[i] + ".raw"
		judge.Run(t, "qemu-img", "check", "-q", names[i])
		judge.Run(t, "qemu-img", "convert", "-O", "raw", names[i], raw)
		if out := judge.Run(t, "sfdisk", "-V", raw); !strings.Contains(out, "No errors detected") {
			t.Errorf("sfdisk -V: %s", out)
		}
		raws = append(raws, raw)
	}
	for _, fs := range im.Filesystems {
		on, place := im.Fitted.Place(fs.Device)
		if on == nil {
			continue
		}
		part := filepath.Join(t.TempDir(), fs.Name)
		copyRange(t, part, raws[slices.Index(im.Disks, on)], place)
		switch fs.Type {
		case "ext4":
			judge.Run(t, "e2fsck", "-fn", part)
		case "xfs":
			judge.Run(t, "xfs_repair", "-n", part)
		}
	}
	for _, pv := range im.Fitted.Groups[0].PVs {
		part := filepath.Join(t.TempDir(), pv.PV.Name)
		copyRange(t, part, raws[slices.Index(im.Disks, pv.Disk)], pv.Place)
		if text := judge.Run(t, "pvck", "--driverloaded", "n", "--dump", "metadata", part); !strings.Contains(text, "vgname vg") {
			t.Errorf("pvck: %s", text)
		}
	}
}

func copyRange(t testing.TB, to, from string, e disk.Extent) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, io.NewSectionReader(in, e.Off, e.Len)); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSameBytes(t *testing.T) {
	a, b := image(t, resolve(t, volumes, "amd64")), image(t, resolve(t, volumes, "amd64"))
	for name, write := range map[string]func(*layout.Image) string{
		"raw":   func(im *layout.Image) string { return writeRaw(t, im) },
		"qcow2": func(im *layout.Image) string { return writeQcow2(t, im, qcow2.None) },
		"zstd":  func(im *layout.Image) string { return writeQcow2(t, im, qcow2.Zstd) },
	} {
		one, err := os.ReadFile(write(a))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(write(b))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, other) {
			t.Errorf("%s: two images of the same parts differ", name)
		}
	}
}

// BenchmarkImage writes a Debian tree: INGOT_TEST_TREES names the directory
// with a bookworm.tar.
func BenchmarkImage(b *testing.B) {
	dir := os.Getenv("INGOT_TEST_TREES")
	if dir == "" {
		b.Skip("needs a tree: set INGOT_TEST_TREES to a directory with bookworm.tar")
	}
	p := newPack(b)
	made := p.readTar(b, filepath.Join(dir, "bookworm.tar"))
	r := resolve(b, "hybrid", "amd64")
	around := parts(b, r)
	around.Tree, around.Reader = made, p.reader(b)
	plan := func() *layout.Image {
		im, err := r.Compose(around)
		if err != nil {
			b.Fatal(err)
		}
		return im
	}
	b.Run("raw", func(b *testing.B) {
		for b.Loop() {
			writeRaw(b, plan())
		}
	})
	for name, c := range map[string]qcow2.Compression{"qcow2": qcow2.None, "zlib": qcow2.Zlib, "zstd": qcow2.Zstd} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				writeQcow2(b, plan(), c)
			}
		})
	}
}

// A disk is as many units as it must be, its second table at its end; one that was
// given a size cannot become larger.
func TestUnit(t *testing.T) {
	for _, form := range []string{"hybrid", "bios", "hybrid-lvm"} {
		r := resolve(t, form, "amd64", "bios", "uefi")
		p := parts(t, r)
		p.Unit = 1 << 30
		im, err := r.Compose(p)
		if err != nil {
			t.Fatal(err)
		}
		if im.Size() != 1<<30 && im.Size() != 2<<30 {
			t.Errorf("%s has %d bytes", form, im.Size())
		}
		judge.Run(t, "sgdisk", "-v", writeRaw(t, im))
	}
	r := resolve(t, "- {local_loop: {name: image0, size: 700MiB}}\n- {mkfs: {base: image0, type: ext4, mount: {mount_point: /}}}\n", "amd64", "direct")
	p := parts(t, r)
	p.Unit = 1 << 30
	if _, err := r.Compose(p); fault.CodeOf(err) != fault.Definition || !strings.Contains(err.Error(), "multiples of 1073741824") {
		t.Errorf("a disk of 700 MiB: %v", err)
	}
}

// What takes its size from its content has room for what a machine writes, on a disk with
// a size of its own too.
func TestFitHasRoom(t *testing.T) {
	const layoutText = `
- local_loop: {name: image0, size: 1GiB}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: root, type: root, size: fit, mkfs: {type: ext4, mount: {mount_point: /, fstab: {}}}}
    - {name: pv0, size: 600MiB}
- lvm:
    pvs: [{name: pv, base: pv0}]
    vgs: [{name: vg, base: [pv]}]
    lvs: [{name: var, base: vg, size: fit, mkfs: {type: ext4, mount: {mount_point: /var, fstab: {}}}}]
`
	r := resolve(t, layoutText, "amd64")
	sizes := func(free int64) [2]int64 {
		p := parts(t, r)
		p.Free = free
		im, err := r.Compose(p)
		if err != nil {
			t.Fatal(err)
		}
		return [2]int64{im.Fitted.Disks[0].Partitions[1].Place.Len, im.Fitted.Groups[0].LVs[0].Size}
	}
	none, some := sizes(0), sizes(200<<20)
	for i, what := range []string{"partition", "volume"} {
		if more := some[i] - none[i]; more < 190<<20 {
			t.Errorf("with 200 MiB free the %s has %d MiB more", what, more>>20)
		}
	}
}
