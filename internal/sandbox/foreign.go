package sandbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

// A Foreign says how a box runs programs of another architecture than this machine's: an
// emulator of user programs is registered with the box's own user namespace, which Linux
// has since 6.7, and else whatever the host has registered is used (the kernel's
// admin-guide/binfmt-misc). The host's registrations stay as they are.
type Foreign struct {
	Arch string // Debian's name
	// Emulator is a program of the host, one of qemu-user's. It is static: the kernel opens
	// it when it is registered, and finds nothing else of it in the tree. "" registers none.
	Emulator string
	// Native is a tools tree of the host whose programs are of this machine's architecture:
	// see [Command.Native].
	Native string
}

// NativeTree is where a native program finds the tree; what the tree's programs see, with
// /dev and /proc on it.
const NativeTree = "/image"

const (
	nativeDir    = "/native"
	binfmtDir    = "/binfmt"
	emulatorFile = "/emulator"
)

// show prepares what a foreign box needs below its future root, while the host is in
// sight.
func (f *Foreign) show(top string) error {
	if f.Emulator != "" {
		if err := os.WriteFile(top+emulatorFile, nil, 0o755); err != nil {
			return fmt.Errorf("cannot make a place for the emulator: %w", err)
		}
		if err := bind(f.Emulator, top+emulatorFile, false); err != nil {
			return err
		}
	}
	if f.Native == "" {
		return nil
	}
	root := top + nativeDir
	for _, dir := range []string{"", "/etc", "/tmp", "/usr", "/dev", "/proc", NativeTree} {
		if err := os.Mkdir(root+dir, 0o755); err != nil {
			return fmt.Errorf("cannot make the directories of native programs: %w", err)
		}
	}
	links := map[string]string{}
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		if _, err := os.Stat(f.Native + "/usr/" + dir); err == nil {
			links[dir] = "usr/" + dir
		}
	}
	// Users and groups are those of the image.
	for _, file := range []string{"passwd", "group"} {
		links["etc/"+file] = NativeTree + "/etc/" + file
	}
	for _, link := range slices.Sorted(maps.Keys(links)) {
		target := links[link]
		if err := os.Symlink(target, root+"/"+link); err != nil {
			return fmt.Errorf("cannot make the directories of native programs: %w", err)
		}
	}
	return bind(f.Native+"/usr", root+"/usr", false)
}

// open registers the emulator and shows native programs what they may see of the box. It says
// why the kernel lets nobody register one here, "" where it does.
func (f *Foreign) open() (refused string, err error) {
	if f.Native != "" {
		for _, dir := range []string{"/dev", "/proc"} {
			if err := unix.Mount(dir, nativeDir+dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
				return "", fmt.Errorf("cannot show %s to native programs: %w", dir, err)
			}
		}
	}
	if err := os.Mkdir(binfmtDir, 0o755); err != nil {
		return "", err
	}
	if refusal := unix.Mount("binfmt_misc", binfmtDir, "binfmt_misc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); refusal != nil {
		refused = refusal.Error()
	}
	if refused != "" || f.Emulator == "" {
		return refused, nil
	}
	line, err := registration(f.Arch, emulatorFile)
	if err == nil {
		err = os.WriteFile(binfmtDir+"/register", []byte(line), 0)
	}
	if err != nil {
		return "", fmt.Errorf("cannot register the emulator of %s: %w", f.Arch, err)
	}
	return "", nil
}

// showNative shows the tree to native programs for as long as one runs.
func showNative() (unmount func(), err error) {
	if err := unix.Mount(rootDir, nativeDir+NativeTree, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return nil, fmt.Errorf("cannot show the tree to native programs: %w", err)
	}
	return func() { _ = unix.Unmount(nativeDir+NativeTree, unix.MNT_DETACH) }, nil
}

// registration is what binfmt_misc is told: executables and shared objects with the
// architecture's ELF header go to the emulator, which the kernel opens now (F), which learns
// by what name a program was called (P), and set-uid programs get their owner's rights (C).
func registration(arch, emulator string) (string, error) {
	e, err := elfOf(arch)
	if err != nil {
		return "", err
	}
	magic := e.header()[:20]
	mask := []byte("\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	if e.big {
		mask[17] = 0xfe
	} else {
		mask[16] = 0xfe
	}
	return fmt.Sprintf(":ingot-%s:M::%s:%s:%s:FPC", arch, escaped(magic), escaped(mask), emulator), nil
}

func escaped(data []byte) string {
	var b strings.Builder
	for _, c := range data {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

// Runs says whether programs of an architecture run in boxes here with nothing added: since
// the processor runs them, or since the host has an emulator registered.
func Runs(ctx context.Context, arch string) (bool, error) {
	box, err := New(ctx, Options{})
	if err != nil {
		return false, err
	}
	defer func() { _ = box.Close() }()
	err = box.try(ctx, arch)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return err == nil, nil
}

// CheckForeign says, before any work, whether programs of an architecture can run here. Without
// an emulator it says whether one can be registered, or the host has one. What is in the way
// is a fault.Preflight.
func CheckForeign(ctx context.Context, f Foreign) error {
	if _, err := elfOf(f.Arch); err != nil {
		return fault.Newf(fault.Preflight, "%w", err)
	}
	box, err := New(ctx, Options{Foreign: &f})
	if err != nil {
		return err
	}
	defer func() { _ = box.Close() }()
	if f.Emulator == "" && box.refused == "" {
		return nil
	}
	if err = box.try(ctx, f.Arch); err == nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	return explainForeign(f, box.refused, err)
}

// explainForeign is the remedy where a foreign program did not run.
func explainForeign(f Foreign, refused string, err error) error {
	if refused != "" {
		return fault.Newf(fault.Preflight, "programs of %s do not run on this machine: its kernel lets a user namespace register no emulator (%s), and none that works is registered for all: %w", f.Arch, refused, err).
			WithHint("use Linux 6.7 or newer with binfmt_misc, or, as root: apt-get install qemu-user-static binfmt-support, which registers one for all with flag F; or build on a machine of %s", f.Arch)
	}
	return fault.Newf(fault.Preflight, "programs of %s do not run on this machine: its emulator %s: %w", f.Arch, f.Emulator, err).
		WithHint("build on a machine of %s", f.Arch)
}

// try runs a program of an architecture that does nothing.
func (b *Box) try(ctx context.Context, arch string) error {
	e, err := elfOf(arch)
	if err != nil {
		return err
	}
	const name = "nothing"
	if err := b.Write(ctx, NewFile{Path: name, Mode: 0o755, Data: e.program()}); err != nil {
		return err
	}
	return b.Run(ctx, Command{Argv: []string{"/" + name}})
}
