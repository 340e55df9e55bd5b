package sandbox

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// syncCalls flush files to disk. What a box holds is worth nothing after a power
// cut, and sync(2) would wait for all writes of the whole host.
var syncCalls = []uint32{unix.SYS_SYNC, unix.SYS_SYNCFS, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_MSYNC}

// An abi is a way to call the kernel, by which the numbers of calls are told apart
// (linux/audit.h).
type abi struct {
	arch         uint32
	ignore, deny []uint32 // calls that succeed at once, and those that do not exist
}

// abis are those that a kernel for the processor may know beside each other: programs of
// 32 bits have numbers of their own.
var abis = map[string][]abi{
	"amd64":   {{unix.AUDIT_ARCH_X86_64, syncCalls, keyCalls}, {arch: unix.AUDIT_ARCH_I386, deny: []uint32{286, 287, 288}}},
	"arm64":   {{unix.AUDIT_ARCH_AARCH64, syncCalls, keyCalls}, {arch: unix.AUDIT_ARCH_ARM, deny: []uint32{309, 310, 311}}},
	"riscv64": {{unix.AUDIT_ARCH_RISCV64, syncCalls, keyCalls}, {arch: unix.AUDIT_ARCH_RISCV32, deny: keyCalls}},
	"ppc64le": {{unix.AUDIT_ARCH_PPC64LE, syncCalls, keyCalls}, {arch: unix.AUDIT_ARCH_PPC | littleEndian, deny: keyCalls}},
	"s390x":   {{unix.AUDIT_ARCH_S390X, syncCalls, keyCalls}, {arch: unix.AUDIT_ARCH_S390, deny: keyCalls}},
}

const (
	littleEndian = 0x40000000 // __AUDIT_ARCH_LE
	// x32Bit marks the calls of programs of 32 bits that have the numbers of amd64, and is
	// in no other number (__X32_SYSCALL_BIT).
	x32Bit = 0x40000000

	allowCall = 0x7fff0000 // SECCOMP_RET_ALLOW
	failCall  = 0x00050000 // SECCOMP_RET_ERRNO, with the error in its lower half
)

// filterCalls makes syncCalls succeed at once and keyCalls fail, as on a kernel without
// keys, on this thread and in all that it starts (seccomp(2)).
func filterCalls() error {
	known, ok := abis[runtime.GOARCH]
	if !ok {
		return nil
	}
	filter := []unix.SockFilter{loadWord(4)} // of struct seccomp_data: the machine
	for _, a := range known {
		calls := a.filter()
		filter = append(filter, jumpIf(a.arch, 0, len(calls)))
		filter = append(filter, calls...)
	}
	filter = append(filter, give(allowCall))
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	runtime.KeepAlive(filter)
	if err != nil {
		return fmt.Errorf("cannot filter system calls: %w", err)
	}
	return nil
}

// filter ends each call of the ABI in one of three ways, which stand at its end.
func (a abi) filter() []unix.SockFilter {
	program := []unix.SockFilter{
		loadWord(0), // the number
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: ^uint32(x32Bit)},
	}
	allow := len(program) + len(a.ignore) + len(a.deny)
	ends := func(calls []uint32, at int) {
		for _, call := range calls {
			program = append(program, jumpIf(call, at-len(program)-1, 0))
		}
	}
	ends(a.ignore, allow+1)
	ends(a.deny, allow+2)
	return append(program, give(allowCall), give(failCall), give(failCall|uint32(unix.ENOSYS)))
}

func loadWord(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

// jumpIf goes on so many instructions further: where the word is what, or where not.
func jumpIf(what uint32, is, not int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: what, Jt: uint8(is), Jf: uint8(not)}
}

func give(what uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what}
}
