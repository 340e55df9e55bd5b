package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// Options says what kind of box to make.
type Options struct {
	// Dir is an empty work directory for trees that are too large for memory;
	// "" keeps the tree in a tmpfs. The caller removes it with [Remove].
	Dir string
	// Binds are host paths to show inside, read-only unless said.
	Binds []Bind
	// Station, if set, is a second root beside the tree's.
	Station *Station
	// Foreign, if set, lets programs of another architecture run.
	Foreign *Foreign
}

// A Bind shows a host file or directory inside the box's root.
type Bind struct {
	Host   string
	Inside string // absolute
	Write  bool
}

// A Box is a private root in which programs of a tree run. Its methods may not
// be called from several goroutines at once, but while a program of the station runs:
// then others may be, one at a time.
type Box struct {
	cmd    *exec.Cmd
	wire   *wire
	log    *bytes.Buffer // what the inside itself said
	closed sync.Once
	gone   chan struct{} // closed when the process has ended

	refused string // why no emulator could be registered

	mu      sync.Mutex // sending, and what follows
	last    uint64
	waiting map[uint64]chan<- reply
	deaf    error // no more replies come, and why
}

// New starts a box with an empty root. What forbids it, such as a kernel without
// user namespaces, is a fault.Preflight with the remedy.
func New(ctx context.Context, o Options) (*Box, error) {
	idmap, err := chooseIDs()
	if err != nil {
		return nil, err
	}
	conn, err := socketpair()
	if err != nil {
		return nil, err
	}
	files, err := socketpair()
	if err != nil {
		return nil, err
	}
	b := &Box{log: &bytes.Buffer{}, waiting: map[uint64]chan<- reply{}}
	b.cmd = &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       []string{initName},
		Env:        []string{"GODEBUG=" + os.Getenv("GODEBUG")},
		ExtraFiles: []*os.File{conn[1], files[1]},
		Stderr:     b.log,
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
			Pdeathsig:  syscall.SIGKILL,
			// Ambient capabilities outlive the exec although the ids are not
			// mapped yet, so one exec is enough.
			AmbientCaps: ambient(),
			Setpgid:     true, // a ^C at the terminal is ingot's to handle
		},
	}
	err = b.start()
	_, _ = conn[1].Close(), files[1].Close()
	if err != nil {
		_, _ = conn[0].Close(), files[0].Close()
		return nil, explainStart(err)
	}
	if b.wire, err = newWire(conn[0], files[0]); err != nil {
		b.kill()
		return nil, err
	}
	go b.hear()
	if err := idmap.write(b.cmd.Process.Pid); err != nil {
		b.kill()
		return nil, err
	}
	if o.Dir != "" && os.Geteuid() == 0 {
		if err := os.Chown(o.Dir, int(idmap.uid[0].outside), int(idmap.gid[0].outside)); err != nil {
			b.kill()
			return nil, fmt.Errorf("cannot give the work directory to the sandbox: %w", err)
		}
	}
	ready, err := b.call(ctx, request{Setup: &setup{Dir: o.Dir, Binds: o.Binds, Station: o.Station, Foreign: o.Foreign}}, nil)
	if err != nil {
		b.kill()
		return nil, fault.Newf(fault.Preflight, "cannot set up the sandbox: %w", err).
			WithHint("ingot needs user namespaces with mount, proc and tmpfs inside; in a container allow nesting")
	}
	b.refused = ready.Refused
	return b, nil
}

// start starts the process inside. The kernel sends the parent-death signal when
// the thread that started it ends, so a goroutine keeps that thread until the box
// is closed.
func (b *Box) start() error {
	started := make(chan error)
	b.gone = make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := b.cmd.Start()
		started <- err
		if err == nil {
			_ = b.cmd.Wait() // its exit code says nothing
		}
		close(b.gone)
	}()
	return <-started
}

// ambient is every capability that this kernel knows.
func ambient() []uintptr {
	last := 40
	if data, err := os.ReadFile("/proc/sys/kernel/cap_last_cap"); err == nil {
		_, _ = fmt.Sscan(string(data), &last)
	}
	caps := make([]uintptr, last+1)
	for i := range caps {
		caps[i] = uintptr(i)
	}
	return caps
}

func socketpair() ([2]*os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return [2]*os.File{}, fmt.Errorf("cannot make a socket pair: %w", err)
	}
	return [2]*os.File{os.NewFile(uintptr(fds[0]), "outside"), os.NewFile(uintptr(fds[1]), "inside")}, nil
}

