package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Station is a second root of a box: a small system of its own, with programs that
// the image need not have, from where scripts see the image as a directory. What they
// mount there, they mount for themselves: it is never captured, and ends with the box.
//
// Its /usr is the programs' and read-only, but for /usr/local, which is empty; /etc is a
// copy; everything else is empty and can be written.
type Station struct {
	// Programs is a tools tree on the host.
	Programs string
	// Tree is where the station shows the image, and Aside where it shows what lies beside
	// it, by its name below [Aside].
	Tree  string
	Aside map[string]string
	// Files are more of the station's own, by absolute path; executable all.
	Files map[string][]byte
	// Lent are files of whoever builds, as they are to be found there.
	Lent []NewFile
	// Binds are host files and directories to show, read-only unless said.
	Binds []Bind
}

// stationDirs are directories of every system that packages do not ship.
var stationDirs = []string{"root", "tmp", "var/tmp", "var/cache", "var/lib", "var/log", "run/lock", "home", "mnt", "media", "srv", "opt", "proc", "dev", "sys", "usr"}

// stationEtc is what programs want to know of every system. Nobody else is known there.
var stationEtc = map[string]string{
	"passwd":        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
	"group":         "root:x:0:\ntty:x:5:\ndisk:x:6:\nnogroup:x:65534:\n",
	"hosts":         "127.0.0.1\tlocalhost\n",
	"hostname":      "localhost\n",
	"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
	"resolv.conf":   "nameserver 127.0.0.1\n",
}

// build makes the station's root in a new directory, while the host is in sight.
func (s *Station) build(root string, offline starter) error {
	for _, dir := range append([]string{"etc"}, stationDirs...) {
		if err := os.MkdirAll(root+"/"+dir, 0o755); err != nil {
			return fmt.Errorf("cannot make the station's directories: %w", err)
		}
	}
	for _, dir := range []string{"/tmp", "/var/tmp"} {
		if err := unix.Chmod(root+dir, 0o1777); err != nil {
			return fmt.Errorf("cannot open the station's %s: %w", dir, err)
		}
	}
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		if _, err := os.Stat(s.Programs + "/usr/" + dir); err == nil {
			if err := os.Symlink("usr/"+dir, root+"/"+dir); err != nil {
				return err
			}
		}
	}
	if err := bind(s.Programs+"/usr", root+"/usr", false); err != nil {
		return err
	}
	// What is installed by hand is the station's own, where the programs have a place for it.
	if _, err := os.Stat(root + "/usr/local"); err == nil {
		if err := unix.Mount("ingot", root+"/usr/local", "tmpfs", unix.MS_NODEV, "mode=0755"); err != nil {
			return fmt.Errorf("cannot mount the station's /usr/local: %w", err)
		}
	}
	// Copied, since programs write there; it is small.
	if err := copyEtc(root+"/etc", s.Programs+"/etc"); err != nil {
		return fmt.Errorf("cannot copy the station's /etc: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(stationEtc)) { // in order, as all that is made: see put
		if err := os.WriteFile(root+"/etc/"+name, []byte(stationEtc[name]), 0o644); err != nil {
			return fmt.Errorf("cannot write the station's /etc/%s: %w", name, err)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(s.Files)) {
		err := os.MkdirAll(root+filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(root+path, s.Files[path], 0o755)
		}
		if err != nil {
			return fmt.Errorf("cannot write the station's %s: %w", path, err)
		}
	}
	for _, f := range s.Lent {
		if err := lend(root, f); err != nil {
			return fmt.Errorf("cannot write the station's %s: %w", f.Path, err)
		}
	}
	for _, b := range s.Binds {
		if err := prepareBind(b, root); err != nil {
			return err
		}
	}
	// The kernel gives more of them only while there is one in sight, and gives the first
	// to who owns the network that it shows (mount_too_revealing() of fs/namespace.c). A
	// system that hides its own from containers gives none: scripts see an empty directory.
	_ = offline.do(func() error {
		return unix.Mount("sysfs", root+"/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	})
	return nil
}

// lend writes one of the files of whoever builds.
func lend(root string, f NewFile) error {
	at := root + f.Path
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(at, f.Data, 0o600); err != nil {
		return err
	}
	if err := unix.Chmod(at, f.Mode); err != nil {
		return err
	}
	when := time.Unix(f.Mtime, 0)
	return os.Chtimes(at, when, when)
}

// copyEtc copies directories, files and links; what only root of the host may read, such
// as places for private keys, is left out.
func copyEtc(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || path == from {
			return err
		}
		at := to + strings.TrimPrefix(path, from)
		switch {
		case d.IsDir():
			return os.Mkdir(at, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, at)
		case d.Type().IsRegular():
			data, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrPermission) {
				return nil
			}
			if err != nil {
				return err
			}
			return os.WriteFile(at, data, 0o644)
		}
		return nil
	})
}

// open shows at the station what is in sight of the box alone.
func (s *Station) open() error {
	shows := map[string]string{"/proc": "/proc", "/dev": "/dev"}
	for _, name := range slices.Sorted(maps.Keys(s.Aside)) {
		if err := os.MkdirAll(asideDir+"/"+name, 0o755); err != nil {
			return err
		}
		shows[asideDir+"/"+name] = s.Aside[name]
	}
	show := func(from, at string) error {
		err := os.MkdirAll(stationDir+at, 0o755)
		if err == nil {
			err = unix.Mount(from, stationDir+at, "", unix.MS_BIND|unix.MS_REC, "")
		}
		if err != nil {
			return fmt.Errorf("cannot show %s at the station: %w", at, err)
		}
		return nil
	}
	for _, from := range slices.Sorted(maps.Keys(shows)) {
		if err := show(from, shows[from]); err != nil {
			return err
		}
	}
	return show(treeDir, s.Tree) // last: it lies in one of those
}

// busy says whether a program of the station runs.
func (in *box) busy() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.attended
}

