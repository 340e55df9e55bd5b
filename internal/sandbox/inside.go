package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// The root of the process inside is a tmpfs with these directories.
const (
	treeDir = "/tree" // the tree itself, with nothing mounted on it
	rootDir = "/root" // the same directory again, with /dev, /proc and binds on it: what programs see
	// What belongs to a tree beside the image, below [Aside], and the root of the station.
	asideDir   = "/aside"
	stationDir = "/station"
)

// Aside is a directory that no image has: what a tree holds below it lies beside the
// image's files and is seen at the station alone. It is captured with the image and put
// back with it.
const Aside = tree.Aside

// Scripts is a directory that no image has: where scripts and what they read lie while they run.
const Scripts = tree.Scripts

// place says where a path of the tree lies: below which directory, by which path.
func place(path string) (dir, rest string) {
	if path == Aside {
		return asideDir, ""
	}
	if rest, ok := strings.CutPrefix(path, Aside+"/"); ok {
		return asideDir, rest
	}
	return treeDir, path
}

// full is a path of the tree as this process sees it.
func full(path string) string {
	dir, rest := place(path)
	return dir + "/" + rest
}

// inside is the process in the box: it answers requests until the other side is
// gone.
func inside() int {
	w, err := newWire(os.NewFile(3, "outside"), os.NewFile(4, "files"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go endWithOutside()
	in := box{wire: w}
	for {
		var r request
		if err := w.dec.Decode(&r); err != nil {
			return 0
		}
		files, err := w.receiveFiles(r.Files)
		if err == nil && r.Run != nil && r.Run.Station {
			// Others are served meanwhile: the program may be waiting for them.
			err = in.runAtStation(r, files)
			if err == nil {
				continue
			}
		}
		var answer reply
		if err == nil {
			answer, err = in.serve(r, files)
		}
		if err := in.answer(r.ID, answer, err, files); err != nil {
			return 0
		}
	}
}

// answer ends a request.
func (in *box) answer(id uint64, a reply, failure error, files []*os.File) error {
	for _, f := range files {
		_ = f.Close()
	}
	if a.ID = id; failure != nil {
		a.Err, a.Hint = failure.Error(), fault.HintOf(failure)
		if errno := unix.Errno(0); errors.As(failure, &errno) {
			a.Errno = int(errno)
		}
	}
	in.answering.Lock()
	defer in.answering.Unlock()
	return in.wire.send(a, a.files)
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
		refused, err := in.setup(*r.Setup)
		return reply{Refused: refused}, err
	case r.Put != nil:
		return reply{}, in.put(r.Put, files)
	case r.Run != nil:
		return in.run(r.Run, files)
	case r.Capture != nil:
		return in.capture(r.Capture, files[0])
	case r.Remove != nil:
		return reply{}, in.remove(r.Remove)
	case r.Stat != "":
		dir, rest := place(r.Stat)
		return reply{}, confined(dir, func() error { _, err := os.Stat("/" + rest); return err })
	case r.Empty:
		return reply{}, in.empty()
	case r.Listen != 0:
		return in.listen(r.Listen)
	case r.Cover != nil:
		return reply{}, in.cover(r.Cover)
	case r.List != "":
		return list(r.List)
	case r.Look != nil:
		return look(r.Look)
	case r.Texts != nil:
		return texts(r.Texts)
	case len(r.Rename) == 2:
		return reply{}, in.rename(r.Rename)
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

	station   *Station
	attended  bool // a program of the station runs
	mu        sync.Mutex
	wire      *wire
	answering sync.Mutex
}

func (in *box) setup(s setup) (refused string, err error) {
	// Paths of the host are opened by who started this: root of the namespace may not be
	// let into directories on the way to them.
	release, err := holdHost(&s)
	if err != nil {
		return "", err
	}
	defer release()
	// The map is written by now: become root of the namespace.
	if err := errors.Join(unix.Setgroups(nil), unix.Setresgid(0, 0, 0), unix.Setresuid(0, 0, 0)); err != nil {
		return "", fmt.Errorf("cannot become root inside: %w", err)
	}
	// A change of ids takes back the parent-death signal (prctl(2)), so it is
	// asked for again: nothing of a box may outlive its ingot.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return "", fmt.Errorf("cannot ask for the parent-death signal: %w", err)
	}
	// Nor may a program look into this process, whatever it makes of its capabilities.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return "", fmt.Errorf("cannot close this process to programs: %w", err)
	}
	// What programs inherit; files that are put get their modes explicitly.
	unix.Umask(0o022)
	_ = unix.Sethostname([]byte("localhost"))
	if err := setLimits(); err != nil {
		return "", err
	}
	if in.offline, err = newStarter(true); err != nil {
		return "", err
	}
	if err := mountRoot(s, in.offline); err != nil {
		return "", err
	}
	in.puts, in.known, in.owners, in.devices = map[string]original{}, map[inode]original{}, map[string]string{}, devices{}
	if in.station = s.Station; in.station != nil {
		if err := in.station.open(); err != nil {
			return "", err
		}
	}
	if s.Foreign != nil {
		if refused, err = s.Foreign.open(); err != nil {
			return "", err
		}
	}
	in.online, err = newStarter(false)
	return refused, err
}

// readLimit bounds a file that is read whole.
const readLimit = 256 << 20

func (in *box) read(path string) (r reply, err error) {
	dir, rest := place(path)
	err = confined(dir, func() error {
		f, err := os.OpenFile("/"+rest, os.O_RDONLY|unix.O_NONBLOCK, 0)
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
	return r, err
}

// remove takes paths away, with all below them; what is not there is fine.
func (in *box) remove(paths []string) error {
	for _, p := range paths {
		if err := tree.CheckPath(p); err != nil || p == "" {
			return fmt.Errorf("cannot remove %q: %w", p, err)
		}
	}
	remove := func(paths []string) error {
		for _, p := range paths {
			if err := os.RemoveAll("/" + p); err != nil {
				return fmt.Errorf("cannot remove: %w", err)
			}
		}
		return nil
	}
	for dir, some := range byPlace(paths) {
		if err := confined(dir, func() error { return remove(some) }); err != nil {
			return err
		}
	}
	return nil
}

// byPlace sorts paths by where they lie.
func byPlace(paths []string) map[string][]string {
	out := map[string][]string{}
	for _, p := range paths {
		dir, rest := place(p)
		out[dir] = append(out[dir], rest)
	}
	return out
}

type inode struct {
	dev uint64
	ino uint64
}

func inodeOf(st *syscall.Stat_t) inode { return inode{st.Dev, st.Ino} }
