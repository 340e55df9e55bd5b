package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ingot/internal/fault"
	"ingot/internal/input"
)

// A Machine is one running QEMU. It ends with [Machine.Stop], or when the
// context it was started with is done, or with this process, however that ends.
type Machine struct {
	spec    Spec
	accel   choice
	started time.Time
	proc    *process
	mon     *monitor
	out     console
	line    net.Conn // the console's wire
	drained chan struct{}
	agent   *agent // nil without
	ports   map[uint16]uint16
	resets  atomic.Int32
	stop    sync.Once
	release func()
}

// startLimit is how long QEMU may take until its monitor answers; it is a
// fraction of a second on an idle machine.
const startLimit = 30 * time.Second

// Start starts a machine. Its errors: [fault.Usage] for a spec that cannot
// run, [fault.NotFound] for a disk that is not there, [fault.Preflight] for a missing QEMU.
func Start(ctx context.Context, spec Spec) (*Machine, error) {
	spec, err := spec.settled()
	if err != nil {
		return nil, err
	}
	var direct []*os.File // kernel, and initramfs if there is one
	defer func() {
		for _, f := range direct {
			f.Close()
		}
	}()
	for _, path := range []string{spec.Direct.Kernel, spec.Direct.Initrd} {
		if path == "" {
			continue
		}
		f, err := input.Open(path)
		if err != nil {
			return nil, fault.Newf(fault.NotFound, "kernel or initramfs: %w", err)
		}
		direct = append(direct, f)
	}
	var images []image
	defer func() {
		for _, img := range images {
			img.file.Close()
		}
	}()
	for _, d := range append([]Disk{spec.Disk}, spec.Drives...) {
		d.bare = len(direct) > 0
		img, err := openImage(d)
		if err != nil {
			return nil, err
		}
		images = append(images, img)
	}
	emulator, err := spec.Tools.Emulator(ctx, Need{spec.Arch, spec.Firmware})
	if err != nil {
		return nil, err
	}
	accel := choice{spec.Accel, "asked for"}
	if spec.Accel == "" {
		if accel, err = chooseAccel(ctx, emulator, spec.Arch, spec.Cache); err != nil {
			return nil, err
		}
	}
	m := &Machine{spec: spec, accel: accel, drained: make(chan struct{})}
	if err := m.launch(ctx, emulator, images, direct); err != nil {
		return nil, err
	}
	return m, nil
}

// launch starts QEMU on open images and takes its monitor.
func (m *Machine) launch(ctx context.Context, emulator Emulator, images []image, direct []*os.File) (err error) {
	var p passed
	var conns []net.Conn
	defer func() {
		p.close()
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
		}
	}()
	wire := func(name string) (net.Conn, int, error) {
		ours, theirs, err := socketPair(name)
		if err != nil {
			return nil, 0, err
		}
		conns = append(conns, ours)
		return ours, p.add(theirs), nil
	}
	var w wires
	var monitor, channel net.Conn
	if monitor, w.monitor, err = wire("monitor"); err != nil {
		return err
	}
	if m.line, w.console, err = wire("console"); err != nil {
		return err
	}
	if m.spec.Agent {
		if channel, w.agent, err = wire("agent"); err != nil {
			return err
		}
	}
	if m.spec.Firmware.IsUEFI() {
		code, vars, err := emulator.openUEFI(m.spec.Firmware, m.spec.Trust)
		if err != nil {
			return err
		}
		w.code, w.vars = p.add(code), p.add(vars)
	}
	for _, img := range images {
		d := drive{format: img.format, as: img.as, sector: img.sector}
		if img.as != CD {
			overlay, err := newOverlay(scratch(m.spec.Scratch), img.size)
			if err != nil {
				return err
			}
			d.overlay = p.add(overlay)
		}
		if d.disk, err = p.copy(img.file); err != nil {
			return err
		}
		w.drives = append(w.drives, d)
	}
	for i, to := range []*int{&w.kernel, &w.initrd}[:len(direct)] {
		if *to, err = p.copy(direct[i]); err != nil {
			return err
		}
	}

	m.out.log = m.spec.Log
	m.started = time.Now()
	if m.proc, err = startProcess(emulator, arguments(m.spec, w, m.accel.accel, emulator.Version), p.files); err != nil {
		return err
	}
	p.close() // so that the wires end when QEMU does
	if channel != nil {
		m.agent = newAgent(channel)
	}
	go func() {
		// A wire that breaks is a QEMU that ended, which others notice.
		_, _ = io.Copy(&m.out, m.line) //nolint:errcheck // see above
		close(m.drained)
	}()
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if m.mon, err = newMonitor(limited, monitor, m.event); err != nil {
		return m.unstarted(ctx, err)
	}
	if err := m.findPorts(limited); err != nil {
		return m.unstarted(ctx, err)
	}
	inviting, uninvite := context.WithCancel(context.WithoutCancel(ctx))
	unwatch := context.AfterFunc(ctx, func() { m.Stop() })
	m.release = func() { unwatch(); uninvite() }
	if m.agent != nil {
		go m.agent.invite(inviting, m.mon)
	}
	return nil
}