// runAtStation starts a program with the station as its root; the request is answered
// when it has ended, and with it all that it left.
func (in *box) runAtStation(r request, files []*os.File) error {
	if in.station == nil {
		return errors.New("the box has no station")
	}
	if len(r.Run.Argv) == 0 || len(files) != 3+r.Run.Extra {
		return errors.New("a program and its files are needed")
	}
	if in.busy() {
		return errors.New("a program of the station runs already")
	}
	if err := in.remember(); err != nil {
		return err
	}
	cmd := &exec.Cmd{
		Path: r.Run.Argv[0], Args: r.Run.Argv, Env: r.Run.Env, Dir: r.Run.Dir,
		Stdin: files[0], Stdout: files[1], Stderr: files[2], ExtraFiles: files[3:],
		SysProcAttr: &syscall.SysProcAttr{Chroot: stationDir, Setsid: true, Setctty: r.Run.TTY},
	}
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	thread := in.offline
	if r.Run.Network {
		thread = in.online
	}
	in.attend(true)
	if err := thread.do(withFewFiles(cmd.Start)); err != nil {
		in.attend(false)
		return fmt.Errorf("cannot start %s: %w", r.Run.Argv[0], err)
	}
	go func() {
		a, err := ended(r.Run.Argv[0], cmd.Wait())
		_ = unix.Kill(-1, unix.SIGKILL)
		reap()
		in.attend(false)
		_ = in.answer(r.ID, a, err, files)
	}()
	return nil
}

func (in *box) attend(on bool) {
	in.mu.Lock()
	in.attended = on
	in.mu.Unlock()
}

// listen makes a socket on the loopback that only programs without a network see.
func (in *box) listen(port int) (reply, error) {
	var a reply
	err := in.offline.do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		a.files = []*os.File{os.NewFile(uintptr(fd), "listener")}
		a.Files = 1
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return err
		}
		return unix.Listen(fd, unix.SOMAXCONN)
	})
	if err != nil {
		return reply{}, fmt.Errorf("cannot listen inside: %w", err)
	}
	return a, nil
}

// Listen gives a listener on a port of the box's private loopback: programs that run
// without the network reach it, and it alone. It ends when it is closed.
func (b *Box) Listen(ctx context.Context, port int) (net.Listener, error) {
	a, err := b.call(ctx, request{Listen: port}, nil)
	if err != nil {
		return nil, err
	}
	if len(a.files) != 1 {
		return nil, errors.New("the sandbox gave no socket")
	}
	defer func() { _ = a.files[0].Close() }()
	l, err := net.FileListener(a.files[0])
	if err != nil {
		return nil, fmt.Errorf("cannot listen inside: %w", err)
	}
	return l, nil
}

// A Name is one entry of a directory.
type Name struct {
	Name string
	Mode fs.FileMode // of what a symbolic link leads to, where that is there
	Link bool
}

// List gives what a directory of the tree holds, by name. One that is not there holds
// nothing.
func (b *Box) List(ctx context.Context, path string) ([]Name, error) {
	a, err := b.call(ctx, request{List: path}, nil)
	return a.Names, err
}

func list(path string) (a reply, err error) {
	dir, rest := place(path)
	err = confined(dir, func() error {
		found, err := os.ReadDir("/" + rest)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for _, f := range found {
			n := Name{Name: f.Name(), Mode: f.Type(), Link: f.Type()&fs.ModeSymlink != 0}
			if info, err := os.Stat(filepath.Join("/"+rest, f.Name())); err == nil {
				n.Mode = info.Mode()
			}
			a.Names = append(a.Names, n)
		}
		return err
	})
	return a, err
}
