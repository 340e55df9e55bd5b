package errand

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

func TestParseHost(t *testing.T) {
	for _, row := range []struct{ address, want, login string }{
		{"ssh://vm.example.org", "ssh://vm.example.org", "ssh vm.example.org"},
		{"ssh://root@vm:2222/", "ssh://root@vm:2222", "ssh -p 2222 -l root vm"},
		{"ssh://[fe80::1%25eth0]:22", "ssh://[fe80::1%25eth0]:22", "ssh -p 22 fe80::1%eth0"},
		{"ssh://[::1]", "ssh://[::1]", "ssh ::1"},
		{"vm", "", "is not the address of a host"},
		{"http://vm", "", "is not the address of a host"},
		{"ssh:vm", "", "is not the address of a host"},
		{"ssh://a:secret@vm", "", "a password has no place"},
		{"ssh://a:se%zz@vm", "", "is not the address of a host"},
		{"ssh://-oProxyCommand=x", "", "is not the name of a host"},
		{"ssh://-l@vm", "", "is not the name of a user"},
		{"ssh://@vm", "", "is not the name of a user"},
		{"ssh://", "", "is not the name of a host"},
		{"ssh://vm:0", "", "is not a port"},
		{"ssh://vm:70000", "", "is not a port"},
		{"ssh://vm/srv", "", "there is more behind the host"},
	} {
		h, err := ParseHost(row.address)
		if row.want != "" {
			if err != nil || h.String() != row.want || h.login() != row.login {
				t.Errorf("%s: %s, %q, %v", row.address, h, h.login(), err)
			}
			continue
		}
		if fault.CodeOf(err) != fault.Usage || !strings.Contains(err.Error(), row.login) || strings.Contains(err.Error(), "se") && strings.Contains(row.address, "a:se") && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", row.address, err, row.login)
		}
	}
}

// A line is a connection in memory that can be cut after so many bytes to the host.
type line struct {
	conn   *Conn
	served chan error
	sent   *counter
}

type counter struct {
	w      io.WriteCloser
	n, cut int
	mute   bool // the other side hears no more, and is not told
}

var errCut = errors.New("cut")

func (c *counter) Write(p []byte) (int, error) {
	if c.mute {
		return len(p), nil
	}
	if c.cut >= 0 && c.n+len(p) > c.cut {
		n, _ := c.w.Write(p[:c.cut-c.n])
		c.n += n
		_ = c.w.Close()
		return n, errCut
	}
	n, err := c.w.Write(p)
	c.n += n
	return n, err
}

func (c *counter) Close() error { return c.w.Close() }

// dial begins a connection with a host that keeps its bundles in dir.
func dial(t *testing.T, dir string, cut int, run Runner) *line {
	t.Helper()
	toHost, fromHost := pipe(t), pipe(t)
	l := &line{served: make(chan error, 1), sent: &counter{w: toHost[1], cut: cut}}
	go func() {
		l.served <- Serve(context.WithoutCancel(t.Context()), toHost[0], fromHost[1], dir, run)
		_ = toHost[0].Close()
		_ = fromHost[1].Close()
	}()
	l.conn = &Conn{host: Host{Name: "vm"}, said: &lastWords{}, stdin: l.sent, stdout: fromHost[0], wait: func() error { return nil }}
	l.conn.kill = func() { _ = toHost[1].Close() }
	l.conn.connect(t.Context(), fromHost[0])
	t.Cleanup(l.conn.Close)
	return l
}

func pipe(t *testing.T) [2]*os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	return [2]*os.File{r, w}
}

// told is what a verb of a test says back, which is what it was given.
func told(ctx context.Context, j Job) fault.Code {
	var b bytes.Buffer
	text, err := io.ReadAll(j.In)
	if err != nil || j.On != "ssh://vm" {
		return fault.Failed
	}
	fmt.Fprintf(&b, "%q %q\n", j.Args, text)
	if j.Dir != "" {
		b.WriteString(listing(j.Dir))
	}
	_, _ = j.Out.Write(b.Bytes())
	if ctx.Err() != nil {
		return fault.Interrupted
	}
	return fault.Done
}

