package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"ingot/internal/fault"
)

// A Toolbox gives QEMU and its firmware.
//
// An implementation owes: an [Emulator] that answers the need, or an error with
// code [fault.Preflight] that says what is missing. It may take long (fetching and
// unpacking a tools tree) and obeys ctx.
type Toolbox interface {
	Emulator(ctx context.Context, need Need) (Emulator, error)
}

// A Need is what a machine asks a toolbox for.
type Need struct {
	Arch     string // of the guest, Debian's name
	Firmware Firmware
}

// An Emulator is a QEMU that can be started: Prefix, Path and then QEMU's own
// arguments make its command line.
//
// A prefix (the sandbox's command) owes: it passes descriptors 3 and up on under
// the same numbers, opens nothing else for QEMU than its root and, where there is one, /dev/kvm;
// stays in its process group; and leaves no QEMU behind when it is
// killed, by executing it in its own place or by taking a process namespace down
// with it. Standard error goes through. QEMU writes nothing into its root and
// needs no /proc, /sys or network beyond that of the host for [NAT] and forwarded ports.
type Emulator struct {
	Prefix  []string
	Path    string   // of QEMU, as it is seen behind Prefix
	Args    []string // before all others: where its data lies, if not in its usual place
	Env     []string
	Version string // as QEMU says it, such as "7.2.22"
	// Open opens a firmware file for reading, by the path that it has behind
	// Prefix. A missing one is fs.ErrNotExist.
	Open func(path string) (*os.File, error)
}

// pair is firmware code with the variables it starts from.
type pair struct{ code, vars string }

// firmwarePaths is where distributions keep OVMF, the 4 MiB builds: Debian and
// Ubuntu; Fedora; Arch. Arch ships no variables with Microsoft's keys enrolled.
var firmwarePaths = map[flash][]pair{
	flash(UEFI): {
		{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
		{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
		{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
	},
	flash(Secure): {
		{"/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"},
		{"/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"},
		{"/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"},
	},
	trusting: {
		{"/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
		{"/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
		{"/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
		{"/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
	},
}

// A flash is a firmware with the variables that it starts from.
type flash Firmware

// trusting is the firmware of [Secure] without anybody's keys.
const trusting flash = "trusting"

// openUEFI opens the firmware's code, and a private copy of its variables in memory. A
// firmware that trusts a certificate trusts nothing else.
func (e Emulator) openUEFI(f Firmware, trust []byte) (code, vars *os.File, err error) {
	kind := flash(f)
	if trust != nil {
		kind = trusting
	}
	for _, p := range firmwarePaths[kind] {
		code, err = e.Open(p.code)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("firmware: %w", err)
		}
		master, err := e.Open(p.vars)
		if err != nil {
			code.Close()
			return nil, nil, fmt.Errorf("firmware: %w", err)
		}
		defer master.Close()
		var content io.Reader = master
		if trust != nil {
			content, err = enrolled(master, trust)
		}
		if err == nil {
			vars, err = memory("uefi-variables", content)
		}
		if err != nil {
			code.Close()
			return nil, nil, err
		}
		return code, vars, nil
	}
	return nil, nil, fault.Newf(fault.Preflight, "no UEFI firmware: %s is not there", firmwarePaths[kind][0].code).
		WithHint("install the package ovmf")
}

// Host is the toolbox of the host's own programs: QEMU 6 or newer in the
// command path.
func Host() Toolbox { return host{} }

type host struct{}

func (host) Emulator(ctx context.Context, need Need) (Emulator, error) {
	if need.Arch != "amd64" {
		return Emulator{}, fault.Newf(fault.Preflight, "no emulator for architecture %q", need.Arch)
	}
	const name = "qemu-system-x86_64"
	const hint = "install the packages qemu-system-x86 and ovmf"
	path, err := exec.LookPath(name)
	if err != nil {
		return Emulator{}, fault.Newf(fault.Preflight, "%s: not found on this machine", name).WithHint(hint)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return Emulator{}, fault.Newf(fault.Preflight, "%s --version: %w", path, err).WithHint(hint)
	}
	version, err := parseVersion(string(out))
	if err != nil {
		return Emulator{}, fault.Newf(fault.Preflight, "%s: %w", path, err).WithHint(hint)
	}
	e := Emulator{Path: path, Version: version, Open: os.Open}
	if need.Firmware.IsUEFI() {
		code, vars, err := e.openUEFI(need.Firmware, nil)
		if err != nil {
			return Emulator{}, err
		}
		code.Close()
		vars.Close()
	}
	return e, nil
}

// oldest is the first major version of QEMU that does all that is asked of it.
const oldest = 6

var versionLine = regexp.MustCompile(`(?m)^QEMU emulator version ((\d{1,4})\.\d+[0-9.]*)`)

// parseVersion reads the first line of QEMU's --version.
func parseVersion(out string) (string, error) {
	m := versionLine.FindStringSubmatch(out)
	if m == nil {
		return "", errors.New("does not say a version of QEMU")
	}
	if major, err := strconv.Atoi(m[2]); err != nil || major < oldest {
		return "", fmt.Errorf("QEMU %s is older than %d", m[1], oldest)
	}
	return m[1], nil
}

// FirstOf is the toolbox that asks several in order and takes the first that
// can. If none can, the last one's error is given, with the others' reasons.
func FirstOf(boxes ...Toolbox) Toolbox { return firstOf(boxes) }

type firstOf []Toolbox

func (f firstOf) Emulator(ctx context.Context, need Need) (Emulator, error) {
	errs := make([]error, 0, len(f))
	for _, box := range f {
		e, err := box.Emulator(ctx, need)
		if err == nil {
			return e, nil
		}
		if ctx.Err() != nil {
			return Emulator{}, ctx.Err()
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return Emulator{}, fault.Newf(fault.Preflight, "no QEMU: no place to look for one")
	}
	if len(errs) == 1 {
		return Emulator{}, errs[0]
	}
	last := errs[len(errs)-1]
	return Emulator{}, fault.Newf(fault.CodeOf(last), "no QEMU: %w", errors.Join(errs...)).
		WithHint("%s", fault.HintOf(last))
}
