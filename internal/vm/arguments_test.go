package vm

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/fault"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// An instruction that a QEMU gets wrong is hidden from its guests.
func TestProcessor(t *testing.T) {
	for _, row := range []struct{ accel, version, want string }{
		{TCG, "6.2.0", "max,-cx16"},
		{TCG, "7.2.22", "max,-cx16"},
		{TCG, "8.0.0", "max"},
		{TCG, "10.0.8", "max"},
		{KVM, "7.2.22", "host"},
	} {
		if args := acceleration(row.accel, row.version); args[len(args)-1] != row.want {
			t.Errorf("%s of QEMU %s: %q, want %s", row.accel, row.version, args, row.want)
		}
	}
}

// A golden command line shows in a review what a change does to every machine. Set
// INGOT_GOLDEN=write to write them anew.
func TestArguments(t *testing.T) {
	for _, row := range []struct {
		name  string
		spec  Spec
		wires wires
		accel string
	}{
		{"secure-raw", Spec{Firmware: Secure}, wires{monitor: 3, console: 4, code: 5, vars: 6, drives: []drive{{Raw, HardDisk, 0, 8, 7}}}, TCG},
		{"bios-raw", Spec{}, wires{monitor: 3, console: 4, drives: []drive{{Raw, HardDisk, 0, 6, 5}}}, TCG},
		{"bios-cd", Spec{}, wires{monitor: 3, console: 4, drives: []drive{{Raw, CD, 0, 5, 0}}}, TCG},
		{"uefi-usb", Spec{Firmware: UEFI}, wires{monitor: 3, console: 4, code: 5, vars: 6, drives: []drive{{Raw, USB, 0, 8, 7}}}, TCG},
		{"uefi-4096", Spec{Firmware: UEFI}, wires{monitor: 3, console: 4, code: 5, vars: 6, drives: []drive{{Raw, HardDisk, 4096, 8, 7}}}, TCG},
		{
			"uefi-qcow2-agent", Spec{Firmware: UEFI, Memory: 512 << 20, CPUs: 2, Network: NAT, Forward: []uint16{22}, Agent: true},
			wires{monitor: 3, console: 4, agent: 5, code: 6, vars: 7, drives: []drive{{Qcow2, HardDisk, 0, 9, 8}, {Raw, HardDisk, 0, 11, 10}}}, KVM,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			spec, err := row.spec.settled()
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(arguments(spec, row.wires, row.accel, "10.0.8"), "\n") + "\n"
			// The credential is judged by what a guest does with it.
			got = strings.ReplaceAll(got, credential(), "CREDENTIAL")
			path := filepath.Join("testdata", "arguments-"+row.name+".txt")
			if os.Getenv("INGOT_GOLDEN") == "write" {
				if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSpecRefused(t *testing.T) {
	for _, row := range []struct {
		spec Spec
		want string
	}{
		{Spec{Firmware: "coreboot"}, `firmware "coreboot": not known`},
		{Spec{Arch: "arm64"}, `machine of architecture "arm64": not supported yet`},
		{Spec{Memory: 1 << 20}, "memory of 1048576 bytes: less than 64 MiB"},
		{Spec{Memory: 1<<30 + 1}, "memory of 1073741825 bytes: not a whole number of MiB"},
		{Spec{CPUs: -1}, "-1 processors: not between 1 and 255"},
		{Spec{Disk: Disk{As: "floppy"}}, `medium "floppy": not known`},
		{Spec{Network: "tap"}, `network "tap": not known`},
		{Spec{Accel: "hvf"}, `acceleration "hvf": not known`},
	} {
		_, err := row.spec.settled()
		if err == nil || err.Error() != row.want || fault.CodeOf(err) != fault.Usage {
			t.Errorf("error is %v, want %s", err, row.want)
		}
	}
}

func TestForwardedPorts(t *testing.T) {
	// As QEMU 7.2 prints it.
	const text = "Hub -1 (net):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n" +
		"  TCP[HOST_FORWARD]  14       127.0.0.1 37531       10.0.2.15    22     0     0\r\n" +
		"  UDP[236 sec]  15       10.0.2.15 68       10.0.2.2    67     0     0\r\n"
	if diff := cmp.Diff(map[uint16]uint16{22: 37531}, forwarded(text)); diff != "" {
		t.Error(diff)
	}
	if got := forwarded("TCP[HOST_FORWARD] 1 127.0.0.1 99999 10.0.2.15 22 0 0\nTCP[HOST_FORWARD]"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestParseVersion(t *testing.T) {
	for _, row := range []struct{ out, want string }{
		{"QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c)", "7.2.22"},
		{"QEMU emulator version 10.0.8\n", "10.0.8"},
		{"QEMU emulator version 5.2.0 (Debian)\n", "QEMU 5.2.0 is older than 6"},
		{"usage: something", "does not say a version of QEMU"},
	} {
		got, err := parseVersion(row.out)
		if err != nil {
			got = err.Error()
		}
		if got != row.want {
			t.Errorf("%q: got %s, want %s", row.out, got, row.want)
		}
	}
}

// A kernel that the machine starts itself comes by a descriptor too.
func TestDirectKernel(t *testing.T) {
	s, err := Spec{Direct: Direct{Kernel: "vmlinuz", Initrd: "initrd", CommandLine: "root=/dev/vda quiet"}}.settled()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(arguments(s, wires{monitor: 3, console: 4, kernel: 7, initrd: 8, drives: []drive{{format: Raw, as: HardDisk, disk: 5, overlay: 6}}}, TCG, "9.0"), " ")
	if want := "-kernel /proc/self/fd/7 -append root=/dev/vda quiet -initrd /proc/self/fd/8"; !strings.Contains(got, want) || strings.Contains(got, "bootindex") {
		t.Errorf("%s\nhas no %s, or a disk that is started from", got, want)
	}
	if _, err := (Spec{Direct: Direct{CommandLine: "quiet"}}).settled(); err == nil {
		t.Error("a command line without a kernel is taken")
	}
	if _, err := (Spec{Firmware: UEFI, Trust: []byte{1}}).settled(); err == nil {
		t.Error("a firmware that starts anything trusts a certificate")
	}
}
