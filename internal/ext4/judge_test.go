package ext4_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/ext4"
	"ingot/internal/judge"
	"ingot/internal/tree"
)

// The judges are e2fsprogs (e2fsck, debugfs, dumpe2fs, resize2fs, mke2fs), and
// the kernel where loop devices can be mounted.

// epoch is when the filesystems of these tests are made.
const epoch = 1_700_000_000

func options() ext4.Options {
	return ext4.Options{
		UUID:     [16]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef},
		HashSeed: [16]byte{0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0x5f},
		Label:    "root", Epoch: epoch,
	}
}

// write plans and writes a filesystem into a new file.
func write(t testing.TB, tr tree.Tree, p packs, o ext4.Options) (string, *ext4.FS) {
	t.Helper()
	f, err := ext4.Plan(tr, o)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "img")
	writeTo(t, f, p, name)
	return name, f
}

func writeTo(t testing.TB, f *ext4.FS, p packs, name string) {
	t.Helper()
	r := tree.NewReader(p)
	img, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(img.Truncate(f.Size()), f.WriteTo(context.Background(), img, r), img.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
}

func fsck(t testing.TB, img string) {
	t.Helper()
	// Images may be of any day; e2fsck is told that it is a day far
	// in the future (E2FSCK_TIME, as in e2fsck's own tests).
	out := judge.Run(t, "env", "E2FSCK_TIME=8589934591", "e2fsck", "-f", "-n", img)
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "Pass ") && !strings.HasPrefix(line, "e2fsck ") && !strings.Contains(line, "files (") {
			t.Errorf("e2fsck says: %s", line)
		}
	}
}

// listing is a tree as text, by path: type, mode, owner, size, time, links and so on.
type listing map[string]string

// expect is the listing of a tree, with lost+found.
func expect(t testing.TB, tr tree.Tree) listing {
	t.Helper()
	l := listing{}
	links := map[string]int{}
	subdirs := map[string]int{}
	for e := range tr.All() {
		switch {
		case e.Kind == tree.Hardlink:
			links[e.Link]++
		case e.Kind == tree.Dir && e.Path != "":
			subdirs[tree.Parent(e.Path)]++
		}
	}
	if _, ok := tr.Lookup(""); !ok {
		l["/"] = fmt.Sprintf("dir 0755 0:0 %d.%09d links=%d", epoch, 0, 3+subdirs[""])
	}
	if _, ok := tr.Lookup("lost+found"); !ok {
		subdirs[""]++
		l["/lost+found"] = fmt.Sprintf("dir 0700 0:0 %d.%09d links=2", epoch, 0)
	}
	for e := range tr.All() {
		path, first := "/"+e.Path, e
		if e.Kind == tree.Hardlink {
			first, _ = tr.Lookup(e.Link)
		}
		n := 1 + links[first.Path]
		if first.Kind == tree.Dir {
			if n = 2 + subdirs[first.Path]; n > 65000 {
				n = 1
			}
		}
		s := fmt.Sprintf("%s %04o %d:%d %d.%09d links=%d", first.Kind, first.Mode, first.UID, first.GID, first.Mtime.Sec, first.Mtime.Nsec, n)
		switch first.Kind {
		case tree.File:
			s += fmt.Sprintf(" size=%d sha256=%s", first.Content.Size, first.Content.Digest)
			if first.Content.Size == 0 {
				s = strings.TrimSuffix(s, first.Content.Digest.String()) + digest.Of(nil).String()
			}
		case tree.Symlink:
			s += fmt.Sprintf(" -> %q", first.Link)
		case tree.Char, tree.Block:
			s += fmt.Sprintf(" dev=%d:%d", first.Major, first.Minor)
		case tree.Dir, tree.Hardlink, tree.Fifo:
		}
		for _, x := range first.Xattrs {
			s += fmt.Sprintf(" %s=%x", x.Name, x.Value)
		}
		l[path] = s
	}
	return l
}

