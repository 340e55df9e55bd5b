package xfs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
	"ingot/internal/xfs"
)

// What df calls available is what was asked for.
func TestFree(t *testing.T) {
	for _, free := range []int64{0, 1, 1 << 20, 1 << 30, 200 << 30} {
		for _, content := range []int64{0, 1 << 20, 127 << 20, 1 << 30} {
			t.Run(fmt.Sprintf("content %d free %d", content, free), func(t *testing.T) {
				tr, p := treetest.New(t).Zeros("f", content).Done()
				o := options()
				o.Free = free
				img, f := write(t, tr, p, o)
				repair(t, img)
				mount(t, img, "", func(dir, _ string) {
					var st unix.Statfs_t
					if err := unix.Statfs(dir, &st); err != nil {
						t.Fatal(err)
					}
					if avail := int64(st.Bavail) * int64(st.Bsize); avail < free || f.Size() > xfs.MinSize && free > 0 && avail > free+free/100+4<<20 {
						t.Errorf("df says %d bytes available of %d, asked for %d", avail, f.Size(), free)
					}
				})
			})
		}
	}
}

// Sizes that do not divide, other numbers of groups, other sectors, a larger log.
func TestShapes(t *testing.T) {
	tr, p := treetest.New(t).Dir("d").Text("d/f", "content").File(tree.Entry{Path: "g", Mode: 0o644}, treetest.Noise(3<<20)).Done()
	for _, tt := range []struct {
		size           int64
		groups, sector int
		log            int64
	}{
		{xfs.MinSize, 0, 512, 0},
		{xfs.MinSize + 4096, 0, 512, 0},
		{xfs.MinSize + 2*4096 + 1, 0, 4096, 0},
		{xfs.MinSize, 2, 4096, 0},
		{xfs.MinSize, 3, 512, 0},
		{1<<30 + 5*4096, 0, 4096, 100 << 20},
		{1<<30 + 17<<20, 14, 512, 65 << 20},
		{8 << 30, 0, 512, 2038 << 20},
		{8 << 30, 7, 512, 64<<20 + 5*4096},
		{300 << 30, 0, 512, 0},
		{1<<40 - 4096, 0, 512, 0},
		{3 << 40, 0, 4096, 0},
		{xfs.MaxSize, 0, 512, 0},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			o := options()
			o.Size, o.Groups, o.SectorSize, o.Log = tt.size, tt.groups, tt.sector, tt.log
			img, f := write(t, tr, p, o)
			if got := f.Size(); got > o.Size || got < o.Size-16<<20 {
				t.Errorf("made %d bytes of %d", got, o.Size)
			}
			judged(t, img, tr)
		})
	}
}

// What mkfs.xfs decides is decided alike.
func TestLikeMkfs(t *testing.T) {
	for _, size := range []int64{xfs.MinSize, 1 << 30, 5<<30 + 4096, 200 << 30, 1 << 40, xfs.MaxSize} {
		for _, sector := range []int{512, 4096} {
			t.Run(fmt.Sprint(size, sector), func(t *testing.T) {
				tr, p := treetest.New(t).Done()
				o := options()
				o.Size, o.SectorSize = size, sector
				img, _ := write(t, tr, p, o)
				theirs := filepath.Join(t.TempDir(), "theirs")
				judge.Run(t, "truncate", "-s", fmt.Sprint(size), theirs)
				judge.Run(t, "mkfs.xfs", "-q", "-s", fmt.Sprintf("size=%d", sector), "-L", "root", "-m", "bigtime=1,inobtcount=1,rmapbt=0,reflink=1,uuid=01234567-89ab-cdef-0123-456789abcdef",
					"-i", "nrext64=0", theirs)
				show := func(img string) []string {
					return strings.Split(judge.Run(t, "xfs_db", "-r", "-c", "sb 0", "-c", "p", "-c", "agf 1", "-c", "p", "-c", "agi 0", "-c", "p", "-c", "agfl 0", "-c", "p", img), "\n")
				}
				ours, want := show(img), show(theirs)
				for i, line := range want {
					name, _, _ := strings.Cut(line, " ")
					if ours[i] != line && name != "crc" && name != "logstart" && name != "dblocks" && !strings.HasPrefix(name, "bno[") {
						t.Errorf("%s, mkfs.xfs says %s", ours[i], line)
					}
				}
			})
		}
	}
}

