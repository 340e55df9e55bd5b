// Package treetest makes trees for tests of what is written from them, and lists
// what the kernel finds in the result. Only tests import it.
package treetest

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
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

// Epoch is when the filesystems of tests are made, in seconds since 1970.
const Epoch = 1_700_000_000

// Packs is a tree's content: pack name to file name.
type Packs map[string]string

// Open opens a pack.
func (p Packs) Open(pack string) (*os.File, error) { return os.Open(p[pack]) }

// A Maker collects entries, and their contents in one pack.
type Maker struct {
	t       testing.TB
	Entries []tree.Entry
	name    string
	pack    *bufio.Writer
	out     *os.File
	at      int64
}

// New makes a maker whose pack lies in the test's directory.
func New(t testing.TB) *Maker {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pack")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	return &Maker{t: t, name: name, out: f, pack: bufio.NewWriterSize(f, 1<<20)}
}

// Add adds an entry. One without a time is a second older than [Epoch].
func (m *Maker) Add(e tree.Entry) *Maker {
	if e.Kind != tree.Hardlink && e.Mtime == (tree.Time{}) {
		e.Mtime.Sec = Epoch - 1
	}
	m.Entries = append(m.Entries, e)
	return m
}

// Dir adds a directory.
func (m *Maker) Dir(path string) *Maker {
	return m.Add(tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755})
}

// File adds a file with that content.
func (m *Maker) File(e tree.Entry, content io.Reader) *Maker {
	d, n, err := digest.Reader(io.TeeReader(content, m.pack))
	if err != nil {
		m.t.Fatal(err)
	}
	e.Kind, e.Content = tree.File, tree.Content{Digest: d, Size: n, Pack: "p", Offset: m.at}
	m.at += n
	return m.Add(e)
}

// Text adds a file.
func (m *Maker) Text(path, content string) *Maker {
	return m.File(tree.Entry{Path: path, Mode: 0o644}, strings.NewReader(content))
}

// Zeros adds a file of that many zeros, which takes no room on this host.
func (m *Maker) Zeros(path string, size int64) *Maker {
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
	return m.Add(e)
}

// Done is the tree of all that was added, with a root.
func (m *Maker) Done() (tree.Tree, Packs) {
	m.t.Helper()
	if err := errors.Join(m.pack.Flush(), m.out.Close()); err != nil {
		m.t.Fatal(err)
	}
	if len(m.Entries) > 0 && !slices.ContainsFunc(m.Entries, func(e tree.Entry) bool { return e.Path == "" }) {
		m.Dir("")
	}
	t, err := tree.New(m.Entries)
	if err != nil {
		m.t.Fatal(err)
	}
	return t, Packs{"p": m.name}
}

// ACL is an access control list as the kernel shows it.
func ACL(entries ...uint32) string {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for i := 0; i < len(entries); i += 3 {
		b = binary.LittleEndian.AppendUint16(b, uint16(entries[i]))
		b = binary.LittleEndian.AppendUint16(b, uint16(entries[i+1]))
		b = binary.LittleEndian.AppendUint32(b, entries[i+2])
	}
	return string(b)
}

// Scan makes a tree of a real directory.
func Scan(t testing.TB, dir string) (tree.Tree, Packs) {
	t.Helper()
	m := New(t)
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
				m.Add(tree.Entry{Path: e.Path, Kind: tree.Hardlink, Link: first})
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
			m.File(e, f)
			return f.Close()
		default:
			return nil // a socket
		}
		m.Add(e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// WalkDir's order is not the tree's: the first name of a file must be the
	// first in sorting order.
	slices.SortFunc(m.Entries, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
	moved := map[string]string{}
	index := map[string]int{}
	for i := range m.Entries {
		index[m.Entries[i].Path] = i
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Kind != tree.Hardlink {
			continue
		}
		first := e.Link
		if to, ok := moved[first]; ok {
			first = to
		}
		if first > e.Path {
			path := e.Path
			*e = m.Entries[index[first]]
			e.Path = path
			m.Entries[index[first]] = tree.Entry{Path: first, Kind: tree.Hardlink, Link: path}
			moved[e.Link] = path
			moved[first] = path
		} else {
			e.Link = first
		}
	}
	return m.Done()
}

// Noise is bytes without a pattern, the same each time.
func Noise(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{1}), n)
}
