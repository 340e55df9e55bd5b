package btrfs_test

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

	"ingot/internal/btrfs"
	"ingot/internal/disk"
	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
)

// mixed is a tree with something of everything.
func mixed(m *treetest.Maker) *treetest.Maker {
	m.Dir("bin").Dir("big").Dir("many")
	m.File(tree.Entry{Path: "bin/tool", Mode: 0o755, UID: 7}, treetest.Noise(5<<20+123))
	m.Zeros("big/zeros", 10<<20).Text("bin/small", "small")
	m.Add(tree.Entry{Path: "bin/link", Kind: tree.Symlink, Mode: 0o777, Link: strings.Repeat("l", 400)})
	for i := range 3000 {
		m.Text(fmt.Sprintf("many/file %d", i), strings.Repeat("text ", i%3000))
	}
	return m.Add(tree.Entry{Path: "attr", Kind: tree.File, Xattrs: []tree.Xattr{{Name: "user.x", Value: strings.Repeat("v", 5000)}}})
}

// A sink checks what WriteTo promises of its writes, and keeps their blocks.
type sink struct {
	t       *testing.T
	mu      sync.Mutex
	blocks  map[int64][4096]byte
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
	for i := int64(0); i < n; i += 4096 {
		block := [4096]byte(b[i:])
		if block == [4096]byte{} {
			s.t.Errorf("block at %d is zero", off+i)
		}
		if _, ok := s.blocks[off+i]; ok {
			s.t.Errorf("block at %d is written twice", off+i)
		}
		s.blocks[off+i] = block
	}
	return len(b), nil
}

// holds says whether a file holds what was written, and nothing else.
func (s *sink) holds(t *testing.T, img string) {
	t.Helper()
	f, err := os.Open(img)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 4096)
	for off := int64(0); ; off += 4096 {
		if _, err := f.ReadAt(buf, off); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if want := s.blocks[off]; !bytes.Equal(want[:], buf) {
			t.Fatalf("block at %d differs", off)
		}
	}
}

func newSink(t *testing.T, f *btrfs.FS, p treetest.Packs) *sink {
	t.Helper()
	s := &sink{t: t, blocks: map[int64][4096]byte{}, extents: f.Extents()}
	r := tree.NewReader(p)
	if err := errors.Join(f.WriteTo(t.Context(), s, r), r.Close()); err != nil {
		t.Fatal(err)
	}
	return s
}

// The bytes depend on neither cores, nor the way of writing, nor where contents
// lie, nor whose they are.
func TestDeterministic(t *testing.T) {
	tr, p := mixed(treetest.New(t)).Done()
	img, f := write(t, tr, p, options())
	s := newSink(t, f, p)
	s.holds(t, img)
	r := tree.NewReader(p)
	defer r.Close()

	t.Run("one core", func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		name, _ := write(t, tr, p, options())
		s.holds(t, name)
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
		name, _ := write(t, tr, p, options())
		s.holds(t, name)
	})
	for _, step := range []int{1 << 20, 3 << 16, 100_000} {
		t.Run(fmt.Sprintf("read by %d", step), func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "img")
			out, err := os.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			// Without ReaderAt's shortcuts, and to the end.
			n, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{io.NewSectionReader(f.ReaderAt(r), 0, 1<<62)}, make([]byte, step))
			if err := errors.Join(err, out.Close()); err != nil || n != f.Size() {
				t.Fatalf("%d bytes, %v", n, err)
			}
			s.holds(t, name)
		})
	}
}

