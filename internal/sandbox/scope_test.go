package sandbox

import (
	"errors"
	"net"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestSocketsOutsideStayOutside has a program with the host's network call somebody outside
// by an abstract name, and a child of its own.
func TestSocketsOutsideStayOutside(t *testing.T) {
	const name = "@ingot-test-of-sockets"
	outside, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	b := boxOf(t)
	out, err := b.Output(t.Context(), Command{Argv: []string{"/prog", "call", name, name + "-own"}, Network: true}, nil)
	want := name + " operation not permitted\n" + name + "-own <nil>\n"
	if !scopesSockets() {
		want = name + " <nil>\n" + name + "-own <nil>\n"
		t.Log("this kernel cannot keep programs from abstract sockets (Linux 6.12 can)")
	}
	if err != nil || string(out) != want {
		t.Errorf("the program said %q (%v), want %q", out, err, want)
	}
}

// scopesSockets says whether the kernel has Landlock's sixth version.
func scopesSockets() bool {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(nil)), 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	return errors.Is(errno, unix.Errno(0)) && version >= 6
}
