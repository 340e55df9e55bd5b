package bls

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// FAT has no journal, so a power cut may leave a name whose clusters the table has as free. The
// kernel takes that for damage when the file is removed: it makes the partition read-only (vfat's
// default, errors=remount-ro), and the name is gone nevertheless. Nothing else is lost by
// going on, and all of ingot's would stop.

// maxStops bounds how often a step is done again: each time one name is gone that stopped it.
const maxStops = 64

// stopped says whether the kernel has made the partition read-only for a fault that it found: its
// mount is not, and the file system is.
func (p *Partition) stopped() (bool, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, fmt.Errorf("boot partition: %w", err)
	}
	return stopped(text, p.Dir), nil
}

// stopped reads a mountinfo (proc_pid_mountinfo(5)): of a line, the fifth word is where, the sixth
// has the mount's options, and the last those of the file system.
func stopped(mountinfo []byte, dir string) bool {
	found := false
	for line := range bytes.Lines(mountinfo) {
		f := strings.Fields(string(line))
		if len(f) < 10 || f[4] != dir {
			continue
		}
		has := func(options string) bool { return slices.Contains(strings.Split(options, ","), "ro") }
		found = !has(f[5]) && has(f[len(f)-1]) // the last mount lies above the others
	}
	return found
}

// resume lets the partition be written to again where the kernel has stopped that.
func (p *Partition) resume() (resumed bool, err error) {
	is, err := p.stopped()
	if err != nil || !is {
		return false, err
	}
	fs, err := unix.Fspick(unix.AT_FDCWD, p.Dir, unix.FSPICK_CLOEXEC)
	if err == nil {
		if err = unix.FsconfigSetFlag(fs, "rw"); err == nil {
			err = unix.FsconfigReconfigure(fs)
		}
		_ = unix.Close(fs)
	}
	if err != nil {
		return false, fmt.Errorf("boot partition %s: write again: %w", p.Dir, err)
	}
	return true, nil
}
