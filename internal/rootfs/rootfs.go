// Package rootfs unpacks the archive of a root file system into a directory, with owners,
// modes, times, links, devices and attributes, as "tar --numeric-owner -xp" does.
//
// All is done below one root handle: no name, and no link that the archive itself has laid,
// leads out of it. Who may not make devices, in a user namespace, gets none: they are what
// the container is given anyway.
package rootfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of an archive.
const (
	maxEntries = 10_000_000
	maxXattr   = 64 << 10
)

// Options say how an archive is unpacked.
type Options struct {
	Devices bool // device nodes are made
	Owners  bool // owners are set; only root can
}

// Unpack unpacks an archive.
func Unpack(root *os.Root, archive io.Reader, o Options) error {
	t := tar.NewReader(archive)
	u := unpacker{root: root, options: o}
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("unreadable archive: %w", err)
		}
		if n == maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		if err := u.entry(h, t); err != nil {
			return fmt.Errorf("/%s: %w", strings.TrimPrefix(path.Clean("/"+h.Name), "/"), err)
		}
	}
	// Directories got younger while they were filled.
	for i := len(u.dirs) - 1; i >= 0; i-- {
		h := u.dirs[i]
		if err := u.times(u.name(h.Name), h); err != nil {
			return err
		}
	}
	return nil
}

type unpacker struct {
	root    *os.Root
	options Options
	dirs    []*tar.Header
}

// name is an entry's, below the root.
func (u *unpacker) name(n string) string {
	n = strings.TrimPrefix(path.Clean("/"+n), "/")
	if n == "" {
		return "."
	}
	return n
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	name := u.name(h.Name)
	if strings.ContainsRune(h.Name, 0) {
		return errors.New("a name with a zero byte")
	}
	if name == "." && h.Typeflag != tar.TypeDir {
		return errors.New("is not a directory")
	}
	if h.Typeflag != tar.TypeDir {
		// What is there is replaced, never written through.
		if err := u.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if up := path.Dir(name); up != "." {
		if err := u.root.MkdirAll(up, 0o755); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if info, err := u.root.Lstat(name); err == nil && !info.IsDir() {
			if err := u.root.Remove(name); err != nil {
				return err
			}
		}
		if err := u.root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		u.dirs = append(u.dirs, h)
	case tar.TypeReg, tar.TypeGNUSparse: // of the latter the reader gives all bytes, holes too
		if err := u.file(name, h, content); err != nil {
			return err
		}
	case tar.TypeLink:
		return u.root.Link(u.name(h.Linkname), name)
	case tar.TypeSymlink:
		if err := u.root.Symlink(h.Linkname, name); err != nil {
			return err
		}
		if u.options.Owners {
			if err := u.root.Lchown(name, h.Uid, h.Gid); err != nil {
				return err
			}
		}
		return u.times(name, h)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		if h.Typeflag != tar.TypeFifo && !u.options.Devices {
			return nil
		}
		if err := u.node(name, h); err != nil {
			return err
		}
	default:
		return nil // of no root file system: comments
	}
	return u.attributes(name, h)
}

func (u *unpacker) file(name string, h *tar.Header, content io.Reader) error {
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil && h.Size == 0 {
		err = f.Truncate(0)
	}
	return errors.Join(err, f.Close())
}

// node makes a device or a pipe.
func (u *unpacker) node(name string, h *tar.Header) error {
	dir, err := u.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
	return unix.Mknodat(int(dir.Fd()), path.Base(name), kind|0o600, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))))
}

// attributes sets owner, mode, attributes and time, in the order in which one does not undo
// another.
func (u *unpacker) attributes(name string, h *tar.Header) error {
	if u.options.Owners {
		if err := u.root.Lchown(name, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	mode := fs.FileMode(h.Mode & 0o777)
	for bit, m := range map[int64]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if h.Mode&bit != 0 {
			mode |= m
		}
	}
	if err := u.root.Chmod(name, mode); err != nil {
		return err
	}
	for key, value := range h.PAXRecords {
		attr, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		if !ok || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse && h.Typeflag != tar.TypeDir {
			continue
		}
		if len(value) > maxXattr {
			return fmt.Errorf("attribute %.100q is longer than %d bytes", attr, maxXattr)
		}
		if err := u.xattr(name, attr, value); err != nil {
			return fmt.Errorf("attribute %.100q: %w", attr, err)
		}
	}
	if h.Typeflag == tar.TypeDir {
		return nil
	}
	return u.times(name, h)
}

// times sets the time of a change, of a link itself and not of where it leads.
func (u *unpacker) times(name string, h *tar.Header) error {
	dir, err := u.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	at := unix.NsecToTimespec(h.ModTime.UnixNano())
	return unix.UtimesNanoAt(int(dir.Fd()), path.Base(name), []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}

// xattr sets an attribute. Those that this file system or this user cannot have are left
// out, as tar does.
func (u *unpacker) xattr(name, attr, value string) error {
	f, err := u.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	err = unix.Fsetxattr(int(f.Fd()), attr, []byte(value), 0)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}
