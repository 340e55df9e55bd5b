package xfs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
	"ingot/internal/xfs"
)

// The judges are xfsprogs (xfs_repair, xfs_db), GRUB's grub-fstest, and the
// kernel where loop devices can be mounted.

func options() xfs.Options {
	return xfs.Options{
		UUID:  [16]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef},
		Label: "root", Epoch: treetest.Epoch,
	}
}

// write plans and writes a filesystem into a new file.
func write(t testing.TB, tr tree.Tree, p treetest.Packs, o xfs.Options) (string, *xfs.FS) {
	t.Helper()
	f, err := xfs.Plan(tr, o)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "img")
	writeTo(t, f, p, name)
	return name, f
}

func writeTo(t testing.TB, f *xfs.FS, p treetest.Packs, name string) {
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

// repair has xfs_repair check everything, and takes no word but of its going on.
func repair(t testing.TB, img string) {
	t.Helper()
	for line := range strings.Lines(judge.Run(t, "xfs_repair", "-n", img)) {
		if !fine.MatchString(line) {
			t.Errorf("xfs_repair says: %s", line)
		}
	}
}

// Also what it says of any image that lies in another kind of filesystem.
var fine = regexp.MustCompile(`^(Phase \d|        - |No modify flag set|Cannot get host filesystem geometry|Repair may fail if there is a sector size|the image and the host)`)

// mount mounts an image, calls f with the directory and unmounts it. It says false
// where that cannot be done.
func mount(t testing.TB, img, options string, f func(dir, loop string)) bool {
	t.Helper()
	return treetest.Mount(t, img, "xfs", options, f)
}

// judged holds an image against its tree, with every judge there is.
func judged(t *testing.T, img string, tr tree.Tree) {
	t.Helper()
	repair(t, img)
	want := treetest.Expect(tr)
	if !mount(t, img, "ro", func(dir, _ string) { treetest.Mounted(t, dir).Same(t, want) }) {
		t.Log("loop devices cannot be mounted here; judged by xfs_repair alone")
	}
	repair(t, img)
}
