package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// packs is a source of one pack.
type packs string

func (p packs) Open(string) (*os.File, error) { return os.Open(string(p)) }

// program builds a static program that the box can run in a bare tree.
func program(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	src := `package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// reachKeys tries to get at a key of whoever called and says what came of it.
func reachKeys(name string) {
	const session, user, userSession = -3, -4, -5
	text := func(s string) uintptr { return uintptr(unsafe.Pointer(&append([]byte(s), 0)[0])) }
	kind, payload := text("user"), text("bad")
	try := func(what string, call uintptr, a ...uintptr) uintptr {
		a = append(a, 0, 0, 0, 0, 0)
		r, _, errno := syscall.Syscall6(call, a[0], a[1], a[2], a[3], a[4], 0)
		if errno != syscall.ENOSYS {
			fmt.Println(what, int(r), errno)
		}
		return r
	}
	for _, ring := range []int{session, user, userSession} {
		ring := uintptr(ring)
		try("identify", syscall.SYS_KEYCTL, 0, ring, 0)
		key := try("search", syscall.SYS_KEYCTL, 10, ring, kind, text(name))
		buf := make([]byte, 100)
		try("read", syscall.SYS_KEYCTL, 11, key, uintptr(unsafe.Pointer(&buf[0])), 100)
		fmt.Print(strings.TrimRight(string(buf), "\x00"))
		try("add", syscall.SYS_ADD_KEY, kind, text("of-the-box"), payload, 3, ring)
	}
	try("request", syscall.SYS_REQUEST_KEY, kind, text(name), 0, 0)
	for _, file := range []string{"/proc/keys", "/proc/key-users"} {
		if data, err := os.ReadFile(file); err != nil || len(data) > 0 {
			fmt.Printf("%s: %s%v\n", file, data, err)
		}
	}
	fmt.Println("tried")
}

// reach tries to get at process 1 and says what it could do.
func reach() {
	tasks, _ := filepath.Glob("/proc/1/task/*")
	for _, dir := range append(tasks, "/proc/1") {
		if f, err := os.OpenFile(dir+"/mem", os.O_RDWR, 0); err == nil {
			fmt.Println("opened", f.Name())
		}
		for _, link := range []string{"root", "cwd", "exe", "ns/net", "ns/mnt"} {
			if _, err := os.Readlink(dir + "/" + link); err == nil {
				fmt.Println("read", dir+"/"+link)
			}
		}
		if _, err := os.ReadDir(dir + "/root/"); err == nil {
			fmt.Println("listed", dir+"/root")
		}
		var pid int
		fmt.Sscan(filepath.Base(dir), &pid)
		if err := syscall.PtraceAttach(pid); err == nil {
			fmt.Println("attached to", pid)
		}
	}
	fmt.Println("tried", len(tasks) > 1, syscall.Kill(1, syscall.SIGSTOP))
}

func main() {
	switch os.Args[1] {
	case "write":
		if err := os.WriteFile(os.Args[2], []byte(os.Args[3]), 0o640); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
	case "rename":
		if err := os.Rename(os.Args[2], os.Args[3]); err != nil {
			panic(err)
		}
	case "age":
		if err := os.Chtimes(os.Args[2], time.Unix(-1000, 1), time.Unix(-1000, 1)); err != nil {
			panic(err)
		}
	case "grow": // to the size, with a word at its middle
		var size int64
		fmt.Sscan(os.Args[3], &size)
		f, err := os.Create(os.Args[2])
		if err == nil {
			err = f.Truncate(size)
		}
		if err == nil {
			_, err = f.WriteAt([]byte("middle"), size/2)
		}
		if err != nil {
			panic(err)
		}
	case "replace": // all in a directory by files
		for i := range 100 {
			if err := os.WriteFile(fmt.Sprintf("%s/d%02d", os.Args[2], i), []byte("file"), 0o600); err != nil {
				panic(err)
			}
		}
	case "remove":
		if err := os.Remove(os.Args[2]); err != nil {
			panic(err)
		}
	case "reach":
		reach()
	case "files": // what is open beyond the standard files, but for this directory
		d, err := os.Open("/proc/self/fd")
		if err != nil {
			panic(err)
		}
		names, _ := d.Readdirnames(-1)
		for _, n := range names {
			to, err := os.Readlink("/proc/self/fd/" + n)
			if n > "2" && err == nil && !strings.HasSuffix(to, "/fd") && !strings.HasPrefix(to, "anon_inode:") {
				fmt.Println(n, to)
			}
		}
	case "keys":
		reachKeys(os.Args[2])
	case "list": // as the kernel lists it
		for _, dir := range os.Args[2:] {
			d, err := os.Open(dir)
			if err != nil {
				panic(err)
			}
			names, err := d.Readdirnames(-1)
			fmt.Println(dir, names, err)
			for _, n := range names {
				var st syscall.Stat_t
				if err := syscall.Lstat(dir+"/"+n, &st); err != nil {
					panic(err)
				}
				fmt.Print(st.Ino, " ")
			}
		}
	case "mode":
		info, err := os.Stat(os.Args[2])
		if err != nil {
			panic(err)
		}
		fmt.Println(info.Mode())
	case "flush": // what is not open
		fmt.Println(syscall.Fsync(-1), syscall.Fdatasync(-1), syscall.Close(-1))
	case "call": // somebody who listens by a name, and then a listener of its own
		l, err := net.Listen("unix", os.Args[3])
		if err != nil {
			panic(err)
		}
		defer l.Close()
		for _, name := range os.Args[2:] {
			c, err := net.Dial("unix", name)
			if e, ok := err.(*net.OpError); ok {
				err = e.Err.(*os.SyscallError).Err
			}
			fmt.Println(name, err)
			if c != nil {
				c.Close()
			}
		}
	case "stay":
		fmt.Println("running")
		time.Sleep(time.Hour)
	case "who":
		host, _ := os.Hostname()
		links, _ := net.Interfaces()
		names := []string{}
		for _, l := range links {
			names = append(names, l.Name)
		}
		_, err := os.Stat("/host/etc")
		fmt.Println(os.Getuid(), os.Getgid(), os.Getpid() > 1, host, names, os.Environ(), os.IsNotExist(err))
	}
}
`
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(src), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "prog")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", out, filepath.Join(dir, "main.go"))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the test program: %v\n%s", err, msg)
	}
	return out
}

