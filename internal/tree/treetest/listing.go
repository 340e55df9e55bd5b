package treetest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/judge"
	"ingot/internal/tree"
)

// A Listing is a tree as text, by path: type, mode, owner, size, time, links and so on.
type Listing map[string]string

// Expect is the listing of a tree in a filesystem made at [Epoch].
func Expect(tr tree.Tree) Listing {
	l := Listing{}
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
		l["/"] = fmt.Sprintf("dir 0755 0:0 %d.%09d links=%d", Epoch, 0, 2+subdirs[""])
	}
	for e := range tr.All() {
		path, first := "/"+e.Path, e
		if e.Kind == tree.Hardlink {
			first, _ = tr.Lookup(e.Link)
		}
		n := 1 + links[first.Path]
		if first.Kind == tree.Dir {
			n = 2 + subdirs[first.Path]
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

// Same fails a test where the listing is not the one that is wanted.
func (l Listing) Same(t testing.TB, want Listing) {
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

// Mounted lists a mounted filesystem through the kernel.
func Mounted(t testing.TB, dir string) Listing {
	t.Helper()
	l := Listing{}
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
		// An XFS shows access control lists a second time, by its own names.
		if name == "" || strings.HasPrefix(name, "trusted.SGI_ACL_") {
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

// Mount mounts an image on a loop device, calls f with the directory and unmounts
// it. It says false where that cannot be done.
func Mount(t testing.TB, img, filesystem, options string, f func(dir, loop string)) bool {
	t.Helper()
	if os.Getuid() != 0 {
		return false
	}
	var out []byte
	var err error
	for range 5 { // another process may take the free device first
		if out, err = exec.CommandContext(t.Context(), "losetup", "-f", "--show", img).Output(); err == nil {
			break
		}
	}
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Logf("no loop device: %s", exit.Stderr)
		}
		return false
	}
	loop := strings.TrimSpace(string(out))
	defer func() { judge.Run(t, "losetup", "-d", loop) }()
	dir := t.TempDir()
	// In a mount namespace of this goroutine's own, whose thread ends with it: a
	// namespace that somebody else makes meanwhile would hold the mount for longer.
	runtime.LockOSThread()
	if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
		t.Logf("no mount namespace: %v", err)
		return false
	}
	if err := unix.Mount(loop, dir, filesystem, 0, options); err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) {
			t.Logf("no mount: %v", err)
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
