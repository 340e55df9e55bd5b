package layout_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/boot"
	"ingot/internal/digest"
	"ingot/internal/judge"
	"ingot/internal/tree"
)

// packs keeps contents in one file.
type packs string

func (p packs) Open(string) (*os.File, error) { return os.Open(string(p)) }

// pack collects contents while a tree is made.
type pack struct {
	f   *os.File
	end int64
}

func newPack(t testing.TB) *pack {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "pack"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &pack{f: f}
}

func (p *pack) add(r io.Reader) (tree.Content, error) {
	d, n, err := digest.Reader(io.TeeReader(r, io.NewOffsetWriter(p.f, p.end)))
	c := tree.Content{Digest: d, Size: n, Pack: "pack", Offset: p.end}
	p.end += n
	return c, err
}

func (p *pack) reader(t testing.TB) *tree.Reader {
	t.Helper()
	r := tree.NewReader(packs(p.f.Name()))
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// readTar makes a tree of a tar file.
func (p *pack) readTar(t testing.TB, path string) tree.Tree {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	entries, err := tree.ReadTar(f, tree.Limits{Devices: true}, func(_ tree.Entry, r io.Reader) (tree.Content, error) { return p.add(r) })
	if err != nil {
		t.Fatal(err)
	}
	made, err := tree.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// put adds files to a tree, as the artifact's step does: directories that are
// there stay as they are, and a parent that is a link is followed.
func (p *pack) put(t testing.TB, base tree.Tree, epoch int64, files []boot.File) tree.Tree {
	t.Helper()
	var d tree.Delta
	for _, f := range files {
		if old, ok := base.Lookup(f.Path); ok && old.Kind == tree.Dir && f.Kind == tree.Dir {
			continue
		}
		e := tree.Entry{Path: f.Path, Kind: f.Kind, Mode: f.Mode, Link: f.Link, Mtime: tree.Time{Sec: epoch}}
		if f.Kind == tree.File {
			c, err := p.add(bytes.NewReader(f.Data))
			if err != nil {
				t.Fatal(err)
			}
			e.Content = c
		}
		d.Set = append(d.Set, e)
	}
	out, err := base.Apply(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A console collects what a machine says.
type console struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(p)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

// bootMachine starts a disk, which the machine may change, until it powers
// itself off, and gives what it said on its serial ports. It fails unless all of want were said.
func bootMachine(t *testing.T, diskPath, format, firmware string, want ...string) string {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report")
	args := []string{
		// Emulated by QEMU 7.2, cmpxchg16b without a lock spoils the flags when it
		// is interrupted, and kernels since 6.3 use it to allocate memory.
		"-accel", "tcg,thread=multi", "-cpu", "qemu64,-cx16", "-m", "1024", "-smp", "2", "-nodefaults", "-vga", "std", "-display", "none", "-no-reboot",
		"-drive", "file=" + diskPath + ",format=" + format + ",if=virtio,cache=unsafe",
		"-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n", "-device", "virtio-rng-pci", "-serial", "stdio", "-serial", "file:" + report,
	}
	if firmware == "uefi" {
		code := judge.File(t, "/usr/share/OVMF/OVMF_CODE_4M.fd")
		b, err := os.ReadFile(judge.File(t, "/usr/share/OVMF/OVMF_VARS_4M.fd"))
		if err != nil {
			t.Fatal(err)
		}
		mine := filepath.Join(t.TempDir(), "vars")
		if err := os.WriteFile(mine, b, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-drive", "if=pflash,format=raw,readonly=on,file="+code, "-drive", "if=pflash,format=raw,file="+mine)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	var out console
	cmd := exec.CommandContext(ctx, judge.Path(t, "qemu-system-x86_64"), args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	reported, _ := os.ReadFile(report) // fails where QEMU did
	said := out.String() + "\n" + strings.ReplaceAll(string(reported), "\r", "")
	if save := os.Getenv("INGOT_TEST_CONSOLES"); save != "" {
		name := strings.NewReplacer("/", "-").Replace(t.Name()) + time.Now().Format("-150405.log")
		_ = os.WriteFile(filepath.Join(save, name), []byte(said), 0o600)
	}
	t.Logf("%s, %s: %.1f s", filepath.Base(diskPath), firmware, time.Since(start).Seconds())
	if err != nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatalf("machine: %v\n%s", err, last(said))
	}
	for line := range strings.Lines(said) {
		for _, bad := range []string{"error: ", "Failed to start", "Failed to mount", "Timed out", "EXT4-fs error", "EXT4-fs warning", "emergency mode"} {
			if strings.Contains(line, bad) {
				t.Errorf("%s: %s", firmware, line)
			}
		}
	}
	for _, w := range want {
		if !regexp.MustCompile(w).MatchString(said) {
			t.Errorf("%s: the console does not say %q:\n%s", firmware, w, last(said))
		}
	}
	return said
}

func last(s string) string { return s[max(0, len(s)-6000):] }
