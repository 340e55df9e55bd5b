package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/judge"
)

func emulatorOrSkip(t *testing.T) Emulator {
	t.Helper()
	e, err := Host().Emulator(t.Context(), Need{Arch: "amd64", Firmware: BIOS})
	if err != nil {
		if judge.At() != judge.Plain {
			t.Fatal(err)
		}
		t.Skip("probes with a real guest: ./test.sh brings QEMU, or the package qemu-system-x86")
	}
	return e
}

// Under TCG the probe's guest always goes forward: so a probe that says no means KVM.
func TestProbeSeesProgress(t *testing.T) {
	e := emulatorOrSkip(t)
	start := time.Now()
	ok, spent, err := progresses(t.Context(), e, TCG, 2*time.Minute)
	if err != nil || !ok || spent <= 0 {
		t.Errorf("progress %v, error %v, %v of processor time", ok, err, spent)
	}
	t.Logf("TCG: %v, %v on the clock", spent, time.Since(start))
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return
	}
	start = time.Now()
	ok, spent, err = progresses(t.Context(), e, KVM, 2*time.Minute)
	t.Logf("KVM: %v, %v, %v on the clock, %v", ok, spent, time.Since(start), err)
}

// A guest that hangs is a QEMU that says nothing: it is given up in time and gone.
func TestProbeGivesUp(t *testing.T) {
	hang := Emulator{Prefix: []string{"/bin/sh", "-c", "exec sleep 600"}, Path: "qemu"}
	start := time.Now()
	ok, _, err := progresses(t.Context(), hang, KVM, 100*time.Millisecond)
	if err != nil || ok || time.Since(start) > time.Minute {
		t.Errorf("progress %v, error %v after %v", ok, err, time.Since(start))
	}
	ends := Emulator{Prefix: []string{"/bin/sh", "-c", "exit 1"}, Path: "qemu"}
	if ok, _, err := progresses(t.Context(), ends, KVM, time.Hour); err != nil || ok {
		t.Errorf("a QEMU that ends: progress %v, error %v", ok, err)
	}
}

func TestChoiceIsKept(t *testing.T) {
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		t.Skip("the choice is made by a probe only where /dev/kvm can be opened: a host with KVM, and root or the group kvm, runs this")
	} else {
		f.Close()
	}
	cache := t.TempDir()
	old := filepath.Join(cache, "kvm-another-boot-qemu-1")
	if err := os.WriteFile(old, []byte(KVM), 0o600); err != nil {
		t.Fatal(err)
	}
	// Whatever the prober is, it is asked once: of TCG and of KVM.
	asked := filepath.Join(t.TempDir(), "asked")
	e := Emulator{Prefix: []string{"/bin/sh", "-c", "echo >>" + asked}, Path: "qemu", Version: "9.9"}
	for range 2 {
		c, err := chooseAccel(t.Context(), e, "amd64", cache)
		if err != nil || c.accel != TCG {
			t.Errorf("choice %+v, error %v", c, err)
		}
	}
	b, err := os.ReadFile(asked)
	if err != nil || string(b) != "\n\n" {
		t.Errorf("probed %d times, %v", len(b), err)
	}
	kept, err := os.ReadDir(cache)
	if err != nil || len(kept) != 1 || !strings.HasSuffix(kept[0].Name(), "-qemu-9.9") {
		t.Errorf("the cache holds %v, %v", kept, err)
	}
}

// A KVM whose guests go forward, but with far more work than TCG's, is not chosen: the
// fake QEMU speaks at once or after some work.
func TestChoiceComparesKVM(t *testing.T) {
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		t.Skip("the choice is made by a probe only where /dev/kvm can be opened: a host with KVM, and root or the group kvm, runs this")
	} else {
		f.Close()
	}
	for _, c := range []struct{ pause, want string }{{"", KVM}, {"i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done;", TCG}} {
		script := `for a; do case "$a" in socket,id=debug,fd=*) fd=${a##*=};; kvm) ` + c.pause + ` :;; esac; done; eval "printf I >&$fd"; exec sleep 600`
		e := Emulator{Prefix: []string{"/bin/sh", "-c", script}, Path: "qemu", Version: "9.9"}
		got, err := chooseAccel(t.Context(), e, "amd64", "")
		if err != nil || got.accel != c.want {
			t.Errorf("pause %q: choice %+v, error %v", c.pause, got, err)
		}
	}
}
