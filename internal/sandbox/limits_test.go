package sandbox

import (
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

const limitCount = 16 // RLIM_NLIMITS

// TestLimitsAreNotTheCallers calls with other limits each time and has a program look at
// its own. One that is hard stays, and is in nobody's way.
func TestLimitsAreNotTheCallers(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the program that looks is for amd64: such a machine runs this")
	}
	if at := os.Getenv("INGOT_TEST_LIMITS"); at != "" {
		b, err := New(t.Context(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Close() }()
		if err := b.Write(t.Context(), NewFile{Path: "limits", Mode: 0o755, Data: saysLimits()}); err != nil {
			t.Fatal(err)
		}
		out, err := b.Output(t.Context(), Command{Argv: []string{"/limits"}}, nil)
		if err == nil {
			err = os.WriteFile(at, out, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	called := func(how string) [limitCount]unix.Rlimit {
		at := t.TempDir() + "/limits"
		cmd := exec.CommandContext(t.Context(), "sh", "-c", how+` && exec "$0" -test.run "^$1$"`, os.Args[0], t.Name())
		cmd.Env = append(os.Environ(), "INGOT_TEST_LIMITS="+at)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", how, err, out)
		}
		f, err := os.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		var l [limitCount]unix.Rlimit
		if err := binary.Read(f, binary.LittleEndian, &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	usual := called("true")
	hard := usual
	for resource, want := range map[int]uint64{unix.RLIMIT_STACK: 8 << 20, unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: 1024} {
		if got := usual[resource].Cur; got != want {
			t.Errorf("limit %d is %d, want %d", resource, got, want)
		}
	}
	hard[unix.RLIMIT_NOFILE] = unix.Rlimit{Cur: 600, Max: 600}
	hard[unix.RLIMIT_STACK] = unix.Rlimit{Cur: 4 << 20, Max: 4 << 20}
	for how, want := range map[string][limitCount]unix.Rlimit{
		"ulimit -S -s 4096 && ulimit -S -n 700 && ulimit -S -f 4000000 && ulimit -S -t 3000": usual,
		"ulimit -S -s $(ulimit -H -s) && ulimit -S -n $(ulimit -H -n) && ulimit -c 0":        usual,
		"ulimit -n 600 && ulimit -s 4096":                                                    hard,
	} {
		if got := called(how); got != want {
			t.Errorf("after %s: limits\n%v, want\n%v", how, got, want)
		}
	}
}

// saysLimits is a program for amd64 that writes its limits (getrlimit(2)) in their order.
// One in Go would see those that Go's runtime makes of them.
func saysLimits() []byte {
	code := []byte{
		0x48, 0x83, 0xec, 0x10, // sub rsp, 16
		0x31, 0xdb, // xor ebx, ebx: the first
		0xb8, 0x2e, 0x01, 0, 0, // mov eax, 302: prlimit64
		0x31, 0xff, // xor edi, edi
		0x89, 0xde, // mov esi, ebx
		0x31, 0xd2, // xor edx, edx
		0x49, 0x89, 0xe2, // mov r10, rsp
		0x0f, 0x05, // syscall
		0xb8, 1, 0, 0, 0, // mov eax, 1: write
		0xbf, 1, 0, 0, 0, // mov edi, 1
		0x48, 0x89, 0xe6, // mov rsi, rsp
		0xba, 16, 0, 0, 0, // mov edx, 16
		0x0f, 0x05, // syscall
		0xff, 0xc3, // inc ebx
		0x83, 0xfb, limitCount, // cmp ebx
		0x72, 0xd5, // jb to the first call
		0xb8, 60, 0, 0, 0, // mov eax, 60: exit
		0x31, 0xff, // xor edi, edi
		0x0f, 0x05, // syscall
	}
	const at, headers = 0x400000, 64 + 56
	le := binary.LittleEndian
	// The header of the file and that of its one segment (elf(5)).
	p := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	p = le.AppendUint32(p, 62<<16|2)
	p = le.AppendUint32(p, 1)
	for _, word := range []uint64{at + headers, 64, 0} {
		p = le.AppendUint64(p, word)
	}
	p = le.AppendUint32(p, 0)
	for _, half := range []uint16{64, 56, 1, 0, 0, 0} {
		p = le.AppendUint16(p, half)
	}
	p = le.AppendUint32(p, 1)
	p = le.AppendUint32(p, 5)
	size := uint64(headers + len(code))
	for _, word := range []uint64{0, at, at, size, size, 4096} {
		p = le.AppendUint64(p, word)
	}
	return append(p, code...)
}
