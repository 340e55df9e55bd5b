package ext4_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/digest"
	"ingot/internal/tree"
)

// packs is a tree's content: pack name to file name.
type packs map[string]string

func (p packs) Open(pack string) (*os.File, error) { return os.Open(p[pack]) }

// A maker collects entries, and their contents in one pack.
type maker struct {
	t       testing.TB
	entries []tree.Entry
	name    string
	pack    *bufio.Writer
	out     *os.File
	at      int64
}

func newMaker(t testing.TB) *maker {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pack")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	return &maker{t: t, name: name, out: f, pack: bufio.NewWriterSize(f, 1<<20)}
}

func (m *maker) add(e tree.Entry) *maker {
	if e.Kind != tree.Hardlink && e.Mtime == (tree.Time{}) {
		e.Mtime.Sec = epoch - 1
	}
	m.entries = append(m.entries, e)
	return m
}

func (m *maker) dir(path string) *maker {
	return m.add(tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755})
}

func (m *maker) file(e tree.Entry, content io.Reader) *maker {
	d, n, err := digest.Reader(io.TeeReader(content, m.pack))
	if err != nil {
		m.t.Fatal(err)
	}
	e.Kind, e.Content = tree.File, tree.Content{Digest: d, Size: n, Pack: "p", Offset: m.at}
	m.at += n
	return m.add(e)
}

func (m *maker) text(path, content string) *maker {
	return m.file(tree.Entry{Path: path, Mode: 0o644}, strings.NewReader(content))
}

// zeros adds a file of that many zeros, which takes no room on this host.
func (m *maker) zeros(path string, size int64) *maker {
	m.t.Helper()
	if err := m.pack.Flush(); err != nil {
		m.t.Fatal(err)
	}
	e := tree.Entry{Path: path, Kind: tree.File, Mode: 0o644, Content: tree.Content{Size: size, Pack: "p", Offset: m.at}}
	if size <= 1<<28 {
		h := sha256.New()
		for left := size; left > 0; left -= 1 << 20 {
			h.Write(make([]byte, min(left, 1<<20)))
		}
		e.Content.Digest = digest.From(h)
	}
	m.at += size
	if _, err := m.out.Seek(m.at, io.SeekStart); err != nil {
		m.t.Fatal(err)
	}
	if err := m.out.Truncate(m.at); err != nil {
		m.t.Fatal(err)
	}
	return m.add(e)
}

func (m *maker) done() (tree.Tree, packs) {
	m.t.Helper()
	if err := errors.Join(m.pack.Flush(), m.out.Close()); err != nil {
		m.t.Fatal(err)
	}
	if len(m.entries) > 0 && !slices.ContainsFunc(m.entries, func(e tree.Entry) bool { return e.Path == "" }) {
		m.dir("")
	}
	t, err := tree.New(m.entries)
	if err != nil {
		m.t.Fatal(err)
	}
	return t, packs{"p": m.name}
}

// acl is an access control list as the kernel shows it.
func acl(entries ...uint32) string {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for i := 0; i < len(entries); i += 3 {
		b = binary.LittleEndian.AppendUint16(b, uint16(entries[i]))
		b = binary.LittleEndian.AppendUint16(b, uint16(entries[i+1]))
		b = binary.LittleEndian.AppendUint32(b, entries[i+2])
	}
	return string(b)
}

// scan makes a tree of a real directory.
func scan(t testing.TB, dir string) (tree.Tree, packs) {
	t.Helper()
	m := newMaker(t)
	firsts := map[[2]uint64]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		e := tree.Entry{
			Path: strings.TrimPrefix(strings.TrimPrefix(path, dir), "/"),
			Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid,
			Mtime: tree.Time{Sec: st.Mtim.Sec, Nsec: int32(st.Mtim.Nsec)}, Xattrs: xattrs(t, path),
		}
		if !d.IsDir() && st.Nlink > 1 {
			key := [2]uint64{st.Dev, st.Ino}
			if first, ok := firsts[key]; ok {
				m.add(tree.Entry{Path: e.Path, Kind: tree.Hardlink, Link: first})
				return nil
			}
			firsts[key] = e.Path
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			e.Kind = tree.Dir
		case unix.S_IFLNK:
			e.Kind = tree.Symlink
			if e.Link, err = os.Readlink(path); err != nil {
				return err
			}
		case unix.S_IFCHR, unix.S_IFBLK:
			e.Kind = tree.Block
			if st.Mode&unix.S_IFMT == unix.S_IFCHR {
				e.Kind = tree.Char
			}
			e.Major, e.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
		case unix.S_IFIFO:
			e.Kind = tree.Fifo
		case unix.S_IFREG:
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			m.file(e, f)
			return f.Close()
		default:
			return nil // a socket
		}
		m.add(e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// WalkDir's order is not the tree's: the first name of a file must be the
	// first in sorting order.
	slices.SortFunc(m.entries, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
	moved := map[string]string{}
	index := map[string]int{}
	for i := range m.entries {
		index[m.entries[i].Path] = i
	}
	for i := range m.entries {
		e := &m.entries[i]
		if e.Kind != tree.Hardlink {
			continue
		}
		first := e.Link
		if to, ok := moved[first]; ok {
			first = to
		}
		if first > e.Path {
			path := e.Path
			*e = m.entries[index[first]]
			e.Path = path
			m.entries[index[first]] = tree.Entry{Path: first, Kind: tree.Hardlink, Link: path}
			moved[e.Link] = path
			moved[first] = path
		} else {
			e.Link = first
		}
	}
	return m.done()
}
