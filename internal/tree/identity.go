package tree

import (
	"bufio"
	"fmt"
	"io"
	"strconv"

	"ingot/internal/digest"

	"crypto/sha256"
)

// WriteSeal writes the tree's file list, the text whose digest identifies the
// tree: a line a path, in order, with type, mode, owner, size or target,
// digest and extended attributes. Modification times are left out: a seal says
// what the files are, not when they were made.
func (t Tree) WriteSeal(w io.Writer) error {
	b := bufio.NewWriterSize(w, 1<<16)
	var line []byte
	for i := range t.entries {
		e := &t.entries[i]
		line = append(line[:0], e.Kind.String()...)
		line = fmt.Appendf(line, " %04o %d:%d ", e.Mode, e.UID, e.GID)
		line = strconv.AppendQuote(line, "/"+e.Path)
		switch e.Kind {
		case File:
			line = append(line, ' ')
			line = strconv.AppendInt(line, e.Content.Size, 10)
			line = append(line, ' ')
			line = append(line, e.Content.Digest.String()...)
		case Symlink:
			line = append(line, ' ')
			line = strconv.AppendQuote(line, e.Link)
		case Hardlink:
			line = append(line, ' ')
			line = strconv.AppendQuote(line, "/"+e.Link)
		case Char, Block:
			line = fmt.Appendf(line, " %d:%d", e.Major, e.Minor)
		case Dir, Fifo:
		}
		for _, x := range e.Xattrs {
			line = append(line, ' ')
			line = appendName(line, x.Name)
			line = append(line, '=')
			line = fmt.Appendf(line, "%x", x.Value)
		}
		line = append(line, '\n')
		if _, err := b.Write(line); err != nil {
			return err
		}
	}
	return b.Flush()
}

// appendName adds an attribute's name as it is, or quoted where it could be taken for
// something else: the kernel allows every byte but 0 in one (xattr(7)).
func appendName(line []byte, name string) []byte {
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' || c == '=' || c == '"' {
			return strconv.AppendQuote(line, name)
		}
	}
	return append(line, name...)
}

// Seal is the digest of what WriteSeal writes.
func (t Tree) Seal() digest.Digest {
	h := sha256.New()
	_ = t.WriteSeal(h) // a hash does not fail
	return digest.From(h)
}

// ID is the digest of all that a reader of the tree can see, modification times
// included: two trees with one ID make the same artifact bytes.
func (t Tree) ID() digest.Digest {
	h := sha256.New()
	var b []byte
	for i := range t.entries {
		e := t.entries[i]
		e.Content.Pack, e.Content.Offset, e.Owner = "", 0, ""
		b = AppendEntries(b[:0], []Entry{e})
		h.Write(b)
	}
	return digest.From(h)
}
