package vm_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ingot/internal/definition"
	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/vm"
)

// judgeImage is a Debian disk that outside tools made (testdata/mkimage.sh), kept
// in $INGOT_TEST_IMAGES for further runs if that is set.
func judgeImage(t *testing.T, suite, packages string) string {
	t.Helper()
	judge.Needs(t, judge.Full)
	dir := os.Getenv("INGOT_TEST_IMAGES")
	if dir == "" {
		dir = t.TempDir()
	}
	path := filepath.Join(dir, strings.ReplaceAll("judge-"+suite+"-"+packages, ",", "-")+".raw")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.CommandContext(t.Context(), "sh", "testdata/mkimage.sh", suite, path+".new", packages)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mkimage.sh: %v\n%s", err, out)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

func sum(t *testing.T, path string) [32]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}

// bootLimit leaves room for a machine that does other things.
const bootLimit = 8 * time.Minute

func TestBootsToLogin(t *testing.T) {
	image := judgeImage(t, "bookworm", "openssh-server")
	before := sum(t, image)
	qcow := filepath.Join(t.TempDir(), "image.qcow2")
	if out, err := exec.CommandContext(t.Context(), "qemu-img", "convert", "-O", "qcow2", image, qcow).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v\n%s", err, out)
	}
	for _, row := range []struct {
		name     string
		path     string
		firmware vm.Firmware
	}{
		{"BIOS, raw", image, vm.BIOS},
		{"UEFI, qcow2", qcow, vm.UEFI},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
			defer cancel()
			m, err := vm.Start(ctx, vm.Spec{Disk: vm.Disk{Path: row.path}, Firmware: row.firmware, Log: &log})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Stop()
			proof, err := m.Wait(ctx, vm.Evidence{})
			if err != nil {
				t.Fatal(err)
			}
			if proof.Line != "judge login:" {
				t.Errorf("proof is %+v", proof)
			}
			accel, why := m.Accel()
			t.Logf("%s after %v under %s (%s)", proof.Line, time.Since(m.Started()).Round(time.Second/10), accel, why)
		})
	}
	if sum(t, image) != before {
		t.Error("the image changed")
	}
}

func TestRunsTests(t *testing.T) {
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			image := judgeImage(t, suite, "openssh-server")
			results, err := vm.RunTests(t.Context(), vm.Spec{Disk: vm.Disk{Path: image}}, []definition.Test{
				{Run: "cat /etc/hostname", Expect: "^judge$"},
				{Run: "systemctl is-active systemd-networkd", Expect: "^active"},
				{Run: "echo one; echo two >&2; exit 3", Expect: "two"},
				{Run: "printf %s 'many\nlines'; sleep 60 & echo", Expect: "^lines$"},
				{Run: "kill $$; sleep 1", Timeout: time.Minute},
				{Run: "sleep 30", Timeout: 2 * time.Second},
				{Run: "head -c 2000000 /dev/zero | tr '\\0' x"},
				{Run: "id -u; pwd; echo $HOME", Expect: "^0\n/\n/root$"},
				{Run: "systemctl --failed --no-legend | wc -l", Expect: "^0$"},
			})
			if fault.CodeOf(err) != fault.Health || len(results) == 0 {
				t.Fatalf("error is %v", err)
			}
			var got []string
			for _, r := range results {
				out := r.Output
				if len(out) > 40 {
					out = out[:40] + "…"
				}
				got = append(got, strings.Join([]string{r.Run, out, r.Failure}, " | "))
			}
			want := []string{
				"cat /etc/hostname | judge\n | ",
				"systemctl is-active systemd-networkd | active\n | ",
				"echo one; echo two >&2; exit 3 | one\ntwo\n | exited 3",
				"printf %s 'many\nlines'; sleep 60 & echo | many\nlines\n | ",
				"kill $$; sleep 1 | Terminated\n | exited 143",
				"sleep 30 |  | took longer than 2s",
				"head -c 2000000 /dev/zero | tr '\\0' x | " + strings.Repeat("x", 40) + "… | ",
				"id -u; pwd; echo $HOME | 0\n/\n/root\n | ",
				"systemctl --failed --no-legend | wc -l | 0\n | ",
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if r := results[6]; !r.Truncated || len(r.Output) != 1<<20 {
				t.Errorf("long output: %d bytes, truncated %v", len(r.Output), r.Truncated)
			}
		})
	}
}

func TestExpectsLines(t *testing.T) {
	image := judgeImage(t, "bookworm", "openssh-server")
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	m, err := vm.Start(ctx, vm.Spec{Disk: vm.Disk{Path: image}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	if _, err := m.Wait(ctx, vm.Evidence{Expect: []*regexp.Regexp{
		regexp.MustCompile(`Debian GNU/Linux 12 judge ttyS0`), regexp.MustCompile(`GRUB`),
	}}); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err = m.Wait(soon, vm.Evidence{Expect: []*regexp.Regexp{regexp.MustCompile(`never said`)}})
	if fault.CodeOf(err) != fault.Health || !strings.Contains(err.Error(), "judge login:") {
		t.Errorf("error is %v", err)
	}
}

// chrooted is a tools tree of the simplest kind: an unpacked Debian with QEMU, entered
// by chroot, without /proc, /dev or anything of the host.
type chrooted struct{ root string }

func (c chrooted) Emulator(context.Context, vm.Need) (vm.Emulator, error) {
	return vm.Emulator{
		Prefix: []string{"/usr/sbin/chroot", c.root},
		Path:   "/usr/bin/qemu-system-x86_64", Env: []string{}, Version: "7.2.22",
		Open: func(path string) (*os.File, error) { return os.OpenInRoot(c.root, strings.TrimPrefix(path, "/")) },
	}, nil
}

func TestToolsTree(t *testing.T) {
	image := judgeImage(t, "bookworm", "openssh-server")
	root := filepath.Join(t.TempDir(), "tools")
	cmd := exec.CommandContext(t.Context(), "mmdebstrap", "--mode=root", "--variant=extract", "--format=directory",
		"--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=qemu-system-x86,ovmf,seabios", "bookworm", root)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mmdebstrap: %v\n%s", err, out)
	}
	if err := os.RemoveAll(filepath.Join(root, "dev")); err != nil {
		t.Fatal(err)
	}
	for _, firmware := range []vm.Firmware{vm.BIOS, vm.UEFI} {
		ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
		defer cancel()
		m, err := vm.Start(ctx, vm.Spec{Disk: vm.Disk{Path: image}, Firmware: firmware, Tools: chrooted{root}, Accel: vm.TCG})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Stop()
		// Firmware and boot loader have run by then.
		if _, err := m.Wait(ctx, vm.Evidence{Expect: []*regexp.Regexp{regexp.MustCompile("Welcome to GRUB|EFI stub|Debian")}}); err != nil {
			t.Error(err)
		}
		m.Stop()
	}
}
