package mkfs_test

import (
	"errors"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"ingot/internal/blockdevice"
	"ingot/internal/mkfs"
)

// What a definition asks of its file systems is found wrong before anything is
// locked.
func TestRefused(t *testing.T) {
	disk := func(loop, fs string) string {
		return "- local_loop: {name: d, " + loop + "mkfs: {name: root, " + fs + ", mount: {mount_point: /}}}\n"
	}
	vfat := func(point, more string) string {
		return disk("", "type: ext4") + "- local_loop: {name: e, mkfs: {name: data, type: vfat" + more + ", mount: {mount_point: " + point + "}}}\n"
	}
	for _, test := range []struct{ summary, text, want string }{
		{"ext4", disk("", "type: ext4, opts: '-O ^has_journal'"), "root: option -O ^has_journal of mkfs for ext4 is not known here"},
		{"reserved", disk("", "type: ext4, opts: '-m 80'"), "root: option -m 80 of mkfs for ext4 is not known here"},
		{"journal", disk("", "type: ext4, opts: '-J size=1'"), "root: option -J size=1 of mkfs for ext4 is not known here"},
		{"journal of ext2", disk("", "type: ext2, opts: '-m 1 -J size=8'"), "root: option -J size=8 of mkfs for ext2 is not known here"},
		{"features of ext3", disk("", "type: ext3, opts: '-O extent'"), "root: option -O extent of mkfs for ext3 is not known here"},
		{"small ext3", disk("size: 4MiB, ", "type: ext3"), "d: it has 4 MiB and needs 6.5 MiB (6856704 bytes)"},
		{"nothing of ext3", disk("", "type: ext3, opts: '-m 1 -i 8192 -J size=16M'"), ""},
		{"xfs", disk("", "type: xfs, opts: '-b size=1024'"), "root: option -b size=1024 of mkfs for xfs is not known here"},
		{"log of xfs", disk("", "type: xfs, opts: '-l size='"), "root: option -l size= of mkfs for xfs is no log's size from 64m to 2038m"},
		{"groups of xfs", disk("", "type: xfs, opts: '-f -d agcount=1'"), "root: option -d agcount=1 of mkfs for xfs is not known here"},
		{"mount of xfs", strings.Replace(disk("", "type: xfs"), "mount_point: /", "mount_point: /, fstab: {options: 'nodev,errors=remount-ro'}", 1), "root: a file system of type xfs cannot be mounted with option errors=remount-ro"},
		{"small xfs", disk("size: 200MiB, ", "type: xfs"), "d: it has 200 MiB and needs 300 MiB"},
		{"small vfat", "- local_loop: {name: d, size: 2MiB, mkfs: {type: vfat}}\n- local_loop: {name: e, mkfs: {type: ext4, mount: {mount_point: /}}}\n", "d: it has 2 MiB and needs 3 MiB"},
		{"vfat", vfat("/data", ", opts: '-F 32'"), "data: option -F of mkfs for vfat is not known here"},
		{"vfat of data", vfat("/data", ""), ""},
		{"vfat of what nothing is installed to", vfat("/boot/efi", ""), ""},
		{"vfat as the root", disk("", "type: vfat"), "root: a vfat cannot be mounted at /: it knows neither links nor owners nor modes, which the system's files there have"},
		{"vfat of the system", vfat("/usr", ""), "data: a vfat cannot be mounted at /usr: it knows neither links nor owners nor modes, which the system's files there have"},
		{"vfat of the packages' records", vfat("/var/lib/dpkg", ""), "data: a vfat cannot be mounted at /var/lib/dpkg: it knows neither links nor owners nor modes, which the system's files there have"},
		{"label of a vfat", vfat("/data", ", label: 'a+b'"), `data: FAT label "A+B": character '+' is not upper-case ASCII that a label can have`},
		{"swap", "- local_loop: {name: d, mkfs: {type: swap, opts: '-p 8192'}}\n- local_loop: {name: e, mkfs: {type: ext4, mount: {mount_point: /}}}\n", "mkfs_d: option -p of mkfs for swap is not known here"},
		{"a small partition", "- local_loop: {name: d, partitioning: {label: gpt, partitions: [{name: p, size: 100MiB, mkfs: {type: xfs, mount: {mount_point: /}}}]}}\n", "p: it has 100 MiB and needs 300 MiB"},
		{"large ext4", disk("size: 100TiB, ", "type: ext4"), "d: it has 102400 GiB, and file systems of type ext4 are made with at most 4096 GiB"},
		{"large btrfs", disk("", "type: btrfs, free: 5TiB"), "root: free is 5120 GiB, and file systems of type btrfs are made with at most 4096 GiB"},
		{"large xfs on volumes", "- local_loop: {name: d, size: 30TiB}\n- lvm: {name: l, pvs: [{name: pv, base: d}], vgs: [{name: vg, base: [pv]}], lvs: [{name: r, base: vg, extents: 50%VG, mkfs: {type: xfs, mount: {mount_point: /}}}]}\n",
			"r: it has 15728636 MiB, and file systems of type xfs are made with at most 4096 GiB"},
		{"large vfat", "- local_loop: {name: d, size: 2TiB, mkfs: {type: vfat}}\n- local_loop: {name: e, mkfs: {type: ext4, mount: {mount_point: /}}}\n", "d: it has 2048 GiB, and file systems of type vfat are made with at most 2097151 MiB"},
		{"small vfat on large sectors", "- local_loop: {name: d, block_size: 4096, size: 10MiB, mkfs: {type: vfat}}\n- local_loop: {name: e, mkfs: {type: ext4, mount: {mount_point: /}}}\n", "d: it has 10 MiB and needs 19.5 MiB (20480000 bytes)"},
		{"large swap", "- local_loop: {name: d, size: 20TiB, mkfs: {type: swap}}\n- local_loop: {name: e, mkfs: {type: ext4, mount: {mount_point: /}}}\n", "d: it has 20480 GiB, and file systems of type swap are made with at most 16384 GiB"},
		{"inodes", disk("", "type: ext4, opts: '-i 9223372036854775807'"), "root: option -i 9223372036854775807 of mkfs for ext4 is not known here"},
		{"nothing", disk("", "type: ext4, opts: '-m 1 -i 8192 -J size=16M'"), ""},
		{"nothing of xfs", disk("size: 1GiB, ", "type: xfs, opts: '-f -d agcount=3 -l size=64m -n ftype=1'"), ""},
	} {
		t.Run(test.summary, func(t *testing.T) {
			var doc yaml.Node
			if err := yaml.Unmarshal([]byte(test.text), &doc); err != nil {
				t.Fatal(err)
			}
			_, err := blockdevice.Parse(doc.Content[0], blockdevice.Params{Arch: "amd64", Types: mkfs.Types()})
			got := ""
			var problems blockdevice.Problems
			if errors.As(err, &problems) {
				for _, p := range problems {
					got += p.Message
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}
