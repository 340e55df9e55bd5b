package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/fault"
)

// again runs one test of this program in a process of its own, which knows by an
// environment variable that it is that process.
func again(t *testing.T, test, variable, value string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"="+value)
	return cmd
}

// TestKilled kills writers (kill -9) at points that a seed chooses: whatever has a
// name in the store is whole, a reference's blobs are all there, and opening it again
// leaves nothing half written.
func TestKilled(t *testing.T) {
	const variable = "INGOT_TEST_KILLED"
	if home := os.Getenv(variable); home != "" {
		writeForever(t, home)
	}
	home := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 15 {
		cmd := again(t, "TestKilled", variable, home)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The first of its blobs is in before it is killed.
		for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "writing"; {
		}
		time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()

		s := open(t, home)
		tidy(t, s)
		all := texts(t, s) // it looks at each
		refs, err := s.Refs()
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, r := range refs {
			for _, n := range r.Needs {
				if !s.Has(n.Digest, n.Size) {
					t.Errorf("round %d: reference %s lacks a blob", round, r.Name)
				}
			}
		}
		if all == "" || len(refs) == 0 {
			t.Fatalf("round %d: the writer wrote nothing", round)
		}
	}
	s := open(t, home)
	c, err := s.Collect(t.Context(), func(Ref) bool { return true }, false)
	if err != nil || c.Leased != 0 {
		t.Errorf("%+v %v", c, err)
	}
	t.Logf("%d blobs are referred to, %d were not", c.Kept, len(c.Removed))
}

func writeForever(t *testing.T, home string) {
	s := open(t, home)
	random := rand.New(rand.NewPCG(uint64(os.Getpid()), 0))
	for i := 0; ; i++ {
		name := fmt.Sprint("r", random.IntN(8))
		var needs []string
		for j := range 1 + random.IntN(5) {
			needs = append(needs, strings.Repeat(fmt.Sprint(name, os.Getpid(), i, j), 1+random.IntN(5000)))
		}
		r := refOf(name, needs...)
		for i := range r.Needs {
			r.Needs[i].Label = "x"
		}
		l := lease(t, s, "a b c")
		mustPut(t, s, needs...)
		if err := errors.Join(s.Flush(), s.SetRef(t.Context(), r)); err != nil {
			t.Fatal(err)
		}
		l.Release()
		if i == 0 {
			fmt.Println("writing")
		}
	}
}

// onDisk runs the rest of a test in a process whose directory is a small file
// system of its own: a tmpfs with these options. It is false in the process that must not
// go on.
func onDisk(t *testing.T, options string) (dir string, ok bool) {
	t.Helper()
	const variable = "INGOT_TEST_DISK"
	if dir := os.Getenv(variable); dir != "" {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
			t.Fatal(err)
		}
		return dir, true
	}
	cmd := again(t, t.Name(), variable, t.TempDir())
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
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
	return "", false
}

// everything writes one of each kind of file.
func everything(t *testing.T, s *Store) error {
	l, err := s.Lease(t.Context(), []digest.Digest{of("a"), of(large)})
	if err != nil {
		return err
	}
	defer l.Release()
	if err := s.SetRef(t.Context(), refOf("full", "a", large)); err != nil {
		return err
	}
	if err := errors.Join(put(s, "a"), put(s, large)); err != nil {
		return err
	}
	return s.Flush()
}

