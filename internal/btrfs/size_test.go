package btrfs_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/btrfs"
	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
)

// What df calls available is what was asked for, or a little more, and can be written.
func TestFree(t *testing.T) {
	contents := []int64{0, 60 << 20}
	if judge.At() == judge.Full {
		contents = []int64{0, 1 << 20, 60 << 20, 1 << 30}
	}
	for _, free := range []int64{0, 1, 1 << 20, 300 << 20, 200 << 30} {
		for _, content := range contents {
			t.Run(fmt.Sprintf("content %d free %d", content, free), func(t *testing.T) {
				tr, p := treetest.New(t).Zeros("f", content).Done()
				o := options()
				o.Free = free
				img, f := write(t, tr, p, o)
				check(t, img)
				mount(t, img, "", func(dir, _ string) {
					var st unix.Statfs_t
					if err := unix.Statfs(dir, &st); err != nil {
						t.Fatal(err)
					}
					if avail := int64(st.Bavail) * int64(st.Bsize); avail < free || f.Size() > btrfs.MinSize && free > 0 && avail > free+free/10+48<<20 {
						t.Errorf("df says %d bytes available of %d, asked for %d", avail, f.Size(), free)
					}
					if free > 1<<30 {
						return
					}
					for left := free; left > 0; left -= 8 << 20 {
						if err := os.WriteFile(fmt.Sprintf("%s/more%d", dir, left), make([]byte, min(left, 8<<20)), 0o600); err != nil {
							t.Fatalf("%d bytes before the end: %v", left, err)
						}
					}
				})
			})
		}
	}
}

// Sizes that are said, and all three superblocks.
func TestShapes(t *testing.T) {
	tr, p := treetest.New(t).Dir("d").Text("d/f", strings.Repeat("content", 1000)).File(tree.Entry{Path: "g", Mode: 0o644}, treetest.Noise(70<<20)).Done()
	for _, size := range []int64{btrfs.MinSize + 32<<20, 200<<20 + 4097, 1 << 30, 300 << 30, btrfs.MaxSize} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			o := options()
			o.Size = size
			img, f := write(t, tr, p, o)
			if got := f.Size(); got != size/4096*4096 {
				t.Errorf("made %d bytes of %d", got, size)
			}
			judged(t, img, tr)
		})
	}
	o := options()
	o.Size = 80 << 20
	if _, err := btrfs.Plan(tr, o); fault.CodeOf(err) != fault.Preflight || !strings.Contains(err.Error(), "too few") {
		t.Errorf("a size of %d: %v", o.Size, err)
	}
}

// Files of several extents, in several chunks, and around a superblock.
func TestLargeFiles(t *testing.T) {
	m := treetest.New(t)
	m.File(tree.Entry{Path: "a", Mode: 0o644}, treetest.Noise(40<<20+1)).Zeros("b", 1200<<20).File(tree.Entry{Path: "c", Mode: 0o644}, treetest.Noise(3<<20))
	tr, p := m.Done()
	img, _ := write(t, tr, p, options())
	check(t, img)
	want := expect(tr)
	mount(t, img, "ro", func(dir, _ string) {
		got := treetest.Mounted(t, dir)
		for path := range want {
			if path != "/b" && got[path] != want[path] {
				t.Errorf("%s is %s, want %s", path, got[path], want[path])
			}
		}
		if !strings.Contains(got["/b"], fmt.Sprintf("size=%d ", 1200<<20)) {
			t.Errorf("b is %s", got["/b"])
		}
	})
}

// Trees of several levels.
func TestLarge(t *testing.T) {
	m := treetest.New(t).Dir("d")
	n := 60_000
	if judge.At() == judge.Full {
		n = 1_000_000
	}
	for i := range n {
		m.Add(tree.Entry{Path: fmt.Sprintf("d/some-file-%d.conf", i), Kind: tree.Symlink, Mode: 0o777, Link: "x"})
	}
	tr, p := m.Done()
	img, _ := write(t, tr, p, options())
	judged(t, img, tr)
	mount(t, img, "", func(dir, _ string) {
		for i := range 3000 {
			if err := os.Remove(fmt.Sprintf("%s/d/some-file-%d.conf", dir, i*7)); err != nil {
				t.Fatal(err)
			}
		}
	})
	check(t, img)
}

// More names in one directory than references have room for.
func TestManyNames(t *testing.T) {
	m := treetest.New(t).Dir("d").Text("a", "a")
	for i := range 3000 {
		m.Add(tree.Entry{Path: fmt.Sprintf("d/a name that is not short %d", i), Kind: tree.Hardlink, Link: "a"})
	}
	tr, p := m.Done()
	img, _ := write(t, tr, p, options())
	judged(t, img, tr)
}

