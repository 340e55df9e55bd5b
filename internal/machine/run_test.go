package machine

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/template"
	"ingot/internal/vm"
)

// echoSector boots by BIOS, says "ready" on the first serial line and then answers each
// byte with the one that follows it.
const echoSector = "\xfa\x31\xc0\x8e\xd8\xfc" +
	"\xbe\x25\x7c\xba\xf8\x03" + // mov si, the text's place; mov dx, 0x3f8: data
	"\xac\x84\xc0\x74\x03\xee\xeb\xf8" + // say: lodsb; test al, al; jz hear; out dx, al; jmp say
	"\xba\xfd\x03\xec\xa8\x01\x74\xf8" + // hear: in al, 0x3fd; test al, 1; jz hear
	"\xba\xf8\x03\xec\xfe\xc0\xee\xeb\xef" + // in al, 0x3f8; inc al; out 0x3f8, al; jmp hear
	"ready\r\n\x00"

// until waits for evidence, and not for a time.
func until(t *testing.T, what string, seen func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !seen(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never seen: %s", what)
		}
	}
}

// TestRun runs a machine that a boot sector is enough for. Who looks at it later is another
// process with nothing but the files.
func TestRun(t *testing.T) {
	judge.Path(t, "qemu-system-x86_64")
	h, image := place(t)
	disk := make([]byte, 1<<20)
	copy(disk, echoSector)
	disk[510], disk[511] = 0x55, 0xaa
	if err := os.WriteFile(image, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := h.Plan(request(t, image, "echo", nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	run := Runner{Tools: vm.Host(), Accel: vm.TCG}
	if _, err := h.Start(t.Context(), "echo", run); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(t.Context(), "echo", true, time.Minute); err != nil && fault.CodeOf(err) != fault.NotFound {
			t.Log(err)
		}
	})
	later := Home{h.Dir}
	r, err := later.Open("echo")
	if err != nil || later.PID(r) == 0 || r.SSH == 0 {
		t.Fatalf("it does not run: %+v %v", r, err)
	}
	if _, err := later.Start(t.Context(), "echo", run); fault.CodeOf(err) != fault.Busy {
		t.Errorf("started twice: %v", err)
	}
	if err := later.Remove("echo"); fault.CodeOf(err) != fault.Busy {
		t.Errorf("removed while it runs: %v", err)
	}
	until(t, "ready", func() bool {
		said, err := os.ReadFile(later.Log("echo"))
		return err == nil && strings.Contains(string(said), "ready")
	})
	conn, err := later.Console(t.Context(), "echo")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1)
	// The BIOS may still take the first away.
	for tries := 0; got[0] != 'b' && tries < 20; tries++ {
		if _, err := conn.Write([]byte("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, got); err != nil {
			t.Fatal(err)
		}
	}
	if got[0] != 'b' {
		t.Errorf("it answers %q", got)
	}
	// A boot sector knows no power button.
	if err := later.Stop(t.Context(), "echo", false, 300*time.Millisecond); fault.CodeOf(err) != fault.Health {
		t.Errorf("stopped: %v", err)
	}
	if err := later.Stop(t.Context(), "echo", true, time.Minute); err != nil {
		t.Fatal(err)
	}
	until(t, "its end", func() bool { return later.PID(r) == 0 })
	if err := later.Stop(t.Context(), "echo", false, time.Second); err != nil {
		t.Errorf("one that does not run: %v", err)
	}
	if _, err := later.Console(t.Context(), "echo"); err == nil {
		t.Error("a console of a machine that is off")
	}
	// The base was never written.
	if now, err := os.ReadFile(image); err != nil || string(now) != string(disk) {
		t.Error("the image was written")
	}
	if err := later.Remove("echo"); err != nil {
		t.Fatal(err)
	}
}

// TestSeedsStart has QEMU take a machine's seed of each kind, of which its command line, which
// everybody may read, says nothing.
func TestSeedsStart(t *testing.T) {
	judge.Path(t, "qemu-system-x86_64")
	for _, kind := range template.Seeds {
		h, image := place(t)
		p, err := h.Plan(seeded(t, image, "m", kind))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Do(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Start(t.Context(), "m", Runner{Tools: vm.Host(), Accel: vm.TCG}); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		r, err := h.Open("m")
		if err != nil {
			t.Fatal(err)
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", h.PID(r)))
		if err != nil || strings.Contains(string(line), "t0ken") || strings.Contains(string(line), base64.StdEncoding.EncodeToString([]byte("t0ken"))) {
			t.Errorf("%s: %v, the command line is %q", kind, err, line)
		}
		if err := h.Stop(t.Context(), "m", true, time.Minute); err != nil {
			t.Error(err)
		}
		for _, f := range files(t, h.Path("m")) {
			if f == logFile {
				continue // QEMU's, in a directory that others do not get into
			}
			if info, err := os.Stat(h.Path("m") + "/" + f); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: others may read %s: %v", kind, f, err)
			}
		}
	}
}

func TestStartRefuses(t *testing.T) {
	judge.Path(t, "qemu-system-x86_64")
	h, image := place(t)
	p, err := h.Plan(request(t, image, "m", nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(h.Path("m") + "/" + diskFile); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Start(t.Context(), "m", Runner{Tools: vm.Host(), Accel: vm.TCG}); err == nil || !strings.Contains(err.Error(), "does not start") || !strings.Contains(err.Error(), diskFile) {
		t.Errorf("%v", err)
	}
}
