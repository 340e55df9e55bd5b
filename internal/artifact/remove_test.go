package artifact

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

// apart runs a test once more in a mount namespace of its own, where it may mount, and
// says whether this is that run.
func apart(t *testing.T) bool {
	t.Helper()
	const variable = "TEST_ARTIFACT_APART"
	if os.Getenv(variable) != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a mount namespace: %v\n%s", err, out)
	}
	return false
}

// mounts are ways in which somebody's data comes to lie below an old directory.
var mounts = map[string]func(victim, at string) error{
	"a directory of the same file system": func(victim, at string) error {
		return errors.Join(os.MkdirAll(at, 0o755), unix.Mount(victim, at, "", unix.MS_BIND, ""))
	},
	"a file": func(victim, at string) error {
		return errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, nil, 0o600), unix.Mount(filepath.Join(victim, "data"), at, "", unix.MS_BIND, ""))
	},
	"a file system of its own": func(_, at string) error {
		err := errors.Join(os.MkdirAll(at, 0o755), unix.Mount("none", at, "tmpfs", 0, ""))
		return errors.Join(err, os.WriteFile(filepath.Join(at, "data"), []byte("mine"), 0o600))
	},
}

// TestMounted replaces and removes directories below which something is mounted: that must
// stay.
func TestMounted(t *testing.T) {
	if !apart(t) {
		return
	}
	for kind, mount := range mounts {
		for _, c := range []struct {
			summary string
			at      string // below the directory of artifacts
			act     func(t *testing.T, dir string) error
			want    []string // what the error says
			exists  string   // what else must still be there
		}{
			{"replaced", "web/a b/mnt", func(t *testing.T, dir string) error {
				d, err := CreateDir(filepath.Join(dir, "web"))
				if err != nil {
					t.Fatal(err)
				}
				return errors.Join(d.Commit(), d.Abort())
			}, []string{"cannot replace ", "mounted at ", "web/a b/mnt"}, "web/old"},
			{"mounted meanwhile", "web/mnt", func(t *testing.T, dir string) error {
				return removeTree(filepath.Join(dir, "web"))
			}, []string{"cannot remove ", "web/mnt: something is mounted there"}, "web/mnt"},
			{"a leftover", ".ingot-aaaaaaaaaa-web/mnt", func(t *testing.T, dir string) error {
				removed, err := Clean(context.Background(), dir)
				if len(removed) > 0 {
					t.Errorf("removed %q", removed)
				}
				return err
			}, nil, ".ingot-aaaaaaaaaa-web/mnt"},
		} {
			t.Run(kind+": "+c.summary, func(t *testing.T) {
				victim, dir := t.TempDir(), t.TempDir()
				if err := os.WriteFile(filepath.Join(victim, "data"), []byte("mine"), 0o600); err != nil {
					t.Fatal(err)
				}
				at := filepath.Join(dir, c.at)
				if err := mount(victim, at); err != nil {
					t.Fatal(err)
				}
				old := filepath.Join(dir, strings.SplitN(c.at, "/", 2)[0], "old")
				if err := os.WriteFile(old, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				err := c.act(t, dir)
				if err == nil && c.want != nil {
					t.Error("no error")
				}
				for _, word := range c.want {
					if err != nil && !strings.Contains(err.Error(), word) {
						t.Errorf("error %q does not say %q", err, word)
					}
				}
				if err != nil && (fault.CodeOf(err) != fault.Preflight || !strings.Contains(fault.HintOf(err), "umount "+at)) {
					t.Errorf("code %d, hint %q", fault.CodeOf(err), fault.HintOf(err))
				}
				if _, err := os.Lstat(filepath.Join(dir, c.exists)); err != nil {
					t.Error(err)
				}
				if err := unix.Unmount(at, 0); err != nil {
					t.Errorf("it is not mounted any more: %v", err)
				}
				if b, err := os.ReadFile(filepath.Join(victim, "data")); err != nil || string(b) != "mine" {
					t.Errorf("the data that was mounted: %q, %v", b, err)
				}
				if err := removeTree(filepath.Join(dir, strings.SplitN(c.at, "/", 2)[0])); err != nil {
					t.Errorf("unmounted: %v", err)
				}
			})
		}
	}
}

func TestMountsIn(t *testing.T) {
	const text = `22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 8:1 /x /out/web/mnt rw,relatime shared:1 - ext4 /dev/sda1 rw
31 22 0:30 / /out/web\040two rw - tmpfs none rw
32 22 0:31 / /out/webs rw - tmpfs none rw
33 22 0:32 / /out/web rw - tmpfs none rw
34 22 0:33 / /out/web/mnt rw - tmpfs none rw
short line
35 22 0:34 / /out/odd\134040\9 rw - tmpfs none rw
`
	for path, want := range map[string][]string{
		"/out/web":           {"/out/web", "/out/web/mnt"},
		"/out/web two":       {"/out/web two"},
		`/out/odd\040\9`:     {`/out/odd\040\9`},
		"/out/we":            nil,
		"/out/web/mnt/below": nil,
	} {
		if d := cmp.Diff(want, mountsIn(text, path)); d != "" {
			t.Errorf("%s: %s", path, d)
		}
	}
}

// TestRemoveTree removes what permissions and odd kinds of files stand against.
func TestRemoveTree(t *testing.T) {
	dir := t.TempDir()
	outside, top := filepath.Join(dir, "outside"), filepath.Join(dir, "top")
	if err := errors.Join(
		os.MkdirAll(outside, 0o755), os.WriteFile(filepath.Join(outside, "data"), nil, 0o600),
		os.MkdirAll(filepath.Join(top, "closed/deep"), 0o755), os.MkdirAll(filepath.Join(top, "read-only"), 0o755),
		os.WriteFile(filepath.Join(top, "closed/deep/file"), nil, 0), os.WriteFile(filepath.Join(top, "read-only/file"), nil, 0o444),
		os.Symlink(outside, filepath.Join(top, "link")), os.Symlink("nowhere", filepath.Join(top, "dangling")), unix.Mkfifo(filepath.Join(top, "fifo"), 0o600),
		os.Chmod(filepath.Join(top, "closed"), 0), os.Chmod(filepath.Join(top, "read-only"), 0o555),
	); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing
		if err := removeTree(top); err != nil {
			t.Error(err)
		}
	}
	if d := cmp.Diff([]string{"outside"}, ls(t, dir)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"data"}, ls(t, outside)); d != "" {
		t.Error(d)
	}
}
