package ext4_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/ext4"
	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
)

// judged holds an image against its tree, with every judge there is.
func judged(t *testing.T, img string, tr tree.Tree) {
	t.Helper()
	fsck(t, img)
	want := expect(t, tr)
	debugfs(t, img, want).Same(t, want)
	if !mount(t, img, "ro", func(dir, _ string) { treetest.Mounted(t, dir).Same(t, want) }) {
		t.Log("loop devices cannot be mounted here; judged by e2fsck and debugfs alone")
	}
	fsck(t, img)
}

func TestTrees(t *testing.T) {
	long := strings.Repeat("long/", 900)
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
			for _, n := range []int{1, 58, 59, 60, 61, 4095} {
				m.Add(tree.Entry{Path: fmt.Sprintf("to%d", n), Kind: tree.Symlink, Mode: 0o777, Link: long[:n-1] + "x"})
			}
		}},
		{"times", func(m *treetest.Maker) {
			for i, sec := range []int64{0, -1, -1 << 31, -157766400, 1<<31 - 1, 1 << 31, 2177452800, 1 << 32, 1<<33 + 5, 3<<32 - 1<<31 - 1} {
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
			access := treetest.ACL(1, 7, 0xffffffff, 2, 5, 1000, 4, 5, 0xffffffff, 8, 4, 70000, 0x10, 7, 0xffffffff, 0x20, 0, 0xffffffff)
			caps := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			m.Add(tree.Entry{Path: "acl", Kind: tree.Dir, Mode: 0o770, Xattrs: []tree.Xattr{
				{Name: "system.posix_acl_access", Value: access}, {Name: "system.posix_acl_default", Value: access},
			}})
			m.File(tree.Entry{Path: "ping", Mode: 0o755, Xattrs: []tree.Xattr{{Name: "security.capability", Value: caps}}}, strings.NewReader("#!"))
			m.File(tree.Entry{Path: "many", Mode: 0o644, Xattrs: []tree.Xattr{
				{Name: "security.capability", Value: caps}, {Name: "trusted.x", Value: "1"},
				{Name: "user.a", Value: ""}, {Name: "user.b", Value: strings.Repeat("b", 3000)}, {Name: "user.ccc", Value: "\x00\xff"},
				{Name: "user.long" + strings.Repeat("g", 240), Value: strings.Repeat("c", 500)},
			}}, strings.NewReader("many"))
			for i := range 1030 { // more than may share a block
				m.Add(tree.Entry{Path: fmt.Sprintf("s%d", i), Kind: tree.File, Xattrs: []tree.Xattr{{Name: "user.same", Value: strings.Repeat("s", 200)}}})
			}
		}},
		{"names", func(m *treetest.Maker) {
			m.Dir("full").Dir(strings.Repeat("n", 255))
			for _, n := range []string{"ünï", "with space", "-dash", strings.Repeat("\xff", 255)} {
				m.Text("full/"+n, n)
			}
		}},
		{"own lost+found", func(m *treetest.Maker) {
			m.Add(tree.Entry{Path: "lost+found", Kind: tree.Dir, Mode: 0o755, UID: 1}).Text("lost+found/found", "me")
		}},
		{"directories of one block and of more", func(m *treetest.Maker) {
			for _, n := range []int{100, 253, 254, 255, 256, 300, 1000} {
				d := fmt.Sprintf("d%d", n)
				m.Dir(d)
				for i := range n {
					m.Add(tree.Entry{Path: fmt.Sprintf("%s/f%05d", d, i), Kind: tree.Fifo})
				}
			}
		}},
	}
	for _, tt := range tests {
		m := treetest.New(t)
		tt.fill(m)
		tr, p := m.Done()
		for _, g := range generations {
			t.Run(tt.name+" of "+g.String(), func(t *testing.T) {
				o := options()
				o.Generation = g
				img, _ := write(t, tr, p, o)
				judged(t, img, tr)
			})
		}
	}
}

var generations = []ext4.Generation{ext4.Ext4, ext4.Ext3, ext4.Ext2}

