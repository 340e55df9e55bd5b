package sandbox

import (
	"fmt"
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// withholdInherited keeps what this process inherited, beyond the standard files, from
// all that it starts. Go's own files are closed when a program is executed; those that
// whoever called left open are not, and through one of a directory a script would reach
// all of the host's files. They stay open here: a path may name one (/dev/fd/63).
func withholdInherited() error {
	const first = 3
	// close_range(2): the flag is known since Linux 5.11, and a filter of system calls
	// may not know the call at all.
	if unix.CloseRange(first, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	return closeEachOnExec(first)
}

// closeEachOnExec marks every open file from the first on.
func closeEachOnExec(first int) error {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("cannot keep the open files of whoever called from programs: %w", err)
	}
	for _, n := range names {
		if fd, err := strconv.Atoi(n.Name()); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
