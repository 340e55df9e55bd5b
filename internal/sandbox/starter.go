package sandbox

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// A starter is a thread that starts programs: they inherit its network namespace, its
// keyring, its system call filter, the sockets it may not call and what it may not give away.
type starter chan func()

// newStarter makes a thread for programs with the host's network, or with a
// private one in which only the loopback is up.
func newStarter(private bool) (starter, error) {
	s := make(starter)
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is not like the others any more
		if private {
			err := unix.Unshare(unix.CLONE_NEWNET)
			if err == nil {
				err = loopbackUp()
			}
			if err != nil {
				ready <- fmt.Errorf("cannot make a private network: %w", err)
				return
			}
		}
		leaveKeyring()
		err := keepFromSockets()
		if err == nil {
			err = withholdTrace()
		}
		if err == nil {
			err = filterCalls()
		}
		ready <- err
		for f := range s {
			f()
		}
	}()
	return s, <-ready
}

// do runs f on the thread.
func (s starter) do(f func() error) error {
	done := make(chan error)
	s <- func() { done <- f() }
	return <-done
}

// withholdTrace keeps CAP_SYS_PTRACE from all that this thread starts, root's
// programs too (capabilities(7)). The thread itself keeps it: a program that has less than a
// thread of process 1 can neither trace it nor open what /proc shows of it, and so has neither its
// memory nor its network.
func withholdTrace() error {
	err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_PTRACE, 0, 0, 0)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err == nil {
		err = unix.Capget(&header, &sets[0])
	}
	if err == nil {
		sets[0].Inheritable &^= 1 << unix.CAP_SYS_PTRACE // and so from the ambient set
		err = unix.Capset(&header, &sets[0])
	}
	if err != nil {
		return fmt.Errorf("cannot withhold CAP_SYS_PTRACE: %w", err)
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
