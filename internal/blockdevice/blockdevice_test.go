package blockdevice

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

// node is the YAML of a text, with places.
func node(t testing.TB, text string) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return doc.Content[0]
}

func parse(t testing.TB, text string, params Params) *Config {
	t.Helper()
	c, err := Parse(node(t, text), params)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

// dump is all that a config says, as text.
func dump(c *Config) string {
	var b strings.Builder
	for _, n := range c.Nodes {
		h := n.Head()
		fmt.Fprintf(&b, "%s %s:", h.Kind, printable(h.Name))
		switch n := n.(type) {
		case *LocalLoop:
			fmt.Fprintf(&b, " size %d, block %d", n.Size, n.BlockSize)
		case *Partition:
			fmt.Fprintf(&b, " %d of %s %s, size %s, least %d, boot %t, primary %t, type %s", n.Number, n.Table.Label, n.Table.Disk.Name, n.Size, n.Least, n.Boot, n.Primary, n.Type.Text)
		case *LVM:
			fmt.Fprintf(&b, " %d %d %d", len(n.PVs), len(n.VGs), len(n.LVs))
		case *PV:
			fmt.Fprintf(&b, " on %s in %s %q", n.Device.Head().Name, n.VG.Name, n.Options)
		case *VG:
			for _, v := range n.PVs {
				fmt.Fprintf(&b, " %s", v.Name)
			}
			fmt.Fprintf(&b, ", extent %d %q", n.ExtentSize, n.Options)
		case *LV:
			fmt.Fprintf(&b, " %s of %s, size %s%s", n.Type, n.VG.Name, n.Size, n.Extents)
			if n.Pool != nil {
				fmt.Fprintf(&b, ", pool %s", n.Pool.Name)
			}
		case *Mkfs:
			fmt.Fprintf(&b, " %s on %s, label %s, opts %q, uuid %s", n.Type, n.Device.Head().Name, n.Label, n.Options, n.UUID)
		case *Mount:
			fmt.Fprintf(&b, " %s at %s", n.FS.Name, n.Point)
		case *Fstab:
			fmt.Fprintf(&b, " %s %s %d %d by %s", n.Mount.Name, n.Options, n.Dump, n.Pass, n.By)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// names are the nodes in their order.
func names(c *Config) string {
	var out []string
	for _, n := range c.Nodes {
		out = append(out, n.Head().Name)
	}
	return strings.Join(out, " ")
}

const oneTree = `
- local_loop:
    name: image0
- partitioning:
    name: mbr
    base: image0
    label: mbr
    partitions:
    - name: root
      flags: [ boot, primary ]
      size: 100%
      mkfs:
        type: ext4
        mount:
          mount_point: /
          fstab:
            options: "defaults"
            fsck-passno: 1
`

const oneGraph = `
- fstab: {name: fstab_mount_mkfs_root, base: mount_mkfs_root, options: defaults, fsck-passno: 1}
- mount: {name: mount_mkfs_root, base: mkfs_root, mount_point: /}
- mkfs: {name: mkfs_root, base: root, type: ext4}
- partitioning:
    name: mbr
    base: image0
    label: mbr
    partitions: [{name: root, base: image0, flags: [boot, primary], size: 100%}]
- local_loop: {name: image0}
`

const volumesTree = `
- local_loop: {name: image0, size: 5G}
- partitioning:
    base: image0
    label: mbr
    partitions:
    - name: boot
      flags: [boot, primary]
      size: 1G
    - name: root
      flags: [primary]
      size: 3G
- lvm:
    base: [root]
    name: lvm
    pvs:
    - {name: pv, base: root, options: ["--force"]}
    vgs:
    - {name: vg, base: ["pv"], options: ["--force"]}
    lvs:
    - {name: lv_root, base: vg, size: 1800M}
    - {name: lv_var, base: vg, size: 500M}
    - {name: lv_swap, base: vg, size: 100M}
- mkfs:
    base: boot
    type: ext3
    mount:
      mount_point: /boot
      fstab: {options: "nodev,nosuid"}
- mkfs:
    name: mkfs_root
    base: lv_root
    label: "img-rootfs"
    mount:
      mount_point: /
      fstab: {options: "noacl,errors=remount-ro", fsck-passno: 1}
- mkfs:
    name: mkfs_var
    base: lv_var
    type: xfs
    opts: -n ftype=1
    mount: {mount_point: /var, fstab: {dump-freq: 1, discard: true}}
- mkfs:
    name: mkfs_swap
    base: lv_swap
    type: swap
    mount: {mount_point: none, fstab: {options: sw, fsck-passno: 0}}
`

func TestTreeAndGraph(t *testing.T) {
	want := `local_loop image0: size 0, block 512
partition root: 1 of mbr image0, size 100%, least 0, boot true, primary true, type 0x83
mkfs mkfs_root: ext4 on root, label mkfs_root, opts [], uuid 
mount mount_mkfs_root: mkfs_root at /
fstab fstab_mount_mkfs_root: mount_mkfs_root defaults 0 1 by label
`
	for _, text := range []string{oneTree, oneGraph} {
		if d := cmp.Diff(want, dump(parse(t, text, Params{}))); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

func TestVolumes(t *testing.T) {
	c := parse(t, volumesTree, Params{RootType: "xfs", RootLabel: "unused", RootOptions: []string{"-i", "size=512"}})
	want := `local_loop image0: size 5000000000, block 512
partition boot: 1 of mbr image0, size 1G, least 0, boot true, primary true, type 0x83
partition root: 2 of mbr image0, size 3G, least 0, boot false, primary true, type 0x83
lvm lvm: 1 1 3
pv pv: on root in vg ["--force"]
vg vg: pv, extent 4194304 ["--force"]
lv lv_root: linear of vg, size 1800M
lv lv_var: linear of vg, size 500M
lv lv_swap: linear of vg, size 100M
mkfs mkfs_boot: ext3 on boot, label mkfs_boot, opts [], uuid 
mkfs mkfs_root: xfs on lv_root, label img-rootfs, opts ["-i" "size=512"], uuid 
mount mount_mkfs_root: mkfs_root at /
mount mount_mkfs_boot: mkfs_boot at /boot
fstab fstab_mount_mkfs_boot: mount_mkfs_boot nodev,nosuid 0 2 by label
fstab fstab_mount_mkfs_root: mount_mkfs_root noacl,errors=remount-ro 0 1 by label
mkfs mkfs_var: xfs on lv_var, label mkfs_var, opts ["-n" "ftype=1"], uuid 
mount mount_mkfs_var: mkfs_var at /var
fstab fstab_mount_mkfs_var: mount_mkfs_var defaults,discard 1 2 by label
mkfs mkfs_swap: swap on lv_swap, label mkfs_swap, opts [], uuid 
mount mount_mkfs_swap: mkfs_swap at none
fstab fstab_mount_mkfs_swap: mount_mkfs_swap sw 0 0 by label
`
	if d := cmp.Diff(want, dump(c)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	var order []string
	for _, m := range c.Mounts {
		order = append(order, m.Point)
	}
	if got := strings.Join(order, " "); got != "/ /boot /var none" {
		t.Errorf("mounts are in the order %s", got)
	}
	if c.Root() != c.Find("mkfs_root") {
		t.Errorf("the root is %v", c.Root())
	}
}

// The order of the text must not matter where edges say it: whatever the order of
// the items, each node comes behind what it needs.
func TestOrder(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{oneTree, "image0 root mkfs_root mount_mkfs_root fstab_mount_mkfs_root"},
		{oneGraph, "image0 root mkfs_root mount_mkfs_root fstab_mount_mkfs_root"},
		{"efi", "image0 esp mkfs_esp root mkfs_root mount_mkfs_root mount_mkfs_esp fstab_mount_mkfs_esp fstab_mount_mkfs_root"},
		{"hybrid-lvm", "image0 bios esp mkfs_esp volumes lvm pv system root mkfs_root mount_mkfs_root mount_mkfs_esp fstab_mount_mkfs_esp fstab_mount_mkfs_root"},
	} {
		if got := names(parse(t, test.text, Params{Arch: "amd64"})); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
	top := node(t, volumesTree)
	for i := range top.Content {
		top.Content = append(top.Content[1:], top.Content[0])
		c, err := Parse(top, Params{})
		if err != nil {
			t.Fatalf("turned by %d: %v", i+1, err)
		}
		got := strings.Fields(names(c))
		for _, chain := range []string{
			"image0 boot root lvm pv vg lv_root", "vg lv_var mkfs_var mount_mkfs_var fstab_mount_mkfs_var", "boot mkfs_boot mount_mkfs_boot",
			"mount_mkfs_root mount_mkfs_boot mount_mkfs_var mount_mkfs_swap",
		} {
			at := -1
			for _, name := range strings.Fields(chain) {
				j := slices.Index(got, name)
				if j <= at {
					t.Errorf("turned by %d: %s is not in the order of %s", i+1, got, chain)
				}
				at = j
			}
		}
	}
}

// place is a problem behind its line and the word at which it stands there.
func place(text string, p Problem) string {
	line := []rune(strings.Split(text, "\n")[p.At.Line-1])
	word := string(line[min(p.At.Column-1, len(line)):])
	for i := 1; i < len(word); i++ {
		if strings.ContainsRune(" ,]}", rune(word[i])) {
			word = word[:i]
		}
	}
	return fmt.Sprintf("%d «%s» %s", p.At.Line, word, p.Message)
}

// problems are what is wrong with a text, one a line.
func problems(t testing.TB, text string, params Params) string {
	t.Helper()
	c, err := Parse(node(t, text), params)
	if err == nil {
		var b strings.Builder
		for _, w := range c.Warnings {
			b.WriteString("warning: " + place(text, w) + "\n")
		}
		return b.String()
	}
	var list Problems
	if !errors.As(err, &list) {
		t.Fatalf("%T: %v", err, err)
	}
	var b strings.Builder
	for _, p := range list {
		b.WriteString(place(text, p) + "\n")
		if p.Suggestion != "" && !strings.HasSuffix(p.Message, fmt.Sprintf("; did you mean %q?", p.Suggestion)) {
			t.Errorf("%q does not suggest %q", p.Message, p.Suggestion)
		}
	}
	return b.String()
}

func TestReference(t *testing.T) {
	kinds := map[Kind]bool{}
	for _, k := range Reference() {
		kinds[k.Kind] = true
		if !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s has no sentence that says what it is", k.Kind)
		}
		for _, key := range k.Keys {
			if !strings.HasSuffix(key.Doc, ".") {
				t.Errorf("%s of %s has no sentence that says what it is", key.Name, k.Kind)
			}
			if key.Must && key.Default != "" && key.Name != "base" {
				t.Errorf("%s of %s must be written and has a default", key.Name, k.Kind)
			}
		}
	}
	if len(kinds) != 13 {
		t.Errorf("%d kinds", len(kinds))
	}
}

// What is only in the language of ours.
func TestOurs(t *testing.T) {
	c := parse(t, `
- local_loop: {name: a, partitioning: {label: gpt, uuid: 0fc63daf-8483-4772-8e79-3d69d8477de4, partitions: [
    {name: p, size: fit, least: 10MiB, type: lvm, uuid: 1fc63daf-8483-4772-8e79-3d69d8477de4}, {name: Root Part, size: 90%, type: root, mkfs: {type: ext4, label: r, free: 1GiB, mount: {mount_point: /, fstab: {by: uuid}}}},
    {name: prep, type: '0x4100', size: 1%}]}}
- local_loop: {name: b, block_size: 4096}
- lvm:
    name: l
    pvs: [{name: pa, base: p}, {name: pb, base: b}]
    vgs: [{name: v, base: [pa, pb], extent-size: 1MiB}]
    lvs:
    - {name: s, base: v, type: striped, size: 50%, stripes: 2, stripe-size: 128KiB, mkfs: {type: swap, mount: {mount_point: none, fstab: {options: x}}}}
    - {name: t, base: v, type: linear, size: fit, least: 1MiB, mkfs: {type: swap, uuid: 2fc63daf-8483-4772-8e79-3d69d8477de4, mount: {mount_point: swap, fstab: {}}}}
    - {name: u, base: v, size: fit, mkfs: {type: fat, uuid: ABCD-1234, label: low}}
`, Params{Arch: "arm64"})
	want := `local_loop a: size 0, block 512
partition p: 1 of gpt a, size fit, least 10485760, boot false, primary false, type lvm
partition "Root Part": 2 of gpt a, size 90%, least 0, boot false, primary false, type root
mkfs "mkfs_Root Part": ext4 on Root Part, label r, opts [], uuid 
mount "mount_mkfs_Root Part": mkfs_Root Part at /
fstab "fstab_mount_mkfs_Root Part": mount_mkfs_Root Part defaults 0 2 by uuid
partition prep: 3 of gpt a, size 1%, least 0, boot false, primary false, type 0x4100
local_loop b: size 0, block 4096
lvm l: 2 1 3
pv pa: on p in v []
pv pb: on b in v []
vg v: pa pb, extent 1048576 []
lv s: striped of v, size 50%
lv t: linear of v, size fit
lv u: linear of v, size fit
mkfs mkfs_s: swap on s, label mkfs_s, opts [], uuid 
mount mount_mkfs_s: mkfs_s at none
fstab fstab_mount_mkfs_s: mount_mkfs_s sw 0 0 by label
mkfs mkfs_t: swap on t, label mkfs_t, opts [], uuid 2fc63daf-8483-4772-8e79-3d69d8477de4
mount mount_mkfs_t: mkfs_t at none
fstab fstab_mount_mkfs_t: mount_mkfs_t sw 0 0 by label
mkfs mkfs_u: vfat on u, label LOW, opts [], uuid ABCD-1234
`
	if d := cmp.Diff(want, dump(c)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	root := c.Find("Root Part").(*Partition)
	if root.Type.GPT.String() != rootTypes["arm64"] || c.Root().Free != 1<<30 || c.Filesystems[0].Mount.Fstab != c.Fstab[0] {
		t.Errorf("%+v", root)
	}
}

// The nodes of a short form stand where its name does.
func TestFormPlaces(t *testing.T) {
	n := node(t, "hybrid")
	c, err := Parse(n, Params{Arch: "amd64", ImageSize: 100 << 20})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Fit(Needs{"mkfs_root": 50 << 20})
	var p Problem
	if !errors.As(err, &p) || p.At != n || p.Message != "root: it has 33 MiB and needs 50 MiB" {
		t.Errorf("%#v", err)
	}
	if c.Form != "hybrid" || c.Root().Where("label") != n {
		t.Errorf("%+v", c)
	}
	if _, err := Parse(n, Params{Arch: "amd64", ImageSize: 10 << 20}); err == nil || !strings.Contains(err.Error(), "esp: size fit is 64 MiB, and image0 has 7 MiB left") {
		t.Errorf("%v", err)
	}
}
