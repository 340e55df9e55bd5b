package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// mountRoot leaves the host's file systems for a private tmpfs and mounts in it
// what programs need to see around the tree.
func mountRoot(s setup, offline starter) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make mounts private: %w", err)
	}
	top, err := mountTop(s)
	if err != nil {
		return err
	}
	for _, d := range []string{treeDir, rootDir, asideDir, stationDir, "/proc", "/dev", "/host"} {
		if err := os.Mkdir(top+d, 0o755); err != nil && !os.IsExist(err) {
			return fmt.Errorf("cannot make the sandbox's directories: %w", err)
		}
	}
	if s.Dir != "" {
		if err := bind(s.Dir, top+treeDir, true); err != nil {
			return err
		}
	}
	if err := mountProc(top + "/proc"); err != nil {
		return err
	}
	for _, b := range s.Binds {
		if err := prepareBind(b, top+"/binds"); err != nil {
			return err
		}
	}
	if s.Station != nil {
		if err := s.Station.build(top+stationDir, offline); err != nil {
			return err
		}
	}
	if s.Foreign != nil {
		if err := s.Foreign.show(top); err != nil {
			return err
		}
	}
	if err := devDir(top + "/dev"); err != nil {
		return err
	}
	if err := unix.PivotRoot(top, top+"/host"); err != nil {
		return fmt.Errorf("cannot change the root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/host", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("cannot leave the host's file systems: %w", err)
	}
	return protectProc()
}

// mountProc mounts a new proc, which the kernel permits only while the host's is
// in sight whole (mount_too_revealing() of fs/namespace.c). In a container that hides
// parts of it, the container's is shown: programs find themselves there too, since
// their process ids are known in every namespace above.
func mountProc(at string) error {
	err := unix.Mount("proc", at, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if errors.Is(err, unix.EPERM) {
		if unix.Mount("/proc", at, "", unix.MS_BIND|unix.MS_REC, "") == nil {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("cannot mount proc: %w", err)
	}
	return nil
}

// holdHost opens the host's paths that will be shown inside and names them by
// their descriptors, which reach them whatever is mounted above (a work directory may well
// lie below /tmp, where the box has its own). They are released
// before any program runs: through one of a directory it could reach all of the
// host's.
func holdHost(s *setup) (release func(), err error) {
	var held []int
	release = func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	}
	hold := func(path *string) error {
		fd, err := unix.Open(*path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("cannot show %s inside: %w", *path, err)
		}
		held = append(held, fd)
		*path = fmt.Sprintf("/proc/self/fd/%d", fd)
		return nil
	}
	if s.Dir != "" {
		err = hold(&s.Dir)
	}
	for i := range s.Binds {
		err = errors.Join(err, hold(&s.Binds[i].Host))
	}
	if s.Station != nil {
		err = errors.Join(err, hold(&s.Station.Programs))
		for i := range s.Station.Binds {
			err = errors.Join(err, hold(&s.Station.Binds[i].Host))
		}
	}
	if s.Foreign != nil {
		for _, path := range []*string{&s.Foreign.Emulator, &s.Foreign.Native} {
			if *path != "" {
				err = errors.Join(err, hold(path))
			}
		}
	}
	if err != nil {
		release()
	}
	return release, err
}

// mountTop mounts the tmpfs on a directory that every system has; only this
// namespace sees it.
func mountTop(s setup) (string, error) {
	options := "mode=0755,nr_inodes=0"
	if s.Size > 0 {
		options += ",size=" + strconv.FormatInt(s.Size, 10)
	} else {
		options += ",size=90%"
	}
	var first error
	for _, dir := range []string{"/tmp", "/run", "/mnt", "/var", "/usr"} {
		err := unix.Mount("ingot", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options)
		if err == nil {
			// Programs in the tree need their set-uid bits and capabilities.
			return dir, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_NODEV, options)
		}
		if first == nil {
			first = fmt.Errorf("cannot mount a tmpfs on %s: %w", dir, err)
		}
	}
	return "", first
}

func bind(from, to string, write bool) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot show %s inside: %w", from, err)
	}
	if write {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(to, &st); err != nil {
		return err
	}
	// Flags that the host has set are locked here and must be repeated.
	flags := uintptr(st.Flags) & (unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC)
	if st.Flags&unix.ST_NOATIME != 0 {
		flags |= unix.MS_NOATIME
	}
	if st.Flags&unix.ST_NODIRATIME != 0 {
		flags |= unix.MS_NODIRATIME
	}
	if st.Flags&unix.ST_RELATIME != 0 {
		flags |= unix.MS_RELATIME
	}
	if err := unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|flags, ""); err != nil {
		return fmt.Errorf("cannot make %s read-only inside: %w", from, err)
	}
	return nil
}