func TestLargeDirectories(t *testing.T) {
	tests := []struct {
		name    string
		entries int
		file    func(i int) string
	}{
		{"60,000 names", 60_000, func(i int) string { return fmt.Sprintf("some-file-%d.conf", i) }},
		{"two levels of hashes", 7_000, func(i int) string { return fmt.Sprintf("%0255d", i) }},
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
			fsck(t, img)
			if out := judge.Run(t, "debugfs", "-R", "htree_dump /d", img); !strings.Contains(out, "Indirect levels: ") {
				t.Errorf("debugfs finds no hash tree: %.300s", out)
			}
			want := expect(t, tr)
			ok := mount(t, img, "", func(dir, _ string) {
				treetest.Mounted(t, dir).Same(t, want)
				// The kernel splits blocks and finds all names.
				for i := range 500 {
					if err := os.WriteFile(fmt.Sprintf("%s/d/new%d", dir, i), nil, 0o600); err != nil {
						t.Fatal(err)
					}
					if err := os.Remove(dir + "/d/" + tt.file(i*7)); err != nil {
						t.Fatal(err)
					}
				}
			})
			if !ok { // debugfs looks names up one by one from the start: all names, but few lookups
				list := judge.Run(t, "debugfs", "-R", "ls -p /d", img)
				if got := strings.Count(list, "\n/") - strings.Count(list, "\n/0/"); got != tt.entries+2 { // 0: the tree's inner nodes
					t.Errorf("debugfs lists %d names, want %d and two", got, tt.entries)
				}
				some := treetest.Listing{}
				for i := 0; i < tt.entries; i += tt.entries / 50 {
					p := "/d/" + tt.file(i)
					some[p] = want[p]
				}
				debugfs(t, img, some).Same(t, some)
			}
			fsck(t, img)
		})
	}
}

// The hash is debugfs' own, for names of every length and sign.
func TestNameHash(t *testing.T) {
	names := []string{"a", "lost+found", "\xff\xfe\x80", "ünï"}
	for i := range 255 {
		names = append(names, strings.Repeat("q\xe9z+", 64)[:i+1])
	}
	for _, seed := range []string{"", "01020304-0506-0708-090a-0b0cfdfeff10"} {
		var script strings.Builder
		for _, n := range names {
			fmt.Fprintf(&script, "dx_hash -h half_md4 %s %s\n", strings.TrimSuffix("-s "+seed, "-s "), quote(n))
		}
		file := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		var want []string
		for line := range strings.Lines(judge.Run(t, "debugfs", "-f", file)) {
			if _, h, ok := strings.Cut(line, " is 0x"); ok {
				want = append(want, strings.TrimSpace(h))
			}
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(seed, "-", ""))
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range names {
			if hash, minor := ext4.NameHash(raw, n); fmt.Sprintf("%x (minor 0x%x)", hash, minor) != want[i] {
				t.Fatalf("seed %q, name %q: %x (minor 0x%x), debugfs says %s", seed, n, hash, minor, want[i])
			}
		}
	}
}

// A filesystem grows while it is mounted, keeps mke2fs's share of inodes, and
// stays whole.
func TestGrow(t *testing.T) {
	judge.Needs(t, judge.Full)
	m := newMachine(t)
	tests := []struct {
		name  string
		size  int64 // of the content
		free  int64
		sizes []string
	}{
		{"one group", 1, 1 << 20, []string{"70M", "700M", "5G"}},
		{"from 1.3 to 100 GiB", 200 << 20, 1 << 30, []string{"13G", "100G"}},
		{"as far as a small journal lets it", 1, 0, []string{"1700G"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr, p := treetest.New(t).File(tree.Entry{Path: "a", Mode: 0o644}, treetest.Noise(tt.size)).Done()
			o := options()
			o.Free = tt.free
			img, _ := write(t, tr, p, o)
			last := tt.sizes[len(tt.sizes)-1]
			judge.Run(t, "truncate", "-s", last, img)
			script := "mount -t ext4 /dev/vda /fs\n"
			for _, size := range tt.sizes {
				script += fmt.Sprintf("resize2fs /dev/vda %s; echo hello >/fs/after%s; sync; df -k /fs; df -i /fs\n", size, size)
			}
			out := m.run(t, img, script+"dmesg | grep -i ext4; umount /fs\n")
			t.Log(out)
			if strings.Contains(out, "EXT4-fs error") || strings.Contains(out, "EXT4-fs warning") {
				t.Error("the kernel complains")
			}
			fsck(t, img)
			info := judge.Run(t, "dumpe2fs", "-h", img)
			blocks, inodes := number(t, info, "Block count"), number(t, info, "Inode count")
			if perInode := blocks * 4096 / inodes; perInode > 16400 {
				t.Errorf("%d bytes for each inode", perInode)
			}
			want := int64(map[byte]int64{'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40}[last[len(last)-1]])
			n, err := strconv.ParseInt(last[:len(last)-1], 10, 64)
			if err != nil || blocks*4096 < n*want-4<<20 {
				t.Errorf("grew to %d bytes instead of %s", blocks*4096, last)
			}
		})
	}
}

// number is a field of dumpe2fs' answer.
func number(t *testing.T, info, field string) int64 {
	t.Helper()
	_, rest, _ := strings.Cut(info, "\n"+field+":")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
