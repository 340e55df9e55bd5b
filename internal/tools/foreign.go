package tools

import (
	"context"
	"path/filepath"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/sandbox"
)

// Foreign are the programs by which a tree of another architecture is made: static
// emulators of user programs, and dpkg of this machine's.
var Foreign = Set{Name: "foreign", Packages: []string{"dpkg", "qemu-user"}, Drop: func(path string) bool {
	// One emulator is 10 MB, and there are forty.
	name, emulator := strings.CutPrefix(path, "usr/bin/qemu-")
	if !emulator {
		return false
	}
	for _, target := range userTargets {
		if name == target {
			return false
		}
	}
	return true
}}

// userTargets are what QEMU calls Debian's architectures where it runs their user programs
// (qemu-user(1)).
var userTargets = map[string]string{
	"amd64": "x86_64", "arm64": "aarch64", "armel": "arm", "armhf": "arm", "i386": "i386", "loong64": "loongarch64",
	"mips64el": "mips64el", "ppc64el": "ppc64le", "riscv64": "riscv64", "s390x": "s390x",
}

// Foreign gives what runs programs of an architecture in a sandbox.
func (k *Keeper) Foreign(ctx context.Context, arch string) (sandbox.Foreign, error) {
	target, ok := userTargets[arch]
	if !ok {
		return sandbox.Foreign{}, fault.Newf(fault.Preflight, "no emulator is known for programs of %s", arch).WithHint("build on a machine of %s", arch)
	}
	dir, err := k.Path(ctx, Foreign)
	if err != nil {
		return sandbox.Foreign{}, err
	}
	return sandbox.Foreign{Arch: arch, Emulator: filepath.Join(dir, "usr/bin/qemu-"+target), Native: dir}, nil
}
