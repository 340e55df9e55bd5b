package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
	"ingot/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main() // removing work directories may need a box
	os.Exit(m.Run())
}

func open(t *testing.T, dir string) *Cache {
	t.Helper()
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// another is the boot that this machine is not in.
var another = []byte("00000000-0000-0000-0000-000000000000")

// bootOf reads an entry's last bytes.
func bootOf(t *testing.T, c *Cache, name string) string {
	t.Helper()
	data, err := os.ReadFile(c.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data[len(data)-bootSize:])
}

func TestPutAndGet(t *testing.T) {
	c := open(t, t.TempDir())
	big := bytes.Repeat([]byte("0123456789"), 100_000)
	for _, data := range [][]byte{nil, []byte("a"), []byte("b"), big} {
		if err := c.Put("steps/x", data); err != nil {
			t.Fatal(err)
		}
		got, err := c.Get("steps/x")
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("got %d bytes, %v, want %d", len(got), err, len(data))
		}
		f, err := c.Open("steps/x")
		if err != nil {
			t.Fatal(err)
		}
		part := make([]byte, len(data))
		if _, err := f.ReadAt(part, 0); err != nil || !bytes.Equal(part, data) {
			t.Errorf("opened: %v", err)
		}
		_ = f.Close()
	}
	if !c.Has("steps/x") || c.Has("steps/y") || c.Has("steps") {
		t.Error("Has is wrong")
	}
	for _, name := range []string{"steps/y", "y", "steps", "", ".", "../entries/steps/x", "steps/../steps/../../x", "/etc/passwd"} {
		if _, err := c.Get(name); !errors.Is(err, ErrMissing) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", "../x", "/x"} {
		if err := c.Put(name, nil); err == nil {
			t.Errorf("%q became an entry", name)
		}
	}
}