// TestBoxEndsWithItsIngot kills a process with a box in which a program runs, and
// waits for the program to be gone.
func TestBoxEndsWithItsIngot(t *testing.T) {
	if pack := os.Getenv("INGOT_TEST_VICTIM"); pack != "" {
		victim(t, pack)
		return
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "TestBoxEndsWithItsIngot")
	cmd.Env = append(os.Environ(), "INGOT_TEST_VICTIM="+program(t))
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	line := make([]byte, 8)
	if _, err := io.ReadFull(r, line); err != nil || string(line) != "running\n" {
		t.Fatalf("the program said %q: %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The program holds the pipe's other end as long as it lives.
	done := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, r); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("the program outlives the ingot that started it")
	}
	_ = cmd.Wait()
}

// victim runs a program in a box until it is killed.
func victim(t *testing.T, prog string) {
	data, err := os.ReadFile(prog)
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Write(t.Context(), NewFile{Path: "prog", Mode: 0o755, Data: data}); err != nil {
		t.Fatal(err)
	}
	err = b.Run(t.Context(), Command{Argv: []string{"/prog", "stay"}, Stdout: os.Stdout})
	t.Fatalf("the program ended: %v", err)
}

func TestBoxCapturesWhatChanged(t *testing.T) {
	prog := program(t)
	data, err := os.ReadFile(prog)
	if err != nil {
		t.Fatal(err)
	}
	pack := filepath.Join(t.TempDir(), "pack")
	text := "old text\n"
	if err := os.WriteFile(pack, append(data, text...), 0o644); err != nil {
		t.Fatal(err)
	}
	file := func(path, owner string) tree.Entry {
		return tree.Entry{Path: path, Kind: tree.File, Mode: 0o644, UID: 7, GID: 65534, Mtime: tree.Time{Sec: 1000}, Owner: owner,
			Content: tree.Content{Digest: digest.Of([]byte(text)), Size: int64(len(text)), Pack: "p", Offset: int64(len(data))}}
	}
	entries := []tree.Entry{
		{Path: "", Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: 1000}, Owner: "deb:a"},
		{Path: "bin", Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: 1000}, Owner: "deb:a"},
		{Path: "bin/prog", Kind: tree.File, Mode: 0o4755, Mtime: tree.Time{Sec: 1000}, Owner: "deb:a", Content: tree.Content{Digest: digest.Of(data), Size: int64(len(data)), Pack: "p"}},
		{Path: "bin/prog2", Kind: tree.Hardlink, Link: "bin/prog", Mode: 0o4755, Mtime: tree.Time{Sec: 1000}, Owner: "deb:a"},
		{Path: "dev", Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: 1000}, Owner: "deb:a"},
		{Path: "dev/null", Kind: tree.Char, Mode: 0o666, Major: 1, Minor: 3, Mtime: tree.Time{Sec: 1000}, Owner: "deb:a"},
		{Path: "etc", Kind: tree.Dir, Mode: 0o2755, Mtime: tree.Time{Sec: 1000}, Owner: "deb:a"},
		file("etc/conf.dpkg-new", "deb:b"), file("etc/gone", "deb:b"), file("etc/kept", "deb:b"), file("etc/rewritten", "deb:b"),
		{Path: "etc/link", Kind: tree.Symlink, Mode: 0o777, Link: "../nowhere", Mtime: tree.Time{Sec: 1000}, Owner: "deb:b"},
		{Path: "etc/pipe", Kind: tree.Fifo, Mode: 0o600, UID: 65535, Mtime: tree.Time{Sec: 1000}, Owner: "deb:b"},
		{Path: "proc", Kind: tree.Dir, Mode: 0o555, Mtime: tree.Time{Sec: 1000}, Owner: "deb:a"},
	}
	before, err := tree.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	b, err := New(ctx, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	r := tree.NewReader(packs(pack))
	defer func() { _ = r.Close() }()
	if err := b.Put(ctx, entries, r); err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{
		{"write", "/etc/new", "new text\n"},
		{"write", "/etc/rewritten", "new text\n"},
		{"rename", "/etc/conf.dpkg-new", "/etc/conf"},
		{"remove", "/etc/gone"},
		{"write", "/dev/null", "swallowed"},
		{"age", "/etc/pipe"},
	} {
		out, err := b.Output(ctx, Command{Argv: append([]string{"/bin/prog"}, argv...)}, nil)
		if err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	out, err := b.Output(ctx, Command{Argv: []string{"/bin/prog2", "who"}, Env: []string{"A=b"}}, nil)
	if got, want := string(out), "0 0 true localhost [lo] [A=b] true\n"; err != nil || got != want {
		t.Errorf("the program saw %q (%v), want %q", got, err, want)
	}
	into, err := os.Create(filepath.Join(t.TempDir(), "delta"))
	if err != nil {
		t.Fatal(err)
	}
	after, size, err := b.Capture(ctx, into, "d", "step:test", 2000)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, e := range tree.Diff(before, after).Set {
		got.WriteString(strings.TrimSpace(strings.Join([]string{e.Kind.String(), e.Path, e.Owner, e.Content.Pack}, " ")) + "\n")
	}
	for _, p := range tree.Diff(before, after).Remove {
		got.WriteString("removed " + p + "\n")
	}
	want := `dir etc deb:a
file etc/conf deb:b p
file etc/new step:test d
fifo etc/pipe deb:b
file etc/rewritten step:test d
removed etc/conf.dpkg-new
removed etc/gone
`
	if got.String() != want {
		t.Errorf("captured\n%s\nwant\n%s", got.String(), want)
	}
	if size != 18 {
		t.Errorf("captured %d bytes, want 18", size)
	}
	if e, _ := after.Lookup("etc/new"); e.Mtime.Sec != 2000 || e.Mode != 0o640 {
		t.Errorf("new file has time %d and mode %o, want 2000 and 640", e.Mtime.Sec, e.Mode)
	}
	if e, _ := after.Lookup("etc/pipe"); e.Mtime != (tree.Time{}) {
		t.Errorf("what is older than 1970 has time %v, want the beginning of 1970", e.Mtime)
	}
	if e, _ := after.Lookup("dev/null"); e.Kind != tree.Char {
		t.Errorf("device became %s", e.Kind)
	}
}

// boxOf is a box in which the test program is /prog.
func boxOf(t *testing.T) *Box {
	t.Helper()
	data, err := os.ReadFile(program(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Put(t.Context(), []tree.Entry{{Path: "proc", Kind: tree.Dir, Mode: 0o555}}, tree.NewReader(packs(""))); err != nil {
		t.Fatal(err)
	}
	if err := b.Write(t.Context(), NewFile{Path: "prog", Mode: 0o755, Data: data}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *Box) do(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := b.Output(t.Context(), Command{Argv: append([]string{"/prog"}, argv...)}, nil); err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, out)
	}
}

// TestInheritedFilesStayOutside has a directory of the host open in the box's process and
// in the one that started it, as when somebody calls with one: programs must not see it,
// and must get what they are given.
func TestInheritedFilesStayOutside(t *testing.T) {
	if os.Getenv("INGOT_TEST_INHERITS") == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "INGOT_TEST_INHERITS=1")
		dir, err := os.Open("/")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = dir.Close() }()
		cmd.ExtraFiles = []*os.File{dir, dir, dir, dir, dir}
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	// What was inherited can be read here, but starts with nothing.
	var st unix.Stat_t
	if err := unix.Fstat(5, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		t.Errorf("what was inherited is gone: %v", err)
	}
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", "cd /proc/self/fd/5/etc").CombinedOutput(); err == nil {
		t.Errorf("a program outside of boxes reaches the directory %s", out)
	}
	// Once more, behind what the first step did: the box's process is held to the same.
	if _, err := unix.FcntlInt(7, unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	b := boxOf(t)
	given, err := Memory("given", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = given.Close() }()
	for _, c := range []struct {
		extra []*os.File
		want  string
	}{{nil, ""}, {[]*os.File{given}, "3 /memfd:given (deleted)\n"}} {
		out, err := b.Output(t.Context(), Command{Argv: []string{"/prog", "files"}, Extra: c.extra}, nil)
		if err != nil || string(out) != c.want {
			t.Errorf("the program has open\n%s(%v), want\n%s", out, err, c.want)
		}
	}
}

