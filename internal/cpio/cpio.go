// Package cpio writes trees as cpio archives in the "newc" form: what kernels unpack
// an initramfs from.
//
// A file is a header of 110 characters in hexadecimal, a name, and its bytes, each
// filled up to four bytes. A hard link is an entry with the inode number of the first
// one and no bytes. There is no place for extended attributes, nor for files of 4
// GiB, nor for times after 2106.
//
// The facts are those of the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst.
package cpio

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// Types of files, as in st_mode.
var types = map[tree.Kind]uint32{
	tree.Dir: 0o040000, tree.File: 0o100000, tree.Symlink: 0o120000,
	tree.Char: 0o020000, tree.Block: 0o060000, tree.Fifo: 0o010000,
}

// A Result is what an archive could not hold.
type Result struct {
	Dropped int // extended attributes
}

// Write writes a tree. Its root is "." in the archive, and all names are relative.
func Write(ctx context.Context, to io.Writer, t tree.Tree, r *tree.Reader) (Result, error) {
	w := &writer{w: bufio.NewWriterSize(to, 1<<20), inodes: map[string]uint32{}, links: map[string]uint32{}, entries: map[string]tree.Entry{}}
	for e := range t.All() {
		switch e.Kind {
		case tree.Hardlink:
			w.links[e.Link]++
		case tree.Dir:
			if e.Path != "" {
				w.links[tree.Parent(e.Path)]++
			}
		default:
		}
	}
	var result Result
	for e := range t.All() {
		if err := ctx.Err(); err != nil {
			return result, context.Cause(ctx)
		}
		result.Dropped += len(e.Xattrs)
		if err := w.entry(e, r); err != nil {
			return result, fmt.Errorf("cpio: /%s: %w", e.Path, err)
		}
	}
	// The end mark is an entry too.
	if err := w.head(header{links: 1, name: "TRAILER!!!"}); err != nil {
		return result, err
	}
	return result, w.w.Flush()
}

type writer struct {
	w       *bufio.Writer
	at      int64
	last    uint32
	inodes  map[string]uint32     // of files that have more names
	links   map[string]uint32     // other names of a file; directories in a directory
	entries map[string]tree.Entry // files that have more names
}

type header struct {
	inode, mode, uid, gid, links, mtime, size, major, minor uint32
	name                                                    string
}

func (w *writer) entry(e tree.Entry, r *tree.Reader) error {
	name := e.Path
	if name == "" {
		name = "."
	}
	first, inode := e, uint32(0)
	if e.Kind == tree.Hardlink {
		first, inode = w.entries[e.Link], w.inodes[e.Link]
	} else {
		w.last++
		inode = w.last
	}
	if first.Content.Size > math.MaxUint32 || first.Mtime.Sec < 0 || first.Mtime.Sec > math.MaxUint32 {
		return fault.Newf(fault.Preflight, "a size of %d bytes or a time of %d s has no place in a cpio archive", first.Content.Size, first.Mtime.Sec)
	}
	h := header{
		inode: inode, mode: types[first.Kind] | first.Mode, uid: first.UID, gid: first.GID, links: 1 + w.links[first.Path],
		mtime: uint32(first.Mtime.Sec), major: first.Major, minor: first.Minor, name: name,
	}
	switch {
	case e.Kind == tree.Dir:
		h.links++ // its own "."
	case first.Kind == tree.Symlink:
		// Readers link no symbolic links: each name has its own.
		h.mode, h.size = types[tree.Symlink]|0o777, uint32(len(first.Link))
	case e.Kind == tree.File:
		h.size = uint32(e.Content.Size)
	}
	if e.Kind != tree.Dir && e.Kind != tree.Hardlink && w.links[e.Path] > 0 {
		w.inodes[e.Path], w.entries[e.Path] = inode, e
	}
	if err := w.head(h); err != nil {
		return err
	}
	switch {
	case first.Kind == tree.Symlink:
		n, err := w.w.WriteString(first.Link)
		w.at += int64(n)
		if err != nil {
			return err
		}
	case e.Kind == tree.File && e.Content.Size > 0:
		content, err := r.Content(e.Content)
		if err != nil {
			return err
		}
		n, err := io.Copy(w.w, content)
		w.at += n
		if err != nil {
			return err
		}
		if n != e.Content.Size {
			return fmt.Errorf("%d bytes came in place of %d", n, e.Content.Size)
		}
	}
	return w.fill()
}

func (w *writer) head(h header) error {
	b := []byte("070701")
	for _, v := range []uint32{h.inode, h.mode, h.uid, h.gid, h.links, h.mtime, h.size, 0, 0, h.major, h.minor, uint32(len(h.name) + 1), 0} {
		b = fmt.Appendf(b, "%08X", v)
	}
	b = append(append(b, h.name...), 0)
	n, err := w.w.Write(b)
	w.at += int64(n)
	if err != nil {
		return err
	}
	return w.fill()
}

// fill fills up to four bytes.
func (w *writer) fill() error {
	n, err := w.w.Write(make([]byte, -w.at&3))
	w.at += int64(n)
	return err
}
