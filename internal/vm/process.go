package vm

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

// A process is a running QEMU, in a process group of its own so that an interrupt at
// the terminal reaches ingot alone.
type process struct {
	cmd    *exec.Cmd
	said   tail
	ended  chan struct{}
	status error // of Wait, once ended
}

// startProcess starts QEMU with inherited files. It is killed by the kernel if
// this process dies. That signal is sent when the *thread* that started
// it ends, so one goroutine keeps its thread until QEMU is gone.
func startProcess(e Emulator, args []string, files []*os.File) (*process, error) {
	argv := slices.Concat(e.Prefix, []string{e.Path}, e.Args, args)
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})} //nolint:noctx // ended by kill, politely
	p.cmd.Env = e.Env
	p.cmd.Stderr = &p.said
	p.cmd.ExtraFiles = files
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := p.cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.status = p.cmd.Wait()
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, fault.Newf(fault.Failed, "qemu: %w", err)
	}
	return p, nil
}

// wait waits until the process has ended, or a time has passed.
func (p *process) wait(limit time.Duration) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-p.ended:
		return true
	case <-t.C:
		return false
	}
}

// signal sends a signal to the whole group, unless it is gone.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.ended:
	default:
		// The group may be gone in this very moment.
		if err := syscall.Kill(-p.cmd.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			_ = p.cmd.Process.Signal(s) //nolint:errcheck // nothing else can be done
		}
	}
}

// kill ends the process at once and waits for it.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// failure says how a process ended that should not have.
func (p *process) failure() error {
	said := p.said.String()
	if p.status != nil {
		if said != "" {
			return fmt.Errorf("qemu ended: %w: %s", p.status, said)
		}
		return fmt.Errorf("qemu ended: %w", p.status)
	}
	return errors.New("the machine switched itself off")
}

// tail keeps the last bytes that a process said.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const keptTail = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - keptTail; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}

// socketPair makes two connected ends: ours as a connection, theirs as a file to
// inherit.
func socketPair(name string) (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket for the %s: %w", name, err)
	}
	theirs := os.NewFile(uintptr(fds[1]), name)
	file := os.NewFile(uintptr(fds[0]), name)
	ours, err := net.FileConn(file)
	file.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("socket for the %s: %w", name, err)
	}
	return ours, theirs, nil
}
