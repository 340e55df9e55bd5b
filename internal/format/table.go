package format

// xz is the package of the program that compresses to xz: as small as xz makes
// it, no Go library does.
const xz = "xz-utils"

// pc are the architectures of machines that are PCs.
var pc = []string{"amd64", "i386"}

var table = []Format{
	{Name: "dir", About: "a directory", Purpose: Container, Files: []string{""}, Dir: true},
	{Name: "tar", About: "an archive of the root file system", Purpose: Container, Files: []string{".tar"}},
	{Name: "tar.gz", About: "the archive, compressed with gzip", Purpose: Container, Files: []string{".tar.gz"}, Small: true},
	{Name: "tar.xz", About: "the archive, compressed with xz", Purpose: Container, Files: []string{".tar.xz"}, Small: true, Tools: []string{xz}},
	{Name: "tar.zst", About: "the archive, compressed with zstd", Purpose: Container, Files: []string{".tar.zst"}, Small: true},
	{Name: "lxc", About: "a system container for LXC: root file system and metadata", Purpose: System, Files: []string{".rootfs.tar.xz", ".meta.tar.xz"}, Options: []Option{Expiry, Message}, Small: true, Tools: []string{xz}},
	{Name: "incus", About: "a system container for Incus and LXD: root file system and metadata, or both in one file", Purpose: System, Files: []string{".rootfs.squashfs", ".incus.tar.xz"}, Options: []Option{Type, Expiry}, Types: []string{"split", "unified"}, Small: true, Tools: []string{xz}},
	{Name: "openvz", About: "a template of system containers for OpenVZ, Virtuozzo and Proxmox", Purpose: System, Files: []string{".tar.gz"}, Options: []Option{Compress}, Compress: []string{"gzip", "xz", "zstd"}, Small: true, Tools: []string{xz}},
	{Name: "nspawn", About: "a system container for systemd-nspawn and machinectl", Purpose: System, Files: []string{".nspawn.tar"}, Suffixed: true, Options: []Option{Compress}, Compress: []string{"xz", "gzip", "zstd"}, Small: true, Tools: []string{xz}},
	{Name: "squashfs", About: "a read-only compressed file system", Purpose: Container, Files: []string{".squashfs"}, Options: []Option{Compress}, Compress: []string{"zstd", "gzip"}, Small: true},
	{Name: "ext4", About: "a file system", Purpose: Container, Files: []string{".ext4"}, Options: []Option{Free}, Most: 16 << 40},
	{Name: "xfs", About: "a file system", Purpose: Container, Files: []string{".xfs"}, Options: []Option{Free}},
	{Name: "btrfs", About: "a file system", Purpose: Container, Files: []string{".btrfs"}, Options: []Option{Free}},
	{Name: "erofs", About: "a read-only file system, not compressed", Purpose: Container, Files: []string{".erofs"}},
	{Name: "cpio", About: "an archive of the root file system, as kernels and packages have it", Purpose: Container, Files: []string{".cpio"}, Suffixed: true, Options: []Option{Compress}, Compress: []string{"none", "gzip", "xz", "zstd"}, Tools: []string{xz}},
	{Name: "initramfs", About: "the root file system for a kernel to unpack into memory and start /init of", Purpose: Container, Files: []string{".initramfs"}, Options: []Option{Compress}, Compress: []string{"zstd", "gzip", "xz", "none"}, Small: true, Tools: []string{xz}},
	{Name: "oci", About: "an image of an application container, for podman, skopeo and all that reads OCI's", Purpose: Container, Files: []string{".oci.tar"}, Options: append([]Option{Compress}, run...), Compress: []string{"gzip", "zstd"}, Small: true},
	{Name: "oci-layout", About: "the same as a directory", Purpose: Container, Files: []string{".oci"}, Dir: true, Options: append([]Option{Compress}, run...), Compress: []string{"gzip", "zstd"}, Small: true},
	{Name: "docker", About: "the same as an archive for docker load", Purpose: Container, Files: []string{".docker.tar"}, Options: run},
	{Name: "iso", About: "a live system that boots from a CD or a USB stick", Purpose: Live, Files: []string{".iso"}, Options: []Option{Compress}, Compress: []string{"zstd", "gzip"}, Small: true},
	{Name: "netboot", About: "a live system that starts over the network: root file system, kernel, initramfs, and a script for iPXE", Purpose: Live, Files: []string{".netboot.squashfs", ".netboot.vmlinuz", ".netboot.initrd", ".netboot.ipxe"}, Options: []Option{Compress}, Compress: []string{"zstd", "gzip"}, Small: true, Packed: true},
	{Name: "base", About: "what hosts of bases and layers are updated to: a machine's root file system, as an archive", Purpose: Machine, Files: []string{".base.tar.zst"}, Small: true, Tree: true},
	{Name: "raw", About: "a disk image that boots, as it is on a disk", Purpose: Machine, Files: []string{".raw"}, Options: []Option{Free}},
	{Name: "qcow2", About: "a disk image that boots, for QEMU and all that builds on it", Purpose: Machine, Files: []string{".qcow2"}, Options: []Option{Free, Compress}, Compress: []string{"none", "zlib", "zstd"}},
	{Name: "vmdk", About: "a disk image that boots, for VMware's products", Purpose: Machine, Files: []string{".vmdk"}, Options: []Option{Free, Type, Adapter}, Types: []string{"sparse", "stream-optimized"}, Most: 2 << 40},
	{Name: "vhd", About: "a disk image that boots, for Hyper-V's first generation, Xen and Azure", Purpose: Machine, Files: []string{".vhd"}, Options: []Option{Free, Type}, Types: []string{"dynamic", "fixed", "azure"}, Most: 2040 << 30},
	{Name: "vhdx", About: "a disk image that boots, for Hyper-V", Purpose: Machine, Files: []string{".vhdx"}, Options: []Option{Free}, Most: 64 << 40},
	{Name: "vdi", About: "a disk image that boots, for VirtualBox", Purpose: Machine, Files: []string{".vdi"}, Options: []Option{Free}, Most: 64 << 40},
	{Name: "ova", About: "an appliance for VMware's products and what else imports OVF: the disk and what machine it is for", Purpose: Machine, Files: []string{".ova"}, Options: []Option{Free, CPUs, Memory, Adapter, Card, Hardware, GuestOS}, Small: true, Packed: true, Arch: pc, Most: 2 << 40},
	{Name: "vagrant", About: "a box for Vagrant", Purpose: Machine, Files: []string{".box"}, Options: []Option{Free, Type, CPUs, Memory}, Types: []string{"libvirt", "virtualbox"}, Small: true, Packed: true, Arch: pc, Most: 2 << 40},
	{Name: "xva", About: "an appliance for XenServer and XCP-ng", Purpose: Machine, Files: []string{".xva"}, Options: []Option{Free, CPUs, Memory}, Packed: true, Arch: pc, Most: 64 << 40},
	{Name: "xen", About: "a disk with kernel, initramfs and xl's configuration beside it, for guests of Xen", Purpose: Machine, Files: []string{".xen.raw", ".xen.vmlinuz", ".xen.initrd", ".xen.cfg"}, Options: []Option{Free, CPUs, Memory}, Arch: []string{"amd64"}},
	{Name: "gce", About: "a disk to import into Google Compute Engine", Purpose: Machine, Files: []string{".gce.tar.gz"}, Options: []Option{Free}, Small: true, Packed: true},
	{Name: "incus-vm", About: "a virtual machine for Incus and LXD: the disk, a qcow2, and metadata", Purpose: Machine, Files: []string{".incus-vm.qcow2", ".incus-vm.tar.xz"}, Options: []Option{Free, Compress, Expiry}, Compress: []string{"zlib", "zstd", "none"}, Tools: []string{xz}},
	{Name: "openstack", About: "a disk image for OpenStack, a qcow2, and its properties for Glance", Purpose: Machine, Files: []string{".openstack.qcow2", ".openstack.json"}, Options: []Option{Free, Compress, Memory}, Compress: []string{"none", "zlib", "zstd"}},
}
