package xfs_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
)

func TestTrees(t *testing.T) {
	long := strings.Repeat("long/", 900)
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
			m.Add(tree.Entry{Path: "d/large", Kind: tree.Block, Mode: 0o660, Major: 511, Minor: 262143})
			m.Add(tree.Entry{Path: "d/disk", Kind: tree.Block, Mode: 0o660, Major: 259, Minor: 7})
			m.Add(tree.Entry{Path: "d/setuid", Kind: tree.Fifo, Mode: 0o7777, UID: 70000, GID: 4294967294})
		}},
		{"symlinks", func(m *treetest.Maker) {
			for _, n := range []int{1, 58, 59, 239, 240, 241, 279, 280, 281, 335, 336, 337, 1022, 1023} {
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
			for _, n := range []int{256, 3000, 3064, 3065, 3066, 3067, 3068, 3069, 4040, 4041, 65536} {
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
			var xs []tree.Xattr
			for i := range 20 {
				xs = append(xs, value(fmt.Sprintf("user.%02d", i), 3000+i*300))
			}
			m.Add(tree.Entry{Path: "large", Kind: tree.Dir, Mode: 0o755, Xattrs: xs}).Text("large/f", "f")
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
		{"names of one hash", func(m *treetest.Maker) {
			m.Dir("d")
			// A byte's lowest bit meets the next one's highest in the hash: these cancel out.
			// (More of one hash than a block holds xfs_repair takes from nobody, not even the kernel.)
			for i := range 2100 {
				name := []byte(fmt.Sprintf("%02d%s", i/300, strings.Repeat("a", 20)))
				for bit := range 9 {
					if i%300>>bit&1 != 0 {
						name[2*bit+2] ^= 1
						name[2*bit+3] ^= 0x80
					}
				}
				m.Text("d/"+string(name), "x")
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

func TestLargeDirectories(t *testing.T) {
	tests := []struct {
		name    string
		entries int
		file    func(i int) string
	}{
		{"60,000 names", 60_000, func(i int) string { return fmt.Sprintf("some-file-%d.conf", i) }},
		{"long names, two blocks of room", 35_000, func(i int) string { return fmt.Sprintf("%0255d", i) }},
	}
	if judge.At() == judge.Full {
		tests = append(tests, tests[0])
		tests[2].name, tests[2].entries = "two levels above the hashes", 300_000
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := treetest.New(t).Dir("d")
			for i := range tt.entries {
				m.Add(tree.Entry{Path: "d/" + tt.file(i), Kind: tree.Symlink, Mode: 0o777, Link: "x"})
			}
			tr, p := m.Done()
			o := options()
			o.Free = 64 << 20
			img, _ := write(t, tr, p, o)
			repair(t, img)
			want := treetest.Expect(tr)
			mount(t, img, "", func(dir, _ string) {
				treetest.Mounted(t, dir).Same(t, want)
				// The kernel splits blocks and finds all names.
				for i := range 3000 {
					if err := os.WriteFile(fmt.Sprintf("%s/d/new%d", dir, i), nil, 0o600); err != nil {
						t.Fatal(err)
					}
					if err := os.Remove(dir + "/d/" + tt.file(i*7)); err != nil {
						t.Fatal(err)
					}
				}
			})
			repair(t, img)
		})
	}
}

// A tree of inodes has several levels.
func TestManyInodes(t *testing.T) {
	m := treetest.New(t)
	for d := range 50 {
		m.Dir(fmt.Sprintf("d%02d", d))
		for i := range 1000 {
			m.Add(tree.Entry{Path: fmt.Sprintf("d%02d/%d", d, i), Kind: tree.File, Mode: 0o600})
		}
	}
	tr, p := m.Done()
	img, _ := write(t, tr, p, options())
	judged(t, img, tr)
	mount(t, img, "", func(dir, _ string) {
		for d := range 25 {
			if err := os.RemoveAll(fmt.Sprintf("%s/d%02d", dir, d*2)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 30_000 {
			if err := os.WriteFile(fmt.Sprintf("%s/d01/new%d", dir, i), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	repair(t, img)
}

// Where a tree has more files than is usual, there can still be more.
func TestMostlyInodes(t *testing.T) {
	m := treetest.New(t).Dir("d")
	for i := range 250_000 {
		m.Add(tree.Entry{Path: fmt.Sprintf("d/%d", i), Kind: tree.Fifo, Mode: 0o600})
	}
	tr, p := m.Done()
	img, _ := write(t, tr, p, options())
	repair(t, img)
	mount(t, img, "", func(dir, _ string) {
		for i := range 1000 {
			if err := os.WriteFile(fmt.Sprintf("%s/new%d", dir, i), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	repair(t, img)
}

// A filesystem grows while it is mounted.
func TestGrow(t *testing.T) {
	tr, p := treetest.New(t).File(tree.Entry{Path: "a", Mode: 0o644}, treetest.Noise(20<<20)).Done()
	o := options()
	o.Free = 400 << 20
	img, f := write(t, tr, p, o)
	want := treetest.Expect(tr)
	for _, size := range []int64{f.Size() + 50<<20, 2 << 30, 20 << 30} {
		if err := os.Truncate(img, size); err != nil {
			t.Fatal(err)
		}
		ok := mount(t, img, "", func(dir, _ string) {
			judge.Run(t, "xfs_growfs", dir)
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != nil {
				t.Fatal(err)
			}
			if got := (int64(st.Blocks)*int64(st.Bsize) + 64<<20); got < size-20<<20 {
				t.Errorf("grew to %d bytes of %d", got, size)
			}
			if got := treetest.Mounted(t, dir); got["/a"] != want["/a"] {
				t.Errorf("the file is %s, was %s", got["/a"], want["/a"])
			}
			if err := errors.Join(os.WriteFile(dir+"/b", make([]byte, 30<<20), 0o600), os.Remove(dir+"/b")); err != nil {
				t.Fatal(err)
			}
		})
		if !ok {
			t.Skip("root runs this, on a kernel that mounts this file system from a loop device")
		}
		repair(t, img)
	}
}