// The kernel fills the filesystem, changes and removes what it holds.
func TestReadWrite(t *testing.T) {
	tr, p := mixed(treetest.New(t)).Done()
	o := options()
	o.Free = 1200 << 20
	img, f := write(t, tr, p, o)
	ok := mount(t, img, "", func(dir, _ string) {
		chunk := make([]byte, 1<<20)
		for i := 0; i < 3000; i++ {
			if err := os.WriteFile(fmt.Sprintf("%s/many/more%d", dir, i), bytes.Repeat([]byte("more"), i*50), 0o600); err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				if err := errors.Join(os.Remove(fmt.Sprintf("%s/many/file %d", dir, i)), os.Rename(dir+"/bin", dir+"/other"), os.Rename(dir+"/other", dir+"/bin")); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.RemoveAll(dir + "/big"); err != nil {
			t.Fatal(err)
		}
		for i := range int64(f.Size() >> 20) { // until it is full
			if os.WriteFile(fmt.Sprintf("%s/fill%d", dir, i), chunk, 0o600) != nil {
				break
			}
		}
		if err := os.Remove(dir + "/fill7"); err != nil {
			t.Fatal(err)
		}
	})
	if !ok {
		t.Skip("root runs this, on a kernel that mounts this file system from a loop device")
	}
	check(t, img)
}

// GRUB reads directories of every form, files, and symlinks.
func TestGrub(t *testing.T) {
	m := mixed(treetest.New(t).Dir("x").Text("x/target", "reached"))
	for _, n := range []int{120, 400} {
		m.Add(tree.Entry{Path: fmt.Sprintf("x/link%d", n), Kind: tree.Symlink, Mode: 0o777, Link: strings.Repeat("./", n) + "target"})
	}
	for _, n := range []int{5, 50, 200} {
		m.Dir(fmt.Sprintf("d%d", n))
		for i := range n {
			m.Text(fmt.Sprintf("d%d/file %d", n, i), fmt.Sprint(i))
		}
	}
	tr, p := m.Done()
	tool := filepath.Join(t.TempDir(), "tool")
	b := make([]byte, 5<<20+123)
	if _, err := io.ReadFull(treetest.Noise(int64(len(b))), b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tool, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, top := range []string{"", "@"} {
		o := options()
		if top != "" {
			o.Subvolumes = []string{"d50", "x"}
		}
		img, _ := write(t, tr, p, o)
		judge.Run(t, "grub-fstest", img, "cmp", "(loop0)/bin/tool", tool)
		for _, n := range []int{120, 400} {
			if got := judge.Run(t, "grub-fstest", img, "cat", fmt.Sprintf("(loop0)/x/link%d", n)); got != "reached" {
				t.Errorf("GRUB reads %q through a symlink", got)
			}
		}
		for dir, n := range map[string]int{"many": 3000, "d5": 5, "d50": 50, "d200": 200} {
			if got := judge.Run(t, "grub-fstest", img, "ls", "(loop0)/"+dir+"/"); strings.Count(got, "file") != n {
				t.Errorf("GRUB lists %d of %d files", strings.Count(got, "file"), n)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	tr, p := mixed(treetest.New(t)).Done()
	f, err := btrfs.Plan(tr, options())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &sink{t: t, blocks: map[int64][4096]byte{}, extents: f.Extents()}
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
	f, err := btrfs.Plan(tr, options())
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{t: t, blocks: map[int64][4096]byte{}, extents: f.Extents()}
	err = f.WriteTo(t.Context(), s, tree.NewReader(p))
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "pack p") {
		t.Errorf("got %v", err)
	}
}

// Whatever the tree, btrfs check finds nothing and all of it is there.
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
		used := map[string]bool{"": true}
		for range rapid.IntRange(0, 150).Draw(rt, "entries") {
			dir := rapid.SampledFrom(dirs).Draw(rt, "dir")
			e := tree.Entry{
				Path:  strings.TrimPrefix(dir+"/"+name.Draw(rt, "name"), "/"),
				Mode:  rapid.Uint32Range(0, 0o7777).Draw(rt, "mode"),
				UID:   rapid.Uint32Range(0, 1<<32-2).Draw(rt, "uid"),
				GID:   rapid.Uint32Range(0, 1<<32-2).Draw(rt, "gid"),
				Mtime: tree.Time{Sec: rapid.Int64Range(-1<<31, 16299260424).Draw(rt, "sec"), Nsec: rapid.Int32Range(0, 999_999_999).Draw(rt, "nsec")},
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
			for i := range rapid.IntRange(0, 4).Draw(rt, "attributes") {
				most := rapid.SampledFrom([]int{20, 100, 300, 5000, 12000}).Draw(rt, "most")
				e.Xattrs = append(e.Xattrs, tree.Xattr{
					Name:  fmt.Sprintf("trusted.%c%s", 'a'+i, rapid.StringMatching(`[a-z]{0,30}`).Draw(rt, "attribute")),
					Value: strings.Repeat(string(rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(rt, "value")), most/20),
				})
			}
			switch e.Kind {
			case tree.Dir:
				dirs = append(dirs, e.Path)
				for i := range rapid.SampledFrom([]int{0, 0, 0, 30, 200, 600}).Draw(rt, "fillers") {
					m.Add(tree.Entry{Path: fmt.Sprintf("%s/filler %d", e.Path, i), Kind: tree.Fifo})
				}
			case tree.File:
				files = append(files, e.Path)
				m.File(e, treetest.Noise(rapid.Int64Range(0, 30_000).Draw(rt, "size")))
				continue
			case tree.Symlink:
				e.Link = strings.Repeat(rapid.StringMatching(`[a-z/]{1,90}`).Draw(rt, "target"), rapid.IntRange(1, 11).Draw(rt, "times"))
			case tree.Char, tree.Block:
				e.Major, e.Minor = rapid.Uint32Range(0, 511).Draw(rt, "major"), rapid.Uint32Range(0, 1<<18-1).Draw(rt, "minor")
			case tree.Hardlink, tree.Fifo:
			}
			m.Add(e)
		}
		tr, p := m.Done()
		o := options()
		o.Free = rapid.Int64Range(0, 1<<30).Draw(rt, "free")
		img, _ := write(t, tr, p, o)
		check(t, img)
		want := expect(tr)
		mount(t, img, "ro", func(dir, _ string) { treetest.Mounted(t, dir).Same(t, want) })
		if err := os.Remove(img); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// No attribute makes Plan panic, and what it takes can be written.
func FuzzAttributes(f *testing.F) {
	f.Add("user.x", "value")
	f.Add("system.posix_acl_access", treetest.ACL(1, 7, 0xffffffff, 2, 5, 1000, 4, 5, 0xffffffff, 0x10, 7, 0xffffffff, 0x20, 0, 0xffffffff))
	f.Add("system.posix_acl_default", treetest.ACL(1, 7, 0))
	f.Add("security.capability", "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	f.Add("trusted."+strings.Repeat("t", 255), strings.Repeat("v", 70_000))
	f.Fuzz(func(t *testing.T, name, value string) {
		tr, err := tree.New([]tree.Entry{{Kind: tree.Dir, Xattrs: []tree.Xattr{{Name: name, Value: value}}}})
		if err != nil {
			t.Fatal(err)
		}
		if fs, err := btrfs.Plan(tr, options()); err == nil {
			newSink(t, fs, treetest.Packs{})
		}
	})
}