// What just fits is made, with all that the kernel sets aside when it mounts, and the
// hint names the least size when it does not.
func TestJustFits(t *testing.T) {
	for _, content := range []int64{400 << 20, 2 << 30, 2040 << 20, 60 << 30} {
		t.Run(fmt.Sprint(content), func(t *testing.T) {
			tr, _ := treetest.New(t).Zeros("f", content).Done()
			f, err := xfs.Plan(tr, options())
			if err != nil {
				t.Fatal(err)
			}
			o := options()
			o.Size = f.Size() - 4096
			_, err = xfs.Plan(tr, o)
			if fault.CodeOf(err) != fault.Preflight || !strings.Contains(fault.HintOf(err), fmt.Sprint(f.Size())) {
				t.Errorf("a size of %d: %v (%s); the least is %d", o.Size, err, fault.HintOf(err), f.Size())
			}
			o.Size = f.Size()
			if f, err = xfs.Plan(tr, o); err != nil {
				t.Fatal(err)
			}
			img := metadata(t, f)
			repair(t, img)
			mount(t, img, "", func(dir, _ string) {
				_ = os.WriteFile(dir+"/more", make([]byte, 1<<20), 0o600) // there may be room
				if err := os.Remove(dir + "/f"); err != nil {
					t.Fatal(err)
				}
			})
			repair(t, img)
		})
	}
}

