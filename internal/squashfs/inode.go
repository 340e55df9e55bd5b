package squashfs

import (
	"encoding/binary"
	"fmt"
	"math"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// allInodes fills the tables of inodes and directories, and gives the root's
// inode.
func (b *builder) allInodes() (ref, error) {
	links := map[string]uint32{}          // names of a file beside its first
	children := map[string][]tree.Entry{} // of directories, by name
	var dirs []tree.Entry
	for e := range b.t.All() {
		if e.Path != "" {
			parent := tree.Parent(e.Path)
			children[parent] = append(children[parent], e)
		}
		switch e.Kind {
		case tree.Hardlink:
			links[e.Link]++
			continue
		case tree.Dir:
			dirs = append(dirs, e)
		default:
		}
		if len(b.numbers) == math.MaxUint32-1 {
			return ref{}, fault.Newf(fault.Preflight, "squashfs: too many files")
		}
		b.numbers[e.Path] = uint32(len(b.numbers) + 1)
	}
	for e := range b.t.All() {
		if e.Kind != tree.Dir && e.Kind != tree.Hardlink {
			if err := b.inode(e, 1+links[e.Path]); err != nil {
				return ref{}, fmt.Errorf("squashfs: /%s: %w", e.Path, err)
			}
		}
	}
	// A directory's path sorts before those below it.
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := b.dir(dirs[i], children[dirs[i].Path]); err != nil {
			return ref{}, fmt.Errorf("squashfs: /%s: %w", dirs[i].Path, err)
		}
	}
	return b.refs[""], nil
}

// head is what all inodes begin with.
func (b *builder) head(e tree.Entry, kind uint16) ([]byte, error) {
	uid, err := b.id(e.UID)
	if err != nil {
		return nil, err
	}
	gid, err := b.id(e.GID)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	h := le.AppendUint16(nil, kind)
	h = le.AppendUint16(h, uint16(e.Mode&0o7777))
	h = le.AppendUint16(h, uid)
	h = le.AppendUint16(h, gid)
	h = le.AppendUint32(h, seconds(e.Mtime.Sec))
	return le.AppendUint32(h, b.numbers[e.Path]), nil
}

// inode writes the inode of what is no directory.
func (b *builder) inode(e tree.Entry, names uint32) error {
	attrs, err := b.attrs.add(e.Xattrs)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	var kind uint16
	var body []byte
	switch e.Kind {
	case tree.File:
		kind, body = b.fileBody(e, names, attrs)
	case tree.Symlink:
		kind = typeSymlink
		body = le.AppendUint32(nil, names)
		body = le.AppendUint32(body, uint32(len(e.Link)))
		body = append(body, e.Link...)
	case tree.Char, tree.Block:
		kind = typeChar
		if e.Kind == tree.Block {
			kind = typeBlock
		}
		body = le.AppendUint32(nil, names)
		// As the kernel encodes 12 bits of major and 20 of minor number.
		body = le.AppendUint32(body, e.Minor&0xFF|e.Major<<8|(e.Minor&^0xFF)<<12)
	case tree.Fifo:
		kind = typeFifo
		body = le.AppendUint32(nil, names)
	default:
		return fmt.Errorf("no inode for a %s", e.Kind)
	}
	if attrs != none32 && e.Kind != tree.File {
		kind += extended - 1
		body = le.AppendUint32(body, attrs)
	}
	return b.addInode(e, kind, body)
}

func (b *builder) addInode(e tree.Entry, kind uint16, body []byte) error {
	head, err := b.head(e, kind)
	if err != nil {
		return err
	}
	b.refs[e.Path] = b.inodes.here()
	return b.inodes.add(append(head, body...))
}

func (b *builder) fileBody(e tree.Entry, names, attrs uint32) (kind uint16, body []byte) {
	s := b.data[key(e)]
	if s == nil {
		s = &stored{fragment: none32}
	}
	start := max(s.start, 0) // of a file that has no block
	le := binary.LittleEndian
	if kind = typeFile; names == 1 && attrs == none32 && start <= none32 && s.size <= none32 && s.holes == 0 {
		body = le.AppendUint32(nil, uint32(start))
		body = le.AppendUint32(body, s.fragment)
		body = le.AppendUint32(body, s.offset)
		body = le.AppendUint32(body, uint32(s.size))
	} else {
		kind += extended - 1
		body = le.AppendUint64(nil, uint64(start))
		body = le.AppendUint64(body, uint64(s.size))
		body = le.AppendUint64(body, uint64(min(s.holes, s.size-1))) // Linux counts blocks down from what is left
		body = le.AppendUint32(body, names)
		body = le.AppendUint32(body, s.fragment)
		body = le.AppendUint32(body, s.offset)
		body = le.AppendUint32(body, attrs)
	}
	for _, size := range s.blocks {
		body = le.AppendUint32(body, size)
	}
	return kind, body
}