// TestDamage damages an entry in a boot and asks for it in that boot or the next.
func TestDamage(t *testing.T) {
	const text = "some content of an entry"
	for _, c := range []struct {
		summary string
		damage  func(b []byte) []byte
		same    bool // boot
		ok      bool
	}{
		{"whole", func(b []byte) []byte { return b }, true, true},
		{"whole, in another boot", func(b []byte) []byte { return b }, false, true},
		// Who writes into the cache in the same boot is the user himself.
		{"changed", func(b []byte) []byte { b[3]++; return b }, false, false},
		{"zeros, as ext4 leaves after a power cut", func(b []byte) []byte { return make([]byte, len(b)) }, true, false},
		{"zeros before the trailer", func(b []byte) []byte { copy(b, make([]byte, len(text))); return b }, false, false},
		{"empty", func([]byte) []byte { return nil }, true, false},
		{"cut off in the content", func(b []byte) []byte { return b[:5] }, true, false},
		{"cut off by a byte", func(b []byte) []byte { return b[:len(b)-1] }, true, false},
		{"longer", func(b []byte) []byte { return append(b, "more"...) }, true, false},
		{"content longer", func(b []byte) []byte { return append([]byte("more"), b...) }, true, false},
		{"content shorter", func(b []byte) []byte { return b[1:] }, true, false},
		{"another digest", func(b []byte) []byte { b[len(text)+len(magic)]++; return b }, false, false},
		{"another format", func(b []byte) []byte { return bytes.Replace(b, []byte(magic), []byte("ingot cache 9\n"), 1) }, true, false},
	} {
		t.Run(c.summary, func(t *testing.T) {
			dir := t.TempDir()
			cache := open(t, dir)
			if err := cache.Put("steps/x", []byte(text)); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(cache.path("steps/x"))
			if err != nil {
				t.Fatal(err)
			}
			if !c.same {
				copy(b[len(b)-bootSize:], another)
			}
			if err := os.WriteFile(cache.path("steps/x"), c.damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := cache.Get("steps/x")
			if c.ok {
				if err != nil || string(got) != text || bootOf(t, cache, "steps/x") != cache.boot {
					t.Errorf("got %q, %v; verified in boot %s", got, err, bootOf(t, cache, "steps/x"))
				}
				return
			}
			if !errors.Is(err, ErrMissing) || cache.Has("steps/x") {
				t.Errorf("%q %v; it is still there: %v", got, err, cache.Has("steps/x"))
			}
			if err := cache.Put("steps/x", []byte(text)); err != nil {
				t.Error(err)
			}
			if got, err := cache.Get("steps/x"); err != nil || string(got) != text {
				t.Errorf("made again: %q, %v", got, err)
			}
		})
	}
}

func TestNotAFile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := open(t, t.TempDir())
	path := c.path("steps/x")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for what, make := range map[string]func() error{
		"a link": func() error { return os.Symlink(secret, path) },
		"a FIFO": func() error { return unix.Mkfifo(path, 0o600) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get("steps/x"); !errors.Is(err, ErrMissing) || c.Has("steps/x") {
			t.Errorf("%s: %v", what, err)
		}
		if err := c.Put("steps/x", []byte("ours")); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := os.ReadFile(secret); string(got) != "secret" {
		t.Errorf("the link's target is now %q", got)
	}
}

func TestPending(t *testing.T) {
	c := open(t, t.TempDir())
	p, err := c.Create("steps/x")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{0, 3, 6} {
		if p.Size() != want || p.Name() != "steps/x" {
			t.Errorf("%d: %s has %d bytes, want %d", i, p.Name(), p.Size(), want)
		}
		if _, err := p.Write([]byte("abc")); err != nil {
			t.Fatal(err)
		}
	}
	if c.Has("steps/x") {
		t.Error("it is there before it is committed")
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	p.Discard()
	if err := p.Commit(); err == nil {
		t.Error("committed twice")
	}

	// Others write at places of their own.
	if p, err = c.Create("steps/y"); err != nil {
		t.Fatal(err)
	}
	_, err = p.WriteAt([]byte("world"), 6)
	if _, e := p.WriteAt([]byte("hello "), 0); err != nil || e != nil {
		t.Fatal(err, e)
	}
	if err := p.Filled(); err != nil || p.Size() != 11 {
		t.Errorf("filled with %d bytes, %v", p.Size(), err)
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}

	if p, err = c.Create("steps/z"); err != nil {
		t.Fatal(err)
	}
	_, err = p.Write([]byte("abc"))
	p.Discard()
	if err != nil || c.Has("steps/z") {
		t.Errorf("forgotten: %v", err)
	}
	for name, want := range map[string]string{"steps/x": "abcabcabc", "steps/y": "hello world"} {
		data, err := os.ReadFile(c.path(name))
		if err != nil {
			t.Fatal(err)
		}
		copy(data[len(data)-bootSize:], another) // so that it is read whole
		if err := os.WriteFile(c.path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Get(name); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

// TestEmptied removes the whole cache at each moment of its use: either it goes
// on, or it says that the entry is missing.
func TestEmptied(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	c := open(t, dir)
	empty := func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Put("steps/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	f, err := c.Open("steps/x")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	empty()
	if b, err := io.ReadAll(io.NewSectionReader(f, 0, 1)); err != nil || string(b) != "x" {
		t.Errorf("an open entry: %q %v", b, err)
	}
	if _, err := c.Get("steps/x"); !errors.Is(err, ErrMissing) || fault.HintOf(err) == "" {
		t.Errorf("a removed entry: %v", err)
	}
	if err := c.Put("steps/x", []byte("y")); err != nil {
		t.Error(err)
	}
	p, err := c.Create("steps/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("z")); err != nil {
		t.Fatal(err)
	}
	empty()
	if err := p.Commit(); err != nil {
		t.Error(err)
	}
	if b, err := c.Get("steps/x"); err != nil || string(b) != "z" {
		t.Errorf("%q %v", b, err)
	}
	empty()
	if w, err := c.Work(); err != nil {
		t.Error(err)
	} else {
		w.Remove()
	}
	empty()
	if k, err := c.Kinds(); err != nil || len(k) != 0 {
		t.Errorf("%v %v", k, err)
	}
}

// TestSameEntryAtOnce has many write and read one entry.
func TestSameEntryAtOnce(t *testing.T) {
	dir := t.TempDir()
	want := bytes.Repeat([]byte("entry"), 10_000)
	errs := make(chan error)
	for range 8 {
		go func() {
			c, err := Open(dir)
			for i := 0; i < 20 && err == nil; i++ {
				if err = c.Put("steps/x", want); err != nil {
					break
				}
				var got []byte
				if got, err = c.Get("steps/x"); err == nil && !bytes.Equal(got, want) {
					err = errors.New("read something else")
				}
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", ".*")); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

func TestTrim(t *testing.T) {
	now := time.Now()
	day := func(ago int) time.Time { return now.Add(-time.Duration(ago) * 24 * time.Hour) }
	for _, c := range []struct {
		summary string
		before  time.Time
		dry     bool
		busy    bool // another ingot runs
		use     string
		want    string // what is left
		removed string
	}{
		{"nothing so old", day(50), false, false, "", "indexes packages/a packages/b steps/c", ""},
		{"some", day(30), false, false, "", "packages/b steps/c", "indexes:1:4 packages:1:91"},
		{"a dry run", day(30), true, false, "", "indexes packages/a packages/b steps/c", "indexes:1:4 packages:1:91"},
		{"what is used stays", day(5), false, false, "packages/a", "packages/a steps/c", "indexes:1:4 packages:1:91"},
		{"all", now.Add(time.Hour), false, false, "", "", "indexes:1:4 packages:2:182 steps:1:91"},
		{"while another runs", now.Add(time.Hour), false, true, "", "steps/c", "indexes:1:4 packages:2:182"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			dir := t.TempDir()
			cache := open(t, dir)
			ages := map[string]int{"packages/a": 40, "packages/b": 20, "steps/c": 0}
			for name, ago := range ages {
				if err := errors.Join(cache.Put(name, []byte(name[:1])), os.Chtimes(cache.path(name), day(ago), day(ago))); err != nil {
					t.Fatal(err)
				}
			}
			sub, err := cache.Sub("indexes")
			if err != nil {
				t.Fatal(err)
			}
			// A room's directory goes as a whole, by what was used last in it.
			inner := filepath.Join(sub, "debian", "lists")
			if err := errors.Join(os.MkdirAll(inner, 0o755), os.WriteFile(filepath.Join(inner, "P"), []byte("data"), 0o600),
				os.Chtimes(filepath.Join(inner, "P"), day(35), day(36)), os.Chtimes(inner, day(40), day(40)), os.Chtimes(filepath.Dir(inner), day(40), day(40))); err != nil {
				t.Fatal(err)
			}
			if c.use != "" {
				if _, err := cache.Get(c.use); err != nil {
					t.Fatal(err)
				}
			}
			var other *Cache
			if c.busy {
				other = open(t, dir)
			}
			kinds, err := cache.Trim(c.before, c.dry)
			if err != nil {
				t.Fatal(err)
			}
			var removed []string
			for _, k := range kinds {
				removed = append(removed, fmt.Sprintf("%s:%d:%d", k.Name, k.Entries, k.Size))
			}
			if got := strings.Join(removed, " "); got != c.removed { // an entry of one byte has 91
				t.Errorf("removed %s, want %s", got, c.removed)
			}
			var left []string
			for name := range ages {
				if cache.Has(name) {
					left = append(left, name)
				}
			}
			if _, err := os.Stat(filepath.Join(inner, "P")); err == nil {
				left = append(left, "indexes")
			}
			slices.Sort(left)
			if got := strings.Join(left, " "); got != c.want {
				t.Errorf("left %s, want %s", got, c.want)
			}
			if other != nil {
				_ = other.use.Close()
			}
		})
	}
}

func TestWork(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	live, err := c.Work()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(live.Path, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dead, err := c.Work()
	if err != nil {
		t.Fatal(err)
	}
	// As a kill -9 leaves it: with all in it, and without the lock.
	if err := errors.Join(os.MkdirAll(filepath.Join(dead.Path, "usr", "bin"), 0o755), dead.lock.Close()); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(dead.top); err == nil {
		t.Error("a dead build's directory is still there")
	}
	if _, err := os.Stat(filepath.Join(live.Path, "file")); err != nil {
		t.Error(err)
	}
	live.Remove()
	if left, _ := filepath.Glob(filepath.Join(dir, "work", "*")); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// TestWorksAtOnce has many make work directories while others sweep.
func TestWorksAtOnce(t *testing.T) {
	dir := t.TempDir()
	errs := make(chan error)
	for range 6 {
		go func() {
			var err error
			for i := 0; i < 30 && err == nil; i++ {
				var c *Cache
				if c, err = Open(dir); err != nil {
					break
				}
				var w *Work
				if w, err = c.Work(); err == nil {
					err = os.WriteFile(filepath.Join(w.Path, "x"), nil, 0o600)
					w.Remove()
				}
			}
			errs <- err
		}()
	}
	for range 6 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestFullDisk fills the disk at each point of a write.
func TestFullDisk(t *testing.T) {
	const variable = "INGOT_TEST_DISK"
	dir := os.Getenv(variable)
	if dir == "" {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestFullDisk$")
		cmd.Env = append(os.Environ(), variable+"="+t.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
			t.Skipf("it needs a small file system of its own, and so user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns): %v", err)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	c := open(t, dir)
	if err := c.Put("steps/old", []byte("old")); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for size := 1; size < 20<<12; size += 1001 {
		err := c.Put("steps/new", make([]byte, size))
		if err != nil {
			failed++
			if fault.CodeOf(err) != fault.Preflight || fault.HintOf(err) == "" || c.Has("steps/new") {
				t.Fatalf("%d bytes: %v; it is there: %v", size, err, c.Has("steps/new"))
			}
		} else if got, err := c.Get("steps/new"); err != nil || len(got) != size {
			t.Errorf("%d bytes: %d %v", size, len(got), err)
		}
		if got, err := c.Get("steps/old"); err != nil || string(got) != "old" {
			t.Errorf("%d bytes: the old entry is %q, %v", size, got, err)
		}
		_ = os.Remove(c.path("steps/new"))
	}
	if failed < 5 {
		t.Errorf("only %d writes met a full disk", failed)
	}
}

// Who only looks makes nothing.
func TestLookingMakesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	c := open(t, dir)
	_, err := c.Get("steps/x")
	kinds, kindsErr := c.Kinds()
	if !errors.Is(err, ErrMissing) || kindsErr != nil || len(kinds) > 0 || c.Has("steps/x") {
		t.Errorf("%v; %v, %v", err, kinds, kindsErr)
	}
	if _, err := c.Trim(time.Now(), false); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it made %s: %v", dir, err)
	}
	if err := c.Put("steps/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get("steps/x"); err != nil || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
}

// What lies in the place of an entry and is none is missing, and gives way to it.
func TestInTheWay(t *testing.T) {
	for what, do := range map[string]func(path string) error{
		"a directory":       func(p string) error { return os.MkdirAll(p, 0o755) },
		"a full directory":  func(p string) error { return os.MkdirAll(filepath.Join(p, "x", "y"), 0o755) },
		"a pipe":            func(p string) error { return unix.Mkfifo(p, 0o600) },
		"a link to nowhere": func(p string) error { return os.Symlink("/nowhere", p) },
	} {
		t.Run(what, func(t *testing.T) {
			c := open(t, t.TempDir())
			path := c.path("steps/x")
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), do(path)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Get("steps/x"); !errors.Is(err, ErrMissing) {
				t.Errorf("it is read: %v", err)
			}
			if err := c.Put("steps/x", []byte("x")); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Get("steps/x"); err != nil || string(got) != "x" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	// A file where the cache keeps directories is somebody's: he is told.
	c := open(t, t.TempDir())
	err := errors.Join(os.MkdirAll(filepath.Join(c.dir, "entries"), 0o755), os.WriteFile(filepath.Join(c.dir, "entries", "steps"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put("steps/x", nil); fault.CodeOf(err) != fault.Preflight || fault.HintOf(err) == "" {
		t.Errorf("%v; hint: %s", err, fault.HintOf(err))
	}
}
