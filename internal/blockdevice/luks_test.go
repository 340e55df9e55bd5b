package blockdevice

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/luks"
)

// encrypted has containers below all that they can stand below.
const encrypted = `
- local_loop: {name: d}
- partitioning:
    base: d
    label: gpt
    partitions:
    - {name: esp, type: esp, size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {}}}}
    - {name: boot, size: 128MiB, mkfs: {type: ext4, mount: {mount_point: /boot, fstab: {}}}}
    - name: p
      size: 100MiB
      luks: {name: crypt, passphrase: {file: pass}, seed: {file: seed}, mkfs: {type: ext4, label: r, mount: {mount_point: /, fstab: {}}}}
    - {name: q, size: 100%}
- luks: {name: pvcrypt, base: q, passphrase: {file: pass}, seed: {file: seed}, kdf: pbkdf2, key-file: /etc/key, discard: true}
- lvm:
    name: l
    pvs: [{name: pv, base: pvcrypt}]
    vgs: [{name: vg, base: [pv]}]
    lvs:
    - {name: var, base: vg, size: fit, mkfs: {name: var_fs, type: ext4, mount: {mount_point: /var, fstab: {}}}}
    - {name: home, base: vg, size: 40MiB, luks: {name: homecrypt, passphrase: {file: pass}, seed: {file: seed}, memory: 1GiB, mkfs: {type: ext4, mount: {mount_point: /home, fstab: {}}}}}
`

