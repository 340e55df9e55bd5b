package tree

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"ingot/internal/digest"
	"ingot/internal/judge"
)

// packFile is a source of one pack, a real file, that a test fills.
type packFile struct {
	path string
	size int64
}

func newPack(t testing.TB) *packFile { return &packFile{path: filepath.Join(t.TempDir(), "pack")} }

func (p *packFile) Open(string) (*os.File, error) { return os.Open(p.path) }

func (p *packFile) add(t testing.TB, b []byte) Content {
	t.Helper()
	f, err := os.OpenFile(p.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	c := Content{Digest: digest.Of(b), Size: int64(len(b)), Pack: "p", Offset: p.size}
	p.size += c.Size
	return c
}

// capNetRaw is cap_net_raw+ep as vfs_cap_data, version 2.
const capNetRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// everything is a tree with one of each difficulty.
func everything(t testing.TB, p *packFile) Tree {
	t.Helper()
	at := func(sec int64) Time { return Time{Sec: sec} }
	empty := Content{Digest: digest.Of(nil)}
	long := strings.Repeat("component/", 30)
	var dirs []Entry
	for i, c := range long {
		if c == '/' {
			dirs = append(dirs, Entry{Path: long[:i], Kind: Dir, Mode: 0o755, Mtime: at(1000)})
		}
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), tarSmall/8)
	file := Entry{Kind: File, Mode: 0o644, Mtime: at(1e9), Content: p.add(t, []byte("hello\n"))}
	with := func(f func(e *Entry)) Entry { e := file; f(&e); return e }
	tr, err := New(append(dirs,
		Entry{Kind: Dir, Mode: 0o755, Mtime: at(1700000000)},
		Entry{Path: "bin", Kind: Symlink, Mode: 0o777, Link: "usr/bin", Mtime: at(1700000001)},
		Entry{Path: "usr", Kind: Dir, Mode: 0o755, Mtime: at(1), Owner: "deb:base-files"},
		Entry{Path: "usr/bin", Kind: Dir, Mode: 0o755, Mtime: at(2), Owner: "deb:base-files"},
		with(func(e *Entry) { e.Path, e.Owner, e.Mode = "usr/bin/su", "deb:util-linux", 0o4755 }),
		with(func(e *Entry) {
			e.Path, e.Owner = "usr/bin/ping", "deb:iputils-ping"
			e.Xattrs = []Xattr{{"security.capability", capNetRaw}, {"user.note", "a=b\nc"}}
		}),
		with(func(e *Entry) { e.Path, e.Owner, e.Content = "usr/bin/big", "deb:big", p.add(t, big) }),
		with(func(e *Entry) { e.Path, e.Content = "usr/bin/empty", empty }),
		// A walk has perl/x before perl-5, bytes have it after.
		Entry{Path: "usr/perl", Kind: Dir, Mode: 0o755, Mtime: at(3)},
		with(func(e *Entry) { e.Path, e.Owner = "usr/perl-5", "deb:perl-base" }),
		Entry{Path: "usr/perl/x", Kind: Hardlink, Link: "usr/perl-5", Owner: "deb:perl", Mode: file.Mode, Mtime: file.Mtime},
		Entry{Path: "usr/z", Kind: Hardlink, Link: "usr/perl-5", Owner: "deb:perl", Mode: file.Mode, Mtime: file.Mtime},
		with(func(e *Entry) { e.Path, e.UID, e.GID = "usr/big-owner", 1<<21, 4294967294 }),
		with(func(e *Entry) { e.Path, e.Mtime = "usr/old", at(-86400*365*5) }),
		with(func(e *Entry) { e.Path, e.Mtime = "usr/far", at(1<<33+5) }),
		with(func(e *Entry) { e.Path = "usr/" + strings.Repeat("n", 255) }),
		with(func(e *Entry) { e.Path = "usr/caf\xc3\xa9 \xff\n" }),
		with(func(e *Entry) { e.Path = long + "file" }),
		Entry{Path: "usr/long-link", Kind: Symlink, Mode: 0o777, Link: "/" + long, Mtime: at(5)},
		with(func(e *Entry) { e.Path = long + "alink" }),
		Entry{Path: long + "blink", Kind: Hardlink, Link: long + "alink", Mode: file.Mode, Mtime: file.Mtime},
		Entry{Path: "dev", Kind: Dir, Mode: 0o755, Mtime: at(6)},
		Entry{Path: "dev/null", Kind: Char, Mode: 0o666, Major: 1, Minor: 3, Mtime: at(7)},
		Entry{Path: "dev/sda", Kind: Block, Mode: 0o660, GID: 6, Major: 8, Minor: 1 << 19, Mtime: at(7)},
		Entry{Path: "dev/initctl", Kind: Fifo, Mode: 0o600, Mtime: at(7)},
		Entry{Path: "tmp", Kind: Dir, Mode: 0o1777, Mtime: at(8)},
		Entry{Path: "private", Kind: Dir, Mode: 0o2700, UID: 33, GID: 33, Mtime: at(9), Xattrs: []Xattr{
			{"system.posix_acl_default", "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x04\x00\x05\x00\xff\xff\xff\xff\x20\x00\x05\x00\xff\xff\xff\xff"}}},
		with(func(e *Entry) { e.Path, e.Mode = "private/x", 0o600 }),
	))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func writeTar(t testing.TB, tr Tree, p *packFile, o TarOptions) []byte {
	t.Helper()
	r := NewReader(p)
	defer func() { _ = r.Close() }()
	var b bytes.Buffer
	if err := WriteTar(t.Context(), &b, tr, r, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readBack is the tree that an archive holds, with the contents in memory.
func readBack(t testing.TB, b []byte) Tree {
	t.Helper()
	entries, err := ReadTar(bytes.NewReader(b), Limits{Devices: true}, packSink(map[string][]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := New(entries)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestWriteTar(t *testing.T) {
	p := newPack(t)
	tr := everything(t, p)
	for _, order := range []Order{ByPath, ByOwner} {
		b := writeTar(t, tr, p, TarOptions{Order: order})
		back := readBack(t, b)
		d := Diff(tr, back)
		for _, e := range d.Set {
			want, _ := tr.Lookup(e.Path)
			if want.Mtime = At(want.Mtime.Sec, want.Mtime.Nsec); want.Same(e) {
				continue // a time that only the writer takes
			}
			t.Errorf("order %d: %q came back as\n%+v, want\n%+v", order, e.Path, e, want)
		}
		for _, path := range d.Remove {
			t.Errorf("order %d: %q is lost", order, path)
		}
		// The standard library reads every name and byte too.
		r := tar.NewReader(bytes.NewReader(b))
		n := 0
		for {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
			if h.Uname != "" || h.Gname != "" || !strings.HasPrefix(h.Name, "./") || h.Typeflag == tar.TypeDir && !strings.HasSuffix(h.Name, "/") {
				t.Errorf("entry %q of %q:%q", h.Name, h.Uname, h.Gname)
			}
		}
		if n != tr.Len() {
			t.Errorf("order %d: %d entries of %d", order, n, tr.Len())
		}
		// A file, a pipe and a buffer get the same bytes.
		name := filepath.Join(t.TempDir(), "x.tar")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		rd := NewReader(p)
		if err := errors.Join(WriteTar(t.Context(), f, tr, rd, TarOptions{Order: order}), f.Close(), rd.Close()); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, b) {
			t.Errorf("order %d: the file differs from the buffer: %v", order, err)
		}
		// The members are the archive.
		var parts bytes.Buffer
		rd = NewReader(p)
		for _, m := range Members(tr, TarOptions{Order: order}) {
			before := parts.Len()
			if err := m.Write(t.Context(), &parts, rd); err != nil {
				t.Fatal(err)
			}
			if size, err := m.Size(); err != nil || size != int64(parts.Len()-before) {
				t.Errorf("member %s has %d bytes and says %d", m.Name, parts.Len()-before, size)
			}
		}
		_ = rd.Close()
		parts.WriteString(TarEnd)
		if !bytes.Equal(parts.Bytes(), b) {
			t.Errorf("order %d: the members together are not the archive", order)
		}
	}
}

// TestTarOrder holds both orders for one small tree, as text.
func TestTarOrder(t *testing.T) {
	p := newPack(t)
	tr := everything(t, p)
	list := func(o Order) string {
		var b strings.Builder
		for _, m := range Members(tr, TarOptions{Order: o}) {
			b.WriteString("-- " + m.Name + "\n")
			for _, e := range m.Entries() {
				path := strings.ReplaceAll(e.Path, "component/", "c")
				if strings.HasPrefix(path, "usr/n") || strings.HasPrefix(path, "cc") || strings.HasPrefix(path, "component") {
					continue
				}
				fmt.Fprintf(&b, "%s %q", e.Kind, path)
				if e.Kind == Hardlink {
					fmt.Fprintf(&b, " -> %q", e.Link)
				}
				b.WriteByte('\n')
			}
		}
		return b.String()
	}
	wantPath := `-- /
dir ""
symlink "bin"
dir "dev"
fifo "dev/initctl"
char "dev/null"
block "dev/sda"
dir "private"
file "private/x"
dir "tmp"
dir "usr"
file "usr/big-owner"
dir "usr/bin"
file "usr/bin/big"
file "usr/bin/empty"
file "usr/bin/ping"
file "usr/bin/su"
file "usr/caf\xe9 \xff\n"
file "usr/far"
symlink "usr/long-link"
file "usr/old"
dir "usr/perl"
file "usr/perl/x"
hardlink "usr/perl-5" -> "usr/perl/x"
hardlink "usr/z" -> "usr/perl/x"
`
	wantPath = strings.Replace(wantPath, `caf\xe9 \xff`, `café \xff`, 1)
	if d := cmp.Diff(wantPath, list(ByPath)); d != "" {
		t.Error(d)
	}
	owner := list(ByOwner)
	if !strings.HasPrefix(owner, "-- directories\ndir \"\"\ndir \"dev\"\ndir \"private\"\ndir \"tmp\"\ndir \"usr\"\ndir \"usr/bin\"\ndir \"usr/perl\"\n-- small ") {
		t.Errorf("by owner:\n%s", owner)
	}
}

// TestMembersLocal: what one package changes leaves the other members alone.
func TestMembersLocal(t *testing.T) {
	var entries []Entry
	entries = append(entries, Entry{Kind: Dir, Mode: 0o755})
	for pkg := range 40 {
		d := fmt.Sprintf("p%02d", pkg)
		entries = append(entries, Entry{Path: d, Kind: Dir, Mode: 0o755})
		for f := range 30 {
			size := 100 << (pkg % 4 * 4) // from 100 bytes to 400 KiB
			e := Entry{Path: fmt.Sprintf("%s/f%02d", d, f), Kind: File, Mode: 0o644, Owner: "deb:" + d}
			e.Content = Content{Digest: digest.Of(fmt.Append(nil, pkg, f)), Size: int64(size), Pack: "none"}
			entries = append(entries, e)
		}
	}
	for _, c := range []struct {
		order       Order
		least, most int // members of the tree
		changed     int // by one package
	}{{ByOwner, 20, 40, 2}, {ByPath, 20, 200, 5}} {
		for _, change := range []int{4, 5, 6, 7} { // a package of each size
			keys := func(without bool) map[digest.Digest]bool {
				var kept []Entry
				for _, e := range entries {
					if without && e.Path == fmt.Sprintf("p%02d/f03", change) {
						continue
					}
					kept = append(kept, e)
				}
				tr, err := New(kept)
				if err != nil {
					t.Fatal(err)
				}
				all := map[digest.Digest]bool{}
				for _, m := range Members(tr, TarOptions{Order: c.order}) {
					k, err := m.Key()
					if err != nil {
						t.Fatal(err)
					}
					all[k] = true
				}
				return all
			}
			before, after := keys(false), keys(true)
			if n := len(before); n < c.least || n > c.most {
				t.Errorf("order %d: %d members", c.order, n)
			}
			changed := 0
			for k := range after {
				if !before[k] {
					changed++
				}
			}
			if changed < 1 || changed > c.changed {
				t.Errorf("order %d: a change of package %d changed %d of %d members", c.order, change, changed, len(after))
			}
		}
	}
}

// TestTarByOthers lets other programs unpack, as root, what WriteTar wrote, and
// compares what then lies there with the tree.
func TestTarByOthers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root runs this, who may make devices and give files away")
	}
	p := newPack(t)
	tr := everything(t, p)
	tr = without(t, tr, "dev/sda") // containers may not make block devices
	if err := unix.Mknod(filepath.Join(t.TempDir(), "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		tr = without(t, tr, "dev/null")
	}
	for _, c := range []struct {
		name  string
		order Order
		unpack,
		compare []string
	}{
		{"GNU tar", ByPath, []string{"tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"}, []string{"tar", "--compare", "--xattrs", "--numeric-owner", "-f"}},
		{"GNU tar, by owner", ByOwner, []string{"tar", "--delay-directory-restore", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf"}, []string{"tar", "--compare", "--numeric-owner", "-f"}},
		{"bsdtar", ByPath, []string{"bsdtar", "--numeric-owner", "-xpf"}, nil},
		{"bsdtar, by owner", ByOwner, []string{"bsdtar", "--numeric-owner", "-xpf"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			judge.Path(t, c.unpack[0])
			dir := t.TempDir()
			name := filepath.Join(t.TempDir(), "x.tar")
			if err := os.WriteFile(name, writeTar(t, tr, p, TarOptions{Order: c.order}), 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, dir, c.unpack[0], append(c.unpack[1:], name)...)
			want := lines(tr)
			if c.unpack[0] == "bsdtar" {
				// It leaves the directory that it unpacks into as it is, and knows
				// ACLs in text form only.
				want = lines(without(t, without(t, tr, "private/x"), "private"))[1:]
				for _, path := range []string{"private/x", "private"} {
					if err := os.Remove(filepath.Join(dir, path)); err != nil {
						t.Error(err)
					}
				}
			}
			got := onDisk(t, dir)
			if d := cmp.Diff(want, got[len(got)-len(want):]); d != "" {
				t.Errorf("unpacked tree differs (-tree +disk):\n%s", d)
			}
			if c.compare != nil {
				if out := run(t, dir, c.compare[0], append(c.compare[1:], name)...); out != "" {
					t.Errorf("%q found: %s", c.compare, out)
				}
			}
		})
	}
}

func without(t *testing.T, tr Tree, path string) Tree {
	t.Helper()
	tr, err := tr.Apply(Delta{Remove: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// lines is a tree as text, with times, for comparison with a disk; hard links
// are known by the first path of their file.
func lines(tr Tree) []string {
	var out []string
	for e := range tr.All() {
		first := e.Path
		if e.Kind == Hardlink {
			file, _ := tr.Lookup(e.Link)
			first, file.Path = e.Link, e.Path
			e = file
		}
		out = append(out, line(e, first))
	}
	return out
}

func line(e Entry, first string) string {
	if e.Kind == Dir {
		first = "" // its links are no hard links
	}
	return fmt.Sprintf("%s %q %04o %d:%d %d %q dev %d:%d %d %s %q of %q", e.Kind, e.Path, e.Mode, e.UID, e.GID, e.Mtime.Sec, e.Link,
		e.Major, e.Minor, e.Content.Size, e.Content.Digest.Short(), e.Xattrs, first)
}

func onDisk(t *testing.T, root string) []string {
	t.Helper()
	var entries []Entry
	first := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if rel == "." {
			rel = ""
		}
		e := Entry{Path: rel, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, Mtime: Time{Sec: st.Mtim.Sec}, Xattrs: xattrsOf(t, path)}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			e.Kind = Dir
		case unix.S_IFLNK:
			e.Kind = Symlink
			e.Link, err = os.Readlink(path)
		case unix.S_IFIFO:
			e.Kind = Fifo
		case unix.S_IFCHR, unix.S_IFBLK:
			e.Kind, e.Major, e.Minor = Char, unix.Major(st.Rdev), unix.Minor(st.Rdev)
			if st.Mode&unix.S_IFMT == unix.S_IFBLK {
				e.Kind = Block
			}
		default:
			e.Kind = File
			var b []byte
			b, err = os.ReadFile(path)
			e.Content = Content{Digest: digest.Of(b), Size: int64(len(b))}
		}
		if f, ok := first[st.Ino]; !ok || rel < f {
			first[st.Ino] = rel
		}
		e.Owner = fmt.Sprint(st.Ino)
		entries = append(entries, e)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Path < entries[j].Path })
	var out []string
	for _, e := range entries {
		var ino uint64
		_, _ = fmt.Sscan(e.Owner, &ino)
		out = append(out, line(e, first[ino]))
	}
	return out
}

func xattrsOf(t *testing.T, path string) []Xattr {
	t.Helper()
	b := make([]byte, 4096)
	n, err := unix.Llistxattr(path, b)
	if err != nil && !errors.Is(err, syscall.ENOTSUP) {
		t.Fatal(err)
	}
	var out []Xattr
	for name := range strings.SplitSeq(strings.TrimRight(string(b[:max(n, 0)]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		v := make([]byte, 4096)
		n, err := unix.Lgetxattr(path, name, v)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Xattr{name, string(v[:n])})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// TestWriteTarKeepsHoles writes a long file of almost nothing: the archive has all
// its zeros, and no disk is used for them where the archive is a file.
func TestWriteTarKeepsHoles(t *testing.T) {
	const size = 64 << 20
	p := newPack(t)
	p.add(t, []byte("start"))
	if err := os.Truncate(p.path, size+4096); err != nil {
		t.Fatal(err)
	}
	tr, err := New([]Entry{
		{Kind: Dir, Mode: 0o755},
		{Path: "big", Kind: File, Mode: 0o644, Content: Content{Size: size, Pack: "p"}},
		{Path: "end", Kind: File, Mode: 0o644, Content: Content{Size: size - 5, Pack: "p", Offset: 5}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(p)
	defer r.Close()
	var want bytes.Buffer
	if err := WriteTar(t.Context(), &want, tr, r, TarOptions{}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := WriteTar(t.Context(), f, tr, r, TarOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("the file has %d other bytes than the %d written to memory (%v)", len(got), want.Len(), err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(f.Name(), &st); err != nil || st.Blocks*512 > 1<<20 {
		t.Errorf("it uses %d bytes of disk (%v)", st.Blocks*512, err)
	}
}

func TestPaxTime(t *testing.T) {
	for _, c := range []struct {
		t    Time
		nano bool
		want string
	}{
		{Time{Sec: 5, Nsec: 5}, false, ""},
		{Time{Sec: 5, Nsec: 250000000}, true, "5.25"},
		{Time{Sec: -1, Nsec: 250000000}, true, "-0.75"},
		{Time{Sec: -1, Nsec: 250000000}, false, "-1"},
		{Time{Sec: -5}, true, "-5"},
		{Time{Sec: 1 << 33}, true, "8589934592"},
		{Time{Sec: 1<<33 - 1}, true, ""},
		{Time{Sec: 1, Nsec: 1}, true, "1.000000001"},
	} {
		if got := paxTime(c.t, c.nano); got != c.want {
			t.Errorf("paxTime(%v, %v) = %q, want %q", c.t, c.nano, got, c.want)
		}
	}
}

func TestWriteTarFails(t *testing.T) {
	p := newPack(t)
	c := p.add(t, []byte("short"))
	root := Entry{Kind: Dir, Mode: 0o755}
	for name, e := range map[string]Entry{
		"attribute":          {Path: "f", Kind: File, Content: c, Xattrs: []Xattr{{"user.a=b", ""}}},
		"pack cut short":     {Path: "f", Kind: File, Content: Content{Size: 100, Pack: "p"}},
		"big pack cut short": {Path: "f", Kind: File, Content: Content{Size: tarSmall + 1, Pack: "p"}},
	} {
		tr, err := New([]Entry{root, e})
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteTar(t.Context(), io.Discard, tr, NewReader(p), TarOptions{}); err == nil || !strings.Contains(err.Error(), `"/f"`) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	tr, _ := New([]Entry{root, {Path: "f", Kind: File, Content: c}})
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	if err := WriteTar(t.Context(), full, tr, NewReader(p), TarOptions{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
}

// TestTarRoundTrip writes and reads trees drawn at random.
func TestTarRoundTrip(t *testing.T) {
	p := newPack(t)
	contents := []Content{{Digest: digest.Of(nil)}}
	for _, n := range []int{1, 511, 512, 513, tarSmall, tarSmall + 1, tarBuffer + 1} {
		contents = append(contents, p.add(t, bytes.Repeat([]byte{byte(n)}, n)))
	}
	rapid.Check(t, func(rt *rapid.T) {
		tr := draw(rt, contents)
		r := NewReader(p)
		defer func() { _ = r.Close() }()
		o := TarOptions{Order: rapid.SampledFrom([]Order{ByPath, ByOwner}).Draw(rt, "order"), Nanoseconds: true}
		var b bytes.Buffer
		if err := WriteTar(t.Context(), &b, tr, r, o); err != nil {
			rt.Fatal(err)
		}
		entries, err := ReadTar(&b, Limits{Devices: true}, func(e Entry, r io.Reader) (Content, error) {
			h := sha256.New()
			n, err := io.Copy(h, r)
			return Content{Digest: digest.From(h), Size: n}, err
		})
		if err != nil {
			rt.Fatal(err)
		}
		back, err := New(entries)
		if err != nil {
			rt.Fatal(err)
		}
		if d := Diff(tr, back); len(d.Set)+len(d.Remove) > 0 {
			rt.Fatalf("came back different: %+v", d)
		}
	})
}

// draw makes a tree of a few directories with all kinds of entries.
func draw(rt *rapid.T, contents []Content) Tree {
	entries := []Entry{{Kind: Dir, Mode: 0o755}}
	dirs := []string{""}
	seen := map[string]bool{"": true}
	part := rapid.StringOfN(rapid.RuneFrom([]rune("ab-./ é\n~")), 1, 60, 200)
	for range rapid.IntRange(0, 30).Draw(rt, "entries") {
		name := strings.Trim(strings.ReplaceAll(part.Draw(rt, "name"), "/", "_"), ".")
		dir := rapid.SampledFrom(dirs).Draw(rt, "dir")
		path := strings.TrimPrefix(dir+"/"+name, "/")
		if name == "" || seen[path] || CheckPath(path) != nil {
			continue
		}
		seen[path] = true
		e := Entry{
			Path: path,
			Kind: rapid.SampledFrom([]Kind{Dir, Dir, File, File, File, Symlink, Hardlink, Char, Fifo}).Draw(rt, "kind"),
			Mode: rapid.Uint32Range(0, 0o7777).Draw(rt, "mode"),
			UID:  rapid.Uint32Range(0, 1<<32-2).Draw(rt, "uid"), GID: rapid.Uint32Range(0, 70000).Draw(rt, "gid"),
			Mtime: At(rapid.Int64Range(-1<<34, 1<<34).Draw(rt, "sec"), rapid.Int32Range(0, 999999999).Draw(rt, "nsec")),
			Owner: rapid.SampledFrom([]string{"", "deb:a", "deb:b", "step:c"}).Draw(rt, "owner"),
		}
		if rapid.IntRange(0, 5).Draw(rt, "xattr") == 0 {
			e.Xattrs = []Xattr{{"user.x", rapid.String().Draw(rt, "value")}}
		}
		switch e.Kind {
		case Dir:
			dirs = append(dirs, path)
		case File:
			e.Content = rapid.SampledFrom(contents).Draw(rt, "content")
		case Symlink:
			e.Mode, e.Link = 0o777, "/"+part.Draw(rt, "target")
		case Char:
			e.Major, e.Minor = 4095, 1<<20-1
		case Hardlink:
			e = Entry{}
			for _, f := range entries {
				if f.Kind == File && f.Path < path {
					e = f
				}
			}
			if e.Kind != File {
				continue
			}
			e.Path, e.Kind, e.Link, e.Content = path, Hardlink, e.Path, Content{}
		case Block, Fifo:
		}
		entries = append(entries, e)
	}
	// The path that sorts first is a file's name: links drawn to a file with an
	// earlier link are dropped by the rule above, so New must accept.
	tr, err := New(entries)
	if err != nil {
		rt.Fatal(err)
	}
	return tr
}

func BenchmarkWriteTar(b *testing.B) {
	p := newPack(b)
	entries := []Entry{{Kind: Dir, Mode: 0o755}}
	var total int64
	// 8000 files whose sizes are like a minimal Debian's: most small, a few big.
	for i := range 8000 {
		size := 1500 + i%7*700
		if i%100 == 0 {
			size = 1 << 20
		} else if i%10 == 0 {
			size = 90 << 10
		}
		entries = append(entries, Entry{Path: fmt.Sprintf("f%05d", i), Kind: File, Mode: 0o644, Content: p.add(b, bytes.Repeat([]byte{byte(i)}, size))})
		total += int64(size)
	}
	tr, err := New(entries)
	if err != nil {
		b.Fatal(err)
	}
	r := NewReader(p)
	defer func() { _ = r.Close() }()
	dir := b.TempDir()
	for _, kind := range []string{"file", "hashed"} {
		b.Run(kind, func(b *testing.B) {
			b.SetBytes(total)
			for b.Loop() {
				f, err := os.Create(filepath.Join(dir, "out.tar"))
				if err != nil {
					b.Fatal(err)
				}
				var w io.Writer = f
				if kind == "hashed" {
					w = io.MultiWriter(f, sha256.New())
				}
				if err := errors.Join(WriteTar(b.Context(), w, tr, r, TarOptions{}), f.Close()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
