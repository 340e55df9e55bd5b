package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// openFiles is how many files a program may have open unless it asks for more. More than
// that makes programs slow that close all that they could have open; select(2) knows no more.
const openFiles = 1024

// limits are the limits of programs inside, which are not the caller's: what a
// script does must not depend on them. They are those of an ordinary system's log-in.
var limits = map[int]unix.Rlimit{
	unix.RLIMIT_AS:         {Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY},
	unix.RLIMIT_CORE:       {},
	unix.RLIMIT_CPU:        {Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY},
	unix.RLIMIT_DATA:       {Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY},
	unix.RLIMIT_FSIZE:      {Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY},
	unix.RLIMIT_LOCKS:      {Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY},
	unix.RLIMIT_MEMLOCK:    {Cur: 8 << 20, Max: 8 << 20},
	unix.RLIMIT_MSGQUEUE:   {Cur: 819200, Max: 819200},
	unix.RLIMIT_NICE:       {},
	unix.RLIMIT_NOFILE:     {Cur: 512 << 10, Max: 512 << 10}, // this process's: see withFewFiles
	unix.RLIMIT_NPROC:      {Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY},
	unix.RLIMIT_RSS:        {Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY},
	unix.RLIMIT_RTPRIO:     {},
	unix.RLIMIT_RTTIME:     {Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY},
	unix.RLIMIT_SIGPENDING: {Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY},
	unix.RLIMIT_STACK:      {Cur: 8 << 20, Max: unix.RLIM_INFINITY},
}

// setLimits gives this process the limits, for all that it starts. What the caller may
// not exceed, nobody here may.
func setLimits() error {
	for resource, want := range limits {
		var has unix.Rlimit
		err := unix.Prlimit(0, resource, nil, &has)
		if err == nil {
			hard := min(has.Max, want.Max)
			err = unix.Prlimit(0, resource, &unix.Rlimit{Cur: min(want.Cur, hard), Max: hard}, nil)
		}
		if err != nil {
			return fmt.Errorf("cannot set the limits of programs (resource %d): %w", resource, err)
		}
	}
	return nil
}

// withFewFiles runs start, and what it starts may have only as many files open as programs
// expect. This process needs more: a pack for each package.
func withFewFiles(start func() error) func() error {
	return func() error {
		var has unix.Rlimit
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &has); err != nil {
			return fmt.Errorf("cannot tell how many files may be open: %w", err)
		}
		few := unix.Rlimit{Cur: min(openFiles, has.Max), Max: has.Max}
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &few, nil); err != nil {
			return fmt.Errorf("cannot limit how many files may be open: %w", err)
		}
		defer func() { _ = unix.Prlimit(0, unix.RLIMIT_NOFILE, &has, nil) }() // up to what it may be
		return start()
	}
}
