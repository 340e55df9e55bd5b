// Package mkfs is the one table of file systems that layouts can have: which there
// are, how small each can be, and what the options say that are given in the words of
// its mkfs (mkfs.btrfs(8), mkfs.ext4(8), mkfs.xfs(8)).
//
// What an option asks for and cannot be made is an error of the definition: an
// option that is dropped would be found out much later.
package mkfs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/btrfs"
	"ingot/internal/ext4"
	"ingot/internal/fat"
	"ingot/internal/xfs"
)

// Types are the file systems that can be made, and swap.
func Types() []blockdevice.FilesystemType {
	return []blockdevice.FilesystemType{
		{Name: "btrfs", Least: btrfs.MinSize, Most: btrfs.MaxSize, Check: checkBtrfs},
		{Name: "ext2", Least: ext4.MinSize(ext4.Ext2), Most: ext4.MaxSize, Check: checkExt},
		{Name: "ext3", Least: ext4.MinSize(ext4.Ext3), Most: ext4.MaxSize, Check: checkExt},
		{Name: "ext4", Least: ext4.MinSize(ext4.Ext4), Most: ext4.MaxSize, Check: checkExt},
		{Name: "swap", Least: 40 << 10, Most: 1 << 44, Check: none}, // mkswap(8)'s least, and pages are counted in 32 bits
		{Name: "vfat", Least: fat.MinSize, Sectors: fat.MinSectors, Most: fat.MaxSize, Check: func(fs *blockdevice.Mkfs, lines []*blockdevice.Fstab) (string, error) {
			if err := fat.CheckLabel(strings.ToUpper(fs.Label)); err != nil {
				return "label", err
			}
			if in, ok := fs.Device.(*blockdevice.LUKS); ok {
				return "type", fmt.Errorf("a vfat cannot stand in luks %s: take a file system that knows owners", in.Name)
			}
			if m := fs.Mount; m != nil && slices.Contains(owned, m.Point) {
				return "type", fmt.Errorf("a vfat cannot be mounted at %s: it knows neither links nor owners nor modes, which the system's files there have", m.Point)
			}
			return none(fs, lines)
		}},
		{Name: "xfs", Least: xfs.MinSize, Most: xfs.MaxSize, Check: func(fs *blockdevice.Mkfs, lines []*blockdevice.Fstab) (string, error) {
			if _, err := XFS(fs.Options); err != nil {
				return "opts", err
			}
			return mountable(fs, lines)
		}},
	}
}

// owned are the places that have, on every Linux, links, files that are not root's, or
// modes that matter: what a vfat cannot hold (the Filesystem Hierarchy Standard; dpkg's
// records are renamed over what a hard link keeps).
var owned = []string{"/", "/usr", "/usr/share", "/var", "/var/lib", "/var/lib/dpkg", "/var/log", "/var/tmp", "/tmp"}

// Names are the names of all of them.
func Names() []string {
	var out []string
	for _, t := range Types() {
		out = append(out, t.Name)
	}
	return out
}

// none refuses all options.
func none(fs *blockdevice.Mkfs, _ []*blockdevice.Fstab) (key string, err error) {
	if len(fs.Options) > 0 {
		return "opts", fmt.Errorf("option %s of mkfs for %s is not known here", fs.Options[0], fs.Type)
	}
	return "", nil
}

// A given is a flag and its value.
type given struct{ flag, value string }

// flags divides words into flags and their values; alone are those without any.
func flags(words []string, alone ...string) []given {
	var out []given
	for i := 0; i < len(words); i++ {
		f := given{flag: words[i]}
		switch {
		case slices.Contains(alone, f.flag):
		case len(f.flag) > 2 && f.flag[0] == '-' && f.flag[1] != '-':
			f.flag, f.value = f.flag[:2], f.flag[2:]
		case i+1 < len(words):
			i++
			f.value = words[i]
		}
		out = append(out, f)
	}
	return out
}

func checkExt(fs *blockdevice.Mkfs, _ []*blockdevice.Fstab) (key string, err error) {
	_, err = Ext(fs.Type, fs.Options)
	return "opts", err
}