// TestFilesAreMarkedOneByOne is withholdInherited where the kernel is too old for it.
func TestFilesAreMarkedOneByOne(t *testing.T) {
	fd, err := unix.Dup(2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := closeEachOnExec(fd); err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %x, %v", flags, err)
	}
}

// TestProgramsCannotReachTheInside has a program try to take over process 1 of its
// box, which answers for it to the outside and has a thread with the network.
func TestProgramsCannotReachTheInside(t *testing.T) {
	b := boxOf(t)
	for _, network := range []bool{false, true} {
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		out, err := b.Output(ctx, Command{Argv: []string{"/prog", "reach"}, Network: network}, nil)
		stop()
		if want := "tried true <nil>\n"; err != nil || string(out) != want {
			t.Fatalf("network %v: the program said\n%s(%v), want\n%s", network, out, err, want)
		}
	}
	b.do(t, "write", "/after", "still there")
}

// TestSharedMemoryIsSticky has a program look at what everybody may write.
func TestSharedMemoryIsSticky(t *testing.T) {
	b := boxOf(t)
	if err := b.Put(t.Context(), []tree.Entry{{Path: "dev", Kind: tree.Dir, Mode: 0o755}}, tree.NewReader(packs(""))); err != nil {
		t.Fatal(err)
	}
	out, err := b.Output(t.Context(), Command{Argv: []string{"/prog", "mode", "/dev/shm"}}, nil)
	if want := "dtrwxrwxrwx\n"; err != nil || string(out) != want {
		t.Errorf("/dev/shm is %s(%v), want %s", out, err, want)
	}
}