// unstarted ends a QEMU that did not come up and says why, best by what it said itself.
func (m *Machine) unstarted(ctx context.Context, err error) error {
	ended := m.proc.wait(time.Second)
	m.proc.kill()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if ended {
		err = m.proc.failure()
	}
	return fault.Newf(fault.Failed, "boot of %s: %w", m.name(), err)
}

func scratch(dir string) string {
	if dir != "" {
		return dir
	}
	if dir = os.Getenv("TMPDIR"); dir != "" {
		return dir
	}
	return "/var/tmp"
}

func (m *Machine) name() string { return filepath.Base(m.spec.Disk.Path) }

// event takes QEMU's events.
func (m *Machine) event(name string, data json.RawMessage) {
	switch name {
	case "RESET":
		m.resets.Add(1)
		if m.agent != nil {
			m.agent.change(func() {}) // who waits looks
		}
	case "VSERPORT_CHANGE":
		if m.agent != nil {
			m.agent.portChanged(data)
		}
	}
}

// findPorts asks QEMU which ports of the host it chose.
func (m *Machine) findPorts(ctx context.Context) error {
	m.ports = map[uint16]uint16{}
	if len(m.spec.Forward) == 0 {
		return nil
	}
	var text string
	if err := m.mon.Execute(ctx, "human-monitor-command", map[string]any{"command-line": "info usernet"}, &text); err != nil {
		return err
	}
	m.ports = forwarded(text)
	for _, p := range m.spec.Forward {
		if m.ports[p] == 0 {
			return fmt.Errorf("qemu forwards no port to the guest's %d", p)
		}
	}
	return nil
}

// forwarded reads the guest's and the host's ports out of "info usernet", whose rows
// are: TCP[HOST_FORWARD] descriptor host-address host-port guest-address guest-port …
func forwarded(text string) map[uint16]uint16 {
	ports := map[uint16]uint16{}
	for row := range strings.Lines(text) {
		f := strings.Fields(row)
		if len(f) < 6 || f[0] != "TCP[HOST_FORWARD]" {
			continue
		}
		host, err1 := strconv.ParseUint(f[3], 10, 16)
		guest, err2 := strconv.ParseUint(f[5], 10, 16)
		if err1 == nil && err2 == nil {
			ports[uint16(guest)] = uint16(host)
		}
	}
	return ports
}

// Port is the port of the host's loopback that leads to a port of the guest that
// Spec.Forward names, or 0.
func (m *Machine) Port(guest uint16) uint16 { return m.ports[guest] }

// Accel says how the guest's code is run, and why.
func (m *Machine) Accel() (accel, why string) { return m.accel.accel, m.accel.why }

// Started is when QEMU was started.
func (m *Machine) Started() time.Time { return m.started }

// Done is closed when QEMU has ended.
func (m *Machine) Done() <-chan struct{} { return m.proc.ended }

