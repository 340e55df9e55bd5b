package artifact

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

// mountsAt are the mount points at a path and below it, as this process sees them:
// also binds of the same file system, which no device number tells.
func mountsAt(path string) ([]string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot see what is mounted: %w", err)
	}
	return mountsIn(string(text), filepath.Join(parent, filepath.Base(path))), nil
}

// mountsIn finds them in a mountinfo (proc_pid_mountinfo(5)): the fifth field of a line.
func mountsIn(text, path string) []string {
	var out []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		if at := unescapeMount(f[4]); at == path || strings.HasPrefix(at, path+"/") {
			out = append(out, at)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unescapeMount reads what the kernel writes of blanks, line ends and backslashes: three
// octal digits.
func unescapeMount(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, `\`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if len(after) >= 3 {
			if c, err := strconv.ParseUint(after[:3], 8, 8); err == nil {
				b.WriteByte(byte(c))
				s = after[3:]
				continue
			}
		}
		b.WriteByte('\\')
		s = after
	}
}

// refuseMounts refuses to replace what something is mounted on or below.
func refuseMounts(path string) error {
	mounts, err := mountsAt(path)
	if err != nil || len(mounts) == 0 {
		return err
	}
	return fault.Newf(fault.Preflight, "cannot replace %s: something is mounted at %s", path, mounts[0]).
		WithHint("umount %s, or write elsewhere with --to", strings.Join(mounts, " "))
}

// removeTree removes a directory, whose own permissions may forbid it, or a file; never
// what is mounted below: that stays, with the directories that lead to it, and is an
// error.
func removeTree(path string) error {
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot remove %s: %w", path, err)
	}
	defer func() { _ = unix.Close(dir) }()
	return removeAt(dir, filepath.Base(path), path)
}

// removeAt removes a name in an open directory, and goes on as far as it can.
func removeAt(dir int, name, path string) error {
	err := unix.Unlinkat(dir, name, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) { // the second is POSIX's
		err = emptyAt(dir, name, path, err)
		if err == nil {
			err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
		}
	}
	if _, ok := errors.AsType[*fault.Error](err); ok || err == nil || errors.Is(err, unix.ENOENT) {
		return ignoreGone(err)
	}
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EXDEV) {
		return fault.Newf(fault.Preflight, "cannot remove %s: something is mounted there", path).WithHint("umount %s, then remove %s", path, path)
	}
	return fmt.Errorf("cannot remove %s: %w", path, err)
}

func ignoreGone(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// emptyAt removes all that is in a directory; why is what to say of what is none.
func emptyAt(dir int, name, path string, why error) error {
	fd, err := openOwn(dir, name)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return why
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), path)
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o700 != 0o700 {
		_ = f.Chmod(0o700) // what it does not help against, the next call says
	}
	names, err := f.Readdirnames(-1)
	for _, n := range names {
		if failed := removeAt(fd, n, path+"/"+n); err == nil {
			err = failed
		}
	}
	return err
}

// openOwn opens a directory to read it, unless something is mounted there: then it is
// EXDEV, of whatever device that is (openat2(2)).
func openOwn(dir int, name string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(dir, name, &how)
	if !errors.Is(err, unix.EACCES) {
		return fd, err
	}
	how.Flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	closed, err := unix.Openat2(dir, name, &how)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(closed) }()
	if err := os.Chmod(fmt.Sprintf("/proc/self/fd/%d", closed), 0o700); err != nil {
		return -1, err
	}
	return unix.Openat(closed, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}
