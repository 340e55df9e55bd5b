package xfs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
	"ingot/internal/xfs"
)

func TestRealTree(t *testing.T) {
	judge.Needs(t, judge.Full)
	tr, p := treetest.Scan(t, treetest.Real(t))
	o := options()
	o.Free = 1 << 30
	img, f := write(t, tr, p, o)
	t.Logf("%d entries, %d bytes of content, filesystem of %d bytes", tr.Len(), tr.Size(), f.Size())
	judged(t, img, tr)
}

// BenchmarkWrite plans and writes a real tree, from page cache to page cache.
func BenchmarkWrite(b *testing.B) {
	tr, p := treetest.Scan(b, treetest.Real(b))
	o := options()
	o.Free = 1 << 30
	name := filepath.Join(b.TempDir(), "img")
	b.SetBytes(tr.Size())
	b.ReportAllocs()
	defer treetest.Peak(b)()
	for b.Loop() {
		f, err := xfs.Plan(tr, o)
		if err != nil {
			b.Fatal(err)
		}
		r := tree.NewReader(p)
		img, err := os.Create(name)
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(img.Truncate(f.Size()), f.WriteTo(context.Background(), img, r), img.Close(), r.Close(), os.Remove(name)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMkfs is what mkfs.xfs, a mount and a copy need for the same, from a
// directory: root's way.
func BenchmarkMkfs(b *testing.B) {
	dir := treetest.Real(b)
	name := filepath.Join(b.TempDir(), "img")
	for b.Loop() {
		judge.Run(b, "truncate", "-s", "1600M", name)
		judge.Run(b, "mkfs.xfs", "-q", name)
		if !treetest.Mount(b, name, "xfs", "", func(to, _ string) { judge.Run(b, "cp", "-a", dir+"/.", to) }) {
			b.Skip("needs root and loop devices that can be mounted")
		}
		if err := os.Remove(name); err != nil {
			b.Fatal(err)
		}
	}
}
