#!/bin/sh
# Makes a bootable Debian disk with outside tools only, as a judge of internal/vm:
# GPT with a BIOS boot partition, an ESP and an ext4 root; GRUB for both firmwares.
# It needs root, mmdebstrap, e2fsprogs, gdisk, dosfstools, mtools, grub-pc-bin,
# grub-efi-amd64-bin and grub-common. No loop device, no mount.
#
#   mkimage.sh SUITE OUT [EXTRA,PACKAGES]
#
# Packages come from the mirror that the host's own apt sources name.
set -eu
grub=${INGOT_JUDGES:-}/usr/lib/grub # of the judges' tree, or of this machine
suite=$1 out=$2 extra=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' \
	/etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
	grep -v security | head -n 1)

mmdebstrap --mode=root --variant=minbase --format=directory \
	--include="systemd-sysv,udev,linux-image-cloud-amd64,initramfs-tools,iproute2${extra:+,$extra}" \
	--aptopt='Acquire::Check-Valid-Until "false"' \
	"$suite" "$work/root" "$mirror" >&2

root=$work/root
echo judge >"$root/etc/hostname"
printf 'UUID=%s / ext4 rw 0 1\n' 11111111-2222-3333-4444-555555555555 >"$root/etc/fstab"
mkdir -p "$root/etc/systemd/network" "$root/etc/systemd/system/multi-user.target.wants"
printf '[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/wired.network"
ln -s /lib/systemd/system/systemd-networkd.service "$root/etc/systemd/system/multi-user.target.wants/"
mkdir -p "$root/boot/grub"
cat >"$root/boot/grub/grub.cfg" <<'CFG'
serial --unit=0 --speed=115200
terminal_output serial console
linux /vmlinuz root=UUID=11111111-2222-3333-4444-555555555555 ro console=ttyS0 quiet
initrd /initrd.img
boot
CFG

truncate -s 1400M "$work/root.ext4"
mke2fs -q -t ext4 -U 11111111-2222-3333-4444-555555555555 -d "$root" "$work/root.ext4"

# 2048: BIOS boot, 4096: ESP of 32 MiB, 69632: root.
truncate -s 1440M "$out"
sgdisk -n1:2048:4095 -t1:ef02 -n2:4096:69631 -t2:ef00 -n3:69632:+1400M -t3:8304 "$out" >&2
printf 'search --no-floppy --fs-uuid --set=root 11111111-2222-3333-4444-555555555555\nset prefix=($root)/boot/grub\nconfigfile /boot/grub/grub.cfg\n' >"$work/early.cfg"
mods="part_gpt ext2 search search_fs_uuid configfile normal linux serial terminal echo boot"
grub-mkimage -d "$grub/i386-pc" -O i386-pc -o "$work/core.img" -c "$work/early.cfg" -p /boot/grub $mods biosdisk
grub-mkimage -d "$grub/x86_64-efi" -O x86_64-efi -o "$work/grub.efi" -c "$work/early.cfg" -p /boot/grub $mods
dd if="$work/root.ext4" of="$out" bs=1M seek=34 conv=notrunc,sparse status=none
# boot.img: its code, and at 0x5c the sector of core.img; core.img: at 0x1f4 the sector after its first.
dd if="$grub/i386-pc/boot.img" of="$out" bs=440 count=1 conv=notrunc status=none
printf '\000\010\000\000\000\000\000\000' | dd of="$out" bs=1 seek=92 conv=notrunc status=none
printf '\001\010\000\000\000\000\000\000' | dd of="$work/core.img" bs=1 seek=500 conv=notrunc status=none
dd if="$work/core.img" of="$out" bs=512 seek=2048 conv=notrunc status=none
truncate -s 32M "$work/esp"
mkfs.vfat "$work/esp" >/dev/null
mmd -i "$work/esp" ::EFI ::EFI/BOOT
mcopy -i "$work/esp" "$work/grub.efi" ::EFI/BOOT/BOOTX64.EFI
dd if="$work/esp" of="$out" bs=1M seek=2 conv=notrunc status=none
