package ext4_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/ext4"
	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
)

func TestFree(t *testing.T) {
	for _, free := range []int64{0, 1, 1 << 20, 1 << 30} {
		for _, content := range []int64{0, 1 << 20, 127 << 20, 130 << 20} {
			t.Run(fmt.Sprintf("content %d free %d", content, free), func(t *testing.T) {
				tr, p := treetest.New(t).Zeros("f", content).Done()
				o := options()
				o.Free, o.ReservedPercent = free, 3
				img, f := write(t, tr, p, o)
				fsck(t, img)
				mount(t, img, "ro", func(dir, _ string) {
					var st unix.Statfs_t
					if err := unix.Statfs(dir, &st); err != nil {
						t.Fatal(err)
					}
					if avail := int64(st.Bavail) * int64(st.Bsize); avail < free || free > 0 && avail > free+4<<20 {
						t.Errorf("df says %d bytes available of %d, asked for %d", avail, f.Size(), free)
					}
				})
			})
		}
	}
}

// Sizes around the edges of groups and of flexible groups are all whole.
func TestSizes(t *testing.T) {
	const group, flex = 128 << 20, 16 * 128 << 20
	tr, p := treetest.New(t).Text("f", "content").Done()
	for _, edge := range []int64{group, 2 * group, 3 * group, flex, flex + group} {
		for _, off := range []int64{-4096, -1, 0, 4096, 60 * 4096, 3 << 20, 34 << 20} {
			t.Run(fmt.Sprint(edge+off), func(t *testing.T) {
				o := options()
				o.Size = edge + off
				img, f := write(t, tr, p, o)
				fsck(t, img)
				if got := f.Size(); got > o.Size || got < o.Size-5<<20 {
					t.Errorf("made %d bytes of %d", got, o.Size)
				}
			})
		}
	}
}

// What just fits is made, and the hint names the least size when it does not.
func TestJustFits(t *testing.T) {
	for _, content := range []int64{0, 1, 100 << 20, 118 << 20, 2 << 30, 2040 << 20} {
		t.Run(fmt.Sprint(content), func(t *testing.T) {
			tr, p := treetest.New(t).Zeros("f", content).Done()
			f, err := ext4.Plan(tr, options())
			if err != nil {
				t.Fatal(err)
			}
			o := options()
			o.Size = f.Size() - 4096
			_, err = ext4.Plan(tr, o)
			if fault.CodeOf(err) != fault.Preflight || !strings.Contains(fault.HintOf(err), fmt.Sprint(f.Size())) {
				t.Errorf("a size of %d: %v (%s); the least is %d", o.Size, err, fault.HintOf(err), f.Size())
			}
			o.Size = f.Size()
			img, f := write(t, tr, p, o)
			if f.FreeBytes() > 50*4096 {
				t.Errorf("%d bytes are free", f.FreeBytes())
			}
			fsck(t, img)
		})
	}
}

// Huge files have extent trees of several levels.
func TestHugeFiles(t *testing.T) {
	sizes := []int64{2<<30 + 1, 60 << 30}
	if judge.At() == judge.Full {
		sizes = append(sizes, 700<<30, 3<<40)
	}
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			tr, _ := treetest.New(t).Zeros("f", size).Done()
			o := options()
			o.Free = 1 << 30
			f, err := ext4.Plan(tr, o)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(t.TempDir(), "img")
			img, err := os.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(img.Truncate(f.Size()), f.WriteMetadata(img), img.Close()); err != nil {
				t.Fatal(err)
			}
			fsck(t, name)
			if out := judge.Run(t, "debugfs", "-R", "stat /f", name); !strings.Contains(out, fmt.Sprintf("Size: %d\n", size)) {
				t.Errorf("debugfs says %s", out)
			}
		})
	}
}

// Times that ext4 or e2fsck cannot take are moved to the nearest that they can.
func TestClampedTimes(t *testing.T) {
	m := treetest.New(t)
	for name, sec := range map[string]int64{"early": -1 << 40, "late": 3<<32 - 1<<31, "later": 1 << 60} {
		m.Add(tree.Entry{Path: name, Kind: tree.Fifo, Mtime: tree.Time{Sec: sec, Nsec: 5}})
	}
	tr, p := m.Done()
	img, _ := write(t, tr, p, options())
	fsck(t, img)
	want := treetest.Listing{
		"/early": "fifo 0000 0:0 -2147483648.000000000 links=1",
		"/late":  "fifo 0000 0:0 10737418239.000000000 links=1",
		"/later": "fifo 0000 0:0 10737418239.000000000 links=1",
	}
	debugfs(t, img, want).Same(t, want)
}

