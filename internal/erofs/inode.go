package erofs

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// types are st_mode's, and those of entries of directories.
var types = map[tree.Kind]struct {
	mode  uint16
	entry byte
}{
	tree.File: {0o100000, 1}, tree.Dir: {0o040000, 2}, tree.Char: {0o020000, 3}, tree.Block: {0o060000, 4},
	tree.Fifo: {0o010000, 5}, tree.Symlink: {0o120000, 7},
}

// nid is an inode's name.
func (n *node) nid() uint64 { return uint64(n.at / slot) }

// inode is the extended form of an inode.
func (n *node) inode() []byte {
	le := binary.LittleEndian
	b := make([]byte, inodeSize)
	format := uint16(1 | flatPlain<<1)
	if n.inline > 0 {
		format = 1 | flatInline<<1
	}
	le.PutUint16(b, format)
	if len(n.xattrs) > 0 {
		le.PutUint16(b[2:], uint16((len(n.xattrs)-xattrHead)/4+1))
	}
	e := n.entry
	mode := uint16(e.Mode)
	if e.Kind == tree.Symlink {
		mode = 0o777
	}
	le.PutUint16(b[4:], types[e.Kind].mode|mode)
	le.PutUint64(b[8:], uint64(n.size))
	switch e.Kind {
	case tree.Char, tree.Block:
		le.PutUint32(b[16:], e.Minor&0xff|e.Major<<8|e.Minor&^0xff<<12) // the kernel's new_encode_dev
	default:
		le.PutUint32(b[16:], uint32(n.first))
	}
	le.PutUint32(b[20:], n.number)
	le.PutUint32(b[24:], e.UID)
	le.PutUint32(b[28:], e.GID)
	le.PutUint64(b[32:], uint64(e.Mtime.Sec))
	le.PutUint32(b[40:], uint32(e.Mtime.Nsec))
	le.PutUint32(b[44:], n.links)
	return b
}

const xattrHead = 12

// prefixes of attributes' names, by the number that stands for each. The longest that
// fits comes first.
var prefixes = []struct {
	text  string
	index byte
}{
	{"system.posix_acl_access", 2}, {"system.posix_acl_default", 3}, {"security.", 6}, {"trusted.", 4}, {"user.", 1},
}

// encodeXattrs are the attributes as they stand behind an inode.
func encodeXattrs(xattrs []tree.Xattr) ([]byte, error) {
	if len(xattrs) == 0 {
		return nil, nil
	}
	b := make([]byte, xattrHead)
	for _, x := range xattrs {
		i := slices.IndexFunc(prefixes, func(p struct {
			text  string
			index byte
		}) bool {
			return strings.HasPrefix(x.Name, p.text)
		})
		if i < 0 {
			return nil, fault.Newf(fault.Preflight, "attribute %s has no place", x.Name)
		}
		name := strings.TrimPrefix(x.Name, prefixes[i].text)
		if len(name) > 255 || len(x.Value) > 65535 {
			return nil, fault.Newf(fault.Preflight, "attribute %s is too long", x.Name)
		}
		b = append(b, byte(len(name)), prefixes[i].index)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(x.Value)))
		b = append(append(b, name...), x.Value...)
		b = append(b, make([]byte, -len(b)&3)...)
	}
	if len(b) > 65535*4 {
		return nil, fmt.Errorf("its attributes have %d bytes", len(b))
	}
	return b, nil
}

const direntSize = 12

// entries are a directory's, sorted: "." and ".." too.
func (n *node) entries() []child {
	all := append([]child{{".", n}, {"..", n.parent}}, n.kids...)
	slices.SortFunc(all, func(a, b child) int { return cmp.Compare(a.name, b.name) })
	return all
}

// blocksOf cuts the entries into those of each block.
func blocksOf(all []child) [][]child {
	var out [][]child
	used, from := 0, 0
	for i, c := range all {
		need := direntSize + len(c.name)
		if used+need > block {
			out = append(out, all[from:i])
			used, from = 0, i
		}
		used += need
	}
	return append(out, all[from:])
}

// directorySize is how long a directory's bytes are.
func (n *node) directorySize() int64 {
	n.kids = slices.Clip(n.kids)
	all := blocksOf(n.entries())
	size := int64(len(all)-1) * block
	for _, c := range all[len(all)-1] {
		size += int64(direntSize + len(c.name))
	}
	return size
}

// directory is a directory's bytes: in each block entries of one length, and behind
// them the names.
func (n *node) directory() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, n.size)
	for i, some := range blocksOf(n.entries()) {
		b = append(b, make([]byte, i*block-len(b))...)
		at := len(some) * direntSize
		for _, c := range some {
			b = le.AppendUint64(b, c.node.nid())
			b = le.AppendUint16(b, uint16(at))
			b = append(b, types[c.node.entry.Kind].entry, 0)
			at += len(c.name)
		}
		for _, c := range some {
			b = append(b, c.name...)
		}
	}
	return b
}