// listing is a directory as text: a name, a mode, a time and its bytes a line.
func listing(dir string) string {
	var b strings.Builder
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		info, _ := d.Info()
		data, _ := os.ReadFile(p)
		fmt.Fprintf(&b, "%s %o %d %.40q\n", rel, info.Mode().Perm(), info.ModTime().Unix(), data)
		return nil
	})
	return b.String()
}

// lay writes files and makes an errand of them.
func lay(t *testing.T, files map[string]string) *Errand {
	t.Helper()
	dir := t.TempDir()
	e := &Errand{Args: []string{"machine", "make"}, Stdin: []byte("a secret"), Bundle: "web-1"}
	for _, name := range sortedKeys(files) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(files[name]), 0o644), os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0))); err != nil {
			t.Fatal(err)
		}
		if err := e.Take(name, path); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func sortedKeys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	for i := range out {
		for j := range i {
			if out[i] < out[j] {
				out[i], out[j] = out[j], out[i]
			}
		}
	}
	return out
}

func TestErrand(t *testing.T) {
	dir := t.TempDir()
	big := strings.Repeat("0123456789abcdef", 50_000)
	send := func(e *Errand) (said string, sent int, err error) {
		l := dial(t, dir, -1, told)
		var out, errs bytes.Buffer
		announced := false
		err = l.conn.Run(t.Context(), e, nil, func() { announced = out.Len() == 0 }, Output{&out, &errs})
		if served := <-l.served; served != nil && !errors.Is(served, io.ErrUnexpectedEOF) {
			t.Errorf("the host: %v", served)
		}
		if err == nil && !announced {
			t.Error("the verb spoke before all was sent")
		}
		return out.String(), l.sent.n, err
	}
	want := func(said, files string) {
		t.Helper()
		if head := "[\"machine\" \"make\"] \"a secret\"\n"; said != head+files {
			t.Errorf("the verb saw\n%s, want\n%s", said, head+files)
		}
	}
	first := map[string]string{"a": "one", "b/c": big, "b/d": big, "empty": "", "old/x": "x"}
	said, sent, err := send(lay(t, first))
	if err != nil {
		t.Fatal(err)
	}
	want(said, fmt.Sprintf("a 644 1000000000 \"one\"\nb/c 644 1000000000 %.40q\nb/d 644 1000000000 %.40q\nempty 644 1000000000 \"\"\nold/x 644 1000000000 \"x\"\n", big, big))
	if sent > len(big)/2 {
		t.Errorf("two files alike came to %d bytes", sent)
	}
	// Nothing changed; then a file, a directory where a file was, a file where a directory was.
	if _, again, err := send(lay(t, first)); err != nil || again > 2000 {
		t.Errorf("the second time %d bytes: %v", again, err)
	}
	said, _, err = send(lay(t, map[string]string{"a/b": "two", "b": "three", "empty": ""}))
	if err != nil {
		t.Fatal(err)
	}
	want(said, "a/b 644 1000000000 \"two\"\nb 644 1000000000 \"three\"\nempty 644 1000000000 \"\"\n")
	// What somebody changed there is set right, though its size and time are the same.
	path := filepath.Join(dir, "web-1/files/b")
	if err := errors.Join(os.WriteFile(path+"2", []byte("THREE"), 0o600), os.Chtimes(path+"2", time.Unix(1e9, 0), time.Unix(1e9, 0)), os.Rename(path+"2", path)); err != nil {
		t.Fatal(err)
	}
	if said, _, err = send(lay(t, map[string]string{"b": "three"})); err != nil {
		t.Fatal(err)
	}
	want(said, "b 644 1000000000 \"three\"\n")
	// Without files.
	if said, _, err = send(&Errand{Args: []string{"list"}}); err != nil || said != "[\"list\"] \"\"\n" {
		t.Errorf("%q %v", said, err)
	}
	// A file that changes while it is sent arrives nowhere.
	e := lay(t, map[string]string{"b": "three!"})
	if err := os.WriteFile(e.Files[0].from, []byte("other!"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := send(e); fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), "ssh://vm: b: it has other bytes") || fault.HintOf(err) == "" {
		t.Errorf("a file that changed: %v", err)
	}
	if got := listing(filepath.Join(dir, "web-1/files")); got != "b 600 1000000000 \"three\"\n" && got != "b 644 1000000000 \"three\"\n" {
		t.Errorf("the bundle has %s", got)
	}
}