func TestManyInodes(t *testing.T) {
	m := treetest.New(t)
	for d := range 40 {
		m.Dir(fmt.Sprintf("d%d", d))
		for i := range 1000 {
			m.Add(tree.Entry{Path: fmt.Sprintf("d%d/%d", d, i), Kind: tree.File, Mode: 0o600})
		}
	}
	tr, p := m.Done()
	for _, tt := range []struct{ size, free, inodes, perInode, wantFree int64 }{
		{0, 0, 0, 0, 0},
		{256 << 20, 0, 0, 0, 0},
		{0, 0, 5000, 0, 5000},
		{0, 0, 100_000, 0, 100_000},
		{0, 1 << 30, 0, 0, 1 << 16},
		{0, 0, 0, 1024, 0},
		{0, 100 << 20, 0, 64 << 20, 0},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			o := options()
			o.Size, o.Free, o.FreeInodes, o.BytesPerInode = tt.size, tt.free, tt.inodes, tt.perInode
			img, f := write(t, tr, p, o)
			if _, free := f.Inodes(); free < tt.wantFree {
				t.Errorf("%d inodes free, want %d", free, tt.wantFree)
			}
			fsck(t, img)
		})
	}
}

func TestRefused(t *testing.T) {
	file := func(x ...tree.Xattr) tree.Entry { return tree.Entry{Path: "f", Kind: tree.File, Xattrs: x} }
	tests := []struct {
		name  string
		entry tree.Entry
		o     func(*ext4.Options)
		want  string
	}{
		{"no UUID", file(), func(o *ext4.Options) { o.UUID = [16]byte{} }, "ext4: the UUID is zero"},
		{"label", file(), func(o *ext4.Options) { o.Label = "seventeen letters" }, `ext4: label "seventeen letters" is longer than 16 bytes`},
		{"negative", file(), func(o *ext4.Options) { o.Free = -1 }, "ext4: a size is negative"},
		{"too large", file(), func(o *ext4.Options) { o.Size = 1 << 60 }, "ext4: a filesystem of 1152921504606846976 bytes is larger than 4398046511104"},
		{"too small", file(), func(o *ext4.Options) { o.Size = 4096 }, "ext4: content and free space do not fit into a filesystem of 4096 bytes"},
		{"one byte", file(), func(o *ext4.Options) { o.Size = 1 }, "ext4: content and free space do not fit into a filesystem of 1 bytes"},
		{"percent", file(), func(o *ext4.Options) { o.ReservedPercent = 100 }, "ext4: reserved percentage 100 is not from 0 to 50"},
		{"journal", file(), func(o *ext4.Options) { o.Journal = 1 << 20 }, "ext4: journal of 1048576 bytes is not from 4194304 to 1073741824"},
		{"owner", tree.Entry{Path: "f", Kind: tree.File, GID: 1<<32 - 1}, nil, "ext4: /f: owner 0:4294967295 is none"},
		{"mode", tree.Entry{Path: "f", Kind: tree.File, Mode: 0o100644}, nil, "ext4: /f: mode 0100644 is not from 0 to 07777"},
		{"nanoseconds", tree.Entry{Path: "f", Kind: tree.File, Mtime: tree.Time{Nsec: 1_000_000_000}}, nil, "ext4: /f: modification time has 1000000000 nanoseconds"},
		{"empty link", tree.Entry{Path: "f", Kind: tree.Symlink}, nil, "ext4: /f: target of 0 bytes is empty, longer than 4095 or has a NUL byte"},
		{"long link", tree.Entry{Path: "f", Kind: tree.Symlink, Link: strings.Repeat("x", 4096)}, nil, "ext4: /f: target of 4096 bytes is empty, longer than 4095 or has a NUL byte"},
		{"device", tree.Entry{Path: "f", Kind: tree.Char, Major: 4096}, nil, "ext4: /f: device number 4096:0 is larger than 4095:1048575"},
		{"lost+found", tree.Entry{Path: "lost+found", Kind: tree.Fifo}, nil, "ext4: /lost+found: is a fifo, not a directory"},
		{"size", tree.Entry{Path: "f", Kind: tree.File, Content: tree.Content{Size: -1}}, nil, "ext4: /f: content of -1 bytes at 0 is not from 0 to 4398046511104 bytes"},
		{"attribute's name", file(tree.Xattr{Name: "btrfs.x"}), nil, `ext4: /f: attribute "btrfs.x" has a name that ext4 cannot store`},
		{"attribute of no name", file(tree.Xattr{Name: "user."}), nil, `ext4: /f: attribute "user." has a name that ext4 cannot store`},
		{"attribute twice", file(tree.Xattr{Name: "user.x"}, tree.Xattr{Name: "user.x"}), nil, `ext4: /f: attribute "x" is given twice`},
		{"large attribute", file(tree.Xattr{Name: "user.x", Value: strings.Repeat("x", 4097)}), nil, `ext4: /f: attribute "user.x" and those before it are larger than a block of 4096 bytes`},
		{"bad ACL", file(tree.Xattr{Name: "system.posix_acl_access", Value: "\x02\x00\x00\x00\x01"}), nil, "ext4: /f: attribute system.posix_acl_access: 5 bytes are no access control list of version 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr, err := tree.New([]tree.Entry{{Kind: tree.Dir}, tt.entry})
			if err != nil {
				t.Fatal(err)
			}
			o := options()
			if tt.o != nil {
				tt.o(&o)
			}
			if _, err := ext4.Plan(tr, o); err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}
