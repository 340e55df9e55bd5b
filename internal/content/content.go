// Package content is what lies on bases and layers: files of an image, what a layer carries
// over from another, what a layer is started by. It knows file systems as directories that
// are open; which volume they are on, and how that is mounted, is its callers'.
//
// What persists from layer to layer:
//
//   - /etc, merged three ways (internal/etc) between what the running layer's base came with,
//     what the new base comes with, and what the host has made of it;
//   - users and groups, reconciled: numbers are the host's, the image's files follow;
//   - /etc/fstab and /etc/crypttab as the host has them, since they tell of this machine's
//     disks; of fstab the line of the root names the new layer's volume;
//   - paths that /etc/ingot/carry lists, one a line, copied;
//   - what lies on volumes of its own, since fstab mounts it in every layer.
//
// Nothing else does. A host whose /var is neither a volume of its own nor carried over is
// refused.
package content

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/input"
	"ingot/internal/tree"
)

// maxTree bounds a directory that is read as a tree, in entries.
const maxTree = 1_000_000

// A side is a directory as a tree, and where its files' bytes are.
type side struct {
	root *os.Root
	dir  string // below the root
}

// readTree reads a directory as a tree. Sockets are left out: no file system keeps them for
// long.
func readTree(root *os.Root, dir string) (tree.Tree, error) {
	var entries []tree.Entry
	var walk func(rel string) error
	walk = func(rel string) error {
		at := path.Join(dir, rel)
		e, ok, err := readEntry(root, at)
		if err != nil || !ok {
			return err
		}
		if e.Path = rel; len(entries) == maxTree {
			return fmt.Errorf("/%s has more than %d entries", dir, maxTree)
		}
		entries = append(entries, e)
		if e.Kind != tree.Dir {
			return nil
		}
		names, err := names(root, at)
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := walk(path.Join(rel, n)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(""); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return tree.Tree{}, err
	}
	return tree.New(entries)
}

// names lists a directory in order.
func names(root *os.Root, dir string) ([]string, error) {
	f, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// entryOf is an entry by its inode, without links, attributes and what it holds. The kind of a
// socket is 0.
func entryOf(info fs.FileInfo) (e tree.Entry, err error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return e, fmt.Errorf("%s: no owner is known", info.Name())
	}
	e = tree.Entry{Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, Mtime: tree.At(st.Mtim.Sec, int32(st.Mtim.Nsec))}
	e.Kind = map[uint32]tree.Kind{
		syscall.S_IFDIR: tree.Dir, syscall.S_IFREG: tree.File, syscall.S_IFLNK: tree.Symlink,
		syscall.S_IFIFO: tree.Fifo, syscall.S_IFCHR: tree.Char, syscall.S_IFBLK: tree.Block,
	}[st.Mode&syscall.S_IFMT]
	switch e.Kind {
	case tree.Char, tree.Block:
		e.Major, e.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	case tree.Symlink:
		e.Mode = 0o777
	case tree.File:
		e.Content.Size = st.Size
	default:
	}
	return e, nil
}

// readEntry reads one path.
func readEntry(root *os.Root, at string) (e tree.Entry, ok bool, err error) {
	info, err := root.Lstat(at)
	if err != nil {
		return e, false, err
	}
	if e, err = entryOf(info); err != nil || e.Kind == 0 {
		return e, false, err
	}
	switch e.Kind {
	case tree.Symlink:
		e.Link, err = root.Readlink(at)
		return e, true, err
	case tree.Dir, tree.File:
	default:
		return e, true, nil
	}
	f, err := root.OpenFile(at, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return e, false, err
	}
	defer f.Close()
	if e.Xattrs, err = readXattrs(f); err != nil {
		return e, false, fmt.Errorf("attributes of /%s: %w", at, err)
	}
	if e.Kind == tree.File {
		e.Content.Digest, e.Content.Size, err = digest.Reader(f)
	}
	return e, true, err
}

// maxXattr bounds an attribute, and the list of their names (xattr(7)).
const maxXattr = 64 << 10

func readXattrs(f *os.File) ([]tree.Xattr, error) {
	fd := int(f.Fd())
	buf := make([]byte, maxXattr)
	n, err := unix.Flistxattr(fd, buf)
	if errors.Is(err, unix.EOPNOTSUPP) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(list)
	var out []tree.Xattr
	for _, name := range list {
		n, err := unix.Fgetxattr(fd, name, buf)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, tree.Xattr{Name: name, Value: string(buf[:n])})
	}
	return out, nil
}

