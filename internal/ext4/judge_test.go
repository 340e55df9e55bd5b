package ext4_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/ext4"
	"ingot/internal/judge"
	"ingot/internal/tree"
	"ingot/internal/tree/treetest"
)

// The judges are e2fsprogs (e2fsck, debugfs, dumpe2fs, resize2fs, mke2fs), and
// the kernel where loop devices can be mounted.

func options() ext4.Options {
	return ext4.Options{
		UUID:     [16]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef},
		HashSeed: [16]byte{0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0x5f},
		Label:    "root", Epoch: treetest.Epoch,
	}
}

// write plans and writes a filesystem into a new file.
func write(t testing.TB, tr tree.Tree, p treetest.Packs, o ext4.Options) (string, *ext4.FS) {
	t.Helper()
	f, err := ext4.Plan(tr, o)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "img")
	writeTo(t, f, p, name)
	return name, f
}

func writeTo(t testing.TB, f *ext4.FS, p treetest.Packs, name string) {
	t.Helper()
	r := tree.NewReader(p)
	img, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(img.Truncate(f.Size()), f.WriteTo(context.Background(), img, r), img.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
}

func fsck(t testing.TB, img string) {
	t.Helper()
	// Images may be of any day; e2fsck is told that it is a day far
	// in the future (E2FSCK_TIME, as in e2fsck's own tests).
	out := judge.Run(t, "env", "E2FSCK_TIME=8589934591", "e2fsck", "-f", "-n", img)
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "Pass ") && !strings.HasPrefix(line, "e2fsck ") && !strings.Contains(line, "files (") {
			t.Errorf("e2fsck says: %s", line)
		}
	}
}

// expect is the listing of a tree, with lost+found. A directory of too many others
// claims one name.
func expect(t testing.TB, tr tree.Tree) treetest.Listing {
	t.Helper()
	all := tr.Entries()
	if _, ok := tr.Lookup(""); !ok {
		all = append(all, tree.Entry{Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: treetest.Epoch}})
	}
	if _, ok := tr.Lookup("lost+found"); !ok {
		all = append(all, tree.Entry{Path: "lost+found", Kind: tree.Dir, Mode: 0o700, Mtime: tree.Time{Sec: treetest.Epoch}})
	}
	whole, err := tree.New(all)
	if err != nil {
		t.Fatal(err)
	}
	l := treetest.Expect(whole)
	for path, line := range l {
		if m := dirLinks.FindStringSubmatch(line); m != nil && len(m[1]) >= 5 && m[1] > "65000" {
			l[path] = strings.Replace(line, " links="+m[1], " links=1", 1)
		}
	}
	return l
}

var dirLinks = regexp.MustCompile(`^dir .* links=(\d+)`)

// mount mounts an image, calls f with the directory and unmounts it. It says false
// where that cannot be done.
func mount(t testing.TB, img, options string, f func(dir, loop string)) bool {
	t.Helper()
	return treetest.Mount(t, img, "auto", options, f)
}

var (
	statInode = regexp.MustCompile(`Inode: (\d+)   Type: (\S+)(?: special)?\s+Mode:  (\d+)`)
	statOwner = regexp.MustCompile(`User:\s+(-?\d+)\s+Group:\s+(-?\d+)\s+(?:Project:\s+\d+\s+)?Size: (\d+)`)
	statLinks = regexp.MustCompile(`Links: (\d+) `)
	statMtime = regexp.MustCompile(`mtime: 0x([0-9a-f]{8}):([0-9a-f]{8})`)
	statDev   = regexp.MustCompile(`major/minor number: (\d+):(\d+)`)
)

