package erofs

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"ingot/internal/digest"
	"ingot/internal/judge"
	"ingot/internal/sparse"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
)

// write writes a tree and gives the file system's path.
func write(t *testing.T, tr tree.Tree, packs treetest.Packs) string {
	t.Helper()
	fs, err := Plan(tr, Options{UUID: [16]byte{1, 2, 3, 15: 9}, Label: "web", Epoch: treetest.Epoch})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(t.TempDir() + "/image.erofs")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := tree.NewReader(packs)
	defer r.Close()
	if err := fs.WriteTo(t.Context(), f, r); err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != fs.Size() {
		t.Errorf("the file has %d bytes in place of %d, %v", info.Size(), fs.Size(), err)
	}
	return f.Name()
}

var trees = []struct {
	summary string
	fill    func(*treetest.Maker)
}{
	{"empty", func(*treetest.Maker) {}},
	{"root only", func(m *treetest.Maker) { m.Add(tree.Entry{Kind: tree.Dir, Mode: 0o700, UID: 5, GID: 6}) }},
	{"kinds", func(m *treetest.Maker) {
		m.Dir("d").Text("d/file", "text\n").Text("d/empty", "")
		m.Add(tree.Entry{Path: "tmp", Kind: tree.Dir, Mode: 0o1777, UID: 70_000, GID: 1})
		m.File(tree.Entry{Path: "su", Mode: 0o4755, UID: 1 << 31, GID: 9, Mtime: tree.Time{Sec: 1 << 33, Nsec: 999_999_999}}, strings.NewReader("su"))
		m.Add(tree.Entry{Path: "fifo", Kind: tree.Fifo, Mode: 0o600}).Add(tree.Entry{Path: "link", Kind: tree.Symlink, Mode: 0o777, Link: "d/file"})
		m.Add(tree.Entry{Path: "long", Kind: tree.Symlink, Mode: 0o777, Link: strings.Repeat("x/", 2000)})
		m.Add(tree.Entry{Path: "d/other", Kind: tree.Hardlink, Link: "d/file"}).Add(tree.Entry{Path: "third", Kind: tree.Hardlink, Link: "d/file"})
	}},
	{"sizes", func(m *treetest.Maker) {
		for _, n := range []int{1, 31, 32, 2047, 2048, 2049, 3967, 4031, 4032, 4033, 4095, 4096, 4097, 6144, 6145, 8191, 8192, 100_000} {
			m.File(tree.Entry{Path: fmt.Sprint("n", n), Mode: 0o644}, bytes.NewReader(bytes.Repeat([]byte{byte(n), 7}, n)[:n]))
		}
		m.Zeros("zeros", 5<<20+17)
	}},
	{"ends in a hole", func(m *treetest.Maker) {
		m.Text("a", "text\n").Zeros("z", 1<<20+4000)
	}},
	{"large directories", func(m *treetest.Maker) {
		m.Dir("many").Dir("!first")
		for i := range 3000 {
			m.Text(fmt.Sprintf("many/%0*d", 1+i%200, i), fmt.Sprint(i))
		}
		m.Dir("exact") // one block, to its last byte
		for i := range 30 {
			m.Text("exact/"+strings.Repeat("n", 121)+fmt.Sprintf("%02d", i), "")
		}
		m.Text("exact/"+strings.Repeat("z", 255), "")
	}},
}

// The programs of those who made EROFS find no fault, and unpack what went in.
func TestUnpacks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root runs this: it gives files their owners")
	}
	for _, c := range trees {
		t.Run(c.summary, func(t *testing.T) {
			m := treetest.New(t)
			c.fill(m)
			tr, packs := m.Done()
			image := write(t, tr, packs)
			dir := t.TempDir() + "/root"
			if out := judge.Run(t, "fsck.erofs", "--extract="+dir, image); strings.Contains(out, "<E>") || strings.Contains(out, "<W>") {
				t.Errorf("fsck.erofs: %s", out)
			}
			plain(treetest.Mounted(t, dir)).Same(t, plain(treetest.Expect(tr)))
			if out := judge.Run(t, "dump.erofs", image); !strings.Contains(out, "01020300-0000-0000-0000-000000000009") {
				t.Errorf("dump.erofs: %s", out)
			}
			kernel(t, image, tr)
		})
	}
}