// call sends a request and waits for the answer. When the context ends first,
// the box is killed: nothing inside can be trusted to stop by itself.
func (b *Box) call(ctx context.Context, r request, files []*os.File) (reply, error) {
	stop := context.AfterFunc(ctx, b.kill)
	defer stop()
	answer, err := b.ask(r, files)
	switch {
	case ctx.Err() != nil:
		return answer, context.Cause(ctx)
	case err != nil:
		b.kill()
		return answer, fmt.Errorf("the sandbox ended early: %w%s", err, said(b.log))
	case answer.Hint != "":
		return answer, fault.Newf(fault.Failed, "%w", answer.failure()).WithHint("%s", answer.Hint)
	case answer.Err != "":
		return answer, answer.failure()
	}
	return answer, nil
}

// failure is the error as it was inside, as far as the kernel's part of it goes.
func (r reply) failure() error {
	if r.Errno == 0 {
		return errors.New(r.Err)
	}
	return &insideError{said: r.Err, errno: unix.Errno(r.Errno)}
}

// An insideError is what the other side said of something that the kernel refused.
type insideError struct {
	said  string
	errno unix.Errno
}

func (e *insideError) Error() string { return e.said }
func (e *insideError) Unwrap() error { return e.errno }

// ask sends a request and waits for its reply.
func (b *Box) ask(r request, files []*os.File) (reply, error) {
	answer := make(chan reply, 1)
	b.mu.Lock()
	err := b.deaf
	if err == nil {
		b.last++
		r.ID, r.Files = b.last, len(files)
		b.waiting[r.ID] = answer
		err = b.wire.send(r, files)
	}
	b.mu.Unlock()
	if err != nil {
		return reply{}, err
	}
	a, ok := <-answer
	if !ok {
		return a, b.deaf
	}
	return a, nil
}

// hear gives replies to those who wait for them, until there are no more.
func (b *Box) hear() {
	var err error
	for err == nil {
		var a reply
		if err = b.wire.dec.Decode(&a); err == nil {
			a.files, err = b.wire.receiveFiles(a.Files)
		}
		b.mu.Lock()
		if waiting := b.waiting[a.ID]; err == nil && waiting != nil {
			delete(b.waiting, a.ID)
			waiting <- a
		}
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf = err
	for _, waiting := range b.waiting {
		close(waiting)
	}
}

func said(log *bytes.Buffer) string {
	text := strings.TrimSpace(log.String())
	if text == "" {
		return ""
	}
	if len(text) > 2000 {
		text = text[len(text)-2000:]
	}
	return ": " + text
}

// Put makes entries real. Parents come before children; what is at a path is
// replaced. Device nodes are remembered but not made.
func (b *Box) Put(ctx context.Context, entries []tree.Entry, r *tree.Reader) error {
	var names []string
	var files []*os.File
	seen := map[string]bool{}
	for i := range entries {
		if pack := entries[i].Content.Pack; entries[i].Content.Size > 0 && !seen[pack] {
			seen[pack] = true
			f, err := r.Pack(pack)
			if err != nil {
				return fmt.Errorf("cannot open pack %s: %w", pack, err)
			}
			names, files = append(names, pack), append(files, f)
		}
	}
	_, err := b.call(ctx, request{Put: &putRequest{Entries: tree.AppendEntries(nil, entries), Packs: names}}, files)
	return err
}

// A NewFile is a file of root's, from bytes at hand.
type NewFile struct {
	Path  string
	Mode  uint32
	Data  []byte
	Mtime int64 // seconds since 1970
}

// Write makes files from bytes at hand, in place of what is there. Their
// directories must exist.
func (b *Box) Write(ctx context.Context, files ...NewFile) error {
	const pack = "inline"
	var data []byte
	var entries []tree.Entry
	for _, f := range files {
		entries = append(entries, tree.Entry{Path: f.Path, Kind: tree.File, Mode: f.Mode, Mtime: tree.Time{Sec: f.Mtime},
			Content: tree.Content{Size: int64(len(f.Data)), Pack: pack, Offset: int64(len(data))}})
		data = append(data, f.Data...)
	}
	m, err := Memory(pack, data)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	_, err = b.call(ctx, request{Put: &putRequest{Entries: tree.AppendEntries(nil, entries), Packs: []string{pack}}}, []*os.File{m})
	return err
}

// Read gives the bytes of a regular file of the root, at most 256 MiB. A file
// that is not there is fs.ErrNotExist.
func (b *Box) Read(ctx context.Context, path string) ([]byte, error) {
	a, err := b.call(ctx, request{Read: &readRequest{Path: path}}, nil)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("/%s: %w", path, fs.ErrNotExist)
	}
	return a.Data, err
}