// prepareBind mounts a host path below a directory that is a root or will be shown in
// one: the tree's directories do not exist yet.
func prepareBind(b Bind, dir string) error {
	info, err := os.Stat(b.Host)
	if err != nil {
		return fmt.Errorf("cannot show a host path inside: %w", err)
	}
	to := filepath.Join(dir, b.Inside)
	if info.IsDir() {
		err = os.MkdirAll(to, 0o755)
	} else {
		if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
			err = os.WriteFile(to, nil, 0o644)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot make a place for %s: %w", b.Host, err)
	}
	return bind(b.Host, to, b.Write)
}

// deviceNodes are the host's nodes that every Unix program may expect.
var deviceNodes = []string{"null", "zero", "full", "random", "urandom", "tty"}

func devDir(dev string) error {
	for _, name := range deviceNodes {
		if err := os.WriteFile(dev+"/"+name, nil, 0o666); err != nil {
			return fmt.Errorf("cannot make a place for /dev/%s: %w", name, err)
		}
		if err := bind("/dev/"+name, dev+"/"+name, true); err != nil {
			return err
		}
	}
	for _, link := range [][2]string{{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"}} {
		if err := os.Symlink(link[1], dev+"/"+link[0]); err != nil {
			return err
		}
	}
	for _, name := range []string{"pts", "shm"} {
		if err := os.Mkdir(dev+"/"+name, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(dev+"/shm", os.ModeSticky|0o777); err != nil {
		return err
	}
	// Group 5 is tty in every distribution; where it cannot be had, without.
	err := unix.Mount("devpts", dev+"/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")
	if err != nil {
		err = unix.Mount("devpts", dev+"/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
	}
	if err != nil {
		return fmt.Errorf("cannot mount devpts: %w", err)
	}
	return nil
}

// protectProc keeps programs away from the kernel's settings, which matters where
// the host gave no ids but its own.
func protectProc() error {
	const flags = unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, path := range []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"} {
		err := unix.Mount(path, path, "", unix.MS_BIND, "")
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			err = unix.Mount("", path, "", flags, "")
		}
		if err != nil {
			return fmt.Errorf("cannot make %s read-only: %w", path, err)
		}
	}
	// These list what keys whoever called has, by their names.
	for _, path := range []string{"/proc/keys", "/proc/key-users"} {
		if err := unix.Mount("/dev/null", path, "", unix.MS_BIND, ""); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("cannot hide %s: %w", path, err)
		}
	}
	return nil
}

// mountView shows the tree at rootDir with /dev, /proc and the binds on it, anew
// for each program, so that what is mounted never hides a part of the tree from a
// capture and never keeps a directory from being removed.
func (in *box) mountView() (unmount func(), err error) {
	unmount = func() { _ = unix.Unmount(rootDir, unix.MNT_DETACH) }
	if err := unix.Mount(treeDir, rootDir, "", unix.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("cannot show the tree: %w", err)
	}
	for _, dir := range []string{"/dev", "/proc"} {
		info, err := os.Lstat(rootDir + dir)
		if err != nil || !info.IsDir() {
			continue // a tree without the directory is the tree's affair
		}
		if err := unix.Mount(dir, rootDir+dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			unmount()
			return nil, fmt.Errorf("cannot show %s: %w", dir, err)
		}
	}
	if err := in.showBinds(); err != nil {
		unmount()
		return nil, err
	}
	return unmount, nil
}

// showBinds mounts /binds/X on the root's X, which must exist in the tree.
func (in *box) showBinds() error {
	return filepath.WalkDir("/binds", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) && path == "/binds" {
				return filepath.SkipDir
			}
			return err
		}
		mounted, err := isMount(path)
		if err != nil || !mounted {
			return err
		}
		target := filepath.Join(rootDir, path[len("/binds"):])
		if err := unix.Mount(path, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("cannot show %s: %w", path[len("/binds"):], err)
		}
		if d.IsDir() {
			return filepath.SkipDir
		}
		return nil
	})
}

// isMount says whether path is the root of a mount (statx(2), Linux 5.8).
func isMount(path string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &st); err != nil {
		return false, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
