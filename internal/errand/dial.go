package errand

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"ingot/internal/fault"
	"ingot/internal/sparse"
	"ingot/internal/ui"
)

//go:embed bring.sh
var bring string

// mark begins a line of bring.sh that is for this program. Others are what a log-in there
// prints.
const mark = "ingot errand "

// A Conn is a connection with this program on another host.
type Conn struct {
	host    Host
	kill    func()       // ends ssh
	wait    func() error // until it has ended and all that it said was read
	stdin   io.WriteCloser
	stdout  io.ReadCloser
	said    *lastWords // ssh's own
	wire    *wire
	cause   func() error // why it was cut
	before  int64        // bytes that were sent before the wire was there
	waiting sync.Once
	ended   error
}

// Dial reaches a host by the system's ssh and has this program run there, which it is sent
// if it has none of the same bytes. ssh asks its questions on the terminal if ask is true;
// else it asks none.
func (h Host) Dial(ctx context.Context, ask bool, p *ui.Progress) (*Conn, error) {
	program, err := exec.LookPath("ssh")
	if err != nil {
		return nil, fault.Newf(fault.Preflight, "there is no program ssh: %w", err).WithHint("as root: apt-get install openssh-client")
	}
	ssh := exec.Command(program, h.arguments(ask)...) //nolint:noctx // it is told to end first
	c := &Conn{host: h, said: &lastWords{}, kill: func() { _ = ssh.Process.Kill() }}
	// Not by exec.Cmd, which would wait for its end: the process of a connection that ssh
	// shares (ControlPersist) keeps it open, and stays.
	errs, theirs, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot run ssh: %w", err)
	}
	ssh.Stderr = theirs
	if c.stdin, err = ssh.StdinPipe(); err == nil {
		c.stdout, err = ssh.StdoutPipe()
	}
	if err == nil {
		err = ssh.Start()
	}
	_ = theirs.Close()
	if err != nil {
		_ = errs.Close()
		return nil, fault.Newf(fault.Preflight, "cannot run ssh: %w", err)
	}
	heard := make(chan struct{})
	go func() {
		_, _ = io.Copy(c.said, errs)
		_ = errs.Close()
		close(heard)
	}()
	c.wait = func() error {
		err := ssh.Wait()
		select {
		case <-heard:
		case <-time.After(200 * time.Millisecond): // what ssh itself said is in the pipe by now
		}
		return err
	}
	stop := context.AfterFunc(ctx, c.kill)
	in := bufio.NewReader(c.stdout)
	err = c.bring(in, p)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	c.connect(ctx, in)
	return c, nil
}

// connect begins the talk with this program there.
func (c *Conn) connect(ctx context.Context, in io.Reader) {
	// Whoever is interrupted still hears how the verb ended.
	ctx, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	c.cause = func() error { return context.Cause(ctx) }
	c.wire = newWire(ctx, in, c.stdin, func(err error) {
		cut(err)
		c.kill()
	})
}

func (h Host) arguments(ask bool) []string {
	// Nothing of the user's here is for that host: neither his agent nor his display.
	args := []string{"-T", "-a", "-x", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none"}
	if !ask {
		args = append(args, "-o", "BatchMode=yes")
	}
	if h.Port != "" {
		args = append(args, "-p", h.Port)
	}
	if h.User != "" {
		args = append(args, "-l", h.User)
	}
	return append(args, "--", h.Name, "exec sh") // in any shell's words
}

// bring has the program started there.
func (c *Conn) bring(in *bufio.Reader, p *ui.Progress) error {
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("cannot read this program: %w", err)
	}
	defer exe.Close()
	info, err := exe.Stat()
	if err != nil {
		return err
	}
	sum, err := sparse.Digest(exe, 0, info.Size())
	if err != nil {
		return fmt.Errorf("cannot read this program: %w", err)
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err
	}
	machine := unix.ByteSliceToString(uts.Machine[:])
	script := fmt.Sprintf("%s\nbring %s %s\n", bring, sum, machine)
	if err := c.write([]byte(script)); err != nil {
		return c.refused(err)
	}
	for {
		word, rest, err := c.answer(in)
		if err != nil {
			return c.refused(err)
		}
		switch word {
		case "ready":
			return nil
		case "send":
			err = c.sendProgram(exe, info.Size(), p)
		case "other":
			err = fault.Newf(fault.Preflight, "%s is %s, and this ingot is for Linux %s", c.host, rest, machine).WithHint("run an ingot that is built for it, on that host itself or on one like it")
		default:
			err = fault.Newf(fault.Preflight, "%s cannot %s%s", c.host, rest, c.said.tail()).WithHint("INGOT_HOME on that host says where it keeps things")
		}
		if err != nil {
			return err
		}
	}
}

// answer is the next thing that bring.sh says.
func (c *Conn) answer(in *bufio.Reader) (word, rest string, err error) {
	for left := 1 << 20; left > 0; {
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return "", "", err
		}
		left -= len(line)
		if text, ok := strings.CutPrefix(string(line), mark); ok {
			word, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
			return word, rest, nil
		}
	}
	return "", "", errors.New("a log-in there prints without an end")
}

func (c *Conn) sendProgram(exe *os.File, size int64, p *ui.Progress) error {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := io.Copy(z, io.NewSectionReader(exe, 0, size))
	if err = errors.Join(err, z.Close()); err != nil {
		return fmt.Errorf("cannot read this program: %w", err)
	}
	task := p.Start(ui.Step{ID: "send:program", Name: "send ingot itself", Unit: ui.Bytes, Total: int64(packed.Len())})
	err = c.write(fmt.Appendf(nil, "%d\n", packed.Len()))
	for err == nil && packed.Len() > 0 {
		part := packed.Next(piece)
		err = c.write(part)
		task.Add(int64(len(part)))
	}
	if err != nil {
		err = c.lost()
	}
	task.Done(err)
	return err
}

func (c *Conn) write(b []byte) error {
	n, err := c.stdin.Write(b)
	c.before += int64(n)
	return err
}

// Sent is how many bytes have gone to the host.
func (c *Conn) Sent() int64 {
	if c.wire == nil {
		return c.before
	}
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	return c.before + c.wire.sent
}

// Close ends the connection.
func (c *Conn) Close() {
	_ = c.stdin.Close() // the other side hears that nothing follows
	_ = c.end(2 * time.Second)
	if c.wire != nil {
		c.wire.stop()
	}
}

// end waits until ssh has ended, and ends it when it takes long.
func (c *Conn) end(patience time.Duration) error {
	c.waiting.Do(func() {
		kill := time.AfterFunc(patience, c.kill)
		defer kill.Stop()
		if c.wire == nil {
			_, _ = io.Copy(io.Discard, c.stdout) // until its end: Wait closes it
		} else {
			for range c.wire.frames { //nolint:revive // until its end
			}
		}
		c.ended = c.wait()
	})
	return c.ended
}

// lastWords keeps the end of what is written to it.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if cut := len(l.text) - 8<<10; cut > 0 {
		l.text = l.text[cut:]
	}
	return len(p), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// tail is the last line, to be put behind a message.
func (l *lastWords) tail() string {
	lines := strings.Split(strings.TrimSpace(l.String()), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return ": " + last
	}
	return ""
}
