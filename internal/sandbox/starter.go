package sandbox

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A starter is a thread that starts programs: they inherit its network namespace,
// its system call filter and what it may not give away.
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
		err := withholdTrace()
		if err == nil {
			err = ignoreSync()
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

// syncCalls flush files to disk. What a box holds is worth nothing after a power
// cut, and sync(2) would wait for all writes of the whole host.
var syncCalls = []uint32{unix.SYS_SYNC, unix.SYS_SYNCFS, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_MSYNC}

// auditArch is the machine that the system call numbers are of
// (linux/audit.h).
var auditArch = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64, "riscv64": unix.AUDIT_ARCH_RISCV64, "ppc64le": unix.AUDIT_ARCH_PPC64LE, "s390x": unix.AUDIT_ARCH_S390X}

// ignoreSync makes these calls succeed at once on this thread and in all that it
// starts (seccomp(2)).
func ignoreSync() error {
	arch, ok := auditArch[runtime.GOARCH]
	if !ok {
		return nil
	}
	// The filter's words are of struct seccomp_data: number at 0, machine at 4.
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	give := func(what uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what}
	}
	const allow, succeed = 0x7fff0000, 0x00050000 // SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with error 0
	n := uint8(len(syncCalls))
	filter := []unix.SockFilter{
		load(4),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arch, Jf: n + 1},
		load(0),
	}
	for i, call := range syncCalls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jt: n - uint8(i)})
	}
	filter = append(filter, give(allow), give(succeed))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	runtime.KeepAlive(filter)
	if err != nil {
		return fmt.Errorf("cannot filter system calls: %w", err)
	}
	return nil
}
