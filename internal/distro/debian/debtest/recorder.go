package debtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Recorder builds a program that stands in for an image's shell, and for dpkg: it
// needs no libraries, and writes what it is asked to do to /said.
func Recorder(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "recorder")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "ingot/internal/distro/debian/debtest/testdata/recorder")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
