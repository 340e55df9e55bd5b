package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/judge"
)

// Registrations are Debian's, as its package qemu-user has them, but for what tells apart
// processors that Debian has no architecture of.
func TestRegistration(t *testing.T) {
	const mask = `\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`
	for arch, want := range map[string]string{
		"arm64":   `\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:` + mask,
		"armhf":   `\x7f\x45\x4c\x46\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00:` + mask,
		"riscv64": `\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xf3\x00:` + mask,
		"ppc64el": `\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x15\x00:` + mask,
		"loong64": `\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x02\x01:` + mask,
		"s390x":   `\x7f\x45\x4c\x46\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x16:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff`,
	} {
		got, err := registration(arch, "/emulator")
		if want = ":ingot-" + arch + ":M::" + want + ":/emulator:FPC"; err != nil || got != want {
			t.Errorf("%s: %v\n got %s\nwant %s", arch, err, got, want)
		}
	}
	if _, err := registration("vax", "/emulator"); err == nil {
		t.Error("an unknown architecture is registered")
	}
}

// The program that tries out an architecture runs on this machine's own, and a 32-bit one where
// its processor has that mode; another one does not run by itself.
func TestRuns(t *testing.T) {
	other := "riscv64"
	own := map[string]string{"386": "i386", "ppc64le": "ppc64el"}[runtime.GOARCH]
	if own == "" {
		own = runtime.GOARCH
	}
	if own == other {
		other = "s390x"
	}
	for arch, want := range map[string]bool{own: true, other: false} {
		got, err := Runs(t.Context(), arch)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadDir("/proc/sys/fs/binfmt_misc"); arch == other && err == nil && len(data) > 2 {
			continue // the host has emulators registered
		}
		if got != want {
			t.Errorf("%s runs: %v, want %v", arch, got, want)
		}
	}
}

// An emulator that fails is found before any work, and so is an architecture that none is known
// for.
func TestBadEmulator(t *testing.T) {
	if err := CheckForeign(t.Context(), Foreign{Arch: "riscv64"}); err != nil {
		t.Skipf("this kernel takes no registration in a user namespace, which a newer one shows: %v", err)
	}
	own, ok := elves[runtime.GOARCH]
	if !ok {
		t.Skip("programs of this machine are not known; those of amd64 run this")
	}
	own.exit = strings.Repeat("\x00", 16) // no code at all
	crashing := filepath.Join(t.TempDir(), "emulator")
	if err := os.WriteFile(crashing, own.program(), 0o755); err != nil {
		t.Fatal(err)
	}
	err := CheckForeign(t.Context(), Foreign{Arch: "riscv64", Emulator: crashing})
	if fault.CodeOf(err) != fault.Preflight || !strings.Contains(err.Error(), "programs of riscv64 do not run on this machine: its emulator") || !strings.Contains(err.Error(), "signal") {
		t.Errorf("an emulator that crashes: %v", err)
	}
	if err := CheckForeign(t.Context(), Foreign{Arch: "vax"}); fault.CodeOf(err) != fault.Preflight || !strings.Contains(err.Error(), `"vax"`) {
		t.Errorf("an unknown architecture: %v", err)
	}
}

// What stands in the way of emulation is told with its remedy.
func TestExplainForeign(t *testing.T) {
	err := explainForeign(Foreign{Arch: "arm64"}, "operation not permitted", errors.New("exec format error"))
	if fault.CodeOf(err) != fault.Preflight || !strings.Contains(err.Error(), "its kernel lets a user namespace register no emulator (operation not permitted)") ||
		!strings.Contains(fault.HintOf(err), "Linux 6.7") || !strings.Contains(fault.HintOf(err), "apt-get install qemu-user-static") {
		t.Errorf("%v; %s", err, fault.HintOf(err))
	}
	err = explainForeign(Foreign{Arch: "arm64", Emulator: "/x"}, "", &ExitError{Program: "/nothing", Code: -1, Signal: syscall.SIGSEGV})
	if fault.CodeOf(err) != fault.Preflight || !strings.Contains(fault.HintOf(err), "machine of arm64") {
		t.Errorf("%v; %s", err, fault.HintOf(err))
	}
}

// Each program that tries out an architecture is one that readelf takes for it.
func TestElf(t *testing.T) {
	for arch, machine := range map[string]string{
		"amd64": "Advanced Micro Devices X86-64", "arm64": "AArch64", "armel": "ARM", "armhf": "ARM", "i386": "Intel 80386", "loong64": "LoongArch",
		"mips64el": "MIPS R3000", "ppc64el": "PowerPC64", "riscv64": "RISC-V", "s390x": "IBM S/390",
	} {
		e, err := elfOf(arch)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), arch)
		if err := os.WriteFile(path, e.program(), 0o755); err != nil {
			t.Fatal(err)
		}
		if out := judge.Run(t, "readelf", "--file-header", "--segments", path); !strings.Contains(out, machine) || !strings.Contains(out, "R E") || strings.Contains(out, "Warning") {
			t.Errorf("%s:\n%s", arch, out)
		}
	}
}
