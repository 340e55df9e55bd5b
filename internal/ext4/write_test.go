package ext4_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"ingot/internal/disk"
	"ingot/internal/ext4"
	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
)

// mixed is a tree with something of everything.
func mixed(m *treetest.Maker) *treetest.Maker {
	m.Dir("bin").Dir("big").Dir("many")
	m.File(tree.Entry{Path: "bin/tool", Mode: 0o755, UID: 7}, treetest.Noise(5<<20+123))
	m.Zeros("big/zeros", 10<<20).Text("bin/small", "small")
	m.Add(tree.Entry{Path: "bin/link", Kind: tree.Symlink, Mode: 0o777, Link: strings.Repeat("l", 100)})
	for i := range 3000 {
		m.Text(fmt.Sprintf("many/file %d", i), strings.Repeat("text ", i%3000))
	}
	return m.Add(tree.Entry{Path: "attr", Kind: tree.File, Xattrs: []tree.Xattr{{Name: "user.x", Value: strings.Repeat("v", 300)}}})
}

// A sink checks what WriteTo promises of its writes.
type sink struct {
	t       *testing.T
	mu      sync.Mutex
	bytes   []byte
	extents []disk.Extent
}

func (s *sink) WriteAt(b []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int64(len(b))
	if off%4096 != 0 || n%4096 != 0 || n == 0 || off>>20 != (off+n-1)>>20 {
		s.t.Errorf("write of %d bytes at %d", n, off)
	}
	if !slices.ContainsFunc(s.extents, func(e disk.Extent) bool { return off >= e.Off && off+n <= e.Off+e.Len }) {
		s.t.Errorf("write of %d bytes at %d is in no extent", n, off)
	}
	for i := 0; i < len(b); i += 4096 {
		if bytes.Equal(b[i:i+4096], make([]byte, 4096)) {
			s.t.Errorf("block at %d is zero", off+int64(i))
		}
	}
	return copy(s.bytes[off:], b), nil
}

// The bytes depend on neither cores, nor the way of writing, nor where contents
// lie, nor whose they are.
func TestDeterministic(t *testing.T) {
	o := options()
	o.Free = 16 << 20
	tr, p := mixed(treetest.New(t)).Done()
	first, f := write(t, tr, p, o)
	want, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	r := tree.NewReader(p)
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()

	t.Run("sink", func(t *testing.T) {
		s := &sink{t: t, bytes: make([]byte, f.Size()), extents: f.Extents()}
		if err := f.WriteTo(t.Context(), s, r); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.bytes, want) {
			t.Error("differs")
		}
	})
	t.Run("one core", func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		name, _ := write(t, tr, p, o)
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("differs (%v)", err)
		}
	})
	t.Run("other pack", func(t *testing.T) {
		m := treetest.New(t)
		m.Text("aaa", "something in front")
		mixed(m)
		m.Entries = m.Entries[1:]
		for i := range m.Entries {
			m.Entries[i].Owner = fmt.Sprint(i)
		}
		tr, p := m.Done()
		name, _ := write(t, tr, p, o)
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("differs (%v)", err)
		}
	})
	for _, step := range []int{1 << 20, 3 << 16, 4096, 1000} {
		t.Run(fmt.Sprintf("read by %d", step), func(t *testing.T) {
			got, buf := bytes.Buffer{}, make([]byte, step)
			// Without ReaderAt's shortcuts, and to the end.
			n, err := io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{io.NewSectionReader(f.ReaderAt(r), 0, 1<<62)}, buf)
			if err != nil || n != f.Size() || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("differs (%d bytes, %v)", n, err)
			}
		})
	}
}

