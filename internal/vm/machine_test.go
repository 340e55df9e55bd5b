package vm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/vm"
)

func needQEMU(t *testing.T) {
	t.Helper()
	if _, err := vm.Host().Emulator(t.Context(), vm.Need{Arch: "amd64", Firmware: vm.BIOS}); err != nil {
		if judge.At() != judge.Plain {
			t.Fatal(err)
		}
		t.Skip("runs small guests under QEMU: ./test.sh brings it, or the package qemu-system-x86")
	}
}

// guest writes a disk whose boot sector says a text on the serial port and then
// runs the code given.
func guest(t *testing.T, text string, then ...byte) string {
	t.Helper()
	b := []byte{
		0x31, 0xc0, //       xor ax, ax
		0x8e, 0xd8, //       mov ds, ax
		0xbe, 0x00, 0x7d, // mov si, 0x7d00: the text
		0xfc,       //       cld
		0xac,       //       lodsb
		0x84, 0xc0, //       test al, al
		0x74, 0x06, //       jz over the next three
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xee,       //       out dx, al
		0xeb, 0xf5, //       jmp to lodsb
	}
	b = append(b, then...)
	b = append(b, 0xf4, 0xeb, 0xfd) // hlt, again and again
	b = append(b, make([]byte, 512-len(b))...)
	copy(b[256:500], text)
	b[510], b[511] = 0x55, 0xaa
	path := filepath.Join(t.TempDir(), "guest.raw")
	if err := os.WriteFile(path, append(b, make([]byte, 1<<20-512)...), 0o444); err != nil {
		t.Fatal(err)
	}
	return path
}

// small is a machine for a boot sector.
func small(path string) vm.Spec {
	return vm.Spec{Disk: vm.Disk{Path: path, Format: vm.Raw}, Memory: 64 << 20, CPUs: 1, Accel: vm.TCG}
}

// patience is for a machine that does other things; it passes only in a failure.
const patience = 2 * time.Minute

func TestWait(t *testing.T) {
	needQEMU(t)
	empty := filepath.Join(t.TempDir(), "empty.raw")
	if err := os.WriteFile(empty, make([]byte, 1<<20), 0o444); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, path, expect string
		limit              time.Duration
		want               string // the proof's line, or parts of the error between "…"
	}{
		{"login", guest(t, "\r\nHello\r\njudge login: "), "", patience, "judge login:"},
		{"expected", guest(t, "\r\nservice up\r\n"), "^service up$", patience, "service up"},
		{
			"nothing to boot", empty, "", patience,
			"boot of empty.raw: firmware found nothing to boot: No bootable device…; the console's last lines:…No bootable device",
		},
		{
			"time", guest(t, "\r\nonly this\r\n"), "something else", 10 * time.Second,
			"boot of guest.raw: time is up after …s before a line that matches something else appeared…\n  only this",
		},
		{
			// Through the keyboard controller, as old software does.
			"resets again and again", guest(t, "again\r\n", 0xb0, 0xfe, 0xe6, 0x64), "never", 10 * time.Second,
			"time is up after …s before a line that matches never appeared (the machine reset …",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), row.limit)
			defer cancel()
			m, err := vm.Start(ctx, small(row.path))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Stop()
			var e vm.Evidence
			if row.expect != "" {
				e.Expect = []*regexp.Regexp{regexp.MustCompile(row.expect)}
			}
			proof, err := m.Wait(ctx, e)
			got := proof.Line
			if err != nil {
				got = err.Error()
				if fault.CodeOf(err) != fault.Health || fault.HintOf(err) == "" {
					t.Errorf("code %d, hint %q", fault.CodeOf(err), fault.HintOf(err))
				}
			}
			for part := range strings.SplitSeq(row.want, "…") {
				if !strings.Contains(got, part) {
					t.Errorf("got %s\nwant %s", got, row.want)
				}
			}
		})
	}
}