const large = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// TestFullDisk writes to a disk that becomes full at each point there is: space
// grows by a page, then the number of files by one, until all fits.
func TestFullDisk(t *testing.T) {
	dir, ok := onDisk(t, "size=256k,nr_inodes=64")
	if !ok {
		return
	}
	fill := map[string]func(left int) []string{
		"space": func(left int) []string {
			name := filepath.Join(dir, "ballast")
			f, err := os.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			var st unix.Statfs_t
			for unix.Statfs(dir, &st) == nil && st.Bfree > uint64(left) {
				if _, err := f.Write(make([]byte, 4096)); err != nil {
					t.Fatal(err)
				}
			}
			return []string{name}
		},
		"files": func(left int) []string {
			var names []string
			var st unix.Statfs_t
			for i := 0; unix.Statfs(dir, &st) == nil && st.Ffree > uint64(left); i++ {
				name := filepath.Join(dir, fmt.Sprint("ballast", i))
				if err := os.WriteFile(name, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				names = append(names, name)
			}
			return names
		},
	}
	for what, f := range fill {
		failed, done := 0, false
		for left := 0; !done; left++ {
			home := filepath.Join(dir, fmt.Sprint(what, left))
			s := open(t, home)
			ballast := f(left)
			err := everything(t, s)
			if done = err == nil; !done {
				failed++
				if fault.CodeOf(err) != fault.Preflight || fault.HintOf(err) == "" || !errors.Is(err, unix.ENOSPC) {
					t.Errorf("%d of %s left: %v", left, what, err)
				}
			}
			s = open(t, home) // on a full disk as well
			tidy(t, s)
			texts(t, s)
			if _, err := s.Collect(t.Context(), func(Ref) bool { return false }, false); err != nil && left > 0 {
				t.Errorf("%d of %s left: it cannot be collected: %v", left, what, err)
			}
			for _, b := range ballast {
				if err := os.Remove(b); err != nil {
					t.Fatal(err)
				}
			}
			if err := everything(t, s); err != nil {
				t.Errorf("%d of %s left: not even later: %v", left, what, err)
			}
			if err := os.RemoveAll(home); err != nil {
				t.Fatal(err)
			}
		}
		if failed < 3 {
			t.Errorf("%s: only %d of the writes met a full disk", what, failed)
		}
		t.Logf("%s: full at %d points", what, failed)
	}
}

// TestReadOnly uses a store that cannot be written to, without a lease.
func TestReadOnly(t *testing.T) {
	dir, ok := onDisk(t, "size=1m")
	if !ok {
		return
	}
	s := open(t, dir)
	mustPut(t, s, "a")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	l := lease(t, s, "a")
	if err := s.SetRef(t.Context(), refOf("x", "a")); err != nil {
		t.Error(err)
	}
	if f, err := s.OpenVerified(of("a")); err != nil {
		t.Error(err)
	} else {
		_ = f.Close()
	}
	if err := put(s, "b"); fault.CodeOf(err) != fault.Preflight || fault.HintOf(err) == "" {
		t.Errorf("writing: %v", err)
	}
	l.Release()
}

// TestForbidden uses a store of another user.
func TestForbidden(t *testing.T) {
	const variable = "INGOT_TEST_FORBIDDEN"
	if home := os.Getenv(variable); home != "" {
		s := open(t, home)
		if s.Verify(of("a")) != nil {
			t.Error("a blob that all may read cannot be read")
		}
		_, leaseErr := s.Lease(t.Context(), nil)
		_, collectErr := s.Collect(t.Context(), func(Ref) bool { return false }, false)
		for what, err := range map[string]error{"put": put(s, "b"), "set": s.SetRef(t.Context(), refOf("x")), "lease": leaseErr, "collect": collectErr} {
			if fault.CodeOf(err) != fault.Preflight || fault.HintOf(err) == "" {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := open(t, "/proc").Make(); fault.CodeOf(err) != fault.Preflight {
			t.Errorf("a place where nobody writes: %v", err)
		}
		return
	}
	// Not below the test's directory, which only its owner may enter.
	home, err := os.MkdirTemp("/tmp", "ingot-store-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	s := open(t, home)
	mustPut(t, s, "a")
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(home, "test")
	if err := errors.Join(os.Chmod(home, 0o755), os.WriteFile(copied, program, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := again(t, "TestForbidden", variable, home)
	cmd.Path, cmd.Dir = copied, "/"
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	} else {
		_ = os.Chmod(filepath.Join(s.dir, "lock"), 0o444)
		for _, d := range []string{"tmp", "refs", "leases", "."} {
			if err := os.Chmod(filepath.Join(s.dir, d), 0o555); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() {
			for _, d := range []string{".", "tmp", "refs", "leases"} {
				_ = os.Chmod(filepath.Join(s.dir, d), 0o755)
			}
		})
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