// Watch calls f with each line of the console, as plain text, those so far first; a
// line that is not whole yet comes again each time it grows. f must not block. The
// returned function ends it.
func (m *Machine) Watch(f func(line string, whole bool)) (stop func()) { return m.out.Watch(f) }

// Last gives up to n of the console's last lines.
func (m *Machine) Last(n int) []string { return m.out.Last(n) }

// Wait waits for evidence. It gives a [fault.Health] error with the console's
// last lines when the deadline of ctx passes, the machine ends, or the
// console shows that it is [Broken].
func (m *Machine) Wait(ctx context.Context, e Evidence) (Proof, error) {
	j := newWatch(e)
	found := make(chan verdict, 1)
	unwatch := m.judge(j, found)
	defer unwatch()
	select {
	case v := <-found:
		return m.decide(v)
	case <-m.proc.ended:
		<-m.drained
		select {
		case v := <-found:
			return m.decide(v)
		default:
			return Proof{}, m.unhealthy("%w before it showed %s", m.proc.failure(), j.missing())
		}
	case <-ctx.Done():
		return Proof{}, m.expired(ctx, j.missing()+" appeared")
	}
}

// A verdict is a proof or what is broken.
type verdict struct{ proof, broken *Proof }

// judge feeds the console to a judge until it knows.
func (m *Machine) judge(j *watch, found chan<- verdict) (stop func()) {
	decided := false
	return m.out.Watch(func(line string, _ bool) {
		if decided {
			return
		}
		if proof, broken := j.look(line); proof != nil || broken != nil {
			decided = true
			found <- verdict{proof, broken}
		}
	})
}

func (m *Machine) decide(v verdict) (Proof, error) {
	if v.broken != nil {
		return Proof{}, m.unhealthy("%s: %s", v.broken.Name, v.broken.Line)
	}
	return *v.proof, nil
}

// expired is the error of a context that is done: a failed check if its time is
// up, else its own.
func (m *Machine) expired(ctx context.Context, what string) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	return m.unhealthy(timeIsUp+" after %v before %s", time.Since(m.started).Round(time.Second), what)
}

// timeIsUp begins the error of a machine that was given too little of it, perhaps.
const timeIsUp = "time is up"

// lastLines is how much of the console a failure shows.
const lastLines = 20

// unhealthy is the error of a machine that does not work, with its console.
func (m *Machine) unhealthy(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	text := ""
	if n := m.resets.Load(); n > 0 {
		text = fmt.Sprintf(" (the machine reset %d times)", n)
	}
	lines := m.out.Last(lastLines)
	hint := "see it with: ingot boot --console " + fault.File(m.spec.Disk.Path)
	if strings.HasPrefix(err.Error(), timeIsUp) {
		hint = "wait longer with --timeout, or " + hint
	}
	if strings.Contains(err.Error(), refused) {
		hint = "an image starts under Secure Boot if its definition says 'boot: {secure: true}'"
		if m.spec.Trust != nil {
			hint = "this firmware starts what its one certificate's key has signed: the definition's 'boot: {sign: …}' names it"
		}
	}
	if len(lines) == 0 {
		text += "; its console said nothing"
		hint = "give the kernel the argument console=ttyS0, or wait longer with --timeout"
	} else {
		text += "; the console's last lines:\n  " + strings.Join(lines, "\n  ")
	}
	return fault.Newf(fault.Health, "boot of %s: %w%s", m.name(), err, text).WithHint("%s", hint)
}

// agentGrace is how long after a login prompt the agent may take to answer
// before the image is taken to have no way to run it.
const agentGrace = 2 * time.Minute

