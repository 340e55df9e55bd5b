package btrfs_test

import (
	"fmt"
	"strings"
	"testing"

	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
)

func TestTrees(t *testing.T) {
	long := strings.Repeat("long/", 1000)
	access := treetest.ACL(1, 7, 0xffffffff, 2, 5, 1000, 4, 5, 0xffffffff, 8, 4, 70000, 0x10, 7, 0xffffffff, 0x20, 0, 0xffffffff)
	caps := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	value := func(name string, n int) tree.Xattr {
		return tree.Xattr{Name: name, Value: strings.Repeat("0123456789abcdef", n/16+1)[:n]}
	}
	tests := []struct {
		name string
		fill func(*treetest.Maker)
	}{
		{"empty", func(*treetest.Maker) {}},
		{"root only", func(m *treetest.Maker) { m.Add(tree.Entry{Kind: tree.Dir, Mode: 0o700, UID: 5, GID: 6}) }},
		{"kinds", func(m *treetest.Maker) {
			m.Dir("d").Text("d/empty", "").Text("d/one", "1").Text("d/block", strings.Repeat("x", 4096)).Text("d/more", strings.Repeat("y", 4097))
			m.Add(tree.Entry{Path: "d/fifo", Kind: tree.Fifo, Mode: 0o600})
			m.Add(tree.Entry{Path: "d/null", Kind: tree.Char, Mode: 0o666, Major: 1, Minor: 3})
			m.Add(tree.Entry{Path: "d/large", Kind: tree.Block, Mode: 0o660, Major: 4095, Minor: 1048575})
			m.Add(tree.Entry{Path: "d/disk", Kind: tree.Block, Mode: 0o660, Major: 259, Minor: 7})
			m.Add(tree.Entry{Path: "d/setuid", Kind: tree.Fifo, Mode: 0o7777, UID: 70000, GID: 4294967294})
		}},
		{"symlinks", func(m *treetest.Maker) {
			for _, n := range []int{1, 58, 59, 239, 240, 241, 279, 280, 281, 335, 336, 337, 1022, 1023, 2047, 2048, 2049, 3000, 4095} {
				m.Add(tree.Entry{Path: fmt.Sprintf("to%d", n), Kind: tree.Symlink, Mode: 0o777, Link: long[:n-1] + "x"})
				for _, k := range []int{1, 60, 200, 250, 300} {
					m.Add(tree.Entry{Path: fmt.Sprintf("to%d.%d", n, k), Kind: tree.Symlink, Mode: 0o777, Link: long[:n-1] + "x", Xattrs: []tree.Xattr{value("trusted.t", k)}})
				}
			}
		}},
		{"times", func(m *treetest.Maker) {
			for i, sec := range []int64{0, -1, -1 << 31, -157766400, 1<<31 - 1, 1 << 31, 2177452800, 1 << 32, 1<<33 + 5, 16299260423} {
				m.Add(tree.Entry{Path: fmt.Sprintf("at%d", i), Kind: tree.Fifo, Mtime: tree.Time{Sec: sec, Nsec: 999_999_999 - int32(i)}})
			}
		}},
		{"hard links", func(m *treetest.Maker) {
			m.Dir("a").Dir("b").Text("a/file", "shared").Dir("b/c")
			m.Add(tree.Entry{Path: "a/sock", Kind: tree.Fifo}).Add(tree.Entry{Path: "a/sym", Kind: tree.Symlink, Mode: 0o777, Link: "file"})
			m.Add(tree.Entry{Path: "b/c/file", Kind: tree.Hardlink, Link: "a/file"})
			m.Add(tree.Entry{Path: "b/file", Kind: tree.Hardlink, Link: "a/file"})
			m.Add(tree.Entry{Path: "b/sock", Kind: tree.Hardlink, Link: "a/sock"})
			m.Add(tree.Entry{Path: "b/sym", Kind: tree.Hardlink, Link: "a/sym"})
		}},
		{"attributes", func(m *treetest.Maker) {
			m.Add(tree.Entry{Path: "acl", Kind: tree.Dir, Mode: 0o770, Xattrs: []tree.Xattr{
				{Name: "system.posix_acl_access", Value: access}, {Name: "system.posix_acl_default", Value: access},
			}})
			m.File(tree.Entry{Path: "ping", Mode: 0o755, Xattrs: []tree.Xattr{{Name: "security.capability", Value: caps}}}, strings.NewReader("#!"))
			m.File(tree.Entry{Path: "leaf", Mode: 0o644, Xattrs: []tree.Xattr{
				{Name: "security.capability", Value: caps}, {Name: "trusted.x", Value: "1"},
				{Name: "user.a", Value: ""}, value("user.b", 3000), {Name: "user.ccc", Value: "\x00\xff"},
				value("user.long"+strings.Repeat("g", 240), 500),
			}}, strings.NewReader("many"))
			m.File(tree.Entry{Path: "full", Mode: 0o644, Xattrs: []tree.Xattr{value("user.a", 255)}}, strings.NewReader("full"))
			for _, n := range []int{256, 3000, 3064, 3065, 4040, 4041, 16000, 16222} {
				m.File(tree.Entry{Path: fmt.Sprintf("one%d", n), Mode: 0o644, Xattrs: []tree.Xattr{value("user.a", n)}}, strings.NewReader("one"))
			}
			m.Add(tree.Entry{Path: "device", Kind: tree.Char, Mode: 0o600, Major: 1, Minor: 3, Xattrs: []tree.Xattr{value("trusted.d", 200)}})
			m.Add(tree.Entry{Path: "device2", Kind: tree.Char, Mode: 0o600, Major: 1, Minor: 3, Xattrs: []tree.Xattr{value("trusted.d", 250), value("trusted.e", 100)}})
			m.Add(tree.Entry{Path: "fifo", Kind: tree.Fifo, Mode: 0o600, Xattrs: []tree.Xattr{value("security.f", 5)}})
		}},
		{"many attributes", func(m *treetest.Maker) {
			for _, k := range []int{10, 60, 200, 1000} {
				var xs []tree.Xattr
				for i := range k {
					xs = append(xs, value(fmt.Sprintf("user.%04d", i), 10+i%300))
				}
				m.File(tree.Entry{Path: fmt.Sprintf("f%d", k), Mode: 0o644, Xattrs: xs}, strings.NewReader("many"))
			}
		}},
		{"directories with attributes", func(m *treetest.Maker) {
			for _, n := range []int{1, 4, 5, 10, 15, 20, 25, 30} {
				for _, k := range []int{1, 60, 200, 250, 300} {
					d := fmt.Sprintf("d%d.%d", n, k)
					m.Add(tree.Entry{Path: d, Kind: tree.Dir, Mode: 0o755, Xattrs: []tree.Xattr{value("user.t", k)}})
					for i := range n {
						m.Text(fmt.Sprintf("%s/%d", d, i), "x")
					}
				}
			}
		}},
		{"names", func(m *treetest.Maker) {
			m.Dir("full").Dir(strings.Repeat("n", 255))
			for _, n := range []string{"ünï", "with space", "-dash", strings.Repeat("\xff", 255)} {
				m.Text("full/"+n, n)
			}
		}},
		{"directories of every form", func(m *treetest.Maker) {
			for _, n := range []int{26, 27, 28, 29, 100, 120, 121, 122, 123, 124, 125, 126, 127, 128, 130, 480, 488, 489, 490, 491, 492, 493, 500, 502, 503, 600, 1000} {
				d := fmt.Sprintf("d%d", n)
				m.Dir(d)
				for i := range n {
					m.Add(tree.Entry{Path: fmt.Sprintf("%s/f%05d", d, i), Kind: tree.Fifo})
				}
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := treetest.New(t)
			tt.fill(m)
			tr, p := m.Done()
			img, _ := write(t, tr, p, options())
			judged(t, img, tr)
		})
	}
}