func TestContainers(t *testing.T) {
	c := parse(t, encrypted, Params{})
	want := `d 751616
1 esp 2048+131072
2 boot 133120+262144
3 p 395264+204800
4 q 600064+149504
vg 14 extents, 0 free: pv 14
var 16777216
 data: pv 0+4
home 41943040
 data: pv 4+10
`
	f, err := c.Fit(Needs{"var_fs": 15 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, outline(f)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for i, want := range []struct {
		on   string
		size int64
	}{{"p", 84 << 20}, {"q", (149504 << 9) - 16<<20}, {"home", 24 << 20}} {
		n := c.Containers[i]
		on, skip := Beneath(n)
		if on.Head().Name != want.on || skip != luks.HeaderSize || f.Size(n) != want.size {
			t.Errorf("%s lies on %s and has %d bytes", n.Name, on.Head().Name, f.Size(n))
		}
	}
	if n := c.Containers[1]; n.KDF != luks.PBKDF2 || n.KeyFile != "/etc/key" || !n.Discard || n.Passphrase.File != "pass" || n.Seed.File != "seed" || n.Label != "pvcrypt" {
		t.Errorf("container %+v", n)
	}
	for fs, in := range map[string]string{"mkfs_crypt": "crypt", "var_fs": "pvcrypt", "mkfs_homecrypt": "homecrypt", "mkfs_boot": ""} {
		n, _ := c.Find(fs).(*Mkfs)
		got := ""
		if by := c.Encrypted(n.Device); by != nil {
			got = by.Name
		}
		if got != in {
			t.Errorf("%s lies in %q, want %q", fs, got, in)
		}
	}
	if q := c.Unreadable(); q != nil {
		t.Errorf("unreadable: %v", q)
	}
}

func TestSubvolumes(t *testing.T) {
	c := parse(t, `
- local_loop: {name: d, mkfs: {type: btrfs, subvolumes: [{name: "@", mount: {mount_point: /, fstab: {options: noatime, discard: true}}}, {name: home, path: "@home"}]}}
- mount: {base: home, mount_point: /home, fstab: {}}
- mount: {base: mkfs_d, mount_point: /all}
`, Params{})
	fs := c.Filesystems[0]
	if len(fs.Subvolumes) != 2 || fs.Subvolumes[0].Path != "@" || fs.Subvolumes[1].Path != "@home" || fs.Mount.Point != "/all" || fs.Subvolumes[1].Mount.Point != "/home" {
		t.Errorf("%+v", fs)
	}
	if got := c.Fstab[0].Options + " " + c.Fstab[1].Options; got != "noatime,discard,subvol=@ defaults,subvol=@home" {
		t.Errorf("options %s", got)
	}
	const disk = "- local_loop: {name: d}\n- local_loop: {name: e, mkfs: {type: ext4, mount: {mount_point: /}}}\n"
	for _, test := range []struct{ summary, text, want string }{
		{"type", disk + "- mkfs: {name: f, base: d, type: ext4, subvolumes: [{name: s}]}\n", "3 «{name:» s: subvolumes are for btrfs, and f is ext4\n"},
		{"path", disk + "- mkfs: {name: f, base: d, type: btrfs, subvolumes: [{name: /s}, {name: t, path: a/../b}, {name: u, path: 'a,b'}]}\n",
			"3 «/s» /s: name \"/s\" is no relative path in its shortest form, without commas and blanks\n3 «a/../b» t: path \"a/../b\" is no relative path in its shortest form, without commas and blanks\n3 «'a» u: path \"a,b\" is no relative path in its shortest form, without commas and blanks\n"},
		{"twice", disk + "- mkfs: {name: f, base: d, type: btrfs, subvolumes: [{name: s, path: x}, {name: t, path: x}]}\n", "3 «x» t: path \"x\" is that of s\n"},
		{"mounted twice", disk + "- mkfs: {name: f, base: d, type: btrfs, subvolumes: [{name: s, mount: {mount_point: /a}}]}\n- mount: {name: m, base: s, mount_point: /b}\n", "4 «s» m: base s is mounted already, at \"/a\"\n"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			if d := cmp.Diff(test.want, problems(t, test.text, Params{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestVerityProblems(t *testing.T) {
	const disk = "- local_loop: {name: d}\n- partitioning: {base: d, label: gpt, partitions: [{name: p, size: fit}, {name: q, size: fit}, {name: s, size: fit}]}\n- mkfs: {name: r, base: p, type: ext4, mount: {mount_point: /, fstab: {options: 'ro,noatime'}}}\n"
	if c := parse(t, disk+"- verity: {base: q, data: r}\n", Params{}); c.Hashes(c.Root()) != c.Verities[0] || c.Verities[0].Device.Name != "q" {
		t.Errorf("%+v", c.Verities)
	}
	for _, test := range []struct{ summary, text, want string }{
		{"no data", disk + "- verity: {base: q, data: x}\n", "4 «x» verity_q: data \"x\" is no mkfs\n"},
		{"written to", strings.Replace(disk, "ro,", "", 1) + "- verity: {base: q, data: r}\n", "3 «'noatime'» fstab_mount_r: it has hashes, in verity_q, and must be mounted with option ro\n"},
		{"twice", disk + "- verity: {base: q, data: r}\n- verity: {base: s, data: r}\n", "5 «r» verity_s: data \"r\" has hashes already, in verity_q\n"},
		{"half a key", disk + "- verity: {base: q, data: r, key: {file: k}}\n", "4 «{base:» verity_q: key and certificate go together\n"},
		{"swap", disk + "- mkfs: {name: w, base: s, type: swap}\n- verity: {base: q, data: w}\n", "5 «w» verity_q: data \"w\" is of type swap, which is written to\n"},
		{"its own data", disk + "- verity: {base: p, data: r}\n", "4 «p» verity_p: base p is used already, by r\n"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			if d := cmp.Diff(test.want, problems(t, test.text, Params{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestContainerProblems(t *testing.T) {
	const disk = "- local_loop: {name: d}\n- local_loop: {name: e, mkfs: {type: ext4, mount: {mount_point: /}}}\n"
	const secrets = "passphrase: {file: a}, seed: {file: b}"
	for _, test := range []struct{ summary, text, want string }{
		{"half a secret", disk + "- luks: {base: d, seed: {file: b}}\n", "3 «{base:» luks_d: passphrase and seed go together; without both, a machine makes its keys when it starts for the first time\n"},
		{"enrolled in another", disk + "- luks: {name: a, base: d}\n- lvm: {name: l, pvs: [{name: p, base: a}], vgs: [{name: g, base: [p]}], lvs: [{name: v, base: g, size: 1GiB, luks: {name: b, " + secrets + "}}]}\n",
			"4 «{name:» b: it lies in a, and of containers in one another all need a passphrase and a seed\n"},
		{"key file elsewhere", "- local_loop: {name: d, luks: {name: c, key-file: /srv/key}}\n- local_loop: {name: e, mkfs: {type: ext4, mount: {mount_point: /}}}\n- local_loop: {name: f, mkfs: {type: ext4, mount: {mount_point: /srv}}}\n",
			"1 «/srv/key» c: key-file \"/srv/key\" is not on the root, which alone is there when it is made\n"},
		{"a secret in the text", disk + "- luks: {base: d, passphrase: hello, seed: {file: b}}\n", "3 «hello» luks_d: passphrase wants {file: PATH}, not \"hello\"\n"},
		{"kdf", disk + "- luks: {base: d, " + secrets + ", kdf: argon2}\n", "3 «argon2» luks_d: kdf \"argon2\" is unknown: there are argon2id, pbkdf2; did you mean \"argon2id\"?\n"},
		{"memory", disk + "- luks: {base: d, " + secrets + ", memory: 8GiB}\n", "3 «8GiB» luks_d: memory \"8GiB\" is not at most 4GiB in whole KiB\n"},
		{"key file", disk + "- luks: {base: d, " + secrets + ", key-file: key}\n", "3 «key» luks_d: key-file \"key\" is no absolute path without blanks\n"},
		{"key file of the root", "- local_loop: {name: d, luks: {" + secrets + ", key-file: /etc/key, mkfs: {type: ext4, mount: {mount_point: /}}}}\n",
			"1 «/etc/key» luks_d: key-file is for what is opened after the root, and the root or /usr lies in this one: its passphrase is asked for\n"},
		{"name", disk + "- luks: {name: a b, base: d, " + secrets + "}\n", "3 «a» \"a b\": name \"a b\" is none for a device\n"},
		{"label", disk + "- luks: {base: d, " + secrets + ", label: mkfs_e}\n", "2 «{type:» mkfs_e: label \"mkfs_e\" is used more than once: luks_d has it too\n"},
		{"in a file system", disk + "- luks: {base: mkfs_e, " + secrets + "}\n", "3 «mkfs_e» luks_mkfs_e: base \"mkfs_e\" is an mkfs: a luks stands on a partition or an lv or a local_loop\n"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			if d := cmp.Diff(test.want, problems(t, test.text, Params{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	c := parse(t, "- local_loop: {name: d, luks: {"+secrets+", mkfs: {type: ext4, mount: {mount_point: /}}}}\n", Params{})
	if q := c.Unreadable(); q == nil || q.Message != "luks_d: /boot lies in it, which GRUB cannot open: give /boot a partition of its own" {
		t.Errorf("a /boot in a container: %v", q)
	}
}