func (l listing) same(t testing.TB, want listing) {
	t.Helper()
	bad := 0
	for _, p := range slices.Sorted(maps.Keys(want)) {
		if l[p] != want[p] && bad < 10 {
			bad++
			t.Errorf("%s\n got %s\nwant %s", p, l[p], want[p])
		}
	}
	for _, p := range slices.Sorted(maps.Keys(l)) {
		if _, ok := want[p]; !ok && bad < 10 {
			bad++
			t.Errorf("%s should not be there: %s", p, l[p])
		}
	}
}

// mounted lists a mounted filesystem through the kernel.
func mounted(t testing.TB, dir string) listing {
	t.Helper()
	l := listing{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		kinds := map[uint32]tree.Kind{
			unix.S_IFDIR: tree.Dir, unix.S_IFREG: tree.File, unix.S_IFLNK: tree.Symlink,
			unix.S_IFCHR: tree.Char, unix.S_IFBLK: tree.Block, unix.S_IFIFO: tree.Fifo,
		}
		k := kinds[st.Mode&unix.S_IFMT]
		s := fmt.Sprintf("%s %04o %d:%d %d.%09d links=%d", k, st.Mode&0o7777, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Nlink)
		switch k {
		case tree.File:
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			d, n, err := digest.Reader(f)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			s += fmt.Sprintf(" size=%d sha256=%s", n, d)
			if st.Size != n {
				return fmt.Errorf("%s: size %d, read %d", path, st.Size, n)
			}
		case tree.Symlink:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			s += fmt.Sprintf(" -> %q", link)
		case tree.Char, tree.Block:
			s += fmt.Sprintf(" dev=%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		case tree.Dir, tree.Hardlink, tree.Fifo:
		}
		for _, x := range xattrs(t, path) {
			s += fmt.Sprintf(" %s=%x", x.Name, x.Value)
		}
		l["/"+strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// xattrs reads a file's attributes, sorted by name.
func xattrs(t testing.TB, path string) []tree.Xattr {
	t.Helper()
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, list)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var out []tree.Xattr
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		k, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Fatalf("%s %s: %v", path, name, err)
		}
		out = append(out, tree.Xattr{Name: name, Value: string(value[:k])})
	}
	slices.SortFunc(out, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// mount mounts an image on a loop device, calls f with the directory and unmounts
// it. It says false where that cannot be done.
func mount(t testing.TB, img, options string, f func(dir, loop string)) bool {
	t.Helper()
	if os.Getuid() != 0 {
		return false
	}
	out, err := exec.CommandContext(t.Context(), "losetup", "-f", "--show", img).Output()
	if err != nil {
		return false
	}
	loop := strings.TrimSpace(string(out))
	defer func() { judge.Run(t, "losetup", "-d", loop) }()
	dir := t.TempDir()
	// In a mount namespace of this goroutine's own, whose thread ends with it: a
	// namespace that somebody else makes meanwhile would hold the mount for longer.
	runtime.LockOSThread()
	if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
		return false
	}
	if err := unix.Mount(loop, dir, "ext4", 0, options); err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) {
			return false
		}
		t.Fatalf("mount: %v", err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Fatalf("unmount: %v", err)
		}
	}()
	f(dir, loop)
	return true
}

var (
	statInode = regexp.MustCompile(`Inode: (\d+)   Type: (\S+)(?: special)?\s+Mode:  (\d+)`)
	statOwner = regexp.MustCompile(`User:\s+(-?\d+)\s+Group:\s+(-?\d+)\s+(?:Project:\s+\d+\s+)?Size: (\d+)`)
	statLinks = regexp.MustCompile(`Links: (\d+) `)
	statMtime = regexp.MustCompile(`mtime: 0x([0-9a-f]{8}):([0-9a-f]{8})`)
	statDev   = regexp.MustCompile(`major/minor number: (\d+):(\d+)`)
)

