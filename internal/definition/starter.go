package definition

import (
	"regexp"
	"strings"
)

// CheckName says why a text is no image name, or "".
func CheckName(name string) string {
	why, _ := imageNameRule.refuse(name)
	return why
}

// NameFrom makes an image name of a text such as a directory's name; "image" if
// nothing is left of it.
func NameFrom(s string) string {
	s = regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(s), "-")
	s = strings.Trim(s[:min(len(s), 63)], "-")
	if s == "" {
		return "image"
	}
	return s
}

// Starter is the commented definition that "ingot init" writes for an image of
// that name; the name is made fit by [NameFrom] if it is not.
func Starter(name string) []byte {
	if CheckName(name) != "" {
		name = NameFrom(name)
	}
	return []byte(strings.Replace(starter, "NAME", name, 1))
}

const starter = `# The definition of an image. These five lines boot; everything below is optional.
#   ingot check     says what is wrong with this file
#   ingot build     locks, builds and puts the artifacts beside it
#   ingot boot      starts the result
version: 1
name: NAME
distro: debian
release: bookworm
outputs: [qcow2]          # disks: raw, vmdk, vhd, vhdx, vdi, ova, vagrant, gce, openstack and more; containers:
                          # oci, docker, lxc, incus, openvz, nspawn; live: iso, netboot; files: tar.zst, squashfs, ext4 and more

# packages: [nginx, curl]
# recommends: false       # true installs also what packages recommend
# hostname: web.example.org
# locale: C.UTF-8
# timezone: Etc/UTC

# users:
#   - name: ops
#     groups: [sudo]
#     ssh-keys: ["ssh-ed25519 AAAA... you@example.org"]

# files:
#   - {path: /etc/motd, content: "Welcome.\n"}
#   - {path: /srv/site, source: ./site}

# services: {enable: [nginx]}

# scripts:                # run in the image, with the network off, and again only when they change
#   - {run: ./setup.sh, reads: [data/]}

# kernel: {arguments: [quiet]}
# boot: {loader: grub, secure: false}    # or systemd-boot, uki, extlinux
# layout: hybrid          # or efi, bios, hybrid-lvm, or a list of partitions, volumes and file systems;
                          # ingot layout show draws it

# tests:                  # run in the booted image by: ingot build --test
#   - {run: systemctl is-active nginx, expect: "^active"}
`
