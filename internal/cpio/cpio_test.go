package cpio

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
)

// Three programs that know nothing of each other unpack what went in.
func TestUnpacks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root runs this: it gives files their owners")
	}
	m := treetest.New(t)
	for _, d := range []string{"bin", "deep", "deep/er", "empty"} {
		m.Dir(d)
	}
	m.Add(tree.Entry{Path: "tmp", Kind: tree.Dir, Mode: 0o1777, UID: 7, GID: 70_000})
	m.Text("bin/one", "one\n").Text("none", "").Text("three", "abc").Text("deep/er/four", "abcd")
	m.Zeros("zeros", 3<<20)
	m.Add(tree.Entry{Path: "bin/two", Kind: tree.Hardlink, Link: "bin/one"}).Add(tree.Entry{Path: "deep/er/one", Kind: tree.Hardlink, Link: "bin/one"})
	m.Add(tree.Entry{Path: "nothing", Kind: tree.Hardlink, Link: "none"})
	m.File(tree.Entry{Path: "bin/su", Mode: 0o4755, UID: 1000, GID: 5, Mtime: tree.Time{Sec: 4_000_000_000}}, strings.NewReader("su"))
	m.Add(tree.Entry{Path: "fifo", Kind: tree.Fifo, Mode: 0o600}).Add(tree.Entry{Path: "link", Kind: tree.Symlink, Mode: 0o777, Link: "deep/er/four"})
	m.Text("with space and ünïcode", "x").Text(strings.Repeat("n", 250), "long")
	if devices() {
		m.Add(tree.Entry{Path: "null", Kind: tree.Char, Mode: 0o666, Major: 1, Minor: 3}).Add(tree.Entry{Path: "disk", Kind: tree.Block, Mode: 0o660, GID: 6, Major: 259, Minor: 70000})
	}
	tr, packs := m.Done()
	want := treetest.Expect(tr)
	r := tree.NewReader(packs)
	defer r.Close()
	var archive bytes.Buffer
	if result, err := Write(t.Context(), &archive, tr, r); err != nil || result.Dropped != 0 {
		t.Fatal(result, err)
	}
	for _, program := range [][]string{
		{"cpio", "--extract", "--quiet", "--preserve-modification-time", "--no-absolute-filenames"},
		{"bsdcpio", "-i", "--quiet", "-m"},
		{"busybox", "cpio", "-idmu"},
	} {
		t.Run(program[0], func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), judge.Path(t, program[0]), program[1:]...)
			cmd.Dir, cmd.Stdin = dir, bytes.NewReader(archive.Bytes())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			times(treetest.Mounted(t, dir)).Same(t, times(want))
		})
	}
}

// devices says whether this root may make any.
func devices() bool {
	dir, err := os.MkdirTemp("", "mknod-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	return unix.Mknod(dir+"/null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) == nil
}

// times leaves out those of directories and symbolic links, which the programs set
// anew when they go on.
func times(l treetest.Listing) treetest.Listing {
	out := treetest.Listing{}
	for path, e := range l {
		if strings.HasPrefix(e, "dir ") || strings.HasPrefix(e, "symlink ") {
			e = regexp.MustCompile(` [0-9]+\.[0-9]{9} `).ReplaceAllString(e, " ")
		}
		out[path] = e
	}
	return out
}

func TestRefusals(t *testing.T) {
	for what, e := range map[string]tree.Entry{
		"a large file":   {Path: "a", Kind: tree.File, Mode: 0o644, Content: tree.Content{Size: 1 << 32, Pack: "p"}},
		"a distant time": {Path: "a", Kind: tree.File, Mode: 0o644, Mtime: tree.Time{Sec: 1 << 32}},
		"an early time":  {Path: "a", Kind: tree.File, Mode: 0o644, Mtime: tree.Time{Sec: -1}},
	} {
		tr, err := tree.New([]tree.Entry{{Kind: tree.Dir, Mode: 0o755}, e})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := Write(t.Context(), &b, tr, nil); !strings.Contains(fmt.Sprint(err), "cpio: /a: ") || fault.CodeOf(err) != fault.Preflight {
			t.Errorf("%s: %v", what, err)
		}
	}
	tr, err := tree.New([]tree.Entry{{Kind: tree.Dir, Mode: 0o755, Xattrs: []tree.Xattr{{Name: "user.a", Value: "b"}}}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if result, err := Write(t.Context(), &b, tr, nil); err != nil || result.Dropped != 1 {
		t.Error(result, err)
	}
}
