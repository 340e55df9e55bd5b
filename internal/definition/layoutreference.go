package definition

import (
	"fmt"
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/mkfs"
)

// LayoutReference is docs/reference/layout.md: the short forms, and every node with
// its keys, made from what reads them.
func LayoutReference() []byte {
	var b strings.Builder
	b.WriteString(layoutHead)
	b.WriteString("| name | what it is |\n|---|---|\n")
	for _, f := range blockdevice.Forms {
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.Name, f.Doc)
	}
	text, err := blockdevice.FormText(usual, blockdevice.Params{Arch: "amd64"})
	if err == nil {
		fmt.Fprintf(&b, "\nEach is written in the language below. This is %s on amd64:\n\n```yaml\nlayout:\n%s```\n", usual, text)
	}
	b.WriteString(layoutNodes)
	for _, k := range blockdevice.Reference() {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| key | default | meaning |\n|---|---|---|\n", k.Kind, k.Doc)
		for _, key := range k.Keys {
			def := key.Default
			if key.Must {
				def = "required"
			}
			ours := ""
			if key.Ours {
				ours = " *"
			}
			fmt.Fprintf(&b, "| `%s`%s | %s | %s |\n", key.Name, ours, strings.ReplaceAll(def, "|", `\|`), strings.ReplaceAll(key.Doc, "|", `\|`))
		}
	}
	fmt.Fprintf(&b, layoutTail, code(mkfs.Names()...))
	return []byte(b.String())
}

const layoutHead = `# Layouts: how a disk is divided

<!-- Made from internal/blockdevice. Change that, then run: go generate ./internal/definition -->

The key ` + "`layout`" + ` of a [definition](definition.md) says how disk images are divided: it is the name of a layout, or a list of nodes in the
block-device language of diskimage-builder, whose files are taken as they are. What cannot be, and what nothing could start from, ` + "`ingot check`" + ` says, with line and column.
` + "`ingot layout show`" + ` draws it: partitions, volumes, places and mounts, as text, as JSON or as a picture.

## Names

`

const layoutNodes = `
The root of hybrid, efi and bios is last and takes what room its disk has when a machine starts. In a layout of
one's own the root's partition does so where it is the last of a GPT and of type ` + "`root`" + `, and its file system with it where its options in fstab have ` + "`x-systemd.growfs`" + `. A disk without a size is as large as its content and
the output's ` + "`free`" + ` need.

## Nodes

A layout of one's own is a list of nodes. A node stands on another, its base: named by the key ` + "`base`" + `, or by standing within it. This is a disk with an MBR, a
file system for /boot, and the rest on thin volumes:

` + "```yaml" + `
layout:
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: mbr
    partitions:
    - {name: boot, size: 256MiB, flags: [boot, primary], mkfs: {type: ext4, mount: {mount_point: /boot, fstab: {by: uuid}}}}
    - {name: rest, type: lvm, size: 100%, flags: [primary]}
- lvm:
    pvs: [{name: pv, base: rest}]
    vgs: [{name: vg, base: [pv]}]
    lvs:
    - {name: pool, base: vg, type: thin-pool, size: 4GiB}
    - {name: root, base: vg, type: thin, thin-pool: pool, size: 20GiB, mkfs: {type: ext4, mount: {mount_point: /, fstab: {by: uuid, fsck-passno: 1}}}}
    - {name: var, base: vg, type: thin, thin-pool: pool, size: 20GiB, mkfs: {type: ext4, mount: {mount_point: /var, fstab: {by: uuid}}}}
    - {name: swap, base: vg, size: 1GiB, mkfs: {type: swap, mount: {mount_point: none, fstab: {by: uuid}}}}
` + "```" + `

Sizes have a number and a unit: KiB, MiB, GiB, TiB are powers of 1024; K, M, G, T, with or without B, powers of 1000; case matters. A size in percent is of what is left.
` + "`fit`" + ` is what the content needs, with the room that ` + "`free`" + ` asks for. UUIDs that nothing says are derived from the lock.

A machine starts by UEFI from a partition of type ` + "`esp`" + ` with a vfat, by a BIOS through a partition of type ` + "`bios`" + ` on GPT or the first MiB on MBR. What ` + "`boot.firmware`" + ` asks
for must be there; where it says nothing, it is what the layout has. GRUB reads /boot from a partition, or from a linear or striped volume, and not from a thin one.
The first disk is the one that is started from; it has /boot. Each further one is a file of its own, NAME-ARCH-DISK.EXT, in formats that are disks and nothing else. Groups may lie on several
(` + "`ingot boot --drive`" + ` gives a machine the others). A disk with ` + "`block_size: 4096`" + ` starts by UEFI from a GPT; of virtual disks raw and qcow2 can be such, and the machine must be told (` + "`ingot boot`" + ` sees it in a raw one). An ESP of less
than 272 MiB is then FAT16, which not all firmware takes.

Keys marked * are not diskimage-builder's.
`

