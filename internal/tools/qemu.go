package tools

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"ingot/internal/fault"
	"ingot/internal/sandbox"
	"ingot/internal/vm"
)

// QEMU are the packages of the emulator: the program, its BIOS, and firmware for
// UEFI.
var QEMU = Set{Name: "qemu", Packages: []string{"qemu-system-x86", "seabios", "ovmf"}}

// Machines makes a Keeper the toolbox of machines.
func (k *Keeper) Machines() vm.Toolbox { return toolbox{k} }

type toolbox struct{ *Keeper }

// Emulator gives QEMU from the tools tree.
func (t toolbox) Emulator(ctx context.Context, need vm.Need) (vm.Emulator, error) {
	if need.Arch != "amd64" {
		return vm.Emulator{}, fault.Newf(fault.Preflight, "no emulator for architecture %q", need.Arch)
	}
	d, err := t.Dir(ctx, QEMU)
	if err != nil {
		return vm.Emulator{}, err
	}
	const program = "qemu-system-x86_64"
	argv, err := d.Program(program)
	if err != nil {
		return vm.Emulator{}, err
	}
	e := vm.Emulator{Prefix: argv[:len(argv)-1], Path: argv[len(argv)-1], Open: func(path string) (*os.File, error) { return os.Open(filepath.Join(d.Path, path)) }}
	e.Args, e.Env = d.data(program)
	cmd := exec.CommandContext(ctx, argv[0], append(argv[1:], "--version")...)
	cmd.Env = e.Env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return e, fault.Newf(fault.Failed, "QEMU of the tools tree does not run: %w%s", err, sandbox.Quote(out))
	}
	if _, err := fmt.Sscanf(string(out), "QEMU emulator version %s", &e.Version); err != nil {
		return e, fault.Newf(fault.Failed, "QEMU of the tools tree does not say its version: %q", out)
	}
	return e, nil
}