func TestCancelStopsQEMU(t *testing.T) {
	needQEMU(t)
	ctx, cancel := context.WithCancel(t.Context())
	m, err := vm.Start(ctx, small(guest(t, "x")))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := m.Wait(ctx, vm.Evidence{}); !errors.Is(err, context.Canceled) && fault.CodeOf(err) != fault.Health {
		t.Errorf("error is %v", err)
	}
	select {
	case <-m.Done():
	case <-time.After(patience):
		t.Error("qemu still runs")
	}
	m.Stop()
}

func TestQEMUSaysWhyItDoesNotStart(t *testing.T) {
	needQEMU(t)
	spec := small(guest(t, "x"))
	spec.Memory = 1 << 50
	_, err := vm.Start(t.Context(), spec)
	if err == nil || !strings.Contains(err.Error(), "qemu ended: exit status 1: ") {
		t.Errorf("error is %v", err)
	}
}

// A prefix stands for a sandbox: QEMU gets all it needs by descriptors, so that an
// environment and a working directory without anything do.
type prefixed struct{ vm.Toolbox }

func (p prefixed) Emulator(ctx context.Context, n vm.Need) (vm.Emulator, error) {
	e, err := p.Toolbox.Emulator(ctx, n)
	e.Prefix = []string{"/usr/bin/env", "-i", "-C", "/proc"}
	return e, err
}

func TestPrefix(t *testing.T) {
	needQEMU(t)
	spec := small(guest(t, "\r\njudge login: "))
	spec.Tools = vm.FirstOf(nowhere{}, prefixed{vm.Host()})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := vm.Start(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	if _, err := m.Wait(ctx, vm.Evidence{}); err != nil {
		t.Error(err)
	}
}

type nowhere struct{}

func (nowhere) Emulator(context.Context, vm.Need) (vm.Emulator, error) {
	return vm.Emulator{}, fault.Newf(fault.Preflight, "not here").WithHint("look elsewhere")
}

func TestNoToolboxHasIt(t *testing.T) {
	_, err := vm.FirstOf(nowhere{}, nowhere{}).Emulator(t.Context(), vm.Need{})
	if fault.CodeOf(err) != fault.Preflight || err.Error() != "no QEMU: not here\nnot here" || fault.HintOf(err) != "look elsewhere" {
		t.Errorf("error is %v, hint %q", err, fault.HintOf(err))
	}
}

// TestKilledParentLeavesNothing runs this test program once more, as an ingot that
// is killed while its machine runs.
func TestKilledParentLeavesNothing(t *testing.T) {
	needQEMU(t)
	if disk := os.Getenv("VM_TEST_PARENT"); disk != "" {
		if _, err := vm.Start(context.Background(), small(disk)); err != nil {
			fmt.Println("failed:", err)
			return
		}
		fmt.Println("started")
		select {}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledParentLeavesNothing$") //nolint:gosec // this very program
	scratch := t.TempDir()
	cmd.Env = append(os.Environ(), "VM_TEST_PARENT="+guest(t, "x"), "TMPDIR="+scratch)
	out := &firstLine{found: make(chan string, 1)}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line := <-out.found; line != "started" {
		t.Fatal(line)
	}
	children := childrenOf(t, cmd.Process.Pid)
	if len(children) != 1 {
		t.Fatalf("children are %v", children)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() //nolint:errcheck // it was killed
	for deadline := time.Now().Add(patience); running(children[0]); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("qemu still runs")
		}
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// firstLine gives the first line that is written to it.
type firstLine struct {
	b     bytes.Buffer
	said  bool
	found chan string
}

func (f *firstLine) Write(p []byte) (int, error) {
	if !f.said {
		f.b.Write(p)
		if line, err := f.b.ReadString('\n'); err == nil {
			f.found <- strings.TrimSpace(line)
			f.said = true
		}
	}
	return len(p), nil
}

func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	var out []int
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range strings.Fields(string(b)) {
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, n)
		}
	}
	return out
}

// running says whether a process is more than a zombie.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "Z")
}