// write makes an entry below a root, in place of what is there. The bytes of a file come from
// a reader; others have none.
func write(root *os.Root, at string, e tree.Entry, from io.Reader) error {
	info, err := root.Lstat(at)
	switch {
	case err == nil && info.IsDir() && e.Kind == tree.Dir:
	case err == nil:
		if err := root.RemoveAll(at); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	switch e.Kind {
	case tree.Dir:
		if err := root.Mkdir(at, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case tree.Symlink:
		if err := root.Symlink(e.Link, at); err != nil {
			return err
		}
	case tree.File:
		f, err := root.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, from)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	case tree.Char, tree.Block, tree.Fifo:
		kind := map[tree.Kind]uint32{tree.Char: unix.S_IFCHR, tree.Block: unix.S_IFBLK, tree.Fifo: unix.S_IFIFO}[e.Kind]
		if err := inDir(root, at, func(fd int, name string) error {
			return unix.Mknodat(fd, name, kind|0o600, int(unix.Mkdev(e.Major, e.Minor)))
		}); err != nil {
			return err
		}
	default:
		return fmt.Errorf("/%s: a %s cannot be made", at, e.Kind)
	}
	return attributes(root, at, e)
}

// inDir does what the kernel does by directory and name.
func inDir(root *os.Root, at string, do func(fd int, name string) error) error {
	dir, err := root.Open(path.Dir(at))
	if err != nil {
		return err
	}
	defer dir.Close()
	return do(int(dir.Fd()), path.Base(at))
}

// attributes sets owner, mode, attributes and time, in the order in which one does not undo
// another (chown(2) takes setuid bits and capabilities away).
func attributes(root *os.Root, at string, e tree.Entry) error {
	if err := root.Lchown(at, int(e.UID), int(e.GID)); err != nil {
		return err
	}
	stamp := func() error {
		t := unix.NsecToTimespec(e.Mtime.Sec*1e9 + int64(e.Mtime.Nsec))
		return inDir(root, at, func(fd int, name string) error {
			return unix.UtimesNanoAt(fd, name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
		})
	}
	if e.Kind == tree.Symlink {
		return stamp()
	}
	mode := fs.FileMode(e.Mode & 0o777)
	for bit, m := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if e.Mode&bit != 0 {
			mode |= m
		}
	}
	if err := root.Chmod(at, mode); err != nil {
		return err
	}
	if e.Kind == tree.File || e.Kind == tree.Dir {
		if err := setXattrs(root, at, e.Xattrs); err != nil {
			return fmt.Errorf("attributes of /%s: %w", at, err)
		}
	}
	return stamp()
}

func setXattrs(root *os.Root, at string, want []tree.Xattr) error {
	f, err := root.OpenFile(at, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	there, err := readXattrs(f)
	if err != nil {
		return err
	}
	for _, x := range there {
		if !slices.ContainsFunc(want, func(w tree.Xattr) bool { return w.Name == x.Name }) && x.Name != "security.selinux" {
			if err := unix.Fremovexattr(int(f.Fd()), x.Name); err != nil {
				return fmt.Errorf("%s: %w", x.Name, err)
			}
		}
	}
	for _, x := range want {
		if !slices.Contains(there, x) {
			if err := unix.Fsetxattr(int(f.Fd()), x.Name, []byte(x.Value), 0); err != nil {
				return fmt.Errorf("%s: %w", x.Name, err)
			}
		}
	}
	return nil
}

// copyTree copies a path with all below it to the same place below another root.
func copyTree(from, to *os.Root, at string) error {
	t, err := readTree(from, at)
	if err != nil {
		return err
	}
	if up := path.Dir(at); up != "." && t.Len() > 0 {
		if err := to.MkdirAll(up, 0o755); err != nil {
			return err
		}
	}
	var dirs []tree.Entry
	for e := range t.All() {
		if e.Kind == tree.Dir {
			dirs = append(dirs, e)
		}
		if err := writeFrom(to, path.Join(at, e.Path), e, side{from, at}, e.Path); err != nil {
			return err
		}
	}
	for _, e := range slices.Backward(dirs) { // they got younger while they were filled
		if err := attributes(to, path.Join(at, e.Path), e); err != nil {
			return err
		}
	}
	return nil
}

// writeFrom is write with a file's bytes from a side, which must be those that were read
// before.
func writeFrom(to *os.Root, at string, e tree.Entry, s side, rel string) error {
	if e.Kind != tree.File {
		return write(to, at, e, nil)
	}
	f, err := input.OpenIn(s.root, path.Join(s.dir, rel))
	if err != nil {
		return err
	}
	defer f.Close()
	h := newHash(f)
	if err := write(to, at, e, h); err != nil {
		return err
	}
	if h.sum() != e.Content.Digest {
		return fmt.Errorf("/%s changed while it was carried over; try again", path.Join(s.dir, rel))
	}
	return nil
}
