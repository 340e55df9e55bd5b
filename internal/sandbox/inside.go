package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// The root of the process inside is a tmpfs with these directories.
const (
	treeDir = "/tree" // the tree itself, with nothing mounted on it
	rootDir = "/root" // the same directory again, with /dev, /proc and binds on it: what programs see
)

// inside is the process in the box: it answers requests until the other side is
// gone.
func inside() int {
	w, err := newWire(os.NewFile(3, "outside"), os.NewFile(4, "files"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	unix.CloseOnExec(3)
	go endWithOutside()
	var in box
	for {
		var r request
		if err := w.dec.Decode(&r); err != nil {
			return 0
		}
		files, err := w.receiveFiles(r.Files)
		var answer reply
		if err == nil {
			answer, err = in.serve(r, files)
		}
		for _, f := range files {
			_ = f.Close()
		}
		if err != nil {
			answer.Err, answer.Hint = err.Error(), fault.HintOf(err)
		}
		if err := w.enc.Encode(answer); err != nil {
			return 0
		}
	}
}

// endWithOutside ends the box when the other side is gone, also while a program
// runs. This is process 1 of its namespace: everything in it ends too.
func endWithOutside() {
	p := []unix.PollFd{{Fd: 3, Events: unix.POLLRDHUP}}
	for {
		_, err := unix.Poll(p, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if p[0].Revents != 0 {
			os.Exit(0)
		}
	}
}

func (in *box) serve(r request, files []*os.File) (reply, error) {
	switch {
	case r.Setup != nil:
		return reply{}, in.setup(*r.Setup)
	case r.Put != nil:
		return reply{}, in.put(r.Put, files)
	case r.Run != nil:
		return in.run(r.Run, files)
	case r.Capture != nil:
		return in.capture(r.Capture, files[0])
	case r.Remove != nil:
		return reply{}, in.remove(r.Remove)
	case r.Stat != "":
		err := confined(func() error { _, err := os.Stat("/" + r.Stat); return err })
		return reply{Missing: errors.Is(err, fs.ErrNotExist)}, err
	case r.Empty:
		return reply{}, in.empty()
	case r.Read != nil:
		return in.read(r.Read.Path)
	}
	return reply{}, errors.New("empty request")
}

// A box is the inside's state.
type box struct {
	puts    map[string]original // files put and not yet remembered, by path
	known   map[inode]original
	owners  map[string]string // of everything put, by path
	devices devices
	offline starter
	online  starter
}

func (in *box) setup(s setup) error {
	// The map is written by now: become root of the namespace.
	if err := errors.Join(unix.Setgroups(nil), unix.Setresgid(0, 0, 0), unix.Setresuid(0, 0, 0)); err != nil {
		return fmt.Errorf("cannot become root inside: %w", err)
	}
	// A change of ids takes back the parent-death signal (prctl(2)), so it is
	// asked for again: nothing of a box may outlive its ingot.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("cannot ask for the parent-death signal: %w", err)
	}
	// Nor may a program look into this process, whatever it makes of its capabilities.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot close this process to programs: %w", err)
	}
	// What programs inherit; files that are put get their modes explicitly.
	unix.Umask(0o022)
	_ = unix.Sethostname([]byte("localhost"))
	if err := mountRoot(s); err != nil {
		return err
	}
	in.puts, in.known, in.owners, in.devices = map[string]original{}, map[inode]original{}, map[string]string{}, devices{}
	var err error
	if in.offline, err = newStarter(true); err != nil {
		return err
	}
	in.online, err = newStarter(false)
	return err
}

// readLimit bounds a file that is read whole.
const readLimit = 256 << 20

func (in *box) read(path string) (r reply, err error) {
	err = confined(func() error {
		f, err := os.OpenFile("/"+path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("/%s is not a regular file", path)
		}
		r.Data, err = io.ReadAll(io.LimitReader(f, readLimit+1))
		if len(r.Data) > readLimit {
			return fmt.Errorf("/%s is larger than %d bytes", path, readLimit)
		}
		return err
	})
	r.Missing = errors.Is(err, fs.ErrNotExist)
	return r, err
}

// remove takes paths away, with all below them; what is not there is fine.
func (in *box) remove(paths []string) error {
	return confined(func() error {
		for _, p := range paths {
			if err := tree.CheckPath(p); err != nil || p == "" {
				return fmt.Errorf("cannot remove %q: %w", p, err)
			}
			if err := os.RemoveAll("/" + p); err != nil {
				return fmt.Errorf("cannot remove: %w", err)
			}
		}
		return nil
	})
}

type inode struct {
	dev uint64
	ino uint64
}

func inodeOf(st *syscall.Stat_t) inode { return inode{st.Dev, st.Ino} }