// TestBoxKeepsHoles has a program make a long file of almost nothing.
func TestBoxKeepsHoles(t *testing.T) {
	const size = 1 << 30
	b := boxOf(t)
	b.do(t, "grow", "/big", "1073741824")
	into, err := os.Create(filepath.Join(t.TempDir(), "delta"))
	if err != nil {
		t.Fatal(err)
	}
	after, _, err := b.Capture(t.Context(), into, "d", "step:test", 2000)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := after.Lookup("big")
	want := make([]byte, size)
	copy(want[size/2:], "middle")
	if e.Content.Size != size || e.Content.Digest != digest.Of(want) {
		t.Errorf("captured %d bytes with digest %s", e.Content.Size, e.Content.Digest)
	}
	usage := func(name string) int64 {
		var st syscall.Stat_t
		if err := syscall.Stat(name, &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	if n := usage(into.Name()); n > 64<<20 {
		t.Errorf("what was captured uses %d bytes of disk", n)
	}
	// And so it comes back, to a box on disk.
	parent := t.TempDir()
	for _, d := range []string{filepath.Dir(parent), parent} {
		if err := os.Chmod(d, 0o755); err != nil { // root's box is nobody
			t.Fatal(err)
		}
	}
	dir := filepath.Join(parent, "work")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	second, err := New(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close(); _ = RemoveAll(dir) }()
	r := tree.NewReader(packs(into.Name()))
	defer r.Close()
	if err := second.Put(t.Context(), []tree.Entry{e}, r); err != nil {
		t.Fatal(err)
	}
	found := false
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if filepath.Base(p) == "big" {
			found = true
			if n := usage(p); n > 1<<20 {
				t.Errorf("what was put uses %d bytes of disk", n)
			}
		}
		return err
	})
	if !found {
		t.Error("the file is not in the work directory")
	}
}

