package main_test

import (
	"maps"
	"regexp"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// thinLayout starts by a BIOS from an MBR, with all but /boot on thin volumes, and has
// all generations of ext4.
const thinLayout = `layout:
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: mbr
    partitions:
    - {name: boot, size: 256MiB, flags: [boot, primary], mkfs: {type: ext2, mount: {mount_point: /boot, fstab: {by: uuid}}}}
    - {name: rest, type: lvm, size: 100%, flags: [primary]}
- lvm:
    name: lvm
    pvs: [{name: pv, base: rest}]
    vgs: [{name: vg, base: [pv]}]
    lvs:
    - {name: pool, base: vg, type: thin-pool, size: 2GiB}
    - {name: root-a, base: vg, type: thin, thin-pool: pool, size: 8GiB, mkfs: {type: ext4, label: root, mount: {mount_point: /, fstab: {by: uuid, fsck-passno: 1}}}}
    - {name: var, base: vg, type: thin, thin-pool: pool, size: 4GiB, mkfs: {type: ext3, label: var, mount: {mount_point: /var, fstab: {}}}}
    - {name: swap, base: vg, size: 128MiB, mkfs: {type: swap, mount: {mount_point: none, fstab: {by: uuid}}}}
`

// sharedLayout has the shape of the layout that diskimage-builder ships for UEFI, on a
// disk whose size is said, with a file system that all systems read.
const sharedLayout = `layout:
- local_loop: {name: image0, size: 3GiB}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: ESP, type: EF00, size: 200MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {options: defaults, fsck-passno: 2}}}}
    - {name: BSP, type: EF02, size: 8MiB}
    - {name: data, type: data, size: 100MiB, mkfs: {type: vfat, label: DATA, mount: {mount_point: /srv/data, fstab: {}}}}
    - {name: root, type: "8300", size: 100%, mkfs: {type: ext4, mount: {mount_point: /, fstab: {options: defaults, fsck-passno: 1}}}}
files: [{path: /srv/data/READ.ME, content: "hello\n"}]
`

// xfsLayout is what diskimage-builder ships for UEFI with volumes, which are xfs, on a
// smaller disk. GRUB reads /boot from one of them.
const xfsLayout = `layout:
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: ESP, type: EF00, size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {options: defaults, fsck-passno: 2}}}}
    - {name: BSP, type: EF02, size: 8MiB}
    - {name: root, type: "8300", size: 5GiB}
- lvm:
    name: lvm
    base: [root]
    pvs: [{name: pv, base: root, options: ["--force"]}]
    vgs: [{name: vg, base: [pv], options: ["--force"]}]
    lvs:
    - {name: lv_root, base: vg, extents: 23%VG}
    - {name: lv_var, base: vg, extents: 57%VG}
    - {name: lv_home, base: vg, extents: 20%VG}
- mkfs: {name: fs_root, base: lv_root, type: xfs, label: img-rootfs, mount: {mount_point: /, fstab: {options: "rw,relatime", fsck-passno: 1}}}
- mkfs: {name: fs_var, base: lv_var, type: xfs, mount: {mount_point: /var, fstab: {options: "rw,relatime"}}}
- mkfs: {name: fs_home, base: lv_home, type: xfs, mount: {mount_point: /home, fstab: {options: "rw,nodev,nosuid,relatime"}}}
`

// btrfsLayout has one file system for all but the ESP, with the root, /home and /var/log on
// subvolumes of it.
const btrfsLayout = `layout:
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: esp, type: esp, size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {}}}}
    - name: root
      type: root
      size: 100%
      mkfs:
        type: btrfs
        label: system
        subvolumes:
        - {name: "@", mount: {mount_point: /, fstab: {by: uuid, options: "compress=zstd:1,x-systemd.growfs", fsck-passno: 0}}}
        - {name: "@home", mount: {mount_point: /home, fstab: {by: uuid, fsck-passno: 0}}}
        - {name: log, path: "@/var/log", mount: {mount_point: /var/log, fstab: {by: uuid, options: noatime, fsck-passno: 0}}}
`

// sectorsLayout is a disk whose sectors have 4096 bytes.
const sectorsLayout = `layout:
- local_loop: {name: image0, block_size: 4096}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: esp, type: esp, size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {by: uuid}}}}
    - {name: home, type: home, size: fit, mkfs: {type: xfs, mount: {mount_point: /home, fstab: {by: uuid}}}}
    - {name: more, type: lvm, size: 200MiB}
    - {name: root, type: root, size: 100%, mkfs: {type: ext4, label: root, mount: {mount_point: /, fstab: {by: uuid, options: x-systemd.growfs, fsck-passno: 1}}}}
- lvm:
    name: lvm
    pvs: [{name: pv, base: more}]
    vgs: [{name: vg, base: [pv]}]
    lvs: [{name: srv, base: vg, size: 128MiB, mkfs: {type: ext4, label: srv, mount: {mount_point: /srv, fstab: {by: uuid}}}}]
`

// disksLayout has /srv, and a part of the group that /var lies on, on a second disk.
const disksLayout = `layout:
- local_loop: {name: image0}
- local_loop: {name: data, size: 1GiB}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: esp, type: esp, size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {}}}}
    - {name: volumes, type: lvm, size: 300MiB}
    - {name: root, type: root, size: 100%, mkfs: {type: ext4, label: root, mount: {mount_point: /, fstab: {by: uuid, options: x-systemd.growfs, fsck-passno: 1}}}}
- partitioning:
    base: data
    label: gpt
    partitions:
    - {name: srv, type: srv, size: 300MiB, mkfs: {type: xfs, mount: {mount_point: /srv, fstab: {by: uuid}}}}
    - {name: more, type: lvm, size: 100%}
- lvm:
    name: lvm
    pvs: [{name: one, base: volumes}, {name: two, base: more}]
    vgs: [{name: vg, base: [one, two]}]
    lvs: [{name: var, base: vg, type: striped, size: 500MiB, mkfs: {type: ext4, label: var, mount: {mount_point: /var, fstab: {by: uuid}}}}]
`

// hashesLayout has the hashes of /srv beside it.
const hashesLayout = `layout:
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: esp, type: esp, size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {}}}}
    - {name: srv, type: srv, size: fit, mkfs: {type: ext4, label: srv, mount: {mount_point: /srv, fstab: {options: ro, fsck-passno: 0}}}}
    - {name: srv-verity, size: fit, verity: {data: mkfs_srv}}
    - {name: root, type: root, size: 100%, mkfs: {type: ext4, label: root, mount: {mount_point: /, fstab: {by: uuid, options: x-systemd.growfs, fsck-passno: 1}}}}
files: [{path: /srv/file, content: "whole\n"}]
packages: [cryptsetup-bin]
`

// luksLayout has all but /boot encrypted: the root by a passphrase that is typed, and /var
// and swap on volumes in a container that the root has the key of.
const luksLayout = `layout:
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
    - {name: bios, type: bios, size: 1MiB}
    - {name: esp, type: esp, size: 64MiB, mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {}}}}
    - {name: boot, size: 256MiB, mkfs: {type: ext4, mount: {mount_point: /boot, fstab: {by: uuid}}}}
    - {name: more, size: 1GiB}
    - name: root
      type: root
      size: 100%
      luks:
        name: rootcrypt
        passphrase: {file: secret/passphrase}
        seed: {file: secret/seed}
        mkfs: {type: ext4, label: root, mount: {mount_point: /, fstab: {by: uuid, options: x-systemd.growfs, fsck-passno: 1}}}
- luks: {name: morecrypt, base: more, passphrase: {file: secret/key}, seed: {file: secret/seed}, key-file: /etc/keys/more, discard: true}
- lvm:
    name: lvm
    pvs: [{name: pv, base: morecrypt}]
    vgs: [{name: vg, base: [pv]}]
    lvs:
    - {name: var, base: vg, size: 700MiB, mkfs: {type: xfs, label: var, mount: {mount_point: /var, fstab: {by: uuid}}}}
    - {name: swap, base: vg, size: 128MiB, mkfs: {type: swap, mount: {mount_point: none, fstab: {by: uuid}}}}
files: [{path: /etc/keys/more, source: secret/key, mode: "0400"}]
`

// luksSecrets are the files that luksLayout names.
var luksSecrets = map[string]string{"secret/passphrase": "correct horse battery\n", "secret/key": "a key of many letters", "secret/seed": strings.Repeat("noise", 8)}

// layout judges disks that are divided in other ways than the usual: the kernel, lvm2 and
// systemd of a stock Debian find, mount and write everything.
func (c *court) layout(t *testing.T) {
	define := func(name, layout string) string {
		return strings.NewReplacer("small", name, "[tar]", "[raw]").Replace(minimal) + layout
	}
	for _, test := range []struct {
		name, layout, firmware string
		full                   bool
		checks                 []string // pairs: what is asked, and what must be said
	}{
		{"thin", thinLayout, "bios", false, []string{
			"lvs --noheadings --separator , -o lv_name,segtype,lv_size --units m | tr -d ' '", `^pool,thin-pool,2048.00m\nroot-a,thin,8192.00m\nswap,linear,128.00m\nvar,thin,4096.00m\n$`,
			"findmnt --real --noheadings --list -o TARGET,SOURCE,FSTYPE | tr -s ' '", `(?m)^/ /dev/mapper/vg-root--a ext4\s*$`,
			"findmnt --noheadings -o SOURCE,FSTYPE /boot", `^/dev/vda1 +ext2\n$`,
			"findmnt --noheadings -o SOURCE,FSTYPE /var", `^/dev/mapper/vg-var +ext3\n$`,
			"swapon --show=TYPE,SIZE --noheadings", `^partition +128M\n$`,
			"dd if=/dev/urandom of=/var/x bs=1M count=300 status=none && sync && echo 3 >/proc/sys/vm/drop_caches && cat /var/x >/dev/null; dmesg | grep -ciE 'thin.*(error|fail)|I/O error' || true", `^0\n$`,
			"umount /boot && e2fsck -fn /dev/vda1 && mount /boot", `Pass 5`,
			"update-grub && lvcreate -q -n more -V 1G --thinpool vg/pool && vgck vg", ``,
		}},
		{"shared", sharedLayout, "uefi", false, []string{
			"cat /srv/data/READ.ME", `^hello\n$`,
			"findmnt --noheadings -o FSTYPE /srv/data", `^vfat\n$`,
			"lsblk -dno SIZE /dev/vda", `^ *3G\n$`,
		}},
		{"xfs", xfsLayout, "bios", false, []string{
			"findmnt --real --noheadings --list -o TARGET,SOURCE,FSTYPE -t xfs | tr -s ' ' | sort", `^/ /dev/mapper/vg-lv_root xfs\s*\n/home /dev/mapper/vg-lv_home xfs\s*\n/var /dev/mapper/vg-lv_var xfs\s*\n$`,
			"dd if=/dev/urandom of=/var/x bs=1M count=300 status=none && sync && echo 3 >/proc/sys/vm/drop_caches && cat /var/x >/dev/null && rm /var/x && update-grub && grep -c 'insmod xfs' /boot/grub/grub.cfg", `[1-9]\n$`,
			"umount /home && xfs_repair -n /dev/vg/lv_home >/dev/null 2>&1 && echo whole && mount /home", `^whole\n$`,
			"dmesg | grep -c 'XFS.*rror' || true", `^0\n$`,
		}},
		{"xfs", xfsLayout, "uefi", true, []string{"findmnt -no SOURCE /", `^/dev/mapper/vg-lv_root\n$`, "update-grub", ""}},
		{"btrfs", btrfsLayout, "bios", true, []string{
			"findmnt --real --noheadings --list -o TARGET,SOURCE -t btrfs | tr -s ' ' | sort", `^/ /dev/vda3\[/@\]\s*\n/home /dev/vda3\[/@home\]\s*\n/var/log /dev/vda3\[/@/var/log\]\s*\n$`,
			"btrfs subvolume snapshot / /home/before && dd if=/dev/urandom of=/home/x bs=1M count=200 status=none && sync && echo 3 >/proc/sys/vm/drop_caches && cat /home/x >/dev/null && rm /home/x && update-grub && grep -c 'rootflags=subvol=@' /boot/grub/grub.cfg", `[1-9]\n$`,
			"btrfs scrub start -B / | grep -i error", `(?i)no errors found`,
			"dmesg | grep -ciE 'btrfs.*(error|warn)' || true", `^0\n$`,
		}},
		{"btrfs", btrfsLayout, "uefi", true, []string{"findmnt -no SOURCE /", `^/dev/vda3\[/@\]\n$`, "update-grub", ""}},
		{"sectors", sectorsLayout, "uefi", true, []string{
			"cat /sys/block/vda/queue/logical_block_size; ls /boot/efi >/dev/null; findmnt -t vfat -no SOURCE,FSTYPE /boot/efi | tr -s ' '", `^4096\n/dev/vda1 vfat\n$`,
			"findmnt -no SOURCE,FSTYPE /home; findmnt -no SOURCE,FSTYPE /srv", `^/dev/vda2 +xfs\n/dev/mapper/vg-srv +ext4\n$`,
			"dd if=/dev/urandom of=/srv/x bs=1M count=50 status=none && sync && echo 3 >/proc/sys/vm/drop_caches && cat /srv/x >/dev/null && lvextend -q -L +20M vg/srv && update-grub", ``,
		}},
		{"disks", disksLayout, "bios", true, []string{
			"findmnt -no SOURCE,FSTYPE /srv; findmnt -no SOURCE,FSTYPE /var", `^/dev/vdb1 +xfs\n/dev/mapper/vg-var +ext4\n$`,
			"lvs --noheadings -o stripes,devices vg/var | tr -s ' '", `^ 2 /dev/vda3\(0\),/dev/vdb2\(0\)\n$`,
			"dd if=/dev/urandom of=/var/x bs=1M count=50 status=none && sync && echo 3 >/proc/sys/vm/drop_caches && cat /var/x >/dev/null && update-grub", ``,
		}},
		{"hashes", hashesLayout, "bios", true, []string{
			"umount /srv && H=$(lsblk -ndo PARTUUID /dev/vda3 /dev/vda4 | tr -d -) && veritysetup open /dev/vda3 checked /dev/vda4 $(echo $H | tr -d ' ') && mount -o ro /dev/mapper/checked /srv && cat /srv/file && veritysetup status checked | grep -E 'status|type'", `^whole\n +type: +VERITY\n +status: +verified\n +hash type: +1\n$`,
		}},
		{"luks", luksLayout, "bios", true, []string{
			"findmnt --noheadings -o SOURCE,FSTYPE /", `^/dev/mapper/rootcrypt +ext4\n$`,
			"findmnt --noheadings -o SOURCE,FSTYPE /var", `^/dev/mapper/vg-var +xfs\n$`,
			"swapon --show=TYPE,SIZE --noheadings", `^partition +128M\n$`,
			"cryptsetup status rootcrypt | grep -E 'type|cipher|keysize'", `LUKS2\n.*aes-xts-plain64\n.*512`,
			"dd if=/dev/urandom of=/var/x bs=1M count=200 status=none && sync && echo 3 >/proc/sys/vm/drop_caches && cat /var/x >/dev/null && rm /var/x; dmesg | grep -ciE 'XFS.*rror|EXT4.*rror|I/O error' || true", `^0\n$`,
			"fstrim /var && printf 'COMPRESSLEVEL=1\\nMODULES=dep\\n' >/etc/initramfs-tools/conf.d/fast && update-initramfs -u && update-grub && lsinitramfs /boot/initrd.img-$(uname -r) | grep -c cryptroot/crypttab", `1\n$`,
		}},
		{"form-lvm", "layout: hybrid-lvm\n", "uefi", true, []string{"findmnt -no SOURCE /", `^/dev/mapper/system-root\n$`, "update-grub", ""}},
		{"form-lvm", "layout: hybrid-lvm\nboot: {secure: true}\n", "secure", true, []string{"findmnt -no SOURCE /", `^/dev/mapper/system-root\n$`}},
		{"form-efi", "layout: efi\n", "uefi", true, []string{"findmnt -no SOURCE /", `^/dev/vda2\n$`}},
		{"form-bios", "layout: bios\n", "bios", true, []string{"findmnt -no SOURCE /", `^/dev/vda2\n$`}},
	} {
		if test.full && !c.full {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			files := maps.Clone(luksSecrets)
			files["ingot.yaml"] = define(test.name, test.layout)
			p := c.project(t, files)
			p.build(t)
			raw := p.path("out/" + test.name + "-amd64.raw")
			sector := "512"
			if strings.Contains(test.layout, "block_size: 4096") {
				sector = "4096"
			}
			if out := judge.Run(t, "sfdisk", "--sector-size", sector, "-V", raw); !strings.Contains(out, "No errors detected") {
				t.Errorf("sfdisk -V: %s", out)
			}
			asked := []string{"boot", raw, "--firmware", test.firmware, "--timeout", bootPatience, "--json", "--unlock", p.path("secret/passphrase"), "--run", "systemctl is-system-running --wait", "--run", "systemctl --failed --no-legend --plain"}
			if data := p.path("out/" + test.name + "-amd64-data.raw"); strings.Contains(test.layout, "{name: data, size: 1GiB}") {
				asked = append(asked, "--drive", data)
			}
			want := []string{`^running\n$`, `^$`}
			for i := 0; i < len(test.checks); i += 2 {
				asked, want = append(asked, "--run", test.checks[i]), append(want, test.checks[i+1])
			}
			v := p.ingot(t, asked...)
			var said struct {
				Commands []struct{ Run, Output string }
			}
			parse(t, []byte(v.out), &said)
			if v.code != 0 || len(said.Commands) != len(want) {
				t.Errorf("boot: exit code %d, %d commands\n%s", v.code, len(said.Commands), tail(v.err, 30))
			}
			for i, a := range said.Commands {
				if !regexp.MustCompile(want[i]).MatchString(a.Output) {
					t.Errorf("%s says %q, want %s", a.Run, a.Output, want[i])
				}
			}
		})
	}
	t.Run("refused", timed(func(t *testing.T) {
		p := c.project(t, map[string]string{"ingot.yaml": define("thin", strings.Replace(thinLayout, "flags: [boot, primary]", "flags: [primry]", 1))})
		p.refuse(t, 3, []string{"ingot.yaml:", `flag "primry" is unknown`, `did you mean "primary"`}, "check")
		q := c.project(t, map[string]string{"ingot.yaml": define("shared", strings.Replace(sharedLayout, "3GiB", "400MiB", 1))})
		q.refuse(t, 9, []string{"root", "needs", "hint:"}, "build", "--to", "out")
		artifactsOnly(t, q.path("out"))
	}))
}