// Ready waits until commands can be run and the guest's systemd has finished its start, and gives
// its state: "running", or "degraded" when a unit failed. The errors are those of [Machine.Wait].
// The spec must have Agent set.
func (m *Machine) Ready(ctx context.Context) (state string, err error) {
	if m.agent == nil {
		return "", errors.New("the machine was started without an agent")
	}
	began := time.Now()
	watching, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	found := make(chan verdict, 1)
	unwatch := m.judge(newWatch(Evidence{}), found)
	defer unwatch()
	go func() {
		select {
		case v := <-found:
			if v.broken != nil {
				cancel(m.unhealthy("%s: %s", v.broken.Name, v.broken.Line))
				return
			}
		case <-watching.Done():
			return
		}
		t := time.NewTimer(max(agentGrace, time.Since(began)))
		defer t.Stop()
		select {
		case <-t.C:
			m.agent.mu.Lock()
			hello := m.agent.hello
			m.agent.mu.Unlock()
			if !hello {
				cancel(m.noAgent())
			}
		case <-watching.Done():
		}
	}()
	go func() {
		select {
		case <-m.proc.ended:
			<-m.drained
			cancel(m.unhealthy("%w before it ran commands", m.proc.failure()))
		case <-watching.Done():
		}
	}()
	why := func(what string) error {
		if cause := context.Cause(watching); cause != nil && ctx.Err() == nil {
			return cause
		}
		return m.expired(ctx, what)
	}
	if err := m.agent.present(watching); err != nil {
		return "", why("it ran commands")
	}
	limit := DefaultTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = time.Until(deadline)
	}
	r, err := m.agent.run(watching, "systemctl is-system-running --wait", limit)
	if err != nil {
		if watching.Err() != nil {
			return "", why("its services had started")
		}
		return "", m.unhealthy("%w", err)
	}
	if state = strings.TrimSpace(r.Output); state != "running" && state != "degraded" {
		jobs, err := m.agent.run(watching, "systemctl list-jobs --no-pager --no-legend", grace)
		if err != nil {
			jobs.Output = err.Error()
		}
		return state, m.unhealthy("systemd is %q, with jobs:\n%s", state, strings.TrimSpace(jobs.Output))
	}
	return state, nil
}

// Restart has the guest restart and waits until it is up again: its state, and its errors,
// are those of [Machine.Ready]. What it wrote to its disks is there.
func (m *Machine) Restart(ctx context.Context) (state string, err error) {
	if m.agent == nil {
		return "", errors.New("the machine was started without an agent")
	}
	before := m.resets.Load()
	// The guest takes the agent down while the command runs, or right after it.
	r, err := m.agent.run(ctx, "systemctl reboot", grace)
	if err == nil && r.Exit != 0 {
		return "", m.unhealthy("it does not restart: %s", strings.TrimSpace(r.Output))
	}
	if err != nil && !errors.Is(err, errAgentLost) {
		return "", m.unhealthy("%w", err)
	}
	if err := m.agent.await(ctx, func() bool { return m.resets.Load() > before }); err != nil {
		return "", m.expired(ctx, "it restarted")
	}
	m.out.forget()
	return m.Ready(ctx)
}

func (m *Machine) noAgent() error {
	return fault.Newf(fault.Health, "boot of %s: it shows a login prompt, but runs no commands", m.name()).
		WithHint("commands in the machine need systemd 252 or newer, udev, and a kernel with virtio in the image")
}

// Run runs a shell command in the guest, as root, and ends it after a time. A
// command that fails is a Result, not an error.
func (m *Machine) Run(ctx context.Context, command string, limit time.Duration) (Result, error) {
	if m.agent == nil {
		return Result{}, errors.New("the machine was started without an agent")
	}
	r, err := m.agent.run(ctx, command, limit)
	if err != nil {
		if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return Result{}, ctx.Err()
		}
		return Result{}, m.unhealthy("command %q: %w", command, err)
	}
	return r, nil
}

// stopLimit is how long QEMU may take to quit before it is killed.
const stopLimit = 3 * time.Second

// Stop ends the machine and waits until it is gone. What the guest wrote is
// lost, so it is not asked to shut down. Stop may be called more than once.
func (m *Machine) Stop() {
	m.stop.Do(func() {
		m.release()
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		// It may have ended already, or hang: then it is killed.
		_ = m.mon.Execute(ctx, "quit", nil, nil) //nolint:errcheck // see above
		m.proc.wait(stopLimit)
		m.proc.kill()
		_ = m.mon.Close()
		m.line.Close()
		if m.agent != nil {
			m.agent.conn.Close()
		}
	})
	<-m.proc.ended
}
