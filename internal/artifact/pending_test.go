package artifact

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/digest"
)

// ls is the names in a directory.
func ls(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestPending(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	long := strings.Repeat(string(big), 40)
	pack := filepath.Join(t.TempDir(), "pack")
	if err := os.WriteFile(pack, big, 0o600); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(pack)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()

	for _, c := range []struct {
		name  string
		write func(p *Pending) error
		want  string
	}{
		{"nothing", func(*Pending) error { return nil }, ""},
		{"written", func(p *Pending) error { _, err := io.WriteString(p, "hello\n"); return err }, "hello\n"},
		{"copied", func(p *Pending) error {
			_, err := io.WriteString(p, "head")
			for done := int64(0); err == nil && done < 1<<20-16; {
				var n int64
				n, err = p.CopyFile(from, 16+done, 1<<20-16-done)
				done += n
			}
			_, err2 := io.WriteString(p, "tail")
			return errors.Join(err, err2)
		}, "head" + string(big[16:]) + "tail"},
		{"at random", func(p *Pending) error {
			_, err := p.File().WriteAt([]byte("b"), 1)
			_, err2 := p.File().WriteAt([]byte("a"), 0)
			return errors.Join(err, err2)
		}, "ab"},
		{"at places, in order", func(p *Pending) error {
			err := p.Truncate(int64(len(long) + 5))
			for at := 0; err == nil && at < len(long); at += len(big) {
				_, err = p.WriteAt([]byte(long[at:at+len(big)]), int64(at))
			}
			return err
		}, long + "\x00\x00\x00\x00\x00"},
		{"at places, and the first of them at last", func(p *Pending) error {
			var err error
			for at := len(big); err == nil && at < len(long); at += len(big) {
				_, err = p.WriteAt([]byte(long[at:at+len(big)]), int64(at))
			}
			for { // until some of it is hashed
				p.mu.Lock()
				done := p.claimed
				p.mu.Unlock()
				if done > 0 {
					break
				}
				runtime.Gosched()
			}
			_, err2 := p.WriteAt(big, 0)
			return errors.Join(err, err2)
		}, long},
		{"cut", func(p *Pending) error {
			var err error
			for at := 0; err == nil && at < len(long); at += len(big) {
				_, err = p.WriteAt([]byte(long[at:at+len(big)]), int64(at))
			}
			return errors.Join(err, p.Truncate(3))
		}, long[:3]},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "out.tar")
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Abort()
			if err := c.write(p); err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != "old" {
				t.Errorf("the old file changed before Commit: %q, %v", b, err)
			}
			size, sum, err := p.Commit()
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil || string(b) != c.want {
				t.Errorf("got %d bytes, want %d: %v", len(b), len(c.want), err)
			}
			if size != int64(len(c.want)) || sum != digest.Of(b) {
				t.Errorf("Commit says %d bytes of %s", size, sum)
			}
			p.Abort()
			if d := cmp.Diff([]string{"out.tar"}, ls(t, dir)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPendingAbort(t *testing.T) {
	dir := t.TempDir()
	p, err := Create(filepath.Join(dir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(p, "half")
	p.Abort()
	p.Abort()
	if d := cmp.Diff([]string{}, ls(t, dir)); d != "" {
		t.Error(d)
	}
	if _, err := Create(filepath.Join(dir, "missing", "x")); err == nil || !strings.Contains(err.Error(), "missing/x") {
		t.Errorf("error %v", err)
	}
	if _, _, err := p.Commit(); err == nil {
		t.Error("an aborted file was committed")
	}
}

// TestClean kills a writer and looks what the next run removes.
func TestClean(t *testing.T) {
	if dir := os.Getenv("TEST_CLEAN_WRITER"); dir != "" {
		p, err := Create(filepath.Join(dir, "killed.raw"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(p, "half")
		d, _, err := newDir(filepath.Join(dir, "killed"))
		if err != nil {
			t.Fatal(err)
		}
		for _, sub := range []string{"etc", "etc/closed"} {
			_ = os.Mkdir(filepath.Join(d, sub), 0o755)
		}
		_ = os.WriteFile(filepath.Join(d, "etc/closed/half"), nil, 0o600)
		_ = os.Chmod(filepath.Join(d, "etc/closed"), 0)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestClean$")
	cmd.Env = append(os.Environ(), "TEST_CLEAN_WRITER="+dir)
	if err := cmd.Run(); err == nil {
		t.Fatal("the writer was not killed")
	}
	names := ls(t, dir)
	if len(names) != 2 || !strings.HasPrefix(names[0], ".ingot-") || !strings.HasPrefix(names[1], ".ingot-") {
		t.Fatalf("the killed writer left %q", names)
	}
	living, err := Create(filepath.Join(dir, "living.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer living.Abort()
	livingDir, lock, err := newDir(filepath.Join(dir, "living"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for name, data := range map[string]string{"other.raw": "", ".hidden": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".ingot-dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	removed, err := Clean(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{filepath.Join(dir, names[0]), filepath.Join(dir, names[1])}, removed); d != "" {
		t.Errorf("removed: %s", d)
	}
	if _, _, err := living.Commit(); err != nil {
		t.Error(err)
	}
	left := []string{".hidden", filepath.Base(livingDir), ".ingot-dir", "living.raw", "other.raw"}
	slices.Sort(left)
	if d := cmp.Diff(left, ls(t, dir)); d != "" {
		t.Errorf("left: %s", d)
	}
}

func TestSums(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"web-amd64.raw": "raw", "a b.tar": "tar", "back\\slash": "x", "line\nbreak": "y"}
	sums := map[string]digest.Digest{"gone": of("gone")}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		sums[name] = of(data)
	}
	first := map[string]digest.Digest{"web-amd64.raw": of("of an older build")}
	for _, s := range []map[string]digest.Digest{first, sums} {
		if err := UpdateSums(dir, s); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, SumsName))
	if err != nil {
		t.Fatal(err)
	}
	delete(sums, "gone")
	if d := cmp.Diff(sums, ParseSums(string(b))); d != "" {
		t.Error(d)
	}
	// coreutils agrees, on what it checks and on what it writes.
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--strict", "-c", SumsName)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), "OK") != len(files) {
		t.Errorf("sha256sum -c: %v\n%s", err, out)
	}
	cmd = exec.CommandContext(t.Context(), "sha256sum", "--", "a b.tar", "back\\slash", "line\nbreak", "web-amd64.raw")
	cmd.Dir = dir
	if out, err := cmd.Output(); err != nil || string(out) != string(b) {
		t.Errorf("sha256sum writes %q (%v), we write %q", out, err, b)
	}
	if d := cmp.Diff([]string{"SHA256SUMS", "a b.tar", "back\\slash", "line\nbreak", "web-amd64.raw"}, ls(t, dir)); d != "" {
		t.Error(d)
	}
}

// TestSumsTogether: two builds into one directory lose no line.
func TestSumsTogether(t *testing.T) {
	dir := t.TempDir()
	done := make(chan error)
	for _, name := range []string{"a", "b", "c", "d"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		go func() { done <- UpdateSums(dir, map[string]digest.Digest{name: of(name)}) }()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, SumsName))
	if err != nil || len(ParseSums(string(b))) != 4 {
		t.Errorf("%s: %v", b, err)
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\\e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 *b\\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		sums := ParseSums(text)
		if d := cmp.Diff(sums, ParseSums(FormatSums(sums))); d != "" {
			t.Error(d)
		}
	})
}
