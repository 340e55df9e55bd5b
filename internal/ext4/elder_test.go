package ext4_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/ext4"
	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
)

// ext2 and ext3 are judged as ext4 is; what follows is what they have of their own.

// They are what mke2fs makes: not less, so that no kernel finds it odd, and not more, so
// that each reads it that knows them.
func TestElderFeatures(t *testing.T) {
	field := regexp.MustCompile(`(?m)^(Filesystem features|Filesystem flags|Default mount options|Inode size|Required extra isize|Desired extra isize|Journal inode|Journal features|Group descriptor size):.*$`)
	tr, p := treetest.New(t).Text("f", "content").Done()
	for _, g := range generations[1:] {
		o := options()
		o.Generation, o.Size = g, 200<<20
		img, _ := write(t, tr, p, o)
		theirs := filepath.Join(t.TempDir(), "theirs")
		judge.Run(t, "mke2fs", "-q", "-t", g.String(), "-b", "4096", theirs, "200M")
		got := field.FindAllString(judge.Run(t, "dumpe2fs", "-h", img), -1)
		want := field.FindAllString(judge.Run(t, "dumpe2fs", "-h", theirs), -1)
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s has\n%s\nand mke2fs makes\n%s", g, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestElderSizes(t *testing.T) {
	const group = 128 << 20
	tr, p := treetest.New(t).Text("f", "content").Done()
	for _, g := range generations[1:] {
		for _, size := range []int64{5 << 20, group - 4096, group, group + 4096, group + 60*4096, group + 3<<20, 3*group + 4096, 17 * group} {
			o := options()
			o.Generation, o.Size = g, size
			if g == ext4.Ext3 && size < 9<<20 {
				continue
			}
			img, f := write(t, tr, p, o)
			fsck(t, img)
			if got := f.Size(); got > size || got < size-5<<20 {
				t.Errorf("made %d bytes of %d", got, size)
			}
		}
		for _, free := range []int64{1, 1 << 20, 1 << 30} {
			tr, p := treetest.New(t).Zeros("f", 127<<20).Done()
			o := options()
			o.Generation, o.Free, o.ReservedPercent = g, free, 3
			img, f := write(t, tr, p, o)
			fsck(t, img)
			mount(t, img, "ro", func(dir, _ string) {
				var st unix.Statfs_t
				if err := unix.Statfs(dir, &st); err != nil {
					t.Fatal(err)
				}
				if avail := int64(st.Bavail) * int64(st.Bsize); avail < free || avail > free+4<<20 {
					t.Errorf("%s: df says %d bytes available of %d, asked for %d", g, avail, f.Size(), free)
				}
			})
		}
	}
}

// Files' maps have no block outside the inode, and up to three levels of them; their
// edges are where one more is needed.
func TestElderMaps(t *testing.T) {
	const single, double = 12 + 1024, 12 + 1024 + 1024*1024
	sizes := []int64{12, 13, single, single + 1, single + 1024, single + 1025, 40000, double, double + 1, double + 1025, double + 1024*1024 + 5}
	for _, g := range generations[1:] {
		m := treetest.New(t)
		for _, blocks := range sizes {
			m.Zeros(fmt.Sprintf("f%d", blocks), blocks*4096-1)
		}
		tr, _ := m.Done()
		o := options()
		o.Generation = g
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
	}
	o := options()
	o.Generation = ext4.Ext3
	tr, _ := treetest.New(t).Zeros("f", 3<<40).Done()
	if _, err := ext4.Plan(tr, o); err == nil || !strings.Contains(err.Error(), "ext3: /f has 3298534883328 bytes, more than") {
		t.Errorf("a file of 3 TiB: %v", err)
	}
}

// The kernel reads what was written, writes to it, and leaves it whole.
func TestElderWritten(t *testing.T) {
	for _, g := range generations[1:] {
		tr, p := mixed(treetest.New(t)).File(tree.Entry{Path: "middle", Mode: 0o600}, treetest.Noise(20<<20)).Done()
		o := options()
		o.Generation, o.Free = g, 64<<20
		img, _ := write(t, tr, p, o)
		judged(t, img, tr)
		want := strings.Repeat(fmt.Sprint(rand.New(rand.NewPCG(1, 2)).Uint64()), 1<<20)
		mount(t, img, "", func(dir, _ string) {
			if err := os.WriteFile(dir+"/new", []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
			for i := range 2000 {
				if err := os.WriteFile(fmt.Sprintf("%s/many/new %d", dir, i), []byte("new"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.RemoveAll(dir + "/big"); err != nil {
				t.Fatal(err)
			}
		})
		mount(t, img, "", func(dir, _ string) {
			if got, err := os.ReadFile(dir + "/new"); err != nil || string(got) != want {
				t.Errorf("%s: what the kernel wrote it reads otherwise: %v", g, err)
			}
		})
		fsck(t, img)
	}
}

// On a device that reads as noise all tables are written.
func TestElderOnNoise(t *testing.T) {
	for _, g := range generations {
		tr, p := treetest.New(t).Text("f", "content").Done()
		o := options()
		o.Generation, o.Noise, o.Size = g, true, 300<<20
		f, err := ext4.Plan(tr, o)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "img")
		img, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		noise := make([]byte, 1<<20)
		for i := range noise {
			noise[i] = byte(i*7 + i>>8 + 1)
		}
		for at := int64(0); at < f.Size(); at += 1 << 20 {
			if _, err := img.WriteAt(noise, at); err != nil {
				t.Fatal(err)
			}
		}
		// Zeros are left to who asks for the extents, as an encrypted device does.
		for _, e := range f.Extents() {
			if _, err := img.WriteAt(make([]byte, e.Len), e.Off); err != nil {
				t.Fatal(err)
			}
		}
		r := tree.NewReader(p)
		if err := errors.Join(img.Truncate(f.Size()), f.WriteTo(t.Context(), img, r), img.Close(), r.Close()); err != nil {
			t.Fatal(err)
		}
		fsck(t, name)
	}
}
