package ext4_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ingot/internal/ext4"
	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
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
		f, err := ext4.Plan(tr, o)
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

// BenchmarkPlan is the planning alone.
func BenchmarkPlan(b *testing.B) {
	tr, _ := treetest.Scan(b, treetest.Real(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ext4.Plan(tr, options()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMke2fs is what mke2fs needs for the same, from a directory.
func BenchmarkMke2fs(b *testing.B) {
	dir := treetest.Real(b)
	name := filepath.Join(b.TempDir(), "img")
	for b.Loop() {
		judge.Run(b, "truncate", "-s", "1600M", name)
		judge.Run(b, "mke2fs", "-q", "-t", "ext4", "-d", dir, "-E", "nodiscard", name)
		if err := os.Remove(name); err != nil {
			b.Fatal(err)
		}
	}
}