// dir writes a directory's list and its inode.
func (b *builder) dir(e tree.Entry, children []tree.Entry) error {
	attrs, err := b.attrs.add(e.Xattrs)
	if err != nil {
		return err
	}
	at := b.dirs.here()
	size, subdirs, index, err := b.list(children)
	if err != nil {
		return err
	}
	parent := uint32(len(b.numbers) + 1) // the root's is nobody
	if e.Path != "" {
		parent = b.numbers[tree.Parent(e.Path)]
	}
	const more = 3 // what the format counts for "." and ".."
	le := binary.LittleEndian
	if size+more <= math.MaxUint16 && attrs == none32 && len(index) == 0 {
		body := le.AppendUint32(nil, at.block)
		body = le.AppendUint32(body, 2+subdirs)
		body = le.AppendUint16(body, uint16(size+more))
		body = le.AppendUint16(body, at.offset)
		body = le.AppendUint32(body, parent)
		return b.addInode(e, typeDir, body)
	}
	body := le.AppendUint32(nil, 2+subdirs)
	body = le.AppendUint32(body, uint32(size+more))
	body = le.AppendUint32(body, at.block)
	body = le.AppendUint32(body, parent)
	index = index[:min(len(index), math.MaxUint16)]
	body = le.AppendUint16(body, uint16(len(index)))
	body = le.AppendUint16(body, at.offset)
	body = le.AppendUint32(body, attrs)
	for _, m := range index {
		body = le.AppendUint32(body, uint32(m.at))
		body = le.AppendUint32(body, m.block)
		body = le.AppendUint32(body, uint32(len(m.name)-1))
		body = append(body, m.name...)
	}
	return b.addInode(e, typeDir+extended-1, body)
}

// A mark is where a run of a directory's entries begins that is the first in its metadata
// block: whoever looks for a name reads no block before.
type mark struct {
	at    int // in the list
	block uint32
	name  string // of the run's first entry
}

// list writes a directory's entries: runs of at most 256 whose inodes begin in one
// metadata block and have numbers near to the run's first.
func (b *builder) list(children []tree.Entry) (size int, subdirs uint32, index []mark, err error) {
	le := binary.LittleEndian
	block := b.dirs.here().block
	for len(children) > 0 {
		if now := b.dirs.here().block; now != block {
			index = append(index, mark{size, now, base(children[0].Path)})
			block = now
		}
		first, number := b.target(children[0])
		var run []byte
		n := 0
		for n < min(len(children), 256) {
			e := children[n]
			at, of := b.target(e)
			delta := int64(of) - int64(number)
			if at.block != first.block || delta != int64(int16(delta)) {
				break
			}
			if e.Kind == tree.Dir {
				subdirs++
			}
			name := base(e.Path)
			run = le.AppendUint16(run, at.offset)
			run = le.AppendUint16(run, uint16(int16(delta)))
			run = le.AppendUint16(run, b.kind(e))
			run = le.AppendUint16(run, uint16(len(name)-1))
			run = append(run, name...)
			n++
		}
		head := le.AppendUint32(nil, uint32(n-1))
		head = le.AppendUint32(head, first.block)
		head = le.AppendUint32(head, number)
		if err := b.dirs.add(append(head, run...)); err != nil {
			return 0, 0, nil, err
		}
		size += len(head) + len(run)
		children = children[n:]
	}
	return size, subdirs, index, nil
}

// target is the inode of an entry: a hard link's is that of its file.
func (b *builder) target(e tree.Entry) (ref, uint32) {
	p := e.Path
	if e.Kind == tree.Hardlink {
		p = e.Link
	}
	return b.refs[p], b.numbers[p]
}

// kind is the basic type of an entry's inode.
func (b *builder) kind(e tree.Entry) uint16 {
	if e.Kind == tree.Hardlink {
		e, _ = b.t.Lookup(e.Link)
	}
	return map[tree.Kind]uint16{
		tree.Dir: typeDir, tree.File: typeFile, tree.Symlink: typeSymlink, tree.Block: typeBlock, tree.Char: typeChar, tree.Fifo: typeFifo,
	}[e.Kind]
}