// Exists says whether a path of the root is there, symbolic links followed.
func (b *Box) Exists(ctx context.Context, path string) (bool, error) {
	_, err := b.call(ctx, request{Stat: path}, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Remove takes paths away, with all below them. What is not there is fine.
func (b *Box) Remove(ctx context.Context, paths ...string) error {
	_, err := b.call(ctx, request{Remove: paths}, nil)
	return err
}

// Memory is an anonymous file in memory that holds data.
func Memory(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(data); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cannot fill a file in memory: %w", err)
	}
	return f, nil
}

// A Command is a program to run inside, with the root as its root.
type Command struct {
	Argv    []string // the program by absolute path, and its arguments
	Env     []string // the whole environment; nothing of the caller's leaks
	Dir     string   // working directory inside; "" is /
	Network bool     // with the host's network; else a private loopback
	Stdin   *os.File // nil is /dev/null
	Stdout  *os.File // nil is /dev/null
	Stderr  *os.File
	Extra   []*os.File // become file descriptors 3, 4, …
	TTY     bool       // the standard files are a terminal that becomes the controlling one
	Station bool       // with the station as its root
	Native  bool       // of [Foreign.Native], which is its root; the tree is at [NativeTree]
}

// An ExitError says how a program inside ended.
type ExitError struct {
	Program string
	Code    int
	Signal  syscall.Signal // when Code is -1
}

func (e *ExitError) Error() string {
	if e.Code < 0 {
		return fmt.Sprintf("%s was ended by signal %d (%s)", e.Program, e.Signal, e.Signal)
	}
	return fmt.Sprintf("%s exited with code %d", e.Program, e.Code)
}

// Run runs a program and waits for it. Whatever it leaves running is killed. A
// program that fails gives an [*ExitError].
func (b *Box) Run(ctx context.Context, c Command) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("cannot open the null device: %w", err)
	}
	defer func() { _ = null.Close() }()
	files := []*os.File{c.Stdin, c.Stdout, c.Stderr}
	for i, f := range files {
		if f == nil {
			files[i] = null
		}
	}
	files = append(files, c.Extra...)
	a, err := b.call(ctx, request{Run: &runRequest{Argv: c.Argv, Env: c.Env, Dir: c.Dir, Network: c.Network, Extra: len(c.Extra), TTY: c.TTY, Station: c.Station, Native: c.Native}}, files)
	if err != nil {
		return err
	}
	if a.Code != 0 {
		return &ExitError{Program: c.Argv[0], Code: a.Code, Signal: syscall.Signal(a.Signal)}
	}
	return nil
}

// Output runs a program and gives what it wrote to its standard output and
// error together, also when it failed. Each line goes to log as it comes, which
// may be nil.
func (b *Box) Output(ctx context.Context, c Command, log func(line string)) ([]byte, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() { done <- readLines(r, &out, log) }()
	c.Stdout, c.Stderr = w, w
	err = b.Run(ctx, c)
	_ = w.Close()
	if copyErr := <-done; err == nil {
		err = copyErr
	}
	_ = r.Close()
	return out.Bytes(), err
}

// Quote is what a program said, to stand behind a message: indented lines, or
// nothing where it said nothing.
func Quote(out []byte) string {
	text := strings.TrimRight(strings.TrimLeft(string(out), "\n"), " \t\r\n")
	if strings.TrimSpace(text) == "" {
		return ""
	}
	return "\n    " + strings.ReplaceAll(text, "\n", "\n    ")
}

// outputLimit bounds what is kept of a program's output, in bytes.
const outputLimit = 16 << 20

func readLines(r io.Reader, out *bytes.Buffer, log func(string)) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadSlice('\n')
		if out.Len() < outputLimit {
			out.Write(line)
		}
		if text := strings.TrimRight(string(line), "\r\n"); text != "" && log != nil {
			log(text)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// Capture gives the root as a tree. Files that nobody changed keep their
// content's place and owner; the bytes of others are appended to pack, whose name
// in the cache is given, and belong to owner. No time stamp is newer than epoch
// (seconds since 1970). It returns how many bytes it wrote.
func (b *Box) Capture(ctx context.Context, pack *os.File, name, owner string, epoch int64) (tree.Tree, int64, error) {
	a, err := b.call(ctx, request{Capture: &captureRequest{Pack: name, Owner: owner, Epoch: epoch}}, []*os.File{pack})
	if err != nil {
		return tree.Tree{}, 0, fmt.Errorf("cannot capture the tree: %w", err)
	}
	entries, _, err := tree.DecodeEntries(string(a.Entries))
	if err != nil {
		return tree.Tree{}, 0, err
	}
	t, err := tree.New(entries)
	return t, a.Size, err
}

// Close ends the box and all that runs in it.
func (b *Box) Close() error {
	b.kill()
	return nil
}

func (b *Box) kill() {
	b.closed.Do(func() {
		if b.wire != nil {
			// Closed first: the inside sees the end and stops by itself.
			b.wire.close()
		}
		_ = b.cmd.Process.Kill()
		<-b.gone
	})
}
