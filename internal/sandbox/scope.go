package sandbox

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keepFromSockets keeps all that this thread starts from unix sockets with abstract names
// that somebody outside listens on. They belong to a network namespace and not to a root,
// so that a program with the host's network would reach them: a display server's and a
// container runtime's have been among them, and what they ask for is the caller's user
// id. It is Landlock's scope of such sockets (landlock(7), Linux 6.12); an older kernel
// has nothing of the kind, and there they are reachable.
func keepFromSockets() error {
	scope := unix.LandlockRulesetAttr{Scoped: unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&scope)), unsafe.Sizeof(scope), 0)
	switch {
	case errors.Is(errno, unix.ENOSYS), errors.Is(errno, unix.EOPNOTSUPP), errors.Is(errno, unix.EINVAL), errors.Is(errno, unix.E2BIG), errors.Is(errno, unix.ENOMSG),
		errors.Is(errno, unix.EPERM): // a container's filter of calls
		return nil
	case errno != 0:
		return fmt.Errorf("cannot make a landlock rule set: %w", errno)
	}
	defer func() { _ = unix.Close(int(fd)) }()
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("cannot restrict a thread by landlock: %w", errno)
	}
	return nil
}
