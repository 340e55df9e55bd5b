// Package squashfs writes squashfs 4.0, the read-only compressed file system that
// Linux mounts, that Incus and LXD unpack and that live systems start from.
//
// # The format
//
// Behind a superblock of 96 bytes lie the blocks of files, each compressed on its
// own, and fragments: blocks that hold the ends of many files. Then come tables,
// made of metadata blocks of 8 KiB, compressed too: inodes, directories, where the
// fragments are, owners, extended attributes. A table's entry is named by where its
// metadata block begins, compressed, and its place in the block once unpacked; so
// what is named must be written before what names it: files' inodes before the
// directories that list them, directories before their parents.
// (Linux, fs/squashfs/squashfs_fs.h and Documentation/filesystems/squashfs.rst.)
//
// # What it cannot hold
//
// Times are whole seconds from 1970 to 2106, and attributes are those of user,
// trusted and security; POSIX access control lists are left out, which [Write]
// counts.
//
// # The bytes
//
// Blocks are compressed on all cores and written in order of paths, so the bytes
// depend on the tree and the options alone. A file's content that the tree has
// twice is written once.
package squashfs

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// Options say how a file system is written.
type Options struct {
	Compress string // "zstd" or "gzip"
	Epoch    int64  // when it was made, in seconds since 1970
	Workers  int    // how many blocks are compressed at a time; 0 is one a core, 16 at most
	Wrote    func(n int64)
	At       int64 // where in the file it begins; the file ends with it
}

// A Result says what was written.
type Result struct {
	Size    int64 // bytes
	Dropped int   // attributes that squashfs has no place for
}

// The sizes of the format.
const (
	blockLog     = 18 // blocks of 256 KiB: 3 % smaller than with mksquashfs's 128, and still quick to read at random
	blockSize    = 1 << blockLog
	metaSize     = 8192
	superSize    = 96
	none32       = 0xFFFFFFFF
	none64       = 0xFFFFFFFFFFFFFFFF
	uncompressed = 1 << 24 // in the size of a block of data
	rawMeta      = 1 << 15 // in the header of a metadata block
)

// Inode types; the extended ones have attributes, many names or great numbers.
const (
	typeDir = iota + 1
	typeFile
	typeSymlink
	typeBlock
	typeChar
	typeFifo
	_ // sockets, of which no tree has one
	extended
)

// A builder is a file system being written.
type builder struct {
	ctx  context.Context
	t    tree.Tree
	r    *tree.Reader
	o    Options
	code codec

	out  *bufio.Writer
	at   int64 // how many bytes the file has
	data map[string]*stored

	fragments []*fragment
	numbers   map[string]uint32 // of inodes, by path
	inodes    table
	dirs      table
	refs      map[string]ref // of inodes that are written, by path
	ids       []uint32
	idIndex   map[uint32]uint16
	attrs     attributes
}

// Write writes a tree as a file system into a file that has nothing at and behind
// the option At.
func Write(ctx context.Context, f *os.File, t tree.Tree, r *tree.Reader, o Options) (Result, error) {
	code, err := codecOf(o.Compress)
	if err != nil {
		return Result{}, err
	}
	if o.At < 0 {
		return Result{}, fmt.Errorf("squashfs: no file begins at %d", o.At)
	}
	if o.Wrote == nil {
		o.Wrote = func(int64) {}
	}
	if root, ok := t.Lookup(""); !ok || root.Kind != tree.Dir {
		return Result{}, fmt.Errorf("squashfs: the tree has no root directory")
	}
	b := &builder{
		ctx: ctx, t: t, r: r, o: o, code: code, at: superSize, out: bufio.NewWriterSize(io.NewOffsetWriter(f, o.At+superSize), 1<<20),
		data: map[string]*stored{}, numbers: map[string]uint32{}, refs: map[string]ref{}, idIndex: map[uint32]uint16{},
		inodes: table{code: code}, dirs: table{code: code}, attrs: newAttributes(code),
	}
	if err := b.contents(); err != nil {
		return Result{}, err
	}
	super, err := b.tables()
	if err != nil {
		return Result{}, err
	}
	if err := b.out.Flush(); err != nil {
		return Result{}, err
	}
	if _, err := f.WriteAt(super, o.At); err != nil {
		return Result{}, err
	}
	size := (b.at + 4095) &^ 4095 // so that a loop device holds all of it
	return Result{Size: size, Dropped: b.attrs.dropped}, f.Truncate(o.At + size)
}

// Most is a size in bytes that no tree's file system is larger than, whatever its
// contents are: they are stored as they are where compressing makes them larger.
func Most(t tree.Tree) int64 {
	most := int64(1 << 20)
	for e := range t.All() {
		most += e.Content.Size + e.Content.Size/blockSize*8 + int64(2*len(e.Path)+len(e.Link)) + 512
		for _, x := range e.Xattrs {
			most += 2 * int64(len(x.Name)+len(x.Value)+64)
		}
	}
	return most
}

