package rootfs_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/judge"
	"ingot/internal/rootfs"
)

var then = time.Unix(1_700_000_000, 5000)

// archive makes a tar of entries: "d NAME MODE", "f NAME MODE TEXT", "l NAME TO", "h NAME TO", "p NAME MODE".
func archive(t testing.TB, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		f := strings.SplitN(e, " ", 4)
		h := &tar.Header{Format: tar.FormatPAX, Name: f[1], ModTime: then}
		text := ""
		switch f[0] {
		case "d":
			h.Typeflag = tar.TypeDir
		case "f":
			h.Typeflag = tar.TypeReg
			text = f[3]
			h.Size = int64(len(text))
		case "l":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f[2]
		case "h":
			h.Typeflag, h.Linkname = tar.TypeLink, f[2]
		case "p":
			h.Typeflag = tar.TypeFifo
		}
		if f[0] != "l" && f[0] != "h" {
			if _, err := fmt.Sscanf(f[2], "%o", &h.Mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// text is a directory as text, a line each.
func text(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v", rel, info.Mode())
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %s", data)
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %s", to)
		}
		if !info.ModTime().Equal(then) {
			b.WriteString(" (made now)")
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func unpack(t testing.TB, data []byte) (dir string, err error) {
	t.Helper()
	dir = t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return dir, rootfs.Unpack(root, bytes.NewReader(data), rootfs.Options{})
}

func TestUnpack(t *testing.T) {
	for _, c := range []struct {
		summary string
		entries []string
		want    string
	}{
		{"all kinds", []string{"d ./ 755", "d ./etc 750", "f ./etc/a 4755 hello", "h ./b etc/a", "l ./etc/l ../b", "p ./fifo 600", "d ./t 1777"},
			"b urwxr-xr-x hello\netc drwxr-x---\netc/a urwxr-xr-x hello\netc/l Lrwxrwxrwx ../b\nfifo prw-------\nt dtrwxrwxrwx\n"},
		{"without directories", []string{"f a/b 644 x"}, "a drwxr-xr-x (made now)\na/b -rw-r--r-- x\n"},
		{"twice", []string{"f a 644 x", "f a 600 y"}, "a -rw------- y\n"},
		{"a link replaced", []string{"f a 644 x", "l l a", "f l 644 y"}, "a -rw-r--r-- x\nl -rw-r--r-- y\n"},
		{"a directory in the place of a file", []string{"f a 644 x", "d a 755", "f a/b 644 y"}, "a drwxr-xr-x\na/b -rw-r--r-- y\n"},
		{"upwards is the root", []string{"f ../../x 644 y"}, "x -rw-r--r-- y\n"},
		{"absolute", []string{"f /x 644 y"}, "x -rw-r--r-- y\n"},
		{"a link that leads out is only a link", []string{"l out /etc", "l up ../../.."}, "out Lrwxrwxrwx /etc\nup Lrwxrwxrwx ../../..\n"},
	} {
		t.Run(c.summary, func(t *testing.T) {
			dir, err := unpack(t, archive(t, c.entries...))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, text(t, dir)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestHostile: nothing is read or written outside, and it ends with an error.
func TestHostile(t *testing.T) {
	outside := t.TempDir()
	precious := filepath.Join(outside, "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for summary, entries := range map[string][]string{
		"through a link":          {"l out " + outside, "f out/precious 644 evil"},
		"through a link upwards":  {"l out ../../../../../../.." + outside, "f out/precious 644 evil"},
		"through two links":       {"l a .", "l a/b " + outside, "f b/precious 644 evil"},
		"a hard link to it":       {"h x ../../../../../../../.." + precious, "f x 644 evil"},
		"a hard link by a link":   {"l out " + outside, "h x out/precious"},
		"a directory over a link": {"l out " + outside, "d out/new 755"},
		"a mode through a link":   {"l out " + outside, "d out/. 777"},
		"the root as a file":      {"f . 644 x"},
		"cut":                     nil,
	} {
		t.Run(summary, func(t *testing.T) {
			data := archive(t, entries...)
			if entries == nil {
				data = archive(t, "f a 644 "+strings.Repeat("x", 2000))[:1500]
			}
			dir, err := unpack(t, data)
			if err == nil && summary != "a mode through a link" {
				t.Errorf("it is unpacked:\n%s", text(t, dir))
			}
			if got, err := os.ReadFile(precious); err != nil || string(got) != "precious" {
				t.Errorf("outside is %q, %v", got, err)
			}
			found, err := os.ReadDir(outside)
			if err != nil || len(found) != 1 {
				t.Errorf("outside are %v, %v", found, err)
			}
			if info, err := os.Stat(outside); err != nil || info.Mode().Perm() == 0o777 {
				t.Errorf("outside has mode %v, %v", info.Mode(), err)
			}
		})
	}
}

// TestLikeTar: what is unpacked is what tar unpacks.
func TestLikeTar(t *testing.T) {
	data := archive(t, "d ./ 755", "d ./a 2755", "f ./a/x 644 hello", "h ./a/y a/x", "l ./a/z x", "f ./empty 600 ", "p ./fifo 640")
	ours, err := unpack(t, data)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "t.tar")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	theirs := t.TempDir()
	judge.Run(t, "tar", "-C", theirs, "--numeric-owner", "-xpf", file)
	if d := cmp.Diff(text(t, theirs), text(t, ours)); d != "" {
		t.Errorf("(-tar +ingot):\n%s", d)
	}
	a, err1 := os.Stat(filepath.Join(ours, "a/x"))
	b, err2 := os.Stat(filepath.Join(ours, "a/y"))
	if errors.Join(err1, err2) != nil || !os.SameFile(a, b) {
		t.Error("a hard link is another file")
	}
}

// FuzzUnpack: whatever the archive, nothing leaves the directory.
func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, "d ./ 755", "f ./a 644 x", "l l a", "h h a"))
	f.Add(archive(f, "l out /", "f out/tmp/ingot-fuzz-evil 644 x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		up := t.TempDir()
		dir := filepath.Join(up, "dir")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		_ = rootfs.Unpack(root, bytes.NewReader(data), rootfs.Options{})
		if found, err := os.ReadDir(up); err != nil || len(found) != 1 {
			t.Errorf("%v, %v", found, err)
		}
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error { // so that it can be removed
			if d != nil && d.IsDir() {
				return os.Chmod(path, 0o755)
			}
			return nil
		})
	})
}

// TestSparse: files with holes, as GNU tar writes them in each of its ways, come whole.
func TestSparse(t *testing.T) {
	for _, format := range []string{"gnu", "posix"} {
		t.Run(format, func(t *testing.T) {
			from := t.TempDir()
			f, err := os.Create(filepath.Join(from, "holes"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt([]byte("end"), 1<<20)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			archive := filepath.Join(t.TempDir(), "x.tar")
			judge.Run(t, "tar", "--format="+format, "-S", "-C", from, "-cf", archive, "holes")
			in, err := os.Open(archive)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			to := t.TempDir()
			root, err := os.OpenRoot(to)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if err := rootfs.Unpack(root, in, rootfs.Options{}); err != nil {
				t.Fatal(err)
			}
			judge.Run(t, "cmp", filepath.Join(from, "holes"), filepath.Join(to, "holes"))
		})
	}
}
