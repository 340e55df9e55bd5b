package blockdevice

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProblems(t *testing.T) {
	const root = "- mkfs: {name: r, base: d, type: ext4, mount: {mount_point: /}}\n"
	const disk = "- local_loop: {name: d}\n"
	for _, test := range []struct{ summary, text, want string }{
		{"no list", "{local_loop: {name: d}}", "1 «{local_loop:» a layout is the name of a short form or a list of nodes, not keys and values\n"},
		{"empty list", "[]", "1 «[» a layout without a node\n"},
		{"no short form", "hybird", "1 «hybird» no layout is called \"hybird\": there are hybrid, efi, bios, hybrid-lvm, whole-disk; did you mean \"hybrid\"?\n"},
		{"no kind", disk + root + "- mkswap: {base: d}\n", "3 «mkswap:» unknown kind of node \"mkswap\"\n"},
		{"nearly a kind", disk + root + "- mont: {base: d}\n", "3 «mont:» unknown kind of node \"mont\"; did you mean \"mount\"?\n"},
		{"two kinds", disk + root + "- {mkfs: {}, mount: {}}\n", "3 «{mkfs:» an item of a layout has one key, the kind of the node, not 2\n"},
		{"no item", disk + root + "- mkfs\n", "3 «mkfs» a node is a kind and its keys, such as mkfs: {...}, not \"mkfs\"\n"},
		{"no keys", disk + root + "- mkfs:\n", "3 «» mkfs: mkfs wants keys and values, not nothing\n"},
		{"unknown key", disk + "- mkfs: {name: r, base: d, type: ext4, lable: x, mount: {mount_point: /}}\n",
			"2 «lable:» r: unknown key \"lable\" of this mkfs; did you mean \"label\"?\n"},
		{"key twice", disk + "- mkfs: {name: r, base: d, type: ext4, label: x, label: y, mount: {mount_point: /}}\n",
			"2 «label:» r: \"label\" is set twice\n"},
		{"undefined base", disk + "- mkfs: {name: r, base: dd, type: ext4, mount: {mount_point: /}}\n",
			"2 «dd» r: base \"dd\" is no node; did you mean \"d\"?\n"},
		{"base of a wrong kind", disk + root + "- mkfs: {name: s, base: r, type: ext4}\n", "3 «r» s: base \"r\" is an mkfs: an mkfs stands on a partition or an lv or a local_loop or a luks\n"},
		{"two bases", disk + "- mkfs: {name: r, base: [d, d], type: ext4, mount: {mount_point: /}}\n", "2 «[d» r: base wants one node, not 2\n"},
		{"no base", disk + root + "- mount: {name: x, mount_point: /x}\n", "3 «{name:» x: base of this mount is missing\n"},
		{"no name and no base", disk + root + "- mount: {mount_point: /x}\n", "3 «{mount_point:» mount: base of this mount is missing\n"},
		{"ring", disk + root + "- mkfs: {name: a, base: b, type: ext4, label: la}\n- mkfs: {name: b, base: a, type: ext4, label: lb}\n- mount: {base: b, mount_point: /b}\n",
			"3 «b» a: it stands on itself: a on b on a\n"},
		{"ring of one", disk + root + "- mkfs: {name: a, base: a, type: ext4}\n", "3 «a» a: it stands on itself: a on a\n"},
		{"name twice", disk + root + "- local_loop: {name: r}\n", "3 «r» r: the name is used twice: an mkfs has it too, on line 2\n"},
		{"label twice", disk + root + "- local_loop: {name: e}\n- mkfs: {name: s, base: e, type: ext4, label: r}\n", "4 «r» s: label \"r\" is used more than once: r has it too\n"},
		{"label twice in upper case", disk + "- mkfs: {name: r, base: d, type: ext4, label: X, mount: {mount_point: /}}\n- local_loop: {name: e}\n- mkfs: {name: s, base: e, type: vfat, label: x}\n",
			"4 «x» s: label \"X\" is used more than once: r has it too\n"},
		{"long label", disk + "- mkfs: {name: r, base: d, type: xfs, label: thirteen_char, mount: {mount_point: /}}\n", "2 «thirteen_char» r: label \"thirteen_char\" is too long for xfs: 13 bytes, at most 12\n"},
		{"long label of its own", disk + "- mkfs: {name: a_name_of_17_char, base: d, type: ext4, mount: {mount_point: /}}\n",
			"2 «{name:» a_name_of_17_char: label \"a_name_of_17_char\" is too long for ext4: 17 bytes, at most 16, which is the node's name; say another\n"},
		{"no root", disk + "- mkfs: {name: r, base: d, type: ext4, mount: {mount_point: /boot}}\n", "1 «-» nothing is mounted at /\n"},
		{"two at one point", disk + root + "- local_loop: {name: e}\n- mkfs: {name: s, base: e, type: ext4, mount: {mount_point: /}}\n", "4 «/» mount_s: mount_point \"/\" is used more than once: mount_r has it too\n"},
		{"mounted twice", disk + root + "- mount: {name: again, base: r, mount_point: /x}\n", "3 «r» again: base r is mounted already, at \"/\"\n"},
		{"relative mount", disk + root + "- local_loop: {name: e}\n- mkfs: {name: s, base: e, type: ext4, mount: {mount_point: var/}}\n", "4 «var/» mount_s: mount_point \"var/\" is not an absolute path; did you mean \"/var\"?\n"},
		{"long mount", disk + root + "- local_loop: {name: e}\n- mkfs: {name: s, base: e, type: ext4, mount: {mount_point: /var/}}\n", "4 «/var/» mount_s: mount_point \"/var/\" is not in its shortest form; did you mean \"/var\"?\n"},
		{"a file system at none", disk + root + "- local_loop: {name: e}\n- mkfs: {name: s, base: e, type: ext4, mount: {mount_point: none}}\n", "4 «none» mount_s: mount_point \"none\" is not an absolute path\n"},
		{"swap at a place", disk + root + "- local_loop: {name: e}\n- mkfs: {name: s, base: e, type: swap, mount: {mount_point: /s}}\n", "4 «/s» mount_s: mount_point \"/s\" is for file systems, and s is swap; did you mean \"none\"?\n"},
		{"device used twice", disk + root + "- mkfs: {name: s, base: d, type: ext4}\n", "3 «d» s: base d is used already, by r\n"},
		{"disk with a table as a device", disk + root + "- partitioning: {base: d, label: gpt, partitions: [{name: p, size: 1MiB}]}\n", "2 «d» r: base d is used already, by partitioning_d\n"},
		{"two tables", disk + "- partitioning: {base: d, label: gpt, partitions: [{name: p, size: 100%, mkfs: {type: ext4, mount: {mount_point: /}}}]}\n- partitioning: {base: d, label: mbr, partitions: [{name: q, size: 1MiB}]}\n",
			"3 «d» partitioning_d: base d has a partition table already\n"},
		{"two lines of fstab", disk + "- mkfs: {name: r, base: d, type: ext4, mount: {mount_point: /, fstab: {}}}\n- fstab: {base: mount_r, name: again}\n", "3 «mount_r» again: base mount_r has a line of fstab already, fstab_mount_r\n"},
		{"no type", disk + "- mkfs: {name: r, base: d, mount: {mount_point: /}}\n", "2 «{name:» r: type of this mkfs is missing\n"},
		{"unknown type", disk + "- mkfs: {name: r, base: d, type: ext5, mount: {mount_point: /}}\n", "2 «ext5» r: type \"ext5\" is unknown: there are btrfs, ext2, ext3, ext4, swap, vfat, xfs; did you mean \"ext2\"?\n"},
		{"no UUID", disk + "- mkfs: {name: r, base: d, type: ext4, uuid: root-uuid-1234, mount: {mount_point: /}}\n", "2 «root-uuid-1234» r: uuid \"root-uuid-1234\" is not one: want groups of 8-4-4-4-12 hexadecimal digits, not all 0\n"},
		{"no UUID of a vfat", disk + "- mkfs: {name: r, base: d, type: vfat, uuid: 0FC63DAF-8483-4772-8E79-3D69D8477DE4, mount: {mount_point: /}}\n", "2 «0FC63DAF-8483-4772-8E79-3D69D8477DE4» r: uuid \"0FC63DAF-8483-4772-8E79-3D69D8477DE4\" is not a vfat's: want such as ABCD-1234\n"},
		{"UUID twice", disk + "- mkfs: {name: r, base: d, type: ext4, uuid: 0FC63DAF-8483-4772-8E79-3D69D8477DE4, mount: {mount_point: /}}\n- local_loop: {name: e}\n- mkfs: {name: s, base: e, type: xfs, uuid: 0fc63daf-8483-4772-8e79-3d69d8477de4}\n",
			"4 «0fc63daf-8483-4772-8e79-3d69d8477de4» s: uuid 0fc63daf-8483-4772-8e79-3d69d8477de4 is used more than once: r has it too\n"},
		{"block size", "- local_loop: {name: d, block_size: 1024}\n" + root, "1 «1024» d: block_size 1024 is neither 512 nor 4096\n"},
		{"unit", "- local_loop: {name: d, size: 1gib}\n" + root, "1 «1gib» d: size \"1gib\" has a unit that is none: there are KiB, MiB, GiB, TiB, KB, MB, GB, TB, K, M, G, T and B; did you mean \"1GiB\"?\n"},
		{"percent of nothing", "- local_loop: {name: d, size: 100%}\n" + root, "1 «100%» d: size \"100%\" is a percentage: want a number of bytes\n"},
		{"directory", "- local_loop: {name: d, directory: /x}\n" + root, "warning: 1 «/x» d: directory has no effect: outputs lie where the build puts them\n"},
		{"numbers", disk + "- mkfs: {name: r, base: d, type: ext4, mount: {mount_point: /, fstab: {fsck-passno: one, dump-freq: -1, by: name, discard: yes}}}\n",
			"2 «one» fstab_mount_r: fsck-passno \"one\" is not a number from 0 to 9\n2 «-1» fstab_mount_r: dump-freq \"-1\" is not a number from 0 to 9\n2 «name» fstab_mount_r: by \"name\" is unknown: there are label, uuid\n2 «yes» fstab_mount_r: discard \"yes\" is neither true nor false\n"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			if d := cmp.Diff(test.want, problems(t, test.text, Params{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestTableProblems(t *testing.T) {
	const disk = "- local_loop: {name: d}\n- local_loop: {name: e, mkfs: {type: ext4, mount: {mount_point: /}}}\n"
	table := func(label, more, partitions string) string {
		return disk + "- partitioning: {base: d, label: " + label + more + ", partitions: [" + partitions + "]}\n"
	}
	for _, test := range []struct{ summary, text, want string }{
		{"label", table("dos", "", "{name: p, size: 1MiB}"), "3 «dos» partitioning_d: label \"dos\" is unknown: there are gpt, mbr\n"},
		{"no partitions", table("gpt", "", ""), "3 «[» partitioning_d: partitions is an empty list: name at least one\n"},
		{"partitions missing", disk + "- partitioning: {base: d, label: gpt}\n", "3 «{base:» partitioning_d: partitions of this partitioning is missing\n"},
		{"no size, no name", table("gpt", "", "{}"), "3 «{» partition: name of this partition is missing\n3 «{» partition: size of this partition is missing\n"},
		{"another base", table("gpt", "", "{name: p, size: 1MiB, base: e}"), "3 «e» p: base \"e\" is not the table's, \"d\"\n"},
		{"primary on GPT", table("gpt", "", "{name: p, size: 1MiB, flags: [primary]}"), "3 «[primary» p: flag primary is not for GPT, which has no other partitions\n"},
		{"boot on GPT", table("gpt", "", "{name: p, size: 1MiB, flags: [boot]}"), "warning: 3 «[boot» p: flag boot has no effect on GPT\n"},
		{"flag", table("mbr", "", "{name: p, size: 1MiB, flags: [primry]}"), "3 «[primry» p: flag \"primry\" is unknown: there are boot and primary; did you mean \"primary\"?\n"},
		{"flags as text", table("mbr", "", "{name: p, size: 1MiB, flags: boot}"), "3 «boot» p: flags wants a list, not \"boot\"; did you mean \"[boot]\"?\n"},
		{"code", table("gpt", "", "{name: p, size: 1MiB, type: 1234}"), "3 «1234» p: type \"1234\" is a code that ingot does not know; write the type's GUID\n"},
		{"type of GPT", table("gpt", "", "{name: p, size: 1MiB, type: 0x83}"), "3 «0x83» p: type \"0x83\" is not a type of a GPT partition: want a code of sgdisk's such as 8300, a GUID, or one of bios, data, esp, home, linux, luks, lvm, prep, raid, root, root-verity, srv, swap, usr, usr-verity, var, xbootldr\n"},
		{"type overflow", table("mbr", "", "{name: p, size: 1MiB, type: 0x183}"), "3 «0x183» p: type \"0x183\" does not fit in MBR's one byte: want 0x01 to 0xff\n"},
		{"GPT's type", table("mbr", "", "{name: p, size: 1MiB, type: 8300}"), "3 «8300» p: type \"8300\" does not fit in MBR's one byte: want 0x01 to 0xff\n"},
		{"extended type", table("mbr", "", "{name: p, size: 1MiB, type: '0f'}"), "3 «'0f'» p: type \"0f\" is an extended partition's, which comes by itself where partitions without the flag primary are\n"},
		{"type of MBR", table("mbr", "", "{name: p, size: 1MiB, type: linus}"), "3 «linus» p: type \"linus\" is not a type of an MBR partition: want a hexadecimal number such as 0x83, or one of data, esp, home, linux, luks, lvm, prep, raid, root, srv, swap, var, xbootldr; did you mean \"linux\"?\n"},
		{"primary behind", table("mbr", "", "{name: p, size: 1MiB}, {name: q, size: 1MiB, flags: [primary]}"), "3 «[primary» q: primary partitions must stand before those that are not\n"},
		{"five primaries", table("mbr", "", "{name: p, size: 1MiB, flags: [primary]}, {name: q, size: 1MiB, flags: [primary]}, {name: r, size: 1MiB, flags: [primary]}, {name: s, size: 1MiB, flags: [primary]}, {name: t, size: 1MiB}"),
			"3 «[{name:» partitioning_d: an MBR has four entries, and logical partitions take one: there are 4 primary and 1 logical partitions\n"},
		{"two boot", table("mbr", "", "{name: p, size: 1MiB, flags: [boot]}, {name: q, size: 1MiB, flags: [boot]}"), "3 «[boot» q: flag boot is on p already: a BIOS starts one partition\n"},
		{"align", table("mbr", ", align: 1000", "{name: p, size: 1MiB}"), "3 «1000» partitioning_d: align 1000 is not a multiple of the sectors' 512 bytes\n"},
		{"large align", table("mbr", ", align: 1.5GiB", "{name: p, size: 1MiB}"), "3 «1.5GiB» partitioning_d: align 1536 MiB is more than 1 GiB\n"},
		{"align of GPT", table("gpt", ", align: 4MiB", "{name: p, size: 1MiB}"), "3 «4MiB» partitioning_d: align has no effect on GPT, where partitions start at multiples of 1 MiB\n"},
		{"percent", table("gpt", "", "{name: p, size: 101%}, {name: q, size: 0%}, {name: r, size: -1}, {name: s, size: 1%%}"),
			"3 «101%» p: size \"101%\" is not more than 0% and at most 100%\n3 «0%» q: size \"0%\" is not more than 0% and at most 100%\n3 «-1» r: size \"-1\" is not a size: want a number and a unit such as MiB, GiB, M or G, or bytes\n3 «1%%» s: size \"1%%\" is not a percentage: want a number and %\n"},
		{"UUID of an MBR", table("mbr", ", uuid: 1234", "{name: p, size: 1MiB, uuid: 0FC63DAF-8483-4772-8E79-3D69D8477DE4}"), "3 «1234» partitioning_d: uuid \"1234\" is not an MBR's: want 8 hexadecimal digits that are not all 0\n3 «0FC63DAF-8483-4772-8E79-3D69D8477DE4» p: uuid is not for MBR, whose partitions go by the table's\n"},
		{"UUID of a GPT", table("gpt", ", uuid: 12345678", "{name: p, size: 1MiB}"), "3 «12345678» partitioning_d: uuid \"12345678\" is not a GUID: want groups of 8-4-4-4-12 hexadecimal digits, not all 0\n"},
		{"long name", table("gpt", "", "{name: a_name_of_more_than_thirty-six_units, size: 1MiB}"), ""},
	} {
		t.Run(test.summary, func(t *testing.T) {
			if d := cmp.Diff(test.want, problems(t, test.text, Params{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestVolumeProblems(t *testing.T) {
	const disk = "- local_loop: {name: d}\n- local_loop: {name: e, mkfs: {type: ext4, mount: {mount_point: /}}}\n- lvm:\n    name: l\n    pvs: [{name: pv, base: d}]\n"
	for _, test := range []struct{ summary, text, want string }{
		{"no pv", disk + "    vgs: [{name: vg, base: [vp]}]\n    lvs: []\n", "6 «[vp» vg: base \"vp\" is no node; did you mean \"pv\"?\n"},
		{"pv as text", disk + "    vgs: [{name: vg, base: pv}]\n    lvs: []\n", "6 «pv» vg: base wants a list, not \"pv\"; did you mean \"[pv]\"?\n"},
		{"no vg", disk + "    vgs: [{name: vg, base: [pv]}]\n    lvs: [{name: a, base: gv, size: 1G}]\n", "7 «gv» a: base \"gv\" is no node; did you mean \"vg\"?\n"},
		{"no size", disk + "    vgs: [{name: vg, base: [pv]}]\n    lvs: [{name: a, base: vg}]\n", "7 «{name:» a: size or extents of this lv is missing\n"},
		{"two sizes", disk + "    vgs: [{name: vg, base: [pv]}]\n    lvs: [{name: a, base: vg, size: 1G, extents: 5}]\n", "7 «5» a: size and extents are two sizes of one volume\n"},
		{"type", disk + "    vgs: [{name: vg, base: [pv]}]\n    lvs: [{name: a, base: vg, size: 1G, type: thin-pol}]\n", "7 «thin-pol» a: type \"thin-pol\" is unknown: there are linear, striped, thin, thin-pool; did you mean \"thin-pool\"?\n"},
		{"no pool", disk + "    vgs: [{name: vg, base: [pv]}]\n    lvs: [{name: a, base: vg, size: 1G, type: thin}]\n", "7 «{name:» a: thin-pool of this thin volume is missing\n"},
		{"pool is none", disk + "    vgs: [{name: vg, base: [pv]}]\n    lvs: [{name: a, base: vg, size: 1G, type: thin, thin-pool: b}, {name: b, base: vg, size: 1G}]\n", "7 «b» a: thin-pool \"b\" is no volume of type thin-pool\n"},
		{"its own pool", disk + "    vgs: [{name: vg, base: [pv]}]\n    lvs: [{name: a, base: vg, size: 1G, type: thin, thin-pool: a}]\n", "7 «vg» a: it stands on itself: a on a\n"},
		{"file system on a pool", disk + "    vgs: [{name: vg, base: [pv]}]\n    lvs: [{name: a, base: vg, size: 1G, type: thin-pool, mkfs: {type: ext4}}]\n", "7 «{type:» mkfs_a: base a is a pool, which holds volumes and no file system\n"},
		{"too small", disk + "    vgs: [{name: vg, base: [pv]}]\n    lvs: [{name: a, base: vg, size: 4MB}]\n", "7 «4MB» a: size \"4MB\" is rounded down to a multiple of 4 MiB: nothing is left\n"},
		{"extents", disk + "    vgs: [{name: vg, base: [pv]}]\n    lvs: [{name: a, base: vg, extents: 50%vg}, {name: b, base: vg, extents: 101%VG}, {name: c, base: vg, extents: 1%ORIGIN}, {name: e5, base: vg, extents: all}]\n",
			"7 «50%vg» a: extents \"50%vg\" is not a number of extents; did you mean \"50%VG\"?\n7 «101%VG» b: extents \"101%VG\" is more than 100%\n7 «1%ORIGIN» c: extents \"1%ORIGIN\" is a share of what ingot does not know: there are %VG, %FREE and %PVS\n7 «all» e5: extents \"all\" is not a number of extents: want such as 100, 50%VG or 100%FREE\n"},
		{"stripes", disk + "    vgs: [{name: vg, base: [pv]}]\n    lvs: [{name: a, base: vg, size: 1G, type: striped}, {name: b, base: vg, size: 1G, stripes: 2}]\n", "7 «{name:» a: 2 stripes want as many physical volumes, and vg has 1\n7 «{name:» b: stripes and stripe-size are for volumes of type striped, and this one is linear\n"},
		{"extent size", disk + "    vgs: [{name: vg, base: [pv], extent-size: 3MiB}]\n    lvs: []\n", "6 «3MiB» vg: extent-size \"3MiB\" is not a power of two from 1MiB to 4GiB\n"},
		{"names", disk + "    vgs: [{name: 'a b', base: [pv]}]\n    lvs: [{name: x_tdata, base: 'a b', size: 1G}]\n", "6 «'a» \"a b\": name \"a b\" is no name for LVM: it wants letters, digits and +_.- , not - at first\n7 «x_tdata» x_tdata: name \"x_tdata\" is no name for LVM: it is of LVM's own\n"},
		{"pv in two groups", disk + "    vgs: [{name: vg, base: [pv]}, {name: wg, base: [pv]}]\n    lvs: []\n", "6 «[pv» wg: base pv is in the group vg already\n"},
		{"options", disk + "    vgs: [{name: vg, base: [pv], options: [--force, --clustered, y]}]\n    lvs: []\n", "6 «[--force» vg: option \"--clustered\" has no effect: ingot runs no program of LVM's\n"},
		{"nodes in a pv", disk + "    vgs: [{name: vg, base: [pv], mkfs: {type: ext4}}]\n    lvs: []\n", "6 «mkfs:» vg: unknown key \"mkfs\" of this vg\n"},
		{"a list of texts", disk + "    vgs: [vg]\n    lvs: x\n", "6 «vg» l: an item of vgs is keys and values, not \"vg\"\n7 «x» l: lvs wants a list, not \"x\"\n"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			if d := cmp.Diff(test.want, problems(t, test.text, Params{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestLenient(t *testing.T) {
	text := "- local_loop: {name: d}\n- mkfs: {name: r, base: d, type: ext4, mount: {mount_point: /, fstab: {fck-passno: 1}}}\n"
	want := "2 «fck-passno:» fstab_mount_r: unknown key \"fck-passno\" of this fstab; did you mean \"fsck-passno\"?\n"
	if got := problems(t, text, Params{}); got != want {
		t.Errorf("strict: %s", got)
	}
	if got := problems(t, text, Params{Lenient: true}); got != "warning: "+want {
		t.Errorf("lenient: %s", got)
	}
}
