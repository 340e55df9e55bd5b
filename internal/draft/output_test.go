package draft

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

func TestOutput(t *testing.T) {
	for _, c := range []struct {
		summary string
		umask   int
		put     func(to string) error // what is there before
		want    string
	}{
		{"a new file", 0o022, nil, "to -rw-r--r-- new\n"},
		{"a new file of a private user", 0o077, nil, "to -rw------- new\n"},
		{"in place of a file", 0o027, func(to string) error { return os.WriteFile(to, []byte("longer, and old"), 0o600) }, "to -rw-r----- new\n"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			dir := t.TempDir()
			to := filepath.Join(dir, "to")
			if c.put != nil {
				if err := c.put(to); err != nil {
					t.Fatal(err)
				}
			}
			old := syscall.Umask(c.umask)
			defer syscall.Umask(old)
			f, err := CreateOutput(to)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Discard()
			_, err = f.WriteString("new")
			if err := errors.Join(err, f.Publish()); err != nil {
				t.Fatal(err)
			}
			if got := list(t, dir); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A name that stands for something else than a file keeps what it stands for.
func TestOutputRefuses(t *testing.T) {
	for kind, put := range map[string]func(to string) error{
		"named pipe":    func(to string) error { return unix.Mkfifo(to, 0o600) },
		"directory":     func(to string) error { return os.Mkdir(to, 0o700) },
		"symbolic link": func(to string) error { return os.Symlink("file", to) },
		"device": func(to string) error {
			if os.Geteuid() != 0 {
				return unix.EPERM
			}
			return unix.Mknod(to, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
		},
		"socket": func(to string) error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer func() { _ = unix.Close(fd) }()
			return unix.Bind(fd, &unix.SockaddrUnix{Name: to})
		},
	} {
		for _, late := range []bool{false, true} {
			t.Run(kind+map[bool]string{true: ", put there meanwhile"}[late], func(t *testing.T) {
				dir := t.TempDir()
				to := filepath.Join(dir, "to")
				if err := os.WriteFile(filepath.Join(dir, "file"), []byte("kept"), 0o600); err != nil {
					t.Fatal(err)
				}
				make := func() {
					switch err := put(to); {
					case errors.Is(err, unix.EPERM):
						t.Skip("root runs this: it makes a device")
					case err != nil:
						t.Fatal(err)
					}
				}
				if !late {
					make()
				}
				f, err := CreateOutput(to)
				if late && err == nil {
					make()
					err = f.Publish()
				}
				if fault.CodeOf(err) != fault.Usage || !strings.Contains(err.Error(), to+" is a "+kind) || fault.HintOf(err) == "" {
					t.Errorf("%v, exit code %d, hint %q", err, fault.CodeOf(err), fault.HintOf(err))
				}
				if info, err := os.Lstat(to); err != nil || info.Mode().Type() == 0 {
					t.Errorf("there is now %v, %v", info, err)
				}
				if got, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(got) != "kept" {
					t.Errorf("the file beside is now %q, %v", got, err)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
					t.Errorf("left %q", left)
				}
			})
		}
	}
	if _, err := CreateOutput(filepath.Join(t.TempDir(), "none", "f")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}