// A host believes no paths that lead out of a bundle.
func TestPathsStayInside(t *testing.T) {
	for _, e := range []*Errand{
		{Bundle: "../x", Files: []File{{Path: "a"}}}, {Bundle: ".x", Files: []File{{Path: "a"}}}, {Bundle: "a/b", Files: []File{{Path: "a"}}}, {Files: []File{{Path: "a"}}},
		{Bundle: "x", Files: []File{{Path: "../a"}}}, {Bundle: "x", Files: []File{{Path: "/a"}}}, {Bundle: "x", Files: []File{{Path: "a/../b"}}}, {Bundle: "x", Files: []File{{Path: "."}}},
		{Bundle: "x", Files: []File{{Path: "a"}, {Path: "a"}}}, {Bundle: "x", Files: []File{{Path: "a", Mode: fs.ModeSetuid | 0o755}}}, {Bundle: "x"},
	} {
		dir := t.TempDir()
		l := dial(t, filepath.Join(dir, "errands"), -1, told)
		err := l.conn.Run(t.Context(), e, nil, func() {}, Output{io.Discard, io.Discard})
		if fault.CodeOf(err) != fault.Usage {
			t.Errorf("%+v: %v", e, err)
		}
		if got := listing(dir); got != "" {
			t.Errorf("%+v left %s", e, got)
		}
	}
}

// Wherever a connection is cut, the host has the old files or the new ones, no verb goes on
// that nobody waits for, and the next errand sets all right.
func TestCutAnywhere(t *testing.T) {
	old, renewed := map[string]string{"a": "1", "b": strings.Repeat("x", 300), "gone": "1"}, map[string]string{"a": "2", "b": strings.Repeat("y", 3000), "c/d": "2"}
	is := func(files map[string]string) string {
		dir := t.TempDir()
		l := dial(t, dir, -1, told)
		if err := l.conn.Run(t.Context(), lay(t, files), nil, func() {}, Output{io.Discard, io.Discard}); err != nil {
			t.Fatal(err)
		}
		return listing(filepath.Join(dir, "web-1/files"))
	}
	before, after := is(old), is(renewed)
	for cut, whole := 0, false; !whole; cut += 23 {
		dir := t.TempDir()
		l := dial(t, dir, -1, told)
		if err := l.conn.Run(t.Context(), lay(t, old), nil, func() {}, Output{io.Discard, io.Discard}); err != nil {
			t.Fatal(err)
		}
		l = dial(t, dir, cut, told)
		err := l.conn.Run(t.Context(), lay(t, renewed), nil, func() {}, Output{io.Discard, io.Discard})
		<-l.served
		if whole = err == nil; !whole && fault.CodeOf(err) != fault.Unreachable {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if got := listing(filepath.Join(dir, "web-1/files")); got != before && got != after {
			t.Errorf("cut at %d, the host has\n%s", cut, got)
		}
		l = dial(t, dir, -1, told)
		if err := l.conn.Run(t.Context(), lay(t, renewed), nil, func() {}, Output{io.Discard, io.Discard}); err != nil {
			t.Fatal(err)
		}
		if got := listing(filepath.Join(dir, "web-1")); strings.Contains(got, incomingDir) || listing(filepath.Join(dir, "web-1/files")) != after {
			t.Errorf("after a cut at %d and another errand there is\n%s", cut, got)
		}
	}
}

// Many errands with the same files at once: each has them, and none is refused.
func TestMany(t *testing.T) {
	dir := t.TempDir()
	e := lay(t, map[string]string{"a": "one", "b/c": strings.Repeat("x", 100_000)})
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			l := dial(t, dir, -1, told)
			var out bytes.Buffer
			if err := l.conn.Run(t.Context(), e, nil, func() {}, Output{&out, io.Discard}); err != nil || strings.Count(out.String(), "\n") != 3 {
				t.Errorf("%v, and the verb saw\n%s", err, out.String())
			}
		})
	}
	all.Wait()
}

