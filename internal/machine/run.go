package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/seed"
	"ingot/internal/vm"
)

// A Runner says what machines run under.
type Runner struct {
	Tools vm.Toolbox
	Accel string // "kvm", "tcg", or "" to probe
	Cache string // where the probe's answer is kept
}

// Start starts a machine, whose QEMU goes on when this process ends.
func (h Home) Start(ctx context.Context, name string, run Runner) (Record, error) {
	r, err := h.Open(name)
	if err != nil {
		return r, err
	}
	unlock, err := h.claim(name)
	if err != nil {
		return r, err
	}
	defer unlock()
	if h.PID(r) != 0 {
		return r, fault.Newf(fault.Busy, "machine %s runs already", name)
	}
	emulator, err := run.Tools.Emulator(ctx, vm.Need{Arch: "amd64", Firmware: vm.BIOS})
	if err != nil {
		return r, err
	}
	accel, err := vm.Acceleration(ctx, emulator, "amd64", run.Accel, run.Cache)
	if err != nil {
		return r, err
	}
	if r.SSH, err = freePort(ctx); err != nil {
		return r, err
	}
	for _, left := range []string{pidFile, monitorFile, consoleFile} {
		if err := os.Remove(filepath.Join(h.Path(name), left)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
	}
	args := append(append([]string(nil), emulator.Args...), r.arguments()...)
	if err := h.launch(ctx, r, emulator, append(args, accel...)); err != nil {
		return r, err
	}
	return r, h.write(r)
}

// startLimit is how long QEMU may take until its monitor answers.
const startLimit = 60 * time.Second

// launch starts QEMU in a session of its own, and waits until it answers. QEMU could make
// itself a daemon, but not while it may start nothing else.
func (h Home) launch(ctx context.Context, r Record, e vm.Emulator, args []string) error {
	said, err := os.OpenFile(filepath.Join(h.Path(r.Name), saidFile), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer said.Close()
	// In the machine's directory, by relative names: a socket's has 107 bytes at most.
	argv := slices.Concat(e.Prefix, []string{e.Path}, args)
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // it outlives this process
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = h.Path(r.Name), e.Env, said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fault.Newf(fault.Failed, "machine %s does not start: %w", r.Name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for end := time.Now().Add(startLimit); ; {
		if h.PID(r) != 0 && h.order(ctx, r.Name, "query-status") == nil {
			return nil
		}
		select {
		case err := <-ended:
			text := make([]byte, 4096)
			n, _ := said.ReadAt(text, 0)
			return fault.Newf(fault.Failed, "machine %s does not start: %w: %s", r.Name, err, strings.TrimSpace(string(text[:n])))
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(20 * time.Millisecond):
			if time.Now().Before(end) {
				continue
			}
			err = fault.Newf(fault.Failed, "machine %s: QEMU does not answer after %v", r.Name, startLimit)
		}
		return errors.Join(err, cmd.Process.Kill(), <-ended)
	}
}

func (h Home) write(r Record) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return draft.Write(filepath.Join(h.Path(r.Name), recordFile), append(data, '\n'), 0o600)
}

// claim keeps two from starting one machine at once.
func (h Home) claim(name string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(h.Path(name), ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fault.Newf(fault.Busy, "machine %s is being started by another ingot", name), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// freePort is a port of the loopback that nobody listens on.
func freePort(ctx context.Context) (int, error) {
	var l net.ListenConfig
	s, err := l.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	addr, ok := s.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(errors.New("no port is free"), s.Close())
	}
	return addr.Port, s.Close()
}

// arguments is QEMU's command line, without the program and how it runs code. Nothing of
// the seed is in it but names of files: everybody sees a command line.
func (r Record) arguments() []string {
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-pidfile", pidFile,
		"-name", r.Name, "-uuid", r.UUID, "-machine", "pc,graphics=off",
		"-smp", strconv.Itoa(r.CPUs), "-m", strconv.FormatInt(r.Memory>>20, 10) + "M",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny",
		"-chardev", "socket,id=monitor,path=" + monitorFile + ",server=on,wait=off", "-mon", "chardev=monitor,mode=control",
		"-chardev", "socket,id=console,path=" + consoleFile + ",server=on,wait=off,logfile=" + logFile, "-serial", "chardev:console",
		"-object", "rng-builtin,id=random", "-device", "virtio-rng-pci,rng=random",
		"-blockdev", `{"driver":"qcow2","node-name":"disk","discard":"unmap","file":{"driver":"file","filename":"` + diskFile + `","discard":"unmap"}}`,
		"-device", "virtio-blk-pci,drive=disk,bootindex=0",
	}
	if m := r.medium(); m != "" {
		args = append(args,
			"-blockdev", `{"driver":"raw","node-name":"seed","read-only":true,"file":{"driver":"file","filename":"`+m+`","read-only":true}}`,
			"-device", "virtio-blk-pci,drive=seed")
	}
	args = append(args, "-netdev", fmt.Sprintf("user,id=net,hostfwd=tcp:127.0.0.1:%d-:22", r.SSH), "-device", "virtio-net-pci,netdev=net,romfile=,mac="+r.MAC)
	for _, file := range r.Firmware {
		for _, name := range seed.FirmwareNames(r.Seed, file) {
			args = append(args, "-fw_cfg", "name="+name+",file="+firmwareDir+"/"+file)
		}
	}
	return args
}

// dial connects to a socket of a machine's, however long the way to it is.
func (h Home) dial(ctx context.Context, name, socket string) (net.Conn, error) {
	dir, err := os.Open(h.Path(name))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socket))
}