// Options change what they name and nothing else breaks.
func TestOptions(t *testing.T) {
	tr, p := mixed(treetest.New(t)).Done()
	o := options()
	o.Label, o.Journal, o.ReservedPercent, o.Epoch, o.BytesPerInode = "sixteen-letters!", 8<<20, 10, 1<<32+5, 8192
	o.Size = 300 << 20
	img, _ := write(t, tr, p, o)
	fsck(t, img)
	info := judge.Run(t, "dumpe2fs", "-h", img)
	for _, want := range []string{
		"Filesystem volume name:   sixteen-letters!\n",
		"Filesystem UUID:          01234567-89ab-cdef-0123-456789abcdef\n",
		"Filesystem features:      has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum\n",
		"Filesystem flags:         signed_directory_hash \n",
		"Default mount options:    user_xattr acl\n",
		"Filesystem state:         clean\n",
		"Block count:              76800\n",
		"Reserved block count:     7680\n",
		"Inodes per group:         16384\n",
		"Total journal size:       8M\n",
		"Directory Hash Seed:      11111111-2222-3333-4444-55555555555f\n",
	} {
		if !strings.Contains(info, want) {
			t.Errorf("dumpe2fs does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(info)
	}
}

// The kernel fills the filesystem, changes and removes what it holds, and the
// overhead it counts is the one written.
func TestReadWrite(t *testing.T) {
	tr, p := mixed(treetest.New(t)).Done()
	o := options()
	o.Free = 20 << 20
	img, _ := write(t, tr, p, o)
	overhead := number(t, judge.Run(t, "dumpe2fs", "-h", img), "Overhead clusters")
	ok := mount(t, img, "", func(dir, _ string) {
		for i := 0; ; i++ {
			if err := os.WriteFile(fmt.Sprintf("%s/many/more%d", dir, i), bytes.Repeat([]byte("more"), i*50), 0o600); err != nil {
				break // full
			}
			if i%3 == 0 {
				if err := errors.Join(os.Remove(fmt.Sprintf("%s/many/file %d", dir, i)), os.Rename(dir+"/bin", dir+"/other"), os.Rename(dir+"/other", dir+"/bin")); err != nil {
					t.Fatal(err)
				}
			}
			if i == 2500 {
				break
			}
		}
		if err := os.RemoveAll(dir + "/big"); err != nil {
			t.Fatal(err)
		}
	})
	if !ok {
		t.Skip("root runs this, on a kernel that mounts this file system from a loop device")
	}
	fsck(t, img)
	if got := number(t, judge.Run(t, "dumpe2fs", "-h", img), "Overhead clusters"); got != overhead {
		t.Errorf("the kernel counts %d blocks of overhead, not %d", got, overhead)
	}
}

// GRUB reads directories, files and long symlinks.
func TestGrub(t *testing.T) {
	tr, p := mixed(treetest.New(t).Dir("x").Text("x/target", "reached").Add(tree.Entry{
		Path: "x/link", Kind: tree.Symlink, Mode: 0o777, Link: strings.Repeat("./", 60) + "target",
	})).Done()
	img, _ := write(t, tr, p, options())
	tool := filepath.Join(t.TempDir(), "tool")
	b := make([]byte, 5<<20+123)
	if _, err := io.ReadFull(treetest.Noise(int64(len(b))), b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tool, b, 0o600); err != nil {
		t.Fatal(err)
	}
	judge.Run(t, "grub-fstest", img, "cmp", "(loop0)/bin/tool", tool)
	if got := judge.Run(t, "grub-fstest", img, "cat", "(loop0)/x/link"); got != "reached" {
		t.Errorf("GRUB reads %q through a symlink", got)
	}
	if got := judge.Run(t, "grub-fstest", img, "ls", "(loop0)/many/"); strings.Count(got, "file") != 3000 {
		t.Errorf("GRUB lists %d of 3000 files", strings.Count(got, "file"))
	}
}

func TestCancelled(t *testing.T) {
	tr, p := mixed(treetest.New(t)).Done()
	f, err := ext4.Plan(tr, options())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &sink{t: t, bytes: make([]byte, f.Size()), extents: f.Extents()}
	if err := f.WriteTo(ctx, s, tree.NewReader(p)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A pack that is shorter than the tree says is an error that names it.
func TestShortPack(t *testing.T) {
	tr, p := treetest.New(t).Text("a", strings.Repeat("x", 10_000)).Done()
	if err := os.Truncate(p["p"], 5000); err != nil {
		t.Fatal(err)
	}
	f, err := ext4.Plan(tr, options())
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{t: t, bytes: make([]byte, f.Size()), extents: f.Extents()}
	err = f.WriteTo(t.Context(), s, tree.NewReader(p))
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "pack p") {
		t.Errorf("got %v", err)
	}
}

// Whatever the tree, e2fsck finds nothing and all of it is there.
func TestRandomTrees(t *testing.T) {
	if judge.At() != judge.Full {
		if err := flag.Set("rapid.checks", "40"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := treetest.New(t)
		dirs, files := []string{""}, []string{}
		name := rapid.StringMatching(`[a-zA-Z0-9._+~-]{1,40}`)
		used := map[string]bool{"": true, "lost+found": true}
		for range rapid.IntRange(0, 100).Draw(rt, "entries") {
			dir := rapid.SampledFrom(dirs).Draw(rt, "dir")
			e := tree.Entry{
				Path:  strings.TrimPrefix(dir+"/"+name.Draw(rt, "name"), "/"),
				Mode:  rapid.Uint32Range(0, 0o7777).Draw(rt, "mode"),
				UID:   rapid.Uint32Range(0, 1<<32-2).Draw(rt, "uid"),
				GID:   rapid.Uint32Range(0, 1<<32-2).Draw(rt, "gid"),
				Mtime: tree.Time{Sec: rapid.Int64Range(-1<<31, 3<<32-1<<31-1).Draw(rt, "sec"), Nsec: rapid.Int32Range(0, 999_999_999).Draw(rt, "nsec")},
			}
			if b := filepath.Base(e.Path); used[e.Path] || b == "." || b == ".." {
				continue
			}
			used[e.Path] = true
			if e.Kind = rapid.SampledFrom([]tree.Kind{tree.Dir, tree.File, tree.File, tree.File, tree.Symlink, tree.Hardlink, tree.Char, tree.Block, tree.Fifo}).Draw(rt, "kind"); e.Kind == tree.Hardlink {
				if e.Mtime = (tree.Time{}); len(files) == 0 {
					continue
				}
				if e.Link = rapid.SampledFrom(files).Draw(rt, "link"); e.Link < e.Path {
					m.Add(tree.Entry{Path: e.Path, Kind: e.Kind, Link: e.Link})
				}
				continue
			}
			if e.Kind == tree.Dir || e.Kind == tree.File {
				for i := range rapid.IntRange(0, 3).Draw(rt, "attributes") {
					e.Xattrs = append(e.Xattrs, tree.Xattr{
						Name:  fmt.Sprintf("trusted.%c%s", 'a'+i, rapid.StringMatching(`[a-z]{0,30}`).Draw(rt, "attribute")),
						Value: string(rapid.SliceOfN(rapid.Byte(), 0, 900).Draw(rt, "value")),
					})
				}
			}
			switch e.Kind {
			case tree.Dir:
				dirs = append(dirs, e.Path)
			case tree.File:
				files = append(files, e.Path)
				m.File(e, treetest.Noise(rapid.Int64Range(0, 30_000).Draw(rt, "size")))
				continue
			case tree.Symlink:
				e.Link = rapid.StringMatching(`[a-z/]{1,90}`).Draw(rt, "target")
			case tree.Char, tree.Block:
				e.Major, e.Minor = rapid.Uint32Range(0, 4095).Draw(rt, "major"), rapid.Uint32Range(0, 1<<20-1).Draw(rt, "minor")
			case tree.Hardlink, tree.Fifo:
			}
			m.Add(e)
		}
		tr, p := m.Done()
		o := options()
		o.Free = rapid.Int64Range(0, 200<<20).Draw(rt, "free")
		o.Generation = rapid.SampledFrom(generations).Draw(rt, "generation")
		img, _ := write(t, tr, p, o)
		fsck(t, img)
		want := expect(t, tr)
		if !mount(t, img, "ro", func(dir, _ string) { treetest.Mounted(t, dir).Same(t, want) }) {
			debugfs(t, img, want).Same(t, want)
		}
		if err := os.Remove(img); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// No attribute makes Plan panic, and what it takes e2fsck takes.
func FuzzAttributes(f *testing.F) {
	f.Add("user.x", "value")
	f.Add("system.posix_acl_access", treetest.ACL(1, 7, 0xffffffff, 2, 5, 1000, 4, 5, 0xffffffff, 0x10, 7, 0xffffffff, 0x20, 0, 0xffffffff))
	f.Add("system.posix_acl_default", treetest.ACL(1, 7, 0))
	f.Add("security.capability", "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	f.Add("trusted."+strings.Repeat("t", 255), strings.Repeat("v", 3700))
	f.Fuzz(func(t *testing.T, name, value string) {
		if len(name)+len(value) > 5000 {
			return
		}
		tr, err := tree.New([]tree.Entry{{Kind: tree.Dir, Xattrs: []tree.Xattr{{Name: name, Value: value}}}})
		if err != nil {
			t.Fatal(err)
		}
		fs, err := ext4.Plan(tr, options())
		if err != nil {
			return
		}
		s := &sink{bytes: make([]byte, fs.Size()), extents: fs.Extents()}
		s.t = t
		if err := fs.WriteTo(context.Background(), s, tree.NewReader(treetest.Packs{})); err != nil {
			t.Fatal(err)
		}
	})
}
