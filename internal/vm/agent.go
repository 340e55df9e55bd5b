package vm

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed agent.sh
var agentScript string

// An initramfs may have a systemd of its own, as dracut's has: what ran there would end when the
// root takes over.
const agentService = `[Unit]
Description=Commands of ingot boot, in this machine's memory only
ConditionPathExists=!/etc/initrd-release
[Service]
ExecStart=/bin/sh /run/ingot/agent
StandardOutput=null
TimeoutStopSec=5
`

const agentRule = `ACTION!="remove", SUBSYSTEM=="virtio-ports", ATTR{name}=="ingot.agent", SYMLINK+="virtio-ports/ingot.agent", TAG+="systemd", ENV{SYSTEMD_WANTS}+="ingot-agent.service"
`

// credential is the SMBIOS string that puts the agent into the guest, without
// anything that differs from one run to the next.
func credential() string {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	var lines strings.Builder
	lines.WriteString("d /run/ingot 0700 root root -\n")
	for _, f := range []struct{ path, content string }{
		{"/run/ingot/agent", agentScript},
		{"/run/systemd/system/ingot-agent.service", agentService},
		{"/run/udev/rules.d/99-ingot.rules", agentRule},
	} {
		fmt.Fprintf(&lines, "f+~ %s 0644 root root - %s\n", f.path, encode(f.content))
	}
	return "io.systemd.credential.binary:tmpfiles.extra=" + encode(lines.String())
}

// Bounds of what a guest may say to the agent's host side.
const (
	maxAnswer = 4096    // bytes of a line
	maxOutput = 1 << 20 // bytes of a command's output that are kept; agent.sh says the same
)

// An answer is one line from the agent.
type answer struct {
	verb   string // "hello", "out" or "done"
	id     uint64
	data   []byte // of "out"
	status int    // of "done"
	size   int64  // of "done": bytes of output, all of it
}

// parseAnswer reads a line from the agent.
func parseAnswer(line string) (answer, error) {
	f := strings.Fields(line)
	bad := fmt.Errorf("agent: %.80q is no answer", line)
	if len(f) < 2 {
		return answer{}, bad
	}
	id, err := strconv.ParseUint(f[1], 10, 64)
	if err != nil {
		return answer{}, bad
	}
	a := answer{verb: f[0], id: id}
	switch {
	case a.verb == "hello" && len(f) == 2:
		if id != 1 {
			return answer{}, fmt.Errorf("agent: speaks version %d", id)
		}
		return a, nil
	case a.verb == "out" && len(f) == 3:
		if a.data, err = base64.StdEncoding.DecodeString(f[2]); err != nil {
			return answer{}, bad
		}
		return a, nil
	case a.verb == "done" && len(f) == 4:
		status, err := strconv.ParseUint(f[2], 10, 8)
		if err != nil {
			return answer{}, bad
		}
		a.status = int(status)
		if a.size, err = strconv.ParseInt(f[3], 10, 64); err != nil || a.size < 0 {
			return answer{}, bad
		}
		return a, nil
	}
	return answer{}, bad
}

// An agent is the host's side of the channel.
type agent struct {
	conn io.ReadWriteCloser

	running sync.Mutex // one command at a time
	mu      sync.Mutex
	changed chan struct{} // closed and made anew when a field below changes
	open    bool          // the guest has the port open
	hello   bool          // and its agent answered
	next    uint64
	call    *call
}

// A call is a command under way.
type call struct {
	id     uint64
	output []byte
	done   chan answer // closed without an answer when the channel was lost
}

func newAgent(conn io.ReadWriteCloser) *agent {
	a := &agent{conn: conn, changed: make(chan struct{})}
	go a.read()
	return a
}

// change runs f under the lock and wakes who waits.
func (a *agent) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	close(a.changed)
	a.changed = make(chan struct{})
}

// lose gives up the command under way; the lock is held.
func (a *agent) lose() {
	if a.call != nil {
		close(a.call.done)
		a.call = nil
	}
}

func (a *agent) read() {
	lines := bufio.NewScanner(a.conn)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		ans, err := parseAnswer(lines.Text())
		if err != nil {
			continue // the guest may have written anything before its agent did
		}
		a.change(func() {
			switch ans.verb {
			case "hello":
				a.lose()
				a.hello = true
			case "out":
				if c := a.call; c != nil && c.id == ans.id {
					c.output = append(c.output, ans.data[:min(len(ans.data), maxOutput-len(c.output))]...)
				}
			case "done":
				if c := a.call; c != nil && c.id == ans.id {
					c.done <- ans
					a.call = nil
				}
			}
		})
	}
	a.change(func() {
		a.lose()
		a.open, a.hello = false, false
	})
	a.conn.Close()
}