// plain leaves out what older programs unpack otherwise: each name of a file as a file
// of its own, and without setuid.
func plain(l treetest.Listing) treetest.Listing {
	out := treetest.Listing{}
	for path, e := range l {
		if strings.HasPrefix(e, "file ") {
			e = regexp.MustCompile(` links=[0-9]+`).ReplaceAllString(e, "")
			e = strings.Replace(e, "file 4", "file 0", 1)
		}
		out[path] = e
	}
	return out
}

// What unpacking does not show: several names of one file, devices, attributes.
func TestInodes(t *testing.T) {
	m := treetest.New(t)
	trees[2].fill(m)
	acl := treetest.ACL(1, 7, 0xffffffff, 2, 5, 1000, 4, 5, 0xffffffff, 0x10, 7, 0xffffffff, 0x20, 0, 0xffffffff)
	m.File(tree.Entry{Path: "attributes", Mode: 0o750, Xattrs: []tree.Xattr{
		{Name: "security.capability", Value: "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{Name: "system.posix_acl_access", Value: acl}, {Name: "user.a", Value: "b"}, {Name: "user.empty"},
	}}, strings.NewReader(strings.Repeat("x", 1000)))
	m.Add(tree.Entry{Path: "null", Kind: tree.Char, Mode: 0o666, Major: 1, Minor: 3}).Add(tree.Entry{Path: "disk", Kind: tree.Block, Mode: 0o660, GID: 6, Major: 259, Minor: 70000})
	tr, packs := m.Done()
	image := write(t, tr, packs)
	judge.Run(t, "fsck.erofs", image)
	for path, want := range map[string]string{
		"/d/file": "Links: 3", "/third": "Links: 3", "/null": "char dev", "/disk": "block dev", "/attributes": "Xattr size: 116",
	} {
		if out := judge.Run(t, "dump.erofs", "--path="+path, image); !strings.Contains(out, want) {
			t.Errorf("dump.erofs says of %s, and not %s:\n%s", path, want, out)
		}
	}
	kernel(t, image, tr)
}

// kernel has the kernel of this host mount a file system, where it may.
func kernel(t *testing.T, image string, tr tree.Tree) {
	t.Helper()
	if !treetest.Mount(t, image, "erofs", "ro", func(dir, _ string) { treetest.Mounted(t, dir).Same(t, treetest.Expect(tr)) }) {
		t.Log("this kernel does not mount it")
	}
}

func TestRefusals(t *testing.T) {
	for problem, entries := range map[string][]tree.Entry{
		"attribute system.other has no place": {{Kind: tree.Dir, Xattrs: []tree.Xattr{{Name: "system.other", Value: "x"}}}},
		"is too long":                         {{Kind: tree.Dir, Xattrs: []tree.Xattr{{Name: "user." + strings.Repeat("n", 256)}}}},
	} {
		tr, err := tree.New(entries)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Plan(tr, Options{}); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v", problem, err)
		}
	}
	if _, err := Plan(tree.Tree{}, Options{Label: strings.Repeat("l", 16)}); err == nil {
		t.Error("a long label is taken")
	}
}

// A second time the bytes are the same, and holes are no data.
func TestSameBytes(t *testing.T) {
	var sums []digest.Digest
	for range 2 {
		m := treetest.New(t)
		trees[3].fill(m)
		tr, packs := m.Done()
		f, err := os.Open(write(t, tr, packs))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		sum, err := sparse.Digest(f, 0, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum)
		if data, err := sparse.Data(f, 0, info.Size()); err != nil || data > 1<<20 {
			t.Errorf("%d bytes of it are data, %v", data, err)
		}
	}
	if sums[0] != sums[1] {
		t.Error("two file systems of one tree differ")
	}
}
