package vm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// What the probe's guest may take. To reach its boot sector it uses 0.10 to 0.15 s of
// processor time under TCG, and less under a KVM of real hardware. A KVM that itself emulates
// the guest's firmware, as some clouds' do, uses 1.2 to 1.6 s, and its guests hang later: so
// KVM is held against TCG on the same machine. On the clock the two were 4 to 17 times apart,
// as the machine was busy or not; in processor time always about 10.
const (
	slower    = 4                // times TCG's processor time: KVM is of no use
	leastHang = 5 * time.Second  // on the clock, after which KVM's guest hangs
	mostTime  = 20 * time.Second // on the clock, for TCG's
)

// bootSector is the guest of the probe: it writes one byte to QEMU's debug port
// and halts.
//
//	mov al, 'I'
//	out 0xe9, al
//	hlt
//	jmp $-1
func bootSector() []byte {
	b := make([]byte, 1<<20) // a disk of fewer sectors than a track has is not booted
	copy(b, []byte{0xb0, 'I', 0xe6, 0xe9, 0xf4, 0xeb, 0xfd})
	b[510], b[511] = 0x55, 0xaa
	return b
}

// probeArguments is QEMU's command line for the probe.
func probeArguments(accel, version string, disk, debug int) []string {
	a := []string{"-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-machine", "pc,graphics=off"}
	a = append(a, acceleration(accel, version)...)
	return append(a, "-m", "64M",
		"-add-fd", fmt.Sprintf("fd=%d,set=%d", disk, disk),
		"-blockdev", fmt.Sprintf(`{"driver":"file","node-name":"disk","filename":"/dev/fdset/%d","read-only":true}`, disk),
		"-device", "virtio-blk-pci,drive=disk,bootindex=0",
		"-chardev", fmt.Sprintf("socket,id=debug,fd=%d", debug), "-device", "isa-debugcon,iobase=0xe9,chardev=debug")
}

// A choice is an acceleration and why.
type choice struct{ accel, why string }

// chooseAccel finds what makes a guest go forward. It takes about a second,
// and no time when the answer of this boot of the host lies in the cache.
func chooseAccel(ctx context.Context, e Emulator, arch, cache string) (choice, error) {
	if arch != runtime.GOARCH {
		return choice{TCG, "the guest is of another architecture"}, nil
	}
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return choice{TCG, err.Error()}, nil //nolint:nilerr // no KVM is an answer
	}
	kvm.Close()
	kept := answerPath(cache, e.Version)
	if kept != "" {
		// What is not an answer is asked again.
		switch b, _ := os.ReadFile(kept); string(b) {
		case KVM:
			return choice{KVM, "a guest ran under it since the host started"}, nil
		case TCG:
			return choice{TCG, "a guest was too slow or hung under KVM since the host started"}, nil
		}
	}
	start := time.Now()
	_, tcg, err := progresses(ctx, e, TCG, mostTime)
	if err != nil {
		return choice{}, err
	}
	ok, spent, err := progresses(ctx, e, KVM, max(leastHang, 12*time.Since(start)))
	if err != nil {
		return choice{}, err
	}
	c := choice{TCG, "a guest under KVM did not reach its boot sector"}
	switch limit := slower * tcg; {
	case ok && spent <= limit:
		c = choice{KVM, "a guest ran under it"}
	case ok:
		c.why = fmt.Sprintf("a guest under KVM took %v of processor time to reach its boot sector, and %v without", spent.Round(time.Millisecond), tcg.Round(time.Millisecond))
	}
	if kept != "" {
		keepAnswer(kept, c.accel)
	}
	return c, nil
}

// answerPath names the file that keeps the probe's answer for this boot of
// the host and this QEMU, or is empty.
func answerPath(cache, version string) string {
	if cache == "" {
		return ""
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "kvm3-"+string(bytes.TrimSpace(id))+"-qemu-"+version)
}

// keepAnswer writes the answer and forgets those of earlier boots. Failing is no harm:
// the next run asks again.
func keepAnswer(path, answer string) {
	dir := filepath.Dir(path)
	if os.MkdirAll(dir, 0o777) != nil {
		return
	}
	old, _ := filepath.Glob(filepath.Join(dir, "kvm*-*"))
	boot, _, _ := strings.Cut(path, "-qemu-")
	for _, o := range old {
		if !strings.HasPrefix(o, boot) {
			_ = os.Remove(o)
		}
	}
	tmp, err := os.CreateTemp(dir, ".kvm-")
	if err != nil {
		return
	}
	_, err = tmp.WriteString(answer)
	if cerr := tmp.Close(); err != nil || cerr != nil || os.Rename(tmp.Name(), path) != nil {
		_ = os.Remove(tmp.Name())
	}
}

// progresses runs the boot sector and says whether it spoke within a time on the
// clock, and how much processor time QEMU and its guest have used by then.
func progresses(ctx context.Context, e Emulator, accel string, limit time.Duration) (spoke bool, spent time.Duration, err error) {
	var p passed
	defer p.close()
	sector, err := memory("boot-sector", bytes.NewReader(bootSector()))
	if err != nil {
		return false, 0, err
	}
	defer sector.Close()
	// QEMU wants a descriptor that is as it uses it: for reading only.
	disk, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", sector.Fd()))
	if err != nil {
		return false, 0, fmt.Errorf("kvm probe: %w", err)
	}
	ours, theirs, err := socketPair("debug")
	if err != nil {
		disk.Close()
		return false, 0, err
	}
	defer ours.Close()
	args := probeArguments(accel, e.Version, p.add(disk), p.add(theirs))
	proc, err := startProcess(e, args, p.files)
	p.close()
	if err != nil {
		return false, 0, err
	}
	defer proc.kill()
	stop := context.AfterFunc(ctx, func() { ours.Close() })
	defer stop()
	if err := ours.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return false, 0, fmt.Errorf("kvm probe: %w", err)
	}
	b := make([]byte, 1)
	n, _ := ours.Read(b) // a QEMU that ends (no KVM for it) closes the socket
	if ctx.Err() != nil {
		return false, 0, ctx.Err()
	}
	proc.kill()
	state := proc.cmd.ProcessState
	return n == 1 && b[0] == 'I', state.UserTime() + state.SystemTime(), nil
}

// Acceleration is QEMU's arguments for the way to run a guest's code that makes it go
// forward on this host, found as [Start] finds it; accel is "kvm" or "tcg", or "" to probe.
func Acceleration(ctx context.Context, e Emulator, arch, accel, cache string) ([]string, error) {
	if accel == "" {
		c, err := chooseAccel(ctx, e, arch, cache)
		if err != nil {
			return nil, err
		}
		accel = c.accel
	}
	return acceleration(accel, e.Version), nil
}
