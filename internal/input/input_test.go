package input

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyRegularFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := errors.Join(
		unix.Mkfifo(at("pipe"), 0o600), os.Mkdir(at("directory"), 0o700), os.Symlink("pipe", at("link")),
		os.WriteFile(at("file"), []byte("text"), 0o600), os.WriteFile(at("large"), make([]byte, 1<<20+1), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, row := range []struct{ name, want string }{
		{"pipe", "it is a pipe, not a file"},
		{"link", "it is a pipe, not a file"},
		{"directory", "it is a directory, not a file"},
		{"socket", "it is a socket, not a file"},
		{"large", "it is larger than 1 MiB"},
		{"none", "no such file or directory"},
		{"file", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			plain, err := Read(at(row.name), 1<<20)
			below, errBelow := ReadIn(root, row.name, 1<<20)
			for _, err := range []error{err, errBelow} {
				if row.want == "" && err == nil && string(plain) == "text" && string(below) == "text" {
					continue
				}
				if pe, ok := errors.AsType[*fs.PathError](err); !ok || !strings.HasSuffix(pe.Error(), ": "+row.want) {
					t.Errorf("%v, want %q", err, row.want)
				}
			}
		})
	}
	if _, err := Read("/dev/zero", 1<<20); !errors.Is(err, ErrKind) {
		t.Errorf("a device: %v", err)
	}
}