func TestBoxRefusesAFileTooLarge(t *testing.T) {
	b := boxOf(t)
	b.do(t, "grow", "/huge", "68719476737")
	into, err := os.Create(filepath.Join(t.TempDir(), "delta"))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = b.Capture(t.Context(), into, "d", "step:test", 2000)
	if err == nil || !strings.Contains(err.Error(), "/huge") || !strings.Contains(err.Error(), "64 GiB") || fault.CodeOf(err) != fault.Failed || fault.HintOf(err) == "" {
		t.Errorf("it says %v; hint %q", err, fault.HintOf(err))
	}
	if info, err := into.Stat(); err != nil || info.Size() > 64<<20 {
		t.Errorf("%d bytes were captured before (%v)", info.Size(), err)
	}
}

// TestBoxReplacedDevices has a program put files where devices were: the files
// win, all of them and each time.
func TestBoxReplacedDevices(t *testing.T) {
	b := boxOf(t)
	// The order of readdir by name is not that of paths: a/b, a/b/c, a/b-x.
	entries := []tree.Entry{{Path: "nodes", Kind: tree.Dir, Mode: 0o755}}
	for _, p := range []string{"nodes/deep", "nodes/deep-1", "nodes/deep-2", "nodes/deep-3", "nodes/deep/er"} {
		entries = append(entries, tree.Entry{Path: p, Kind: tree.Dir, Mode: 0o755})
	}
	for i := range 100 {
		entries = append(entries, tree.Entry{Path: fmt.Sprintf("nodes/d%02d", i), Kind: tree.Char, Mode: 0o600, Major: 1, Minor: 3})
	}
	kept := tree.Entry{Path: "nodes/deep/er/null", Kind: tree.Char, Mode: 0o600, Major: 1, Minor: 3}
	if err := b.Put(t.Context(), append(entries, kept), tree.NewReader(packs(""))); err != nil {
		t.Fatal(err)
	}
	b.do(t, "replace", "/nodes")
	into, err := os.Create(filepath.Join(t.TempDir(), "delta"))
	if err != nil {
		t.Fatal(err)
	}
	after, _, err := b.Capture(t.Context(), into, "d", "step:test", 2000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if e, _ := after.Lookup(fmt.Sprintf("nodes/d%02d", i)); e.Kind != tree.File {
			t.Errorf("/%s is a %s, and a file was put there", e.Path, e.Kind)
		}
	}
	if _, ok := after.Lookup(kept.Path); !ok {
		t.Errorf("the device /%s is gone", kept.Path)
	}
}
