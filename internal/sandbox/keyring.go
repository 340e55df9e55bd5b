package sandbox

import "golang.org/x/sys/unix"

// keyCalls reach the kernel's keys (keyrings(7)), which no namespace keeps apart: those of
// whoever called would be a script's too.
var keyCalls = []uint32{unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL}

// leaveKeyring gives this thread, and all that it starts, a new session keyring in place
// of the caller's. Where none can be had, there is none to leave or no more are allowed;
// the filter of [keyCalls] holds there as well.
func leaveKeyring() {
	// No name at all: one with an empty name would be shared with whoever else asks for it.
	_, _ = unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
}