// Verbs with the same files run at the same time, also one that takes long.
func TestNobodyWaitsForAVerb(t *testing.T) {
	dir := t.TempDir()
	e := lay(t, map[string]string{"a": "one"})
	run := func(r Runner) error {
		return dial(t, dir, -1, r).conn.Run(t.Context(), e, nil, func() {}, Output{io.Discard, io.Discard})
	}
	if err := run(told); err != nil {
		t.Fatal(err)
	}
	began, end := make(chan struct{}), make(chan struct{})
	long := make(chan error, 1)
	go func() {
		long <- run(func(context.Context, Job) fault.Code {
			close(began)
			<-end
			return fault.Done
		})
	}()
	<-began
	if err := run(told); err != nil {
		t.Error(err)
	}
	close(end)
	if err := <-long; err != nil {
		t.Error(err)
	}
}

// held is a verb that goes on until it is told to stop, and then cleans up.
func held(began func()) Runner {
	return func(ctx context.Context, j Job) fault.Code {
		began()
		<-ctx.Done()
		_, _ = io.WriteString(j.Err, "undone\n")
		return fault.Interrupted
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := make(chan struct{})
	l := dial(t, t.TempDir(), -1, held(func() { <-sent; cancel() }))
	var errs bytes.Buffer
	err := l.conn.Run(ctx, &Errand{Args: []string{"x"}}, nil, func() { close(sent) }, Output{io.Discard, &errs})
	if there, ok := errors.AsType[*Ended](err); !ok || there.Code != fault.Interrupted || errs.String() != "undone\n" {
		t.Errorf("%v, and it said %q", err, errs.String())
	}
}

// What is typed while a verb runs reaches it then, and its answers come back at once.
func TestLive(t *testing.T) {
	typed, keys := io.Pipe()
	answers, said := io.Pipe()
	echo := func(_ context.Context, j Job) fault.Code {
		lines := bufio.NewScanner(j.In)
		for lines.Scan() && lines.Text() != "end" {
			fmt.Fprintf(j.Out, "<%s>\n", lines.Text())
		}
		return fault.Done
	}
	l := dial(t, t.TempDir(), -1, echo)
	done := make(chan error, 1)
	go func() {
		done <- l.conn.Run(t.Context(), &Errand{Args: []string{"x"}, Stdin: []byte("before\n"), Live: typed}, nil, func() {}, Output{said, io.Discard})
		_ = said.Close()
	}()
	heard := bufio.NewReader(answers)
	for _, word := range []string{"before", "one", "two"} {
		if word != "before" {
			fmt.Fprintln(keys, word)
		}
		if got, err := heard.ReadString('\n'); err != nil || got != "<"+word+">\n" {
			t.Fatalf("%s became %q: %v", word, got, err)
		}
	}
	fmt.Fprintln(keys, "end")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Who is interrupted while a host takes nothing in any more need not wait for it.
func TestInterruptedWhileSending(t *testing.T) {
	toHost, fromHost := pipe(t), pipe(t)
	c := &Conn{host: Host{Name: "vm"}, said: &lastWords{}, stdin: toHost[1], stdout: fromHost[0], wait: func() error { return nil }}
	c.kill = func() { _ = toHost[1].Close(); _ = toHost[0].Close(); _ = fromHost[1].Close() }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.connect(ctx, fromHost[0])
	host := &wire{out: fromHost[1]}
	if err := errors.Join(host.say(sayHello, nil), host.sayJSON(sayWant, []int{0})); err != nil {
		t.Fatal(err)
	}
	e := &Errand{Args: []string{"x"}, Bundle: "web-1"}
	noise := make([]byte, 4<<20)
	src := rand.NewChaCha8([32]byte{1})
	_, _ = src.Read(noise)
	from := filepath.Join(t.TempDir(), "noise")
	if err := errors.Join(os.WriteFile(from, noise, 0o600), e.Take("noise", from)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, e, nil, func() {}, Output{io.Discard, io.Discard}) }()
	buf := make([]byte, 1<<10) // the begin, and then the host reads no more
	if _, err := io.ReadFull(toHost[0], buf); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c.Close()
}

func TestCutWhileAVerbRuns(t *testing.T) {
	var l *line
	var ready sync.WaitGroup
	ready.Add(1)
	l = dial(t, t.TempDir(), -1, held(func() { ready.Wait(); l.conn.kill() }))
	ready.Done()
	err := l.conn.Run(t.Context(), &Errand{Args: []string{"x"}}, nil, func() {}, Output{io.Discard, io.Discard})
	if fault.CodeOf(err) != fault.Unreachable || fault.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	if err := <-l.served; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the host: %v", err)
	}
}