// metadata writes a filesystem whose files are all zeros.
func metadata(t *testing.T, f *xfs.FS) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "img")
	img, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(img.Truncate(f.Size()), f.WriteMetadata(img), img.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

// Large files have an extent for each group they cross, and each 8 GiB.
func TestHugeFiles(t *testing.T) {
	m := treetest.New(t)
	attrs := []tree.Xattr{{Name: "user.a", Value: strings.Repeat("a", 250)}} // leave the inode no room for extents
	m.Zeros("f", 1).Zeros("g", tree.MaxFile).Zeros("h", 20<<30).Zeros("i", tree.MaxFile-1)
	m.Entries[1].Xattrs = attrs
	m.Entries[3].Xattrs = attrs
	tr, _ := m.Done()
	for _, groups := range []int{0, 12} {
		t.Run(fmt.Sprint(groups), func(t *testing.T) {
			o := options()
			o.Free, o.Groups = 1<<30, groups
			f, err := xfs.Plan(tr, o)
			if err != nil {
				t.Fatal(err)
			}
			img := metadata(t, f)
			repair(t, img)
			mount(t, img, "ro", func(dir, _ string) {
				for e := range tr.All() {
					if st, err := os.Stat(dir + "/" + e.Path); err != nil || e.Kind == tree.File && st.Size() != e.Content.Size {
						t.Errorf("/%s: %v, %v", e.Path, st, err)
					}
				}
			})
		})
	}
}

// Content that crosses from group to group and around the log reads back.
func TestAcrossGroups(t *testing.T) {
	m := treetest.New(t)
	for i := range 9 {
		m.File(tree.Entry{Path: fmt.Sprintf("f%d", i), Mode: 0o644}, treetest.Noise(int64(i+1)*7<<20+int64(i)))
	}
	tr, p := m.Done()
	img, _ := write(t, tr, p, options())
	judged(t, img, tr)
}

// Times that XFS cannot hold are moved to the nearest that it can.
func TestClampedTimes(t *testing.T) {
	m := treetest.New(t)
	for name, sec := range map[string]int64{"early": -1 << 40, "late": 16299260425, "later": 1 << 60} {
		m.Add(tree.Entry{Path: name, Kind: tree.Fifo, Mtime: tree.Time{Sec: sec, Nsec: 5}})
	}
	tr, p := m.Done()
	img, _ := write(t, tr, p, options())
	repair(t, img)
	mount(t, img, "ro", func(dir, _ string) {
		got := treetest.Mounted(t, dir)
		delete(got, "/")
		got.Same(t, treetest.Listing{
			"/early": "fifo 0000 0:0 -2147483648.000000000 links=1",
			"/late":  "fifo 0000 0:0 16299260425.000000000 links=1",
			"/later": "fifo 0000 0:0 16299260425.000000000 links=1",
		})
	})
}

func TestRefused(t *testing.T) {
	file := func(x ...tree.Xattr) tree.Entry { return tree.Entry{Path: "f", Kind: tree.File, Xattrs: x} }
	tests := []struct {
		name  string
		entry tree.Entry
		o     func(*xfs.Options)
		want  string
	}{
		{"no UUID", file(), func(o *xfs.Options) { o.UUID = [16]byte{} }, "xfs: the UUID is zero"},
		{"label", file(), func(o *xfs.Options) { o.Label = "thirteen byte" }, `xfs: label "thirteen byte" is longer than 12 bytes`},
		{"negative", file(), func(o *xfs.Options) { o.Free = -1 }, "xfs: a size is negative"},
		{"too large", file(), func(o *xfs.Options) { o.Size = 1 << 60 }, "xfs: a filesystem of 1152921504606846976 bytes is larger than 4398046511104"},
		{"too small", file(), func(o *xfs.Options) { o.Size = xfs.MinSize - 1 }, "xfs: content and free space do not fit into a filesystem of 314572799 bytes"},
		{"one byte", file(), func(o *xfs.Options) { o.Size = 1 }, "xfs: content and free space do not fit into a filesystem of 1 bytes"},
		{"one group", file(), func(o *xfs.Options) { o.Groups = 1 }, "xfs: 1 allocation groups are not from 2 to 65536"},
		{"too many groups", file(), func(o *xfs.Options) { o.Size, o.Groups = 1<<30, 100 }, "xfs: content and free space do not fit into a filesystem of 1073741824 bytes"},
		{"log", file(), func(o *xfs.Options) { o.Log = 1 << 20 }, "xfs: a log of 1048576 bytes is not from 67108864 to 2136997888"},
		{"log larger than a group", file(), func(o *xfs.Options) { o.Size, o.Log = 1<<30, 512<<20 }, "xfs: content and free space do not fit into a filesystem of 1073741824 bytes"},
		{"sector", file(), func(o *xfs.Options) { o.SectorSize = 1024 }, "xfs: a sector of 1024 bytes is neither 512 nor 4096"},
		{"owner", tree.Entry{Path: "f", Kind: tree.File, GID: 1<<32 - 1}, nil, "xfs: /f: owner 0:4294967295 is none"},
		{"mode", tree.Entry{Path: "f", Kind: tree.File, Mode: 0o100644}, nil, "xfs: /f: mode 0100644 is not from 0 to 07777"},
		{"nanoseconds", tree.Entry{Path: "f", Kind: tree.File, Mtime: tree.Time{Nsec: 1_000_000_000}}, nil, "xfs: /f: modification time has 1000000000 nanoseconds"},
		{"empty link", tree.Entry{Path: "f", Kind: tree.Symlink}, nil, "xfs: /f: target of 0 bytes is empty, longer than 1023 or has a NUL byte"},
		{"long link", tree.Entry{Path: "f", Kind: tree.Symlink, Link: strings.Repeat("x", 1024)}, nil, "xfs: /f: target of 1024 bytes is empty, longer than 1023 or has a NUL byte"},
		{"device", tree.Entry{Path: "f", Kind: tree.Char, Major: 512}, nil, "xfs: /f: device number 512:0 is larger than 511:262143"},
		{"size", tree.Entry{Path: "f", Kind: tree.File, Content: tree.Content{Size: -1}}, nil, "xfs: /f: content of -1 bytes at 0 is not from 0 to 68719476736 bytes"},
		{"attribute's name", file(tree.Xattr{Name: "btrfs.x"}), nil, `xfs: /f: attribute "btrfs.x" has a name that XFS cannot store`},
		{"attribute of no name", file(tree.Xattr{Name: "user."}), nil, `xfs: /f: attribute "user." has a name that XFS cannot store`},
		{"attribute twice", file(tree.Xattr{Name: "user.x"}, tree.Xattr{Name: "user.x"}), nil, `xfs: /f: attribute "x" is given twice`},
		{"large attribute", file(tree.Xattr{Name: "user.x", Value: strings.Repeat("x", 65537)}), nil, `xfs: /f: attribute user.x has a value of 65537 bytes, more than 65536`},
		{"bad ACL", file(tree.Xattr{Name: "system.posix_acl_access", Value: "\x02\x00\x00\x00\x01"}), nil, "xfs: /f: attribute system.posix_acl_access: 5 bytes are no access control list of version 2"},
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
			if _, err := xfs.Plan(tr, o); err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}
