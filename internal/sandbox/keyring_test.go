package sandbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// callersKey is the name of a key in the session keyring of whoever calls.
const callersKey = "ingot-test-secret"

// withKey gives this thread a session keyring with a key in it. The thread must be locked.
func withKey(t *testing.T) {
	t.Helper()
	if _, err := unix.KeyctlJoinSessionKeyring("ingot-test"); err != nil {
		t.Skipf("a kernel with keyrings, which lets this user join one (keyctl(2)), runs this: %v", err)
	}
	if _, err := unix.AddKey("user", callersKey, []byte("secret"), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
		t.Skipf("a user below his quota of keys (/proc/key-users) runs this: %v", err)
	}
}

// TestKeysStayOutside has a key in the session keyring of the process that starts a box:
// programs in it must neither read nor add any, by whichever calls their processor knows.
func TestKeysStayOutside(t *testing.T) {
	if os.Getenv("INGOT_TEST_KEYS") == "" {
		runtime.LockOSThread() // never unlocked: the keyring is this thread's
		withKey(t)
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "INGOT_TEST_KEYS=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if _, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", callersKey, 0); err != nil {
		t.Fatalf("the caller does not have its own key: %v", err)
	}
	b := boxOf(t)
	for _, network := range []bool{false, true} {
		out, err := b.Output(t.Context(), Command{Argv: []string{"/prog", "keys", callersKey}, Network: network}, nil)
		if want := "tried\n"; err != nil || string(out) != want {
			t.Errorf("network %v: the program said\n%s(%v), want\n%s", network, out, err, want)
		}
	}
	if runtime.GOARCH != "amd64" {
		return
	}
	narrow := NewFile{Path: "narrow", Mode: 0o755, Data: asksNarrowly()}
	if err := b.Write(t.Context(), narrow); err != nil {
		t.Fatal(err)
	}
	out, err := b.Output(t.Context(), Command{Argv: []string{"/narrow"}}, nil)
	var exit *ExitError
	if errors.As(err, &exit) {
		t.Errorf("a program of 32 bits has a keyring: %v\n%s", err, out)
	} else if err != nil {
		t.Logf("programs of 32 bits do not run here: %v", err)
	}
}

// asksNarrowly is a program for i386 that asks for its session keyring and fails unless
// there is no such call.
func asksNarrowly() []byte {
	code := []byte{
		0xb8, 0x20, 0x01, 0, 0, // mov eax, 288: keyctl
		0x31, 0xdb, // xor ebx, ebx: KEYCTL_GET_KEYRING_ID
		0xb9, 0xfd, 0xff, 0xff, 0xff, // mov ecx, -3: the session's
		0x31, 0xd2, // xor edx, edx
		0xcd, 0x80, // int 0x80
		0x31, 0xdb, // xor ebx, ebx
		0x83, 0xf8, 0xda, // cmp eax, -38: ENOSYS
		0x0f, 0x95, 0xc3, // setne bl
		0xb8, 1, 0, 0, 0, // mov eax, 1: exit
		0xcd, 0x80, // int 0x80
	}
	const at, headers = 0x08048000, 52 + 32
	le := binary.LittleEndian
	// The header of the file and that of its one segment (elf(5)).
	p := append([]byte("\x7fELF\x01\x01\x01"), make([]byte, 9)...)
	for _, half := range []uint16{2, 3} {
		p = le.AppendUint16(p, half)
	}
	for _, word := range []uint32{1, at + headers, 52, 0, 0} {
		p = le.AppendUint32(p, word)
	}
	for _, half := range []uint16{52, 32, 1, 0, 0, 0} {
		p = le.AppendUint16(p, half)
	}
	size := uint32(headers + len(code))
	for _, word := range []uint32{1, 0, at, at, size, size, 5, 4096} {
		p = le.AppendUint32(p, word)
	}
	return append(p, code...)
}

// TestThreadLeavesItsKeyring is for kernels whose filter of system calls does not know
// the processor: without it, too, the caller's key is not to be found.
func TestThreadLeavesItsKeyring(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the keyring is this thread's
		withKey(t)
		leaveKeyring()
		if _, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", callersKey, 0); !errors.Is(err, unix.ENOKEY) {
			t.Errorf("the caller's key: %v", err)
		}
	}()
	<-done
}
