package btrfs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/btrfs"
	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
)

// The judges are btrfs check, GRUB's grub-fstest, and the kernel where loop devices can
// be mounted.

func options() btrfs.Options {
	return btrfs.Options{
		UUID:  [16]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef},
		Label: "root", Epoch: treetest.Epoch,
	}
}

// write plans and writes a filesystem into a new file.
func write(t testing.TB, tr tree.Tree, p treetest.Packs, o btrfs.Options) (string, *btrfs.FS) {
	t.Helper()
	f, err := btrfs.Plan(tr, o)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "img")
	r := tree.NewReader(p)
	img, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(img.Truncate(f.Size()), f.WriteTo(context.Background(), img, r), img.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	return name, f
}

// check has btrfs check read everything, checksums of data as well.
func check(t testing.TB, img string) {
	t.Helper()
	out := judge.Run(t, "btrfs", "check", "--check-data-csum", img)
	if !strings.Contains(out, "no error found") || strings.Contains(strings.ToLower(out), "warning") {
		t.Errorf("btrfs check: %s", out)
	}
}

// mount mounts an image, calls f with the directory and unmounts it. It says false
// where that cannot be done.
func mount(t testing.TB, img, options string, f func(dir, loop string)) bool {
	t.Helper()
	return treetest.Mount(t, img, "btrfs", options, f)
}

// expect is the listing of a tree in a Btrfs, whose directories have one link.
func expect(tr tree.Tree) treetest.Listing {
	l := treetest.Expect(tr)
	for path, s := range l {
		if strings.HasPrefix(s, "dir ") {
			head, tail, _ := strings.Cut(s, " links=")
			_, xattrs, more := strings.Cut(tail, " ")
			if l[path] = head + " links=1"; more {
				l[path] += " " + xattrs
			}
		}
	}
	return l
}

// judged holds an image against its tree, with every judge there is.
func judged(t *testing.T, img string, tr tree.Tree) {
	t.Helper()
	check(t, img)
	want := expect(tr)
	if !mount(t, img, "ro", func(dir, _ string) { treetest.Mounted(t, dir).Same(t, want) }) {
		t.Log("loop devices cannot be mounted here; judged by btrfs check alone")
	}
	// Written to, it still is whole.
	mount(t, img, "", func(dir, _ string) {
		if err := os.WriteFile(dir+"/more", make([]byte, 1<<20), 0o600); err != nil {
			t.Error(err)
		}
	})
	check(t, img)
}