const layoutTail = `
## Subvolumes

A btrfs may have subvolumes, each with a mount of its own. What lies below a mount point comes to its subvolume:

` + "```yaml" + `
      mkfs:
        type: btrfs
        subvolumes:
        - {name: "@", mount: {mount_point: /, fstab: {by: uuid, options: "compress=zstd", fsck-passno: 0}}}
        - {name: "@home", mount: {mount_point: /home, fstab: {by: uuid, fsck-passno: 0}}}
` + "```" + `

Lines of fstab get the option subvol by themselves, and the kernel its argument rootflags. Data and metadata are there once (profile single), and files are written as they are:
compress in fstab is for what a machine writes.

## Encryption

A file system or a physical volume can stand in a container of LUKS2, on a partition, a disk, or a linear or striped volume:

` + "```yaml" + `
    - name: root
      type: root
      size: 100%%
      luks:
        name: crypt
        mkfs: {type: ext4, mount: {mount_point: /, fstab: {by: uuid, fsck-passno: 1}}}
` + "```" + `

/boot has a file system of its own, as GRUB does not open containers. Encryption is AES in XTS mode with 512 bits of key. Containers are found by their labels, those on volumes by the names of these. What is opened after the
root and /usr may name a ` + "`key-file`" + `, best one that lies in an encrypted root. A root of type root that is last on its disk grows with it as one
without a container does, at each start, before it is opened; its line of fstab has the option x-systemd.growfs for that.

### At the first start

An image has no secret. Its containers are encrypted with a key that everybody knows who has the image, and a token in their heads, ` + "`ingot-first-start`" + `, says so (` + "`cryptsetup luksDump`" + `). When a machine
starts for the first time, a script in its initramfs has cryptsetup encrypt them anew, before anything of them is mounted, with a key that the machine makes. What opens a container then is

1. the systemd credential ` + "`cryptsetup.passphrase`" + `, where whoever runs the machine gives it one: by SMBIOS (a string of type 11, ` + "`io.systemd.credential:cryptsetup.passphrase=…`" + `) or QEMU's fw_cfg
   (` + "`opt/io.systemd.credentials/cryptsetup.passphrase`" + `);
2. else what a person types, twice, on the console: one passphrase for all containers;
3. where there is a ` + "`key-file`" + `: 64 random bytes that the script puts there, on the root, readable to root alone. A file that is there already is taken as it is.

On each later start the initramfs asks for the passphrase of the root's and /usr's containers, or takes the credential; systemd opens the others. A machine whose person goes away without an answer waits (fstab has ` + "`x-systemd.device-timeout=0`" + ` for what a person opens, unless it says another time).

A power cut does no harm. Until cryptsetup has begun nothing has changed, and the next start asks again; from then on it goes on where it was, and asks for the same passphrase once. cryptsetup keeps
a journal of what it does in the container's head; whatever fails ends in the initramfs' shell and not in a system that writes with a known key.
The first start takes as long as reading and writing the whole container takes, as large as the image has it: a root that is last on its disk takes the rest of it afterwards, with nothing there to encrypt.
Blocks without content are written too. /boot stays readable and writable to whoever has the disk, as with any such system: what is asked for a passphrase is for ` + "`boot: {loader: uki, sign: …}`" + ` to guard.

` + "`ingot plan` and `ingot layout show`" + ` name the containers that everybody can read until then.

` + "`kdf`" + ` and ` + "`memory`" + ` are those of the new passphrase. Such a container stands in no other one. The bytes of the image follow from the lock alone. Disks of [elements](disk-image-create.md) take containers with secrets alone.
In compressed formats encrypted blocks take as much room as they have.

### With secrets from the build

` + "```yaml" + `
      luks:
        name: crypt
        passphrase: {file: secret/passphrase}
        seed: {file: secret/seed}
        mkfs: {type: ext4, mount: {mount_point: /, fstab: {by: uuid, fsck-passno: 1}}}
` + "```" + `

` + "`passphrase`" + ` is a file of one line, whose end is not part of it; ` + "`seed`" + ` one of at least 32 bytes, such as ` + "`head -c 32 /dev/urandom`" + ` gives. Both are read when a disk is written. They are
not in the lock, its digest, the cache or a log, and a build without them, or with what cannot be one, ends with exit code 9 before it begins. The key of a container derives from the seed, the
container's identity and the lock: so the same lock, seed and passphrase give the same bytes, and another lock another key. ` + "`ingot plan`" + ` says which artifacts depend
on such files. They are made anew by each build. Whoever has the seed and the artifact can open it: keep it as you keep the passphrase, and give neither to whoever gets the image.

A machine asks for the passphrase on its console, in the initramfs for the root and /usr. A key file has the passphrase without an end of line. What no file uses stays unwritten, as with
` + "`discard`" + `: an image shows which blocks are in use, and not what they hold.

A key file that ` + "`files`" + ` puts into the image is an input like any other, and its digest is in the lock: fill it with bytes that nobody can guess.

## Hashes

A file system that is only read can have its hashes (dm-verity) on a partition beside it:

` + "```yaml" + `
    - {name: usr, type: usr, size: fit, mkfs: {type: ext4, mount: {mount_point: /usr, fstab: {options: ro}}}}
    - {name: usr-verity, type: usr-verity, size: fit, verity: {data: mkfs_usr, key: {file: secret/key.pem}, certificate: {file: cert.pem}}}
` + "```" + `

The root hash, in hexadecimal digits, is in a file beside the artifact: NAME-ARCH.roothash of a raw disk, NAME-ARCH.EXT.roothash of others; where a layout has several, the name of the verity
stands before roothash. With a key and its certificate, a signature in the form that the kernel takes (PKCS #7, in DER) is in a file of the same name with .p7s behind. The two partitions'
identities are the halves of the root hash, unless uuid says others, so that systemd's programs find them by it. These files come with formats that are disks and nothing else: raw, qcow2,
vmdk, vhd, vhdx, vdi.

A root with hashes is held to them by ` + "`boot: {loader: uki}`" + `: the root hash is in the command line of the unified kernel image (` + "`ingot.roothash`" + `), under its signature if ` + "`boot.sign`" + ` names a key, and a
script in the initramfs opens the root by it. What somebody changes on the disk the kernel does not read. The partitions are a GPT's, and no uuid is said of them. Such a root is only read: what is
written to (/var at the least) needs a file system of its own, /tmp is in memory unless the layout has one, and nothing in the machine updates its packages or its kernel.

With other loaders, and for file systems other than the root, ingot writes the hashes, and to hold a machine to them is the work of what starts it: fstab mounts such a file system without checking it.

## Options of mkfs

There are the file systems %s; fat is vfat, which cannot be the root, nor hold ` + "`/usr`, `/var` or `/tmp`" + `. An ext2 or ext3 has what mke2fs gives one, in blocks of 4096 bytes. Of ` + "`opts`" + `, those of ext4, ext3 and ext2 that are called ` + "`-m`, `-i`, `-J size=`, `-b 4096` and `-I 256`" + `
are known (an ext2 has no journal), and xfs's ` + "`-d agcount=` and `-l size=`" + ` with those that say what is made anyway. An xfs has at least 300 MiB, of which its log takes 64.
`
