package squashfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/judge"
	"ingot/internal/tree"
)

// A plot is a tree being made, with a pack.
type plot struct {
	t       *testing.T
	pack    *os.File
	at      int64
	entries []tree.Entry
}

func newPlot(t *testing.T) *plot {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "pack"))
	if err != nil {
		t.Fatal(err)
	}
	p := &plot{t: t, pack: f, at: 100}
	p.add(tree.Entry{Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: 1_600_000_000}})
	return p
}

func (p *plot) add(e tree.Entry) { p.entries = append(p.entries, e) }

// file adds a file; holes of its content are not written where that is nil.
func (p *plot) file(e tree.Entry, size int64, content []byte) {
	p.t.Helper()
	e.Kind = tree.File
	if content != nil {
		size = int64(len(content))
		if _, err := p.pack.WriteAt(content, p.at); err != nil {
			p.t.Fatal(err)
		}
	} else if err := p.pack.Truncate(p.at + size); err != nil {
		p.t.Fatal(err)
	}
	e.Content = tree.Content{Size: size, Pack: "p", Offset: p.at}
	sum, _, err := digest.Reader(io.NewSectionReader(p.pack, p.at, size))
	if err != nil {
		p.t.Fatal(err)
	}
	e.Content.Digest = sum
	p.at += size
	p.add(e)
}

func (p *plot) tree() tree.Tree {
	p.t.Helper()
	t, err := tree.New(p.entries)
	if err != nil {
		p.t.Fatal(err)
	}
	return t
}

type source string

func (s source) Open(string) (*os.File, error) { return os.Open(string(s)) }

