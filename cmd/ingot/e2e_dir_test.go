package main_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// readDir reads a tree that lies on disk.
func readDir(t *testing.T, top string) map[string]entry {
	t.Helper()
	tree, first := map[string]entry{}, map[uint64]string{}
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		at := "/" + strings.TrimPrefix(strings.TrimPrefix(name, top), "/")
		st := info.Sys().(*syscall.Stat_t)
		e := entry{mode: info.Mode(), uid: int(st.Uid), gid: int(st.Gid), mtime: info.ModTime().Unix()}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			e.link, err = os.Readlink(name)
		case info.Mode()&fs.ModeDevice != 0:
			e.device = [2]int64{int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))}
		case info.Mode().IsRegular():
			var b []byte
			b, err = os.ReadFile(name)
			e.content = string(b)
		}
		if err != nil {
			return err
		}
		if e.xattrs, err = xattrs(name); err != nil {
			return err
		}
		if info.Mode().IsRegular() && st.Nlink > 1 {
			if first[st.Ino] == "" {
				first[st.Ino] = at
			}
			e.link = "=" + first[st.Ino]
		}
		tree[at] = e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// xattrs are a path's extended attributes.
func xattrs(name string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(name, buf)
	if err != nil {
		return "", err
	}
	var out []string
	for attr := range strings.SplitSeq(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if attr == "" {
			continue
		}
		value := make([]byte, 64<<10)
		m, err := unix.Lgetxattr(name, attr, value)
		if err != nil {
			return "", err
		}
		out = append(out, attr+"="+string(value[:m]))
	}
	slices.Sort(out)
	return strings.Join(out, "\n"), nil
}