// Ext reads the options of mkfs.ext4, or of that of its elders.
func Ext(name string, words []string) (o ext4.Options, err error) {
	o.Generation = map[string]ext4.Generation{"ext2": ext4.Ext2, "ext3": ext4.Ext3}[name]
	for _, f := range flags(words) {
		bad := fmt.Errorf("option %s %s of mkfs for %s is not known here", f.flag, f.value, name)
		switch f.flag {
		case "-m":
			if o.ReservedPercent, err = strconv.Atoi(f.value); err != nil || o.ReservedPercent < 0 || o.ReservedPercent > 50 {
				return o, bad
			}
		case "-i":
			if o.BytesPerInode, err = strconv.ParseInt(f.value, 10, 64); err != nil || o.BytesPerInode < 1024 || o.BytesPerInode > 64<<20 {
				return o, bad
			}
		case "-b", "-I": // what is made anyway
			if f.value != map[string]string{"-b": "4096", "-I": "256"}[f.flag] {
				return o, bad
			}
		case "-J":
			size, ok := strings.CutPrefix(f.value, "size=")
			n, err := strconv.ParseInt(strings.TrimSuffix(size, "M"), 10, 64)
			if !ok || err != nil || n < 4 || n > 4096 || o.Generation == ext4.Ext2 {
				return o, bad
			}
			o.Journal = n << 20
		default:
			return o, bad
		}
	}
	return o, nil
}

// xfsAnyway are options of mkfs.xfs that say what is made anyway.
var xfsAnyway = []string{
	"-f", "-q", "-K", "-b size=4096", "-b size=4k", "-i size=512", "-i sparse=1", "-i nrext64=0", "-i attr=2", "-s size=512", "-n ftype=1", "-n size=4096",
	"-m crc=1", "-m finobt=1", "-m reflink=1", "-m bigtime=1", "-m inobtcount=1", "-m rmapbt=0", "-l internal", "-l version=2", "-l lazy-count=1",
}

// btrfsAnyway are options of mkfs.btrfs that say what is made anyway.
var btrfsAnyway = []string{"-f", "-q", "-K", "-d single", "-m single", "-n 16384", "-n 16k", "-s 4096", "-s 4k"}

// checkBtrfs refuses all other options.
func checkBtrfs(fs *blockdevice.Mkfs, lines []*blockdevice.Fstab) (key string, err error) {
	for _, f := range flags(fs.Options, "-f", "-q", "-K") {
		if whole := strings.TrimSpace(f.flag + " " + f.value); !slices.Contains(btrfsAnyway, whole) {
			return "opts", fmt.Errorf("option %s of mkfs for btrfs is not known here", whole)
		}
	}
	return mountable(fs, lines)
}

// XFS reads the options of mkfs.xfs: names with values, parted by commas, behind a
// flag for each kind.
func XFS(words []string) (o xfs.Options, err error) {
	for _, f := range flags(words, "-f", "-q", "-K") {
		for one := range strings.SplitSeq(f.value, ",") {
			whole := strings.TrimSpace(f.flag + " " + one)
			bad := fmt.Errorf("option %s of mkfs for xfs is not known here", whole)
			name, value, _ := strings.Cut(whole, "=")
			switch {
			case slices.Contains(xfsAnyway, whole):
			case name == "-d agcount":
				if o.Groups, err = strconv.Atoi(value); err != nil || o.Groups < 2 || o.Groups > 1<<16 {
					return o, bad
				}
			case name == "-l size":
				if o.Log = size(value); o.Log < 64<<20 || o.Log > 2038<<20 {
					return o, fmt.Errorf("option %s of mkfs for xfs is no log's size from 64m to 2038m", whole)
				}
			default:
				return o, bad
			}
		}
	}
	return o, nil
}

// size reads a size of mkfs.xfs in bytes; 0 is none.
func size(s string) int64 {
	shift := 0
	if s != "" {
		if shift = 1 + strings.IndexByte("kmg", s[len(s)-1]); shift > 0 {
			s = s[:len(s)-1]
		}
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return n << (10 * shift)
}

// mountable refuses what only ext4 and its like know as an option of a mount.
func mountable(fs *blockdevice.Mkfs, lines []*blockdevice.Fstab) (key string, err error) {
	for _, line := range lines {
		if line.Mount.FS != fs {
			continue
		}
		for option := range strings.SplitSeq(line.Options, ",") {
			if strings.HasPrefix(option, "errors=") {
				return "", fmt.Errorf("a file system of type %s cannot be mounted with option %s", fs.Type, option)
			}
		}
	}
	return "", nil
}