// write gives the path of the file system.
func (p *plot) write(o Options) (string, Result) {
	p.t.Helper()
	r := tree.NewReader(source(p.pack.Name()))
	defer r.Close()
	f, err := os.Create(filepath.Join(p.t.TempDir(), "image.squashfs"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	result, err := Write(p.t.Context(), f, p.tree(), r, o)
	if err != nil {
		p.t.Fatal(err)
	}
	return f.Name(), result
}

func noise(seed uint64, n int) []byte {
	rnd := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// whole has something of everything.
func whole(t *testing.T) *plot {
	p := newPlot(t)
	at := tree.Time{Sec: 1_650_000_000, Nsec: 5}
	text := bytes.Repeat([]byte("squash me, please. "), 40_000) // five blocks and an end
	for _, d := range []string{"bin", "dev", "empty", "many", "deep", "deep/a", "deep/a/b"} {
		p.add(tree.Entry{Path: d, Kind: tree.Dir, Mode: 0o755, Mtime: at})
	}
	p.add(tree.Entry{Path: "tmp", Kind: tree.Dir, Mode: 0o1777, UID: 7, GID: 70_000, Mtime: at, Xattrs: []tree.Xattr{{Name: "user.dir", Value: "1"}}})
	p.file(tree.Entry{Path: "bin/text", Mode: 0o4755, UID: 1000, GID: 100, Mtime: at}, 0, text)
	p.file(tree.Entry{Path: "bin/same", Mode: 0o600, Mtime: at}, 0, text)
	p.file(tree.Entry{Path: "bin/noise", Mode: 0o644, Mtime: tree.Time{Sec: 5_000_000_000}}, 0, noise(1, 3*blockSize))
	p.file(tree.Entry{Path: "bin/block", Mode: 0o644, Mtime: tree.Time{Sec: -5}}, 0, noise(2, blockSize))
	p.file(tree.Entry{Path: "bin/zeros", Mode: 0o644, Mtime: at}, 0, make([]byte, 2*blockSize+1))
	p.file(tree.Entry{Path: "bin/hole", Mode: 0o644, Mtime: at}, 3*blockSize, nil)
	p.file(tree.Entry{Path: "bin/none", Mode: 0, Mtime: at}, 0, []byte{})
	mixed := append(make([]byte, blockSize), noise(3, blockSize)...)
	p.file(tree.Entry{Path: "bin/mixed", Mode: 0o644, Mtime: at}, 0, append(mixed, make([]byte, 3*blockSize+17)...))
	p.file(tree.Entry{Path: "bin/ping", Mode: 0o755, Mtime: at, Xattrs: []tree.Xattr{{Name: "security.capability", Value: "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}, {Name: "system.posix_acl_access", Value: "x"}, {Name: "user.a", Value: strings.Repeat("v", 3000)}}}, 0, []byte("ping"))
	p.file(tree.Entry{Path: "bin/same-attr", Mode: 0o755, Mtime: at, Xattrs: []tree.Xattr{{Name: "user.dir", Value: "1"}}}, 0, []byte("pong"))
	p.add(tree.Entry{Path: "deep/a/b/link", Kind: tree.Hardlink, Link: "bin/text"})
	p.add(tree.Entry{Path: "zlink", Kind: tree.Hardlink, Link: "bin/text"})
	p.add(tree.Entry{Path: "lib", Kind: tree.Symlink, Mode: 0o777, Link: strings.Repeat("usr/lib/", 60), Mtime: at})
	p.add(tree.Entry{Path: "dev/null", Kind: tree.Char, Mode: 0o666, Major: 1, Minor: 3, Mtime: at})
	p.add(tree.Entry{Path: "dev/far", Kind: tree.Block, Mode: 0o660, Major: 259, Minor: 70_000, GID: 6, Mtime: at, Xattrs: []tree.Xattr{{Name: "trusted.t", Value: "\x00\xff"}}})
	p.add(tree.Entry{Path: "dev/fifo", Kind: tree.Fifo, Mode: 0o600, Mtime: at})
	// More names than the list of a basic directory has room for, in all forms.
	for i := range 1500 {
		name := fmt.Sprintf("many/%04d-%s", i, strings.Repeat("n", i%200))
		switch i % 10 {
		case 3:
			p.add(tree.Entry{Path: name, Kind: tree.Dir, Mode: 0o700, Mtime: at})
		case 4:
			p.add(tree.Entry{Path: name, Kind: tree.Hardlink, Link: "bin/ping"})
		default:
			p.file(tree.Entry{Path: name, Mode: 0o644, Mtime: at, UID: uint32(i)}, 0, noise(uint64(i), i*7))
		}
	}
	return p
}

// text is a tree, or a directory, as lines by path.
func text(t *testing.T, tr tree.Tree, r io.ReaderAt) []string {
	t.Helper()
	var out []string
	for e := range tr.All() {
		name := e.Path
		if e.Kind == tree.Hardlink {
			e, _ = tr.Lookup(e.Link)
		}
		what := fmt.Sprintf("/%s %s %04o %d:%d %d", name, e.Kind, e.Mode, e.UID, e.GID, seconds(e.Mtime.Sec))
		switch e.Kind {
		case tree.File:
			sum, _, err := digest.Reader(io.NewSectionReader(r, e.Content.Offset, e.Content.Size))
			if err != nil {
				t.Fatal(err)
			}
			what += fmt.Sprintf(" %d %s", e.Content.Size, sum.Short())
		case tree.Symlink:
			what += " " + e.Link
		case tree.Char, tree.Block:
			what += fmt.Sprintf(" %d,%d", e.Major, e.Minor)
		default:
		}
		for _, x := range e.Xattrs {
			if !strings.HasPrefix(x.Name, "system.") {
				what += fmt.Sprintf(" %s=%q", x.Name, x.Value)
			}
		}
		out = append(out, what)
	}
	slices.Sort(out)
	return out
}

func textOf(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		kinds := map[uint32]tree.Kind{syscall.S_IFDIR: tree.Dir, syscall.S_IFREG: tree.File, syscall.S_IFLNK: tree.Symlink, syscall.S_IFCHR: tree.Char, syscall.S_IFBLK: tree.Block, syscall.S_IFIFO: tree.Fifo}
		kind := kinds[st.Mode&syscall.S_IFMT]
		what := fmt.Sprintf("/%s %s %04o %d:%d %d", strings.TrimPrefix(name, "."), kind, st.Mode&0o7777, st.Uid, st.Gid, uint32(st.Mtim.Sec))
		switch kind {
		case tree.File:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(" %d %s", len(data), digest.Of(data).Short())
		case tree.Symlink:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " " + link
		case tree.Char, tree.Block:
			what += fmt.Sprintf(" %d,%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		default:
		}
		list := make([]byte, 4096)
		n, err := unix.Llistxattr(path, list)
		if err != nil {
			return err
		}
		names := strings.FieldsFunc(string(list[:n]), func(r rune) bool { return r == 0 })
		slices.Sort(names)
		for _, x := range names {
			value := make([]byte, 1<<16)
			n, err := unix.Lgetxattr(path, x, value)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(" %s=%q", x, value[:n])
		}
		out = append(out, what)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// TestUnsquashed has squashfs-tools unpack all of it.
func TestUnsquashed(t *testing.T) {
	judge.Path(t, "unsquashfs")
	for _, c := range []struct {
		summary string
		make    func(t *testing.T) *plot
	}{
		{"of everything", whole},
		{"nothing", newPlot},
		{"one file", func(t *testing.T) *plot {
			p := newPlot(t)
			p.file(tree.Entry{Path: "a", Mode: 0o644}, 0, []byte("a"))
			return p
		}},
	} {
		for _, compress := range []string{"zstd", "gzip"} {
			t.Run(c.summary+", "+compress, func(t *testing.T) {
				p := c.make(t)
				image, result := p.write(Options{Compress: compress, Epoch: 1_750_000_000})
				if info, err := os.Stat(image); err != nil || info.Size() != result.Size {
					t.Errorf("size is %v, %v, want %d", info, err, result.Size)
				}
				stat := judge.Run(t, "unsquashfs", "-s", image)
				for _, want := range []string{"Sun Jun 15 15:06:40 2025", "Compression " + compress} {
					if !strings.Contains(stat, want) {
						t.Errorf("unsquashfs -s does not say %q:\n%s", want, stat)
					}
				}
				list := judge.Run(t, "unsquashfs", "-lln", image)
				if n := strings.Count(list, "squashfs-root"); n < p.tree().Len() {
					t.Errorf("unsquashfs lists %d of %d files", n, p.tree().Len())
				}
				if os.Geteuid() != 0 {
					return // others get no owners and no devices
				}
				to := filepath.Join(t.TempDir(), "root")
				judge.Run(t, "unsquashfs", "-no-progress", "-d", to, image)
				if d := cmp.Diff(text(t, p.tree(), p.pack), textOf(t, to)); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		}
	}
}

// TestMounted has the kernel read it, in namespaces of its own, where it may.
func TestMounted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root runs this: it mounts")
	}
	judge.Needs(t, judge.Full)
	p := whole(t)
	for _, compress := range []string{"zstd", "gzip"} {
		image, _ := p.write(Options{Compress: compress})
		at := t.TempDir()
		if out, err := exec.Command("mount", "-t", "squashfs", "-o", "ro,loop", image, at).CombinedOutput(); err != nil {
			t.Skipf("loop devices and a kernel with %s run this: %v %s", compress, err, out)
		}
		got := textOf(t, at)
		judge.Run(t, "umount", at)
		if d := cmp.Diff(text(t, p.tree(), p.pack), got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

// TestSameBytes writes with different numbers of workers.
// A name of a large directory is found by the index of its list: in one whose list begins
// with a block that is damaged, a name behind it still is.
func TestIndex(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root runs this: it mounts")
	}
	judge.Needs(t, judge.CI)
	p := newPlot(t)
	p.add(tree.Entry{Path: "many", Kind: tree.Dir, Mode: 0o755})
	var names []string
	for i := range 3000 {
		name := fmt.Sprintf("%04d-%s", i, strings.Repeat("x", i%200))
		p.file(tree.Entry{Path: "many/" + name, Mode: 0o644}, 0, []byte(name))
		names = append(names, name)
	}
	image, _ := p.write(Options{Compress: "zstd"})
	mounted := func(use func(dir string)) {
		at := t.TempDir()
		if out, err := exec.Command("mount", "-t", "squashfs", "-o", "ro,loop", image, at).CombinedOutput(); err != nil {
			t.Skipf("loop devices and a kernel with zstd run this: %v %s", err, out)
		}
		defer judge.Run(t, "umount", at)
		use(filepath.Join(at, "many"))
	}
	mounted(func(dir string) {
		list, err := os.ReadDir(dir)
		if err != nil || len(list) != len(names) {
			t.Errorf("%d names are listed: %v", len(list), err)
		}
		for _, n := range names {
			if got, err := os.ReadFile(filepath.Join(dir, n)); err != nil || string(got) != n {
				t.Fatalf("%s: %q, %v", n, got, err)
			}
		}
		if _, err := os.Lstat(filepath.Join(dir, "0001-y")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a name that is not there: %v", err)
		}
	})
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var at [8]byte
	if _, err := f.ReadAt(at[:], 72); err != nil { // where directories' lists begin
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 100), int64(binary.LittleEndian.Uint64(at[:]))+2); err != nil {
		t.Fatal(err)
	}
	mounted(func(dir string) {
		if _, err := os.Lstat(filepath.Join(dir, names[0])); err == nil {
			t.Error("what is damaged is not the list's beginning")
		}
		if _, err := os.Lstat(filepath.Join(dir, names[2999])); err != nil {
			t.Errorf("without the beginning: %v", err)
		}
	})
}

func TestSameBytes(t *testing.T) {
	p := whole(t)
	var first []byte
	for _, workers := range []int{1, 2, 7} {
		image, result := p.write(Options{Compress: "zstd", Workers: workers})
		data, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = data
		}
		if !bytes.Equal(first, data) {
			t.Errorf("%d workers make other bytes", workers)
		}
		if result.Dropped != 1 {
			t.Errorf("%d attributes dropped, want 1", result.Dropped)
		}
		if result.Size > 8<<20 {
			t.Errorf("%d bytes: holes or duplicates are in it", result.Size)
		}
	}
}

// TestFailures ends as soon as something does.
func TestFailures(t *testing.T) {
	p := whole(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := tree.NewReader(source(filepath.Join(t.TempDir(), "no pack")))
	if _, err := Write(t.Context(), f, p.tree(), r, Options{Compress: "zstd"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing pack gives %v", err)
	}
	if _, err := Write(t.Context(), f, p.tree(), r, Options{Compress: "best"}); err == nil {
		t.Error("an unknown compression is taken")
	}
	if _, err := Write(t.Context(), f, tree.Tree{}, r, Options{Compress: "zstd"}); err == nil {
		t.Error("a tree without a root is taken")
	}
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("a system with /dev/full runs this: %v", err)
	}
	defer full.Close()
	r = tree.NewReader(source(p.pack.Name()))
	defer r.Close()
	if _, err := Write(t.Context(), full, p.tree(), r, Options{Compress: "zstd"}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk gives %v", err)
	}
}

// In the middle of a file the bytes are the same, and never more than was said.
func TestPart(t *testing.T) {
	p := whole(t)
	alone, result := p.write(Options{Compress: "gzip", Epoch: 1_700_000_000})
	want, err := os.ReadFile(alone)
	if err != nil {
		t.Fatal(err)
	}
	const at = 3*4096 + 512
	r := tree.NewReader(source(p.pack.Name()))
	defer r.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "larger"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("before"), at-6); err != nil {
		t.Fatal(err)
	}
	part, err := Write(t.Context(), f, p.tree(), r, Options{Compress: "gzip", Epoch: 1_700_000_000, At: at})
	if err != nil || part != result {
		t.Fatalf("%+v, %v; want %+v", part, err, result)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(got[at:], want) || string(got[at-6:at]) != "before" {
		t.Errorf("a part of a file holds %d other bytes than a file of %d, %v", len(got)-at, len(want), err)
	}
	if _, err := Write(t.Context(), f, p.tree(), r, Options{Compress: "gzip", At: -1}); err == nil {
		t.Error("a place before the file is taken")
	}
}

func TestMost(t *testing.T) {
	empty := newPlot(t)
	incompressible := newPlot(t)
	for i := range 3000 {
		name := fmt.Sprintf("%05d-%s", i, strings.Repeat("x", i%200))
		incompressible.file(tree.Entry{Path: name, Mode: 0o644, UID: uint32(i), Mtime: tree.Time{Sec: int64(i)}, Xattrs: []tree.Xattr{{Name: "user.a", Value: string(noise(uint64(i), 100))}}}, 0, noise(uint64(i), i%700))
	}
	for summary, p := range map[string]*plot{"empty": empty, "whole": whole(t), "incompressible": incompressible} {
		_, result := p.write(Options{Compress: "zstd"})
		if most := Most(p.tree()); result.Size > most {
			t.Errorf("%s: a file system of %d bytes was said to have %d at most", summary, result.Size, most)
		}
	}
}