// debugfs lists an image through debugfs, for the paths of want. Content,
// symlinks' targets and attributes come by way of files.
func debugfs(t testing.TB, img string, want listing) listing {
	t.Helper()
	tmp := t.TempDir()
	paths := slices.Sorted(maps.Keys(want))
	var script bytes.Buffer
	for i, p := range paths {
		fmt.Fprintf(&script, "stat %s\n", quote(p))
		k, _, _ := strings.Cut(want[p], " ")
		if k == "file" {
			fmt.Fprintf(&script, "dump %s %s/%d\n", quote(p), tmp, i)
		}
		if k == "symlink" {
			fmt.Fprintf(&script, "cat %s\n", quote(p))
		}
		for j, x := range wantedAttrs(want[p]) {
			fmt.Fprintf(&script, "ea_get -f %s/%d.%d %s %s\n", tmp, i, j, quote(p), x)
		}
	}
	file := filepath.Join(tmp, "script")
	if err := os.WriteFile(file, script.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out := judge.Run(t, "debugfs", "-f", file, img)
	parts := strings.Split(out, "debugfs: stat ")[1:]
	if len(parts) != len(paths) {
		t.Fatalf("debugfs gave %d answers to %d questions", len(parts), len(paths))
	}
	l := listing{}
	for i, p := range paths {
		l[p] = parseStat(t, parts[i], p, want[p], filepath.Join(tmp, strconv.Itoa(i)))
	}
	return l
}

func quote(p string) string { return `"` + p + `"` }

var attrName = regexp.MustCompile(` ((?:user|trusted|security|system)\.\S+?)=`)

func wantedAttrs(line string) []string {
	var out []string
	for _, m := range attrName.FindAllStringSubmatch(line, -1) {
		out = append(out, m[1])
	}
	return out
}

func parseStat(t testing.TB, text, path, want, file string) string {
	t.Helper()
	field := func(re *regexp.Regexp) []string {
		m := re.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("%s: no %v in debugfs' answer:\n%s", path, re, text)
		}
		return m[1:]
	}
	num := func(s string, base int) int64 {
		n, err := strconv.ParseInt(s, base, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	inode, owner, mtime := field(statInode), field(statOwner), field(statMtime)
	kinds := map[string]string{"regular": "file", "directory": "dir", "character": "char", "FIFO": "fifo"}
	kind := inode[1]
	if k, ok := kinds[kind]; ok {
		kind = k
	}
	extra := num(mtime[1], 16)
	sec := int64(int32(num(mtime[0], 16))) + extra&3<<32
	id := func(s string) uint32 { return uint32(num(s, 10)) } // debugfs prints them signed
	s := fmt.Sprintf("%s %04o %d:%d %d.%09d links=%s", kind, num(inode[2], 8), id(owner[0]), id(owner[1]), sec, extra>>2, field(statLinks)[0])
	switch kind {
	case "file":
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s += fmt.Sprintf(" size=%s sha256=%x", owner[2], sha256.Sum256(b))
	case "symlink":
		_, target, _ := strings.Cut(text, "debugfs: cat "+quote(path)+"\n")
		target, _, _ = strings.Cut(target, "debugfs: ")
		if fast := regexp.MustCompile(`Fast link dest: "(.*)"`).FindStringSubmatch(text); fast != nil {
			target = fast[1]
		}
		s += fmt.Sprintf(" -> %q", target)
	case "char", "block":
		s += " dev=" + strings.Join(func() []string { m := field(statDev); return []string{trim(m[0]), trim(m[1])} }(), ":")
	}
	for j, x := range wantedAttrs(want) {
		b, err := os.ReadFile(fmt.Sprintf("%s.%d", file, j))
		if err != nil {
			t.Errorf("%s: no attribute %s: %v", path, x, err)
		}
		if strings.HasPrefix(x, "system.posix_acl") { // debugfs shows entries without a number as 0
			for e := b[4:]; len(e) > 0; e = e[8:] {
				if e[0] != 2 && e[0] != 8 {
					copy(e[4:], "\xff\xff\xff\xff")
				}
			}
		}
		s += fmt.Sprintf(" %s=%x", x, b)
	}
	return s
}

func trim(n string) string {
	if n = strings.TrimLeft(n, "0"); n == "" {
		return "0"
	}
	return n
}
