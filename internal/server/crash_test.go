package server

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/judge"
	"ingot/internal/sign"
)

const (
	crashTree = "INGOT_TEST_TREE" // where the child publishes
	crashStep = "INGOT_TEST_STEP" // before which of its steps it is killed
)

// crashWork is what a child does: it publishes a second version and prunes the first.
func crashWork(t *testing.T, base string, step int) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(base, "key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := sign.ReadKey("key", data, nil, start)
	if err != nil {
		t.Fatal(err)
	}
	place, err := CreateDir(filepath.Join(base, "tree"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	place.before = func(string) {
		if n++; n == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	clock := start.Add(48 * Grace)
	s := &stage{t: t, dir: place.path, clock: clock}
	s.Publisher = &Publisher{Place: place, Key: key, Now: func() time.Time { return clock }}
	s.publish(filepath.Join(base, "two"), "")
	for range 2 {
		if _, err := s.Prune(t.Context(), catalog.Policy{Keep: 1}, Grace, false); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(2 * Grace)
	}
}

// TestKilled kills a publisher before every one of its changes of the file system. At each
// the tree is sound: the old one or the new one, in all dialects; and the next publisher
// ends what was begun.
func TestKilled(t *testing.T) {
	if base := os.Getenv(crashTree); base != "" {
		step, err := strconv.Atoi(os.Getenv(crashStep))
		if err != nil {
			t.Fatal(err)
		}
		crashWork(t, base, step)
		return
	}
	origin := newStage(t)
	base := filepath.Dir(origin.dir)
	one, two := filepath.Join(base, "one"), filepath.Join(base, "two")
	lxcPair(t, one, "web", "one")
	lxcPair(t, two, "web", "two")
	private, err := origin.Key.Private()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "key"), private, 0o600); err != nil {
		t.Fatal(err)
	}
	origin.publish(one, "")
	const oldLine, newLine = ";20260930_0607;", ";20261119_0607;"
	seen := map[bool]int{}
	stride := map[judge.Level]int{judge.Full: 1, judge.CI: 5}[judge.At()]
	if stride == 0 {
		stride = 13
	}
	for step := 1; ; step += stride {
		if step > 1000 {
			t.Fatal("it never ends")
		}
		copied := filepath.Join(t.TempDir(), "base")
		copyTree(t, base, copied)
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), crashTree+"="+copied, crashStep+"="+strconv.Itoa(step))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.ExitCode() == -1
		if err != nil && !killed {
			t.Fatalf("step %d: %v\n%s", step, err, out)
		}
		place, err := OpenDir(filepath.Join(copied, "tree"))
		if err != nil {
			t.Fatal(err)
		}
		s := &stage{t: t, dir: place.path, clock: start.Add(60 * Grace)}
		s.Publisher = &Publisher{Place: place, Key: origin.Key, Now: func() time.Time { return s.clock }}
		line := s.read("meta/1.0/index-system")
		isNew := strings.Contains(line, newLine)
		seen[isNew]++
		if strings.Count(line, "\n") != 1 || !isNew && !strings.Contains(line, oldLine) {
			t.Errorf("step %d: the index says %q", step, line)
		}
		if p := s.problems(); len(p) > 0 {
			t.Errorf("step %d: the tree is not sound:\n%s", step, strings.Join(p, "\n"))
		}
		// The next one goes on, and leaves nothing behind.
		s.publish(two, "")
		if p := s.problems(); len(p) > 0 {
			t.Errorf("step %d: after the next publication:\n%s", step, strings.Join(p, "\n"))
		}
		if left, err := os.ReadDir(filepath.Join(place.path, ".states")); err != nil || len(left) > keptStates+1 {
			t.Errorf("step %d: %d states, %v", step, len(left), err)
		}
		if !killed {
			break
		}
	}
	if seen[false] < 3 || seen[true] < 3 {
		t.Errorf("the old tree was there %d times, the new one %d times", seen[false], seen[true])
	}
}

// copyTree copies a directory; names of one file become names of one file.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	first := map[uint64]string{}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		ino := info.Sys().(*syscall.Stat_t).Ino
		if one, ok := first[ino]; ok {
			return os.Link(one, target)
		}
		first[ino] = target
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(target, data, 0o644); err != nil {
			return err
		}
		return os.Chtimes(target, info.ModTime(), info.ModTime())
	})
	if err != nil {
		t.Fatal(err)
	}
}
