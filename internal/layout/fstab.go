package layout

import (
	"fmt"
	"slices"
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/boot"
	"ingot/internal/tree"
)

// Fstab is the text of /etc/fstab: parents before what is mounted below them.
func (r Resolved) Fstab() string {
	var b strings.Builder
	b.WriteString("# file system, mount point, type, options, dump, pass\n")
	for _, f := range r.Config.Fstab {
		fs := f.Mount.FS
		what := "UUID=" + r.UUID(fs)
		if f.By == blockdevice.ByLabel {
			what = "LABEL=" + fs.Label
		}
		options := f.Options
		if r.asked(fs) && !strings.Contains(options, "x-systemd.device-timeout=") {
			options += ",x-systemd.device-timeout=0"
		}
		fmt.Fprintf(&b, "%s %s %s %s %d %d\n", escape(what), escape(f.Mount.Point), fs.Type, options, f.Dump, f.Pass)
	}
	return b.String()
}

// asked says whether a file system comes to be when a person has typed a passphrase to
// systemd, which must not take them for a disk that is not there.
func (r Resolved) asked(fs *blockdevice.Mkfs) bool {
	return slices.ContainsFunc(r.Within(fs.Device), func(c *blockdevice.LUKS) bool { return c.KeyFile == "" && !r.Early(c) })
}

// escape is a field as fstab has it (fstab(5), getmntent(3)).
func escape(s string) string {
	return strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`, "#", `\043`).Replace(s)
}

// Files are what the tree needs to be mounted this way: fstab and mount points.
func (r Resolved) Files() []boot.File {
	out := []boot.File{{Path: "etc/fstab", Kind: tree.File, Mode: 0o644, Data: []byte(r.Fstab())}}
	out = append(out, r.EarlyFiles()...)
	for _, m := range r.Mounts {
		path := strings.Trim(m.Point, "/")
		if path == "" || m.Point == "none" {
			continue
		}
		// With the directories that lead there.
		for i, c := range path {
			if c == '/' {
				out = append(out, boot.File{Path: path[:i], Kind: tree.Dir, Mode: 0o755})
			}
		}
		out = append(out, boot.File{Path: path, Kind: tree.Dir, Mode: 0o755})
	}
	return out
}

// Drivers are what the kernel needs to mount all of it, by their modules' names.
func (r Resolved) Drivers() []string {
	var out []string
	for _, fs := range r.Filesystems {
		switch fs.Type {
		case "swap":
		case "ext2", "ext3": // which Debian's kernels leave to it
			out = append(out, "ext4")
		default:
			out = append(out, fs.Type)
		}
	}
	if len(r.Containers) > 0 {
		out = append(out, "dm-mod", "dm-crypt")
	}
	if r.HeldTo() {
		out = append(out, "dm-mod", "dm-verity")
	}
	for _, g := range r.Groups {
		out = append(out, "dm-mod")
		for _, v := range g.LVs {
			if v.Type == blockdevice.ThinPool {
				out = append(out, "dm-thin-pool")
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Packages lists Debian packages that a machine of this layout needs to start and to
// look after its disk.
func (r Resolved) Packages(release string) []string {
	var out []string
	if len(r.Containers) > 0 {
		out = append(out, "cryptsetup")
		if !slices.Contains([]string{"buster", "bullseye", "bookworm"}, release) {
			out = append(out, "systemd-cryptsetup") // which was in systemd before
		}
		if len(r.Enrolled()) > 0 || slices.ContainsFunc(r.Containers, r.Early) {
			out = append(out, "cryptsetup-initramfs")
		}
	}
	if r.growing() != nil {
		out = append(out, "fdisk") // sfdisk
	}
	if r.HeldTo() {
		out = append(out, "cryptsetup-bin") // veritysetup
	}
	if len(r.Groups) > 0 {
		out = append(out, "lvm2")
	}
	for _, need := range []struct{ fs, programs string }{{"btrfs", "btrfs-progs"}, {"xfs", "xfsprogs"}} {
		if slices.ContainsFunc(r.Filesystems, func(fs *blockdevice.Mkfs) bool { return fs.Type == need.fs }) {
			out = append(out, need.programs)
		}
	}
	for _, g := range r.Groups {
		for _, v := range g.LVs {
			if v.Type == blockdevice.ThinPool {
				return append(out, "thin-provisioning-tools")
			}
		}
	}
	return out
}