// A connection may be cut so that neither side is told.
func TestSilence(t *testing.T) {
	oldBeat, oldSilence := beat, silence
	beat, silence = 10*time.Millisecond, 300*time.Millisecond
	defer func() { beat, silence = oldBeat, oldSilence }()
	var l *line
	began := make(chan struct{})
	l = dial(t, t.TempDir(), -1, held(func() { close(began) }))
	go func() {
		<-began
		time.Sleep(2 * silence) // while both sides are there, nothing happens
		select {
		case err := <-l.served:
			t.Errorf("it ended while all was well: %v", err)
			l.served <- err
		default:
		}
		l.conn.wire.mu.Lock()
		l.sent.mute = true
		l.conn.wire.mu.Unlock()
	}()
	_ = l.conn.Run(t.Context(), &Errand{Args: []string{"x"}}, nil, func() {}, Output{io.Discard, io.Discard})
	if err := <-l.served; !errors.Is(err, errSilent) {
		t.Errorf("the host: %v", err)
	}
	l.conn.Close()
}

func TestHolesStayHoles(t *testing.T) {
	from := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(from)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("end"), 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(65<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	e := &Errand{Args: []string{"x"}, Bundle: "web-1"}
	if err := e.Take("disk.raw", from); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l := dial(t, dir, -1, told)
	if err := l.conn.Run(t.Context(), e, nil, func() {}, Output{io.Discard, io.Discard}); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "web-1/files/disk.raw"), &st); err != nil || st.Size != 65<<20 || st.Blocks > 2048 {
		t.Errorf("%d bytes in %d blocks: %v", st.Size, st.Blocks, err)
	}
	if l.sent.n > 100_000 {
		t.Errorf("holes came to %d bytes", l.sent.n)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, programsDir, name) }
	if err := os.Mkdir(filepath.Join(dir, programsDir), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old": 31 * 24 * time.Hour, "new": time.Hour} {
		when := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(at(name), nil, 0o755), os.Chtimes(at(name), when, when)); err != nil {
			t.Fatal(err)
		}
	}
	Sweep(dir)
	_, errOld := os.Stat(at("old"))
	_, errNew := os.Stat(at("new"))
	if errOld == nil || errNew != nil {
		t.Errorf("old: %v, new: %v", errOld, errNew)
	}
}
