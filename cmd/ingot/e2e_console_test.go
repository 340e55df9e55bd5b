package main_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// echoSector boots by BIOS, says "ready" on the first serial line and then answers
// each byte with the one that follows it: what a terminal's own echo would not.
//
// The BIOS listens on the line too whenever its clock ticks, and would take a byte away.
const echoSector = "\xfa" + // cli
	"\x31\xc0" + // xor ax, ax
	"\x8e\xd8" + // mov ds, ax
	"\xfc" + // cld
	"\xbe\x25\x7c" + // mov si, the text's place
	"\xba\xf8\x03" + // mov dx, 0x3f8: data
	"\xac\x84\xc0\x74\x03\xee\xeb\xf8" + // say: lodsb; test al, al; jz hear; out dx, al; jmp say
	"\xba\xfd\x03\xec\xa8\x01\x74\xf8" + // hear: mov dx, 0x3fd (state); in al, dx; test al, 1; jz hear
	"\xba\xf8\x03\xec\xfe\xc0\xee\xeb\xef" + // mov dx, 0x3f8; in al, dx; inc al; out dx, al; jmp hear
	"ready\r\n\x00"

// console judges "boot --console" on a real terminal.
func (c *court) console(t *testing.T) {
	disk := make([]byte, 1<<20)
	copy(disk, echoSector)
	disk[510], disk[511] = 0x55, 0xaa
	p := c.project(t, map[string]string{"echo.raw": string(disk)})
	for _, end := range []struct {
		name string
		code int
		do   func(keyboard *os.File, ingot *os.Process) error
	}{
		{"key", 0, func(keyboard *os.File, _ *os.Process) error {
			_, err := keyboard.WriteString("\x01x")
			return err
		}},
		{"signal", 130, func(_ *os.File, ingot *os.Process) error { return ingot.Signal(syscall.SIGTERM) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			keyboard, terminal := openTerminal(t)
			defer terminal.Close()
			before := modesOf(t, terminal)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := p.command(ctx, "boot", "echo.raw", "--console")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
			// The terminal does not control it: the kernel would mend the modes
			// when a session's leader ends.
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			s := watch(ctx, keyboard)
			s.await(t, "ready\r\n")
			during := modesOf(t, terminal)
			if during.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
				t.Errorf("the terminal is not raw: local modes %o", during.Lflag)
			}
			// Ctrl-C is the machine's, and so is Ctrl-A after a Ctrl-A.
			if _, err := keyboard.WriteString("HAL\x03\x01\x01"); err != nil {
				t.Fatal(err)
			}
			s.await(t, "IBM\x04\x02")
			if err := end.do(keyboard, cmd.Process); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != end.code {
				t.Errorf("it ended with %v, want exit code %d; the terminal shows:\n%q", cmd.ProcessState, end.code, s.text())
			}
			if d := cmp.Diff(before, modesOf(t, terminal)); d != "" {
				t.Errorf("the terminal is not as it was (-before +after):\n%s", d)
			}
		})
	}
}

// modesOf gives a terminal's modes.
func modesOf(t *testing.T, terminal *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

// A screen is what a terminal has shown so far.
type screen struct {
	ctx  context.Context
	mu   sync.Mutex
	seen bytes.Buffer
}

func watch(ctx context.Context, keyboard *os.File) *screen {
	s := &screen{ctx: ctx}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := keyboard.Read(b)
			s.mu.Lock()
			s.seen.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return // all have closed the terminal
			}
		}
	}()
	return s
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

func (s *screen) await(t *testing.T, want string) {
	t.Helper()
	for !strings.Contains(s.text(), want) {
		select {
		case <-s.ctx.Done():
			t.Fatalf("the terminal never shows %q:\n%q", want, s.text())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