// order has QEMU do something.
func (h Home) order(ctx context.Context, name, command string) error {
	conn, err := h.dial(ctx, name, monitorFile)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	in := bufio.NewScanner(io.LimitReader(conn, 1<<20))
	answer := func() error {
		for in.Scan() {
			var m struct {
				QMP, Return json.RawMessage
				Error       *struct{ Desc string }
			}
			if err := json.Unmarshal(in.Bytes(), &m); err != nil {
				return err
			}
			switch {
			case m.Error != nil:
				return errors.New(m.Error.Desc)
			case m.QMP != nil || m.Return != nil:
				return nil
			}
		}
		return errors.Join(io.ErrUnexpectedEOF, in.Err())
	}
	if err := answer(); err != nil {
		return err
	}
	for _, c := range []string{"qmp_capabilities", command} {
		if _, err := fmt.Fprintf(conn, "{\"execute\":%q}\n", c); err != nil {
			return err
		}
		if err := answer(); err != nil && command != "quit" {
			return err
		}
	}
	return nil
}

// Stop asks a machine to switch itself off and waits until it has; with force it is
// switched off, as by a power cut. One that does not run is no error.
func (h Home) Stop(ctx context.Context, name string, force bool, limit time.Duration) error {
	r, err := h.Open(name)
	if err != nil {
		return err
	}
	pid := h.PID(r)
	if pid == 0 {
		return nil
	}
	// By a handle: the number may be another's soon.
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("machine %s: %w", name, err)
	}
	defer unix.Close(fd) //nolint:errcheck // of what was only waited for
	if h.PID(r) != pid {
		return nil
	}
	command := "system_powerdown"
	if force {
		command = "quit"
	}
	if err := h.order(ctx, name, command); err != nil {
		if !force {
			return fault.Newf(fault.Failed, "machine %s does not answer: %w", name, err).WithHint("ingot machine stop --force %s switches it off", name)
		}
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	for end := time.Now().Add(limit); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 200) //nolint:gosec // a descriptor
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return fault.Newf(fault.Health, "machine %s has not switched itself off after %v", name, limit).WithHint("ingot machine stop --force %s switches it off", name)
		}
	}
}

// Console connects to a running machine's serial console.
func (h Home) Console(ctx context.Context, name string) (net.Conn, error) {
	r, err := h.Open(name)
	if err != nil {
		return nil, err
	}
	if h.PID(r) == 0 {
		return nil, fault.Newf(fault.Failed, "machine %s does not run", name).WithHint("ingot machine start %s", name)
	}
	conn, err := h.dial(ctx, name, consoleFile)
	if err != nil {
		return nil, fmt.Errorf("machine %s: its console: %w", name, err)
	}
	return conn, nil
}

// Log is what a machine's console said since it was first started.
func (h Home) Log(name string) string { return filepath.Join(h.Path(name), logFile) }

// Outdated says why a machine is not what its template would make now, or "".
func (r Record) Outdated(version func(path string) (string, error)) string {
	now, err := version(r.Template)
	switch {
	case err != nil:
		return "its template cannot be read: " + err.Error()
	case now != r.Version:
		return "its template has changed"
	}
	im, err := lookAt(r.Image)
	switch {
	case err != nil:
		return err.Error()
	case im.stamp != r.Stamp:
		return "its image has been built again"
	}
	return ""
}