// put adds bytes at the end.
func (b *builder) put(data []byte) error {
	n, err := b.out.Write(data)
	b.at += int64(n)
	b.o.Wrote(int64(n))
	return err
}

// tables writes all that follows the contents and gives the superblock.
func (b *builder) tables() ([]byte, error) {
	root, err := b.allInodes()
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	s := le.AppendUint32(nil, 0x73717368) // "hsqs"
	s = le.AppendUint32(s, uint32(len(b.numbers)))
	s = le.AppendUint32(s, seconds(b.o.Epoch))
	s = le.AppendUint32(s, blockSize)
	s = le.AppendUint32(s, uint32(len(b.fragments)))
	s = le.AppendUint16(s, b.code.id)
	s = le.AppendUint16(s, blockLog)
	flags := uint16(0x20 | 0x40) // ends of files in fragments, duplicates once
	if b.attrs.empty() {
		flags |= 0x200
	}
	s = le.AppendUint16(s, flags)
	s = le.AppendUint16(s, uint16(len(b.ids)))
	s = le.AppendUint16(s, 4)
	s = le.AppendUint16(s, 0)
	s = le.AppendUint64(s, root.number())

	inodes, err := b.putTable(&b.inodes)
	if err != nil {
		return nil, err
	}
	dirs, err := b.putTable(&b.dirs)
	if err != nil {
		return nil, err
	}
	var list []byte
	for _, f := range b.fragments {
		list = le.AppendUint64(list, uint64(f.at))
		list = le.AppendUint32(list, f.size)
		list = le.AppendUint32(list, 0)
	}
	fragments, err := b.putLookup(list)
	if err != nil {
		return nil, err
	}
	list = nil
	for _, id := range b.ids {
		list = le.AppendUint32(list, id)
	}
	ids, err := b.putLookup(list)
	if err != nil {
		return nil, err
	}
	attrs, err := b.putAttributes()
	if err != nil {
		return nil, err
	}
	s = le.AppendUint64(s, uint64(b.at))
	for _, table := range []uint64{ids, attrs, inodes, dirs, fragments, none64} { // no table for NFS
		s = le.AppendUint64(s, table)
	}
	return s, nil
}

// putTable writes a table and gives where it begins.
func (b *builder) putTable(t *table) (uint64, error) {
	at := uint64(b.at)
	if err := t.end(); err != nil {
		return 0, err
	}
	return at, b.put(t.done)
}

// putLookup writes a list that is read by index: metadata blocks, then where each
// of them begins. It gives the place of the latter.
func (b *builder) putLookup(list []byte) (uint64, error) {
	if len(list) == 0 {
		return none64, nil
	}
	blocks, err := b.putBlocks(list)
	if err != nil {
		return 0, err
	}
	at := uint64(b.at)
	return at, b.put(blocks)
}

// putBlocks writes metadata blocks and gives the list of where they begin.
func (b *builder) putBlocks(data []byte) ([]byte, error) {
	var starts []byte
	for len(data) > 0 {
		n := min(len(data), metaSize)
		block, err := b.code.meta(nil, data[:n])
		if err != nil {
			return nil, err
		}
		starts = binary.LittleEndian.AppendUint64(starts, uint64(b.at))
		if err := b.put(block); err != nil {
			return nil, err
		}
		data = data[n:]
	}
	return starts, nil
}

// id is the index of an owner's number.
func (b *builder) id(n uint32) (uint16, error) {
	i, ok := b.idIndex[n]
	if !ok {
		if len(b.ids) == 1<<16-1 {
			return 0, fault.Newf(fault.Preflight, "squashfs: more than %d different owners", len(b.ids))
		}
		i = uint16(len(b.ids))
		b.idIndex[n] = i
		b.ids = append(b.ids, n)
	}
	return i, nil
}

// seconds is a time as the format has it.
func seconds(t int64) uint32 { return uint32(min(max(t, 0), none32)) }

// A ref says where an entry of a table is.
type ref struct {
	block  uint32 // where its metadata block begins in the table
	offset uint16 // in the block
}

func (r ref) number() uint64 { return uint64(r.block)<<16 | uint64(r.offset) }

// A table is metadata blocks being filled.
type table struct {
	code codec
	done []byte // whole blocks, compressed
	open []byte // of the block that is not whole
}

// here is where the next entry will be.
func (t *table) here() ref { return ref{uint32(len(t.done)), uint16(len(t.open))} }

func (t *table) add(data []byte) error {
	for len(data) > 0 {
		n := min(len(data), metaSize-len(t.open))
		t.open = append(t.open, data[:n]...)
		data = data[n:]
		if len(t.open) == metaSize {
			if err := t.end(); err != nil {
				return err
			}
		}
	}
	return nil
}

// end closes the open block.
func (t *table) end() (err error) {
	if len(t.open) > 0 {
		t.done, err = t.code.meta(t.done, t.open)
		t.open = t.open[:0]
	}
	return err
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
