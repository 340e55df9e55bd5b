package btrfs

import (
	"encoding/binary"
	"fmt"

	"ingot/internal/blockfs"
	"ingot/internal/tree"
)

// An encoder appends numbers as Btrfs writes them, low end first.
type encoder []byte

func (e *encoder) u8(v ...uint8) { *e = append(*e, v...) }
func (e *encoder) u16(v ...int) {
	each(v, func(v int) { *e = binary.LittleEndian.AppendUint16(*e, uint16(v)) })
}
func (e *encoder) u32(v ...uint32) {
	each(v, func(v uint32) { *e = binary.LittleEndian.AppendUint32(*e, v) })
}
func (e *encoder) u64(v ...uint64) {
	each(v, func(v uint64) { *e = binary.LittleEndian.AppendUint64(*e, v) })
}
func (e *encoder) i64(v ...int64)   { each(v, func(v int64) { e.u64(uint64(v)) }) }
func (e *encoder) id(v [16]byte)    { *e = append(*e, v[:]...) }
func (e *encoder) text(s string)    { *e = append(*e, s...) }
func (e *encoder) zeros(n int)      { *e = append(*e, make([]byte, n)...) }
func (e *encoder) time(t tree.Time) { e.i64(t.Sec); e.u32(uint32(t.Nsec)) }
func (e *encoder) key(k key)        { e.u64(k.object); e.u8(k.kind); e.u64(k.offset) }

func each[T any](list []T, f func(T)) {
	for _, v := range list {
		f(v)
	}
}

// The number of the one transaction that makes all of it.
const generation = 1

// list makes the items of a volume's tree.
func (v *volume) list() {
	v.tree = &btree{owner: v.id}
	for _, n := range v.inodes {
		add := func(kind uint8, offset uint64, size, arg int) {
			v.tree.items = append(v.tree.items, item{key: key{n.ino, kind, offset}, size: int32(size), n: n, arg: int32(arg)})
		}
		add(inodeKind, 0, inodeSize, 0)
		for i, group := range n.grouped {
			size := 0
			for _, r := range group {
				size += refSize + len(r.text)
			}
			add(refKind, group[0].dir.ino, size, i)
		}
		for i, group := range n.far {
			size := 0
			for _, r := range group {
				size += farRefSize + len(r.text)
			}
			add(farRefKind, refHash(group[0].dir.ino, group[0].text), size, i)
		}
		for i, group := range n.attrs {
			size := 0
			for _, x := range group {
				size += dirItemSize + len(x.Name) + len(x.Value)
			}
			add(xattrKind, nameHash(group[0].Name), size, i)
		}
		for i, group := range n.hashed {
			size := 0
			for _, e := range group {
				size += dirItemSize + len(e.text)
			}
			add(nameKind, nameHash(group[0].text), size, i)
		}
		for i, e := range n.names {
			add(indexKind, e.index, dirItemSize+len(e.text), i)
		}
		if n.inline() {
			add(dataKind, 0, inlineHead+int(n.size()), 0)
		}
		for i, d := range n.data {
			add(dataKind, uint64(d.off), dataItemSize, i)
		}
	}
	v.tree.arrange()
}

// encode gives the bytes of an item of a volume. Contents come from r.
func (fs *FS) encode(i *item, r *tree.Reader) ([]byte, error) {
	if i.n == nil {
		return i.data, nil
	}
	n, e := i.n, make(encoder, 0, i.size)
	switch i.kind {
	case inodeKind:
		fs.encodeInode(&e, n)
	case refKind:
		for _, r := range n.grouped[i.arg] {
			e.u64(r.index)
			e.u16(len(r.text))
			e.text(r.text)
		}
	case farRefKind:
		for _, r := range n.far[i.arg] {
			e.u64(r.dir.ino, r.index)
			e.u16(len(r.text))
			e.text(r.text)
		}
	case xattrKind:
		for _, x := range n.attrs[i.arg] {
			e.key(key{})
			e.u64(generation)
			e.u16(len(x.Value), len(x.Name))
			e.u8(8)
			e.text(x.Name)
			e.text(x.Value)
		}
	case nameKind:
		for _, entry := range n.hashed[i.arg] {
			encodeName(&e, entry)
		}
	case indexKind:
		encodeName(&e, n.names[i.arg])
	case dataKind:
		if n.inline() {
			return e, fs.encodeInline(&e, n, r)
		}
		d := n.data[i.arg]
		e.u64(generation)
		e.i64(d.size)
		e.u8(0, 0, 0, 0, 1) // as it is, on the disk
		e.i64(d.at, d.size, 0, d.size)
	}
	if len(e) != int(i.size) {
		return nil, fmt.Errorf("item %d %d of inode %d has %d bytes, not %d", i.kind, i.offset, i.object, len(e), i.size)
	}
	return e, nil
}

// modes are the kinds of files in an inode's mode, and in a directory.
var modes = map[tree.Kind]struct {
	mode uint32
	name uint8
}{
	tree.File: {0o100000, 1}, tree.Dir: {0o040000, 2}, tree.Char: {0o020000, 3}, tree.Block: {0o060000, 4},
	tree.Fifo: {0o010000, 5}, tree.Symlink: {0o120000, 7},
}

func (fs *FS) encodeInode(e *encoder, n *node) {
	t := &n.entry
	e.u64(generation, generation)
	e.i64(n.size(), n.bytes(), 0)
	e.u32(n.links, t.UID, t.GID, modes[t.Kind].mode|t.Mode)
	e.u64(uint64(t.Major)<<20|uint64(t.Minor), 0, 0, 0, 0, 0, 0)
	epoch := tree.Time{Sec: fs.o.Epoch}
	e.time(epoch)
	e.time(epoch)
	e.time(t.Mtime)
	e.time(epoch)
}

func encodeName(e *encoder, n name) {
	kind := modes[tree.Dir].name
	if n.sub != nil {
		e.key(key{n.sub.id, rootKind, 1<<64 - 1})
	} else {
		e.key(key{n.n.ino, inodeKind, 0})
		kind = modes[n.n.entry.Kind].name
	}
	e.u64(generation)
	e.u16(0, len(n.text))
	e.u8(kind)
	e.text(n.text)
}

// encodeInline writes a small content.
func (fs *FS) encodeInline(e *encoder, n *node, r *tree.Reader) error {
	e.u64(generation)
	e.i64(n.size())
	e.u8(0, 0, 0, 0, 0) // as it is, here
	if n.entry.Kind == tree.Symlink {
		e.text(n.entry.Link)
		return nil
	}
	at := len(*e)
	e.zeros(int(n.size()))
	return blockfs.Read(r, n.entry.Content, 0, (*e)[at:])
}