func TestSubvolumes(t *testing.T) {
	m := treetest.New(t).Dir("@").Dir("@/home").Dir("@/var").Dir("data").Text("@/file", "root").Text("data/file", strings.Repeat("data", 5000)).Text("top", "top")
	m.Add(tree.Entry{Path: "@/home/user", Kind: tree.Dir, Mode: 0o700, UID: 1000, GID: 1000})
	m.Add(tree.Entry{Path: "@/same", Kind: tree.Hardlink, Link: "@/file"})
	tr, p := m.Done()
	o := options()
	o.Subvolumes = []string{"data", "@", "@/home/user", "@/var/empty", "other"}
	img, _ := write(t, tr, p, o)
	check(t, img)
	want := expect(tr)
	empty := fmt.Sprintf("dir 0755 0:0 %d.%09d links=1", treetest.Epoch, 0)
	want["/@/var/empty"], want["/other"] = empty, empty
	ok := mount(t, img, "", func(dir, _ string) {
		treetest.Mounted(t, dir).Same(t, want)
		list := judge.Run(t, "btrfs", "subvolume", "list", "-t", dir)
		for _, s := range o.Subvolumes {
			if !strings.Contains(list, "\t"+s+"\n") && !strings.Contains(list, "\t"+s+"\t") && !strings.Contains(list, s+"\n") {
				t.Errorf("no subvolume %s:\n%s", s, list)
			}
		}
		if strings.Count(list, "\n") != 2+len(o.Subvolumes) {
			t.Errorf("subvolumes:\n%s", list)
		}
		judge.Run(t, "btrfs", "subvolume", "snapshot", dir+"/@", dir+"/snapshot")
		judge.Run(t, "btrfs", "subvolume", "delete", "--commit-after", dir+"/data")
		judge.Run(t, "btrfs", "scrub", "start", "-B", dir)
		judge.Run(t, "btrfs", "balance", "start", "--full-balance", dir)
	})
	if ok {
		check(t, img)
		mount(t, img, "subvol=@", func(dir, _ string) {
			if b, err := os.ReadFile(dir + "/same"); err != nil || string(b) != "root" {
				t.Errorf("in the subvolume: %q, %v", b, err)
			}
		})
	}
	for want, change := range map[string]func(*btrfs.Options){
		"is to be a subvolume and is a file": func(o *btrfs.Options) { o.Subvolumes = []string{"top"} },
		"in another subvolume": func(o *btrfs.Options) {
			o.Subvolumes = []string{"l"}
		},
		"has no parent":   func(o *btrfs.Options) { o.Subvolumes = []string{"no/where"} },
		"is there twice":  func(o *btrfs.Options) { o.Subvolumes = []string{"@", "@"} },
		"no path":         func(o *btrfs.Options) { o.Subvolumes = []string{"../x"} },
		"the UUID is":     func(o *btrfs.Options) { o.UUID = [16]byte{} },
		"longer than 255": func(o *btrfs.Options) { o.Label = strings.Repeat("x", 256) },
		"is negative":     func(o *btrfs.Options) { o.Free = -1 },
		"is larger than":  func(o *btrfs.Options) { o.Size = 1 << 50 },
	} {
		o := options()
		change(&o)
		made, err := tree.New([]tree.Entry{
			{Kind: tree.Dir}, {Path: "@", Kind: tree.Dir}, {Path: "@/f", Kind: tree.File}, {Path: "top", Kind: tree.File}, {Path: "l", Kind: tree.Dir}, {Path: "l/f", Kind: tree.Hardlink, Link: "@/f"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := btrfs.Plan(made, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// A filesystem grows while it is mounted.
func TestGrow(t *testing.T) {
	tr, p := treetest.New(t).File(tree.Entry{Path: "a", Mode: 0o644}, treetest.Noise(20<<20)).Done()
	img, _ := write(t, tr, p, options())
	want := expect(tr)
	if err := os.Truncate(img, 3<<30); err != nil {
		t.Fatal(err)
	}
	mount(t, img, "", func(dir, _ string) {
		judge.Run(t, "btrfs", "filesystem", "resize", "max", dir)
		if got := treetest.Mounted(t, dir); got["/a"] != want["/a"] {
			t.Errorf("the file is %s, was %s", got["/a"], want["/a"])
		}
		if err := errors.Join(os.WriteFile(dir+"/b", make([]byte, 1<<30), 0o600), os.Remove(dir+"/b")); err != nil {
			t.Fatal(err)
		}
	})
	check(t, img)
}