// portChanged takes QEMU's word for whether the guest has the port open.
func (a *agent) portChanged(data json.RawMessage) {
	var e struct {
		ID   string `json:"id"`
		Open bool   `json:"open"`
	}
	if json.Unmarshal(data, &e) != nil || e.ID != agentPort {
		return
	}
	a.change(func() {
		a.open = e.Open
		if !e.Open {
			a.hello = false
			a.lose()
		}
	})
}

// await waits until ok, or ctx is done.
func (a *agent) await(ctx context.Context, ok func() bool) error {
	for {
		a.mu.Lock()
		done, changed := ok(), a.changed
		a.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// present waits until the guest's agent has answered.
func (a *agent) present(ctx context.Context) error {
	return a.await(ctx, func() bool { return a.hello })
}

// agentPort is the identifier of the port's device and its name in the guest.
const agentPort = "ingot.agent"

// inviteEvery is how often the port is plugged in anew at first: a little over udev's three
// seconds.
const inviteEvery = 3500 * time.Millisecond

// patience is how long the port stays plugged in after a guest was invited for a time in vain: one that
// takes long to start takes long to open it too, and would find it gone each time.
func patience(inVain time.Duration) time.Duration { return max(inviteEvery, inVain/8) }

// invite plugs the port in, and out and in again while the guest does not
// open it, until ctx is done. A guest that reboots is invited again.
func (a *agent) invite(ctx context.Context, m *monitor) {
	plugged := false
	since := time.Now()
	for {
		a.mu.Lock()
		open := a.open
		a.mu.Unlock()
		if a.await(ctx, func() bool { return !a.open }) != nil || ctx.Err() != nil {
			return
		}
		if open { // it restarts
			since = time.Now()
		}
		if plugged {
			// Refused if the guest just did something with it; the next round tries again.
			_ = m.Execute(ctx, "device_del", map[string]any{"id": agentPort}, nil) //nolint:errcheck // see above
		}
		err := m.Execute(ctx, "device_add", map[string]any{
			"driver": "virtserialport", "bus": "serial.0", "chardev": "agent", "id": agentPort, "name": agentPort,
		}, nil)
		if errors.Is(err, errMonitorClosed) {
			return
		}
		plugged = true
		wait, cancel := context.WithTimeout(ctx, patience(time.Since(since)))
		_ = a.await(wait, func() bool { return a.open }) //nolint:errcheck // either way the loop goes on
		cancel()
	}
}

// A Result is what a command did in the guest.
type Result struct {
	Run       string  `json:"run"`
	Exit      int     `json:"exit"`   // its status; 124 or 137 when it was ended for its time
	Output    string  `json:"output"` // standard output and standard error as they came, at most 1 MiB
	Truncated bool    `json:"truncated,omitempty"`
	TimedOut  bool    `json:"timed_out,omitempty"`
	Seconds   float64 `json:"seconds"`
	Failure   string  `json:"failure,omitempty"` // why a test failed, or empty
}

// errAgentLost says that the guest closed the channel during a command.
var errAgentLost = errors.New("the machine restarted or stopped its agent meanwhile")

// grace is how much longer than its time a command may keep the channel, to
// be ended and to send its output.
const grace = 30 * time.Second

// run has the guest run a shell command, as root.
func (a *agent) run(ctx context.Context, command string, limit time.Duration) (Result, error) {
	a.running.Lock()
	defer a.running.Unlock()
	ctx, cancel := context.WithTimeout(ctx, limit+grace)
	defer cancel()
	if err := a.present(ctx); err != nil {
		return Result{}, err
	}
	c := &call{done: make(chan answer, 1)}
	a.change(func() {
		a.next++
		c.id = a.next
		a.call = c
	})
	start := time.Now()
	seconds := max(1, int(math.Ceil(limit.Seconds())))
	text := base64.StdEncoding.EncodeToString([]byte(command))
	if _, err := fmt.Fprintf(a.conn, "run %d %d %s\n", c.id, seconds, text); err != nil {
		return Result{}, fmt.Errorf("agent: %w", err)
	}
	select {
	case ans, ok := <-c.done:
		if !ok {
			return Result{}, errAgentLost
		}
		took := time.Since(start)
		return Result{
			Run: command, Exit: ans.status, Output: string(c.output),
			Truncated: ans.size > int64(len(c.output)),
			TimedOut:  took >= limit && (ans.status == 124 || ans.status == 137),
			Seconds:   math.Round(took.Seconds()*1000) / 1000,
		}, nil
	case <-ctx.Done():
		a.change(func() { a.call = nil })
		return Result{}, ctx.Err()
	}
}
