package treetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// Real is a directory with a real tree: the one that INGOT_TEST_TREE names, or a few
// Debian packages from the host's own apt sources, unpacked.
func Real(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("INGOT_TEST_TREE"); dir != "" {
		return dir
	}
	tmp := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", `apt-get download -q libc6 libc-bin bash coreutils perl-base perl-modules-5.36 git tzdata systemd vim-runtime python3.11-minimal libpython3.11-stdlib
		mkdir root; for p in *.deb; do dpkg-deb -x $p root; done`)
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot unpack packages: %v\n%s", err, out)
	}
	return filepath.Join(tmp, "root")
}

// Peak begins to measure a benchmark's memory; the function that it gives reports the
// most that there was.
func Peak(b *testing.B) (report func()) {
	b.Helper()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the peak begins anew
		b.Fatal(err)
	}
	return func() {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(kib/1024, "peak-MiB")
	}
}