// debugfs lists an image through debugfs, for the paths of want. Content,
// symlinks' targets and attributes come by way of files.
func debugfs(t testing.TB, img string, want treetest.Listing) treetest.Listing {
	t.Helper()
	tmp := t.TempDir()
	paths := slices.Sorted(maps.Keys(want))
	var script bytes.Buffer
	for i, p := range paths {
		fmt.Fprintf(&script, "stat %s\n", quote(p))
		k, _, _ := strings.Cut(want[p], " ")
		if k == "file" {
			fmt.Fprintf(&script, "dump %s %s/%d\n", quote(p), tmp, i)
		}
		if k == "symlink" {
			fmt.Fprintf(&script, "cat %s\n", quote(p))
		}
		for j, x := range wantedAttrs(want[p]) {
			fmt.Fprintf(&script, "ea_get -f %s/%d.%d %s %s\n", tmp, i, j, quote(p), x)
		}
	}
	file := filepath.Join(tmp, "script")
	if err := os.WriteFile(file, script.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out := judge.Run(t, "debugfs", "-f", file, img)
	parts := strings.Split(out, "debugfs: stat ")[1:]
	if len(parts) != len(paths) {
		t.Fatalf("debugfs gave %d answers to %d questions", len(parts), len(paths))
	}
	l := treetest.Listing{}
	for i, p := range paths {
		l[p] = parseStat(t, parts[i], p, want[p], filepath.Join(tmp, strconv.Itoa(i)))
	}
	return l
}

func quote(p string) string { return `"` + p + `"` }

var attrName = regexp.MustCompile(` ((?:user|trusted|security|system)\.\S+?)=`)

func wantedAttrs(line string) []string {
	var out []string
	for _, m := range attrName.FindAllStringSubmatch(line, -1) {
		out = append(out, m[1])
	}
	return out
}

func parseStat(t testing.TB, text, path, want, file string) string {
	t.Helper()
	field := func(re *regexp.Regexp) []string {
		m := re.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("%s: no %v in debugfs' answer:\n%s", path, re, text)
		}
		return m[1:]
	}
	num := func(s string, base int) int64 {
		n, err := strconv.ParseInt(s, base, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	inode, owner, mtime := field(statInode), field(statOwner), field(statMtime)
	kinds := map[string]string{"regular": "file", "directory": "dir", "character": "char", "FIFO": "fifo"}
	kind := inode[1]
	if k, ok := kinds[kind]; ok {
		kind = k
	}
	extra := num(mtime[1], 16)
	sec := int64(int32(num(mtime[0], 16))) + extra&3<<32
	id := func(s string) uint32 { return uint32(num(s, 10)) } // debugfs prints them signed
	s := fmt.Sprintf("%s %04o %d:%d %d.%09d links=%s", kind, num(inode[2], 8), id(owner[0]), id(owner[1]), sec, extra>>2, field(statLinks)[0])
	switch kind {
	case "file":
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s += fmt.Sprintf(" size=%s sha256=%x", owner[2], sha256.Sum256(b))
	case "symlink":
		_, target, _ := strings.Cut(text, "debugfs: cat "+quote(path)+"\n")
		target, _, _ = strings.Cut(target, "debugfs: ")
		if fast := regexp.MustCompile(`Fast link dest: "(.*)"`).FindStringSubmatch(text); fast != nil {
			target = fast[1]
		}
		s += fmt.Sprintf(" -> %q", target)
	case "char", "block":
		s += " dev=" + strings.Join(func() []string { m := field(statDev); return []string{trim(m[0]), trim(m[1])} }(), ":")
	}
	for j, x := range wantedAttrs(want) {
		b, err := os.ReadFile(fmt.Sprintf("%s.%d", file, j))
		if err != nil {
			t.Errorf("%s: no attribute %s: %v", path, x, err)
		}
		if strings.HasPrefix(x, "system.posix_acl") { // debugfs shows entries without a number as 0
			for e := b[4:]; len(e) > 0; e = e[8:] {
				if e[0] != 2 && e[0] != 8 {
					copy(e[4:], "\xff\xff\xff\xff")
				}
			}
		}
		s += fmt.Sprintf(" %s=%x", x, b)
	}
	return s
}

func trim(n string) string {
	if n = strings.TrimLeft(n, "0"); n == "" {
		return "0"
	}
	return n
}
