package content

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"ingot/internal/boot"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/tree"
)

// A Start is what a layer is started by.
type Start struct {
	Linux, Initrd *os.File
	Arguments     string // of the kernel, without what the root is
	Title         string // os-release(5)'s PRETTY_NAME
}

// Close closes its files.
func (s Start) Close() error { return errors.Join(s.Linux.Close(), s.Initrd.Close()) }

// FindStart finds a layer's newest kernel. Its arguments are those of /etc/kernel/cmdline,
// else of the kernel that runs, without the words that say what the root is.
func FindStart(root *os.Root) (Start, error) {
	list, err := names(root, "boot")
	if err != nil {
		return Start{}, err
	}
	entries := []tree.Entry{{Kind: tree.Dir}, {Path: "boot", Kind: tree.Dir}}
	for _, n := range list {
		entries = append(entries, tree.Entry{Path: "boot/" + n, Kind: tree.File})
	}
	t, err := tree.New(entries)
	if err != nil {
		return Start{}, err
	}
	found := boot.Kernels(t)
	if len(found) == 0 || found[0].Initrd == "" {
		return Start{}, fault.Newf(fault.Preflight, "there is no kernel with an initramfs in /boot").WithHint("update-initramfs -u -k all, in that layer")
	}
	words, err := Arguments(root)
	if err != nil {
		return Start{}, err
	}
	release, err := text(root, "etc/os-release")
	if err != nil || release == "" {
		release, err = text(root, osRelease)
	}
	if err != nil {
		return Start{}, err
	}
	s := Start{Arguments: strings.Join(words, " "), Title: variables(release)["PRETTY_NAME"]}
	if s.Linux, err = input.OpenIn(root, found[0].Image); err != nil {
		return s, fmt.Errorf("kernel: %w", err)
	}
	if s.Initrd, err = input.OpenIn(root, found[0].Initrd); err != nil {
		return s, errors.Join(fmt.Errorf("initramfs: %w", err), s.Linux.Close())
	}
	return s, nil
}

// Size is what a layer's start takes on the boot partition.
func (s Start) Size() (int64, error) {
	var n int64
	for _, f := range []*os.File{s.Linux, s.Initrd} {
		info, err := f.Stat()
		if err != nil {
			return 0, err
		}
		n += info.Size()
	}
	return n, nil
}

// A Change is a path in which two file systems differ.
type Change struct {
	Path string `json:"path"`
	Kind string `json:"kind"` // added, removed, changed
}

// Diff says in which paths below a directory two file systems differ: in kind, mode, owner,
// link, attributes or content. Files with the same inode's times and size are taken for equal,
// as in snapshots of one base they are.
func Diff(a, b *os.Root, dir string) ([]Change, error) {
	out := []Change{}
	dir = strings.TrimPrefix(path.Clean("/"+dir), "/")
	if dir == "" {
		dir = "."
	}
	var walk func(at string) error
	walk = func(at string) error {
		left, err := namesOf(a, at)
		if err != nil {
			return err
		}
		right, err := namesOf(b, at)
		if err != nil {
			return err
		}
		all := append(slices.Clone(left), right...)
		slices.Sort(all)
		for _, n := range slices.Compact(all) {
			p := path.Join(at, n)
			switch _, inA := slices.BinarySearch(left, n); {
			case !inA:
				out = append(out, Change{"/" + p, "added"})
				continue
			default:
				if _, inB := slices.BinarySearch(right, n); !inB {
					out = append(out, Change{"/" + p, "removed"})
					continue
				}
			}
			changed, dirs, err := differ(a, b, p)
			if err != nil {
				return err
			}
			if changed {
				out = append(out, Change{"/" + p, "changed"})
			}
			if dirs {
				if err := walk(p); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return out, walk(dir)
}

// namesOf is names of what need not be a directory.
func namesOf(root *os.Root, at string) ([]string, error) {
	if info, err := root.Lstat(at); err != nil || !info.IsDir() {
		return nil, nil //nolint:nilerr // it is not there
	}
	return names(root, at)
}

// differ compares a path that both have.
func differ(a, b *os.Root, at string) (changed, dirs bool, err error) {
	x, err := stat(a, at)
	if err != nil {
		return false, false, err
	}
	y, err := stat(b, at)
	if err != nil {
		return false, false, err
	}
	dirs = x.Kind == tree.Dir && y.Kind == tree.Dir
	if x.Kind != y.Kind || x.Mode != y.Mode || x.UID != y.UID || x.GID != y.GID || x.Major != y.Major || x.Minor != y.Minor || x.Content.Size != y.Content.Size {
		return true, dirs, nil
	}
	if x.Kind == tree.Dir || x.Kind == tree.File && x.Mtime == y.Mtime || x.Kind == 0 {
		return false, dirs, nil
	}
	e, _, err := readEntry(a, at)
	if err != nil {
		return false, false, err
	}
	o, _, err := readEntry(b, at)
	return e.Link != o.Link || e.Content.Digest != o.Content.Digest || !slices.Equal(e.Xattrs, o.Xattrs), dirs, err
}
