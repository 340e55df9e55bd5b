package draft

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

// kinds are both ways to make a draft; the second is what file systems without
// O_TMPFILE get.
var kinds = map[string]func(dir string) (*File, error){"nameless": Create, "named": CreateNamed}

// list is a directory as text: a name, its mode and its bytes a line.
func list(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		data := []byte("-")
		if info.Mode().IsRegular() {
			if data, err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
		name := e.Name()
		if isDraft(name) {
			name = "DRAFT"
		}
		fmt.Fprintln(&b, name, info.Mode(), string(data))
	}
	return b.String()
}

func TestPublish(t *testing.T) {
	old := syscall.Umask(0o077) // it must not matter
	defer syscall.Umask(old)
	for kind, create := range kinds {
		for _, c := range []struct {
			summary string
			there   string // what has the name already: "", "file", "dir"
			mode    fs.FileMode
			end     string
			want    string
			wantErr bool
		}{
			{"a new file", "", 0o644, "publish", "to -rw-r--r-- new\n", false},
			{"a read-only file", "", 0o444, "publish", "to -r--r--r-- new\n", false},
			{"in place of a file", "file", 0o644, "publish", "to -rw-r--r-- new\n", false},
			{"never in place of a directory", "dir", 0o644, "publish", "to drwx------ -\n", true},
			{"forgotten", "", 0o644, "discard", "", false},
			{"forgotten, and the old file stays", "file", 0o644, "discard", "to -rw------- old\n", false},
		} {
			t.Run(kind+": "+c.summary, func(t *testing.T) {
				dir := t.TempDir()
				to := filepath.Join(dir, "to")
				var err error
				switch c.there {
				case "file":
					err = os.WriteFile(to, []byte("old"), 0o666)
				case "dir":
					err = os.Mkdir(to, 0o777)
				}
				if err != nil {
					t.Fatal(err)
				}
				f, err := create(dir)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteString("new"); err != nil {
					t.Fatal(err)
				}
				if c.there == "file" {
					if got, err := os.ReadFile(to); err != nil || string(got) != "old" {
						t.Errorf("before it is published, %q %v", got, err)
					}
				}
				if c.end == "publish" {
					err = f.Publish(to, c.mode)
				}
				f.Discard()
				f.Discard()
				if (err != nil) != c.wantErr {
					t.Errorf("error %v, want one: %v", err, c.wantErr)
				}
				if got := list(t, dir); got != c.want {
					t.Errorf("got:\n%swant:\n%s", got, c.want)
				}
			})
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"one", "two, longer", ""} {
		if err := Write(filepath.Join(dir, "f"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, want := list(t, dir), "f -rw------- "+text+"\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := Write(filepath.Join(dir, "none", "f"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	name := func(n string) string { return filepath.Join(dir, n) }
	dead, other := prefix+strings.Repeat("0", digits), prefix+"00000000000000zz"
	link, fifo, sub := prefix+strings.Repeat("1", digits), prefix+strings.Repeat("2", digits), prefix+strings.Repeat("3", digits)
	for _, n := range []string{dead, other, ".ingot-draft-notes", "file"} {
		if err := os.WriteFile(name(n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("file", name(link)), unix.Mkfifo(name(fifo), 0o600), os.Mkdir(name(sub), 0o700)); err != nil {
		t.Fatal(err)
	}
	live, err := CreateNamed(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Discard()
	Sweep(dir)
	Sweep(name("none"))
	var got []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := []string{filepath.Base(live.name), other, ".ingot-draft-notes", "file", link, fifo, sub}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("left %q\nwant %q", got, want)
	}
}

// TestSweepWhileWriting has drafts begun and published while others sweep: no
// writer may fail because of it.
func TestSweepWhileWriting(t *testing.T) {
	dir := t.TempDir()
	done := make(chan bool)
	swept := make(chan bool)
	go func() {
		defer close(swept)
		for {
			select {
			case <-done:
				return
			default:
				Sweep(dir)
			}
		}
	}()
	for i := range 400 {
		for kind, create := range kinds {
			f, err := create(dir)
			if err != nil {
				t.Fatalf("%s %d: %v", kind, i, err)
			}
			_, err = f.WriteString("x")
			if err := errors.Join(err, f.Publish(filepath.Join(dir, "to"), 0o644)); err != nil {
				t.Fatalf("%s %d: %v", kind, i, err)
			}
		}
	}
	close(done)
	<-swept
	if got, want := list(t, dir), "to -rw-r--r-- x\n"; got != want {
		t.Errorf("left %q, want %q", got, want)
	}
}

// TestKilled kills a writer; what it left is swept, and nothing half written has
// a name.
func TestKilled(t *testing.T) {
	const variable = "INGOT_TEST_DRAFTS"
	if dir := os.Getenv(variable); dir != "" {
		for kind, create := range kinds {
			f, err := create(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString("half of " + kind); err != nil {
				t.Fatal(err)
			}
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), variable+"="+dir)
	var exit *exec.ExitError
	if out, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the child ended with %v: %s", err, out)
	}
	if got, want := list(t, dir), "DRAFT -rw------- half of named\n"; got != want {
		t.Errorf("left %q, want %q", got, want)
	}
	Sweep(dir)
	if got := list(t, dir); got != "" {
		t.Errorf("after a sweep there is still %q", got)
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err      error
		code     fault.Code
		says     string
		hintSays string
	}{
		{nil, fault.Done, "", ""},
		{&fs.PathError{Op: "write", Path: "f", Err: unix.ENOSPC}, fault.Preflight, "no space left: write f", "INGOT_X"},
		{fmt.Errorf("cannot: %w", unix.EDQUOT), fault.Preflight, "no space left: cannot", "ingot store gc"},
		{fmt.Errorf("cannot: %w", unix.EROFS), fault.Preflight, "cannot: read-only", "INGOT_X"},
		{fmt.Errorf("cannot: %w", unix.EACCES), fault.Preflight, "cannot: permission", "INGOT_X"},
		{fmt.Errorf("cannot: %w", unix.EIO), fault.Failed, "cannot: input/output", ""},
		{fault.Newf(fault.Busy, "cannot: %w", unix.ENOSPC), fault.Busy, "cannot: no space", ""},
	} {
		err := Explain(c.err, "INGOT_X")
		if fault.CodeOf(err) != c.code || !strings.Contains(fault.HintOf(err), c.hintSays) || !errors.Is(err, c.err) {
			t.Errorf("%v: code %d, hint %q, %v", c.err, fault.CodeOf(err), fault.HintOf(err), err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%v says %q, want %q", c.err, err, c.says)
		}
	}
}
