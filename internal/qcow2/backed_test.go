package qcow2

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/judge"
)

func TestCreateBacked(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join(dir, "base.raw")
	if err := os.WriteFile(base, []byte(strings.Repeat("ingot!!\n", 1<<17)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{1 << 20, 3 << 20, 512<<20 + 512, 100 << 30, 16 << 40} {
		name := filepath.Join(dir, "top.qcow2")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := CreateBacked(f, size, "base.raw", "raw"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if out := judge.Run(t, "qemu-img", "check", name); !strings.Contains(out, "No errors were found") {
			t.Errorf("%d: qemu-img says %s", size, out)
		}
		info := judge.Run(t, "qemu-img", "info", "--output=json", name)
		for _, want := range []string{`"backing-filename-format": "raw"`, `"backing-filename": "base.raw"`} {
			if !strings.Contains(info, want) {
				t.Errorf("%d: no %s in %s", size, want, info)
			}
		}
		// What nobody wrote reads as the base does, and as zeros behind it.
		if size <= 3<<20 {
			judge.Run(t, "qemu-io", "-c", "read -P 0x21 5 1", "-c", "write -P 7 65536 4096", "-c", "read -P 7 65536 4096", name)
			if size > 1<<20 {
				judge.Run(t, "qemu-io", "-c", "read -P 0 1048576 4096", name)
			}
			if out := judge.Run(t, "qemu-img", "check", name); !strings.Contains(out, "No errors were found") {
				t.Errorf("%d: after a write qemu-img says %s", size, out)
			}
		}
		if data, err := os.ReadFile(base); err != nil || len(data) != 1<<20 || strings.ContainsRune(string(data), 7) {
			t.Error("the base was written")
		}
	}
	f, err := os.Create(filepath.Join(dir, "bad"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct {
		size          int64
		base, format2 string
	}{{0, "b", "raw"}, {513, "b", "raw"}, {512, "", "raw"}, {512, "b", "vmdk"}, {512, strings.Repeat("b", 1024), "raw"}} {
		if CreateBacked(f, c.size, c.base, c.format2) == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
