// Package erofs writes trees as EROFS file systems: read-only, for kernels to mount
// where random reads must be fast. Nothing is compressed.
//
// A file system is blocks of 4 KiB. Block 0 has the superblock at 1024; inodes stand
// behind it, each at a multiple of 32 bytes, and that number is the inode's name (nid).
// What a file has beyond whole blocks stands right behind its inode where it fits into
// the same block, so that a small file costs no block. Whole blocks of files and
// directories follow the inodes, in the order of the tree.
//
// The facts are those of the kernel's Documentation/filesystems/erofs.rst and of the
// structures that it describes.
package erofs

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/sparse"
	"ingot/internal/tree"
)

const (
	blockBits  = 12
	block      = 1 << blockBits
	superAt    = 1024
	superSize  = 128
	slot       = 32 // inodes stand at multiples of it
	inodeSize  = 64 // of an extended one
	magic      = 0xe0f5e1e2
	checked    = 1 << 0 // feature: the superblock has a checksum
	timed      = 1 << 1 // feature: times are those of modification
	flatPlain  = 0
	flatInline = 2
	// The longest tail that stands behind its inode. Longer ones would leave gaps in
	// front of it as large as those in a block of their own.
	mostInline = block / 2
	// Block numbers have 32 bits.
	mostBlocks = 1<<32 - 1
)

// Options say how a file system is made.
type Options struct {
	UUID  [16]byte
	Label string // at most 15 bytes
	Epoch int64  // seconds since 1970
}

// An FS is a file system, planned.
type FS struct {
	o      Options
	nodes  []*node // in the order of their inodes; names of one file share one
	byPath map[string]*node
	meta   int64 // end of the inodes, in bytes
	blocks int64
}

// A node is an inode.
type node struct {
	entry  tree.Entry
	at     int64 // of the inode
	xattrs []byte
	data   []byte // of a directory or a symbolic link
	size   int64
	inline int64 // how much of the data stands behind the inode
	first  int64 // block of the rest
	links  uint32
	number uint32
	kids   []child
	parent *node
}

type child struct {
	name string
	node *node
}

// Plan gives a tree's files their places.
func Plan(t tree.Tree, o Options) (*FS, error) {
	if len(o.Label) > 15 || strings.ContainsRune(o.Label, 0) {
		return nil, fmt.Errorf("erofs: label %q has more than 15 bytes, or a NUL", o.Label)
	}
	fs := &FS{o: o, byPath: map[string]*node{}}
	for e := range t.All() {
		if err := fs.add(e); err != nil {
			return nil, fmt.Errorf("erofs: /%s: %w", e.Path, err)
		}
	}
	if len(fs.nodes) == 0 {
		if err := fs.add(tree.Entry{Kind: tree.Dir, Mode: 0o755, Mtime: tree.Time{Sec: o.Epoch}}); err != nil {
			return nil, err
		}
	}
	if err := fs.place(); err != nil {
		return nil, fmt.Errorf("erofs: %w", err)
	}
	return fs, nil
}

func (fs *FS) add(e tree.Entry) error {
	if e.Kind == tree.Hardlink {
		n, ok := fs.byPath[e.Link]
		if !ok {
			return fmt.Errorf("it is another name of /%s, which is not there", e.Link)
		}
		n.links++
		return fs.name(e.Path, n)
	}
	xattrs, err := encodeXattrs(e.Xattrs)
	if err != nil {
		return err
	}
	n := &node{entry: e, xattrs: xattrs, links: 1, size: e.Content.Size, number: uint32(len(fs.nodes)) + 1}
	switch e.Kind {
	case tree.Dir:
		n.links = 2
	case tree.Symlink:
		n.data, n.size = []byte(e.Link), int64(len(e.Link))
	default:
	}
	fs.nodes = append(fs.nodes, n)
	fs.byPath[e.Path] = n
	if e.Path == "" {
		n.parent = n
		return nil
	}
	return fs.name(e.Path, n)
}

// name puts a node into its directory.
func (fs *FS) name(path string, n *node) error {
	dir, ok := fs.byPath[tree.Parent(path)]
	if !ok || dir.entry.Kind != tree.Dir {
		return fmt.Errorf("its directory is not there")
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	if len(name) > 255 {
		return fault.Newf(fault.Preflight, "its name has %d bytes, and at most 255 have a place", len(name))
	}
	if n.entry.Kind == tree.Dir {
		n.parent = dir
		dir.links++
	}
	dir.kids = append(dir.kids, child{name, n})
	return nil
}

// place gives inodes and data their places. Directories know the places of what is in
// them, so their bytes come last; how long they are depends on names alone.
func (fs *FS) place() error {
	at := int64(superAt + superSize)
	for _, n := range fs.nodes {
		if n.entry.Kind == tree.Dir {
			n.size = n.directorySize()
		}
		head := int64(inodeSize + len(n.xattrs))
		tail := n.size % block
		// What a block ends in the middle of has to stand in one.
		if tail > 0 && tail <= mostInline && head+tail <= block {
			n.inline = tail
		}
		if n.inline > 0 && at%block+head+tail > block {
			at = at/block*block + block
		}
		n.at = at
		at = roundUp(at+head+n.inline, slot)
	}
	fs.meta = at
	next := roundUp(at, block) / block
	for _, n := range fs.nodes {
		if count := roundUp(n.size-n.inline, block) / block; count > 0 {
			n.first = next
			next += count
		}
	}
	if fs.blocks = next; next > mostBlocks {
		return fault.Newf(fault.Preflight, "%d blocks are more than a file system has", next)
	}
	for _, n := range fs.nodes {
		if n.entry.Kind == tree.Dir {
			n.data = n.directory()
		}
	}
	return nil
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// Size is the file system's size in bytes.
func (fs *FS) Size() int64 { return fs.blocks * block }

// WriteTo writes the file system to an empty file. Holes of files stay holes of it.
func (fs *FS) WriteTo(ctx context.Context, f *os.File, r *tree.Reader) error {
	if err := f.Truncate(fs.Size()); err != nil {
		return err
	}
	// Inodes, with what stands behind them, a piece at a time.
	const most = 1 << 20
	b, from := fs.super(), int64(0)
	for _, n := range fs.nodes {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if len(b) > most {
			if _, err := f.WriteAt(b, from); err != nil {
				return err
			}
			b, from = b[:0], from+int64(len(b))
		}
		b = append(b, make([]byte, n.at-from-int64(len(b)))...)
		b = append(append(b, n.inode()...), n.xattrs...)
		whole := n.size - n.inline
		if n.data != nil {
			b = append(b, n.data[whole:]...)
			if _, err := f.WriteAt(n.data[:whole], n.first*block); err != nil {
				return err
			}
			continue
		}
		if n.size == 0 {
			continue
		}
		pack, err := r.Pack(n.entry.Content.Pack)
		if err != nil {
			return err
		}
		if whole > 0 {
			if err := sparse.Copy(f, n.first*block, pack, n.entry.Content.Offset, whole, nil); err != nil {
				return fmt.Errorf("erofs: /%s: %w", n.entry.Path, err)
			}
		}
		tail := make([]byte, n.inline)
		if _, err := pack.ReadAt(tail, n.entry.Content.Offset+whole); err != nil && n.inline > 0 {
			return fmt.Errorf("erofs: /%s: %w", n.entry.Path, err)
		}
		b = append(b, tail...)
	}
	if _, err := f.WriteAt(b, from); err != nil {
		return err
	}
	// A hole at the end of the last file cut off the rest of its block.
	if err := f.Truncate(fs.Size()); err != nil {
		return err
	}
	return fs.seal(f)
}

// super is the first block up to the inodes, without the checksum.
func (fs *FS) super() []byte {
	le := binary.LittleEndian
	b := make([]byte, superAt+superSize)
	s := b[superAt:]
	le.PutUint32(s, magic)
	le.PutUint32(s[8:], checked|timed)
	s[12] = blockBits
	le.PutUint16(s[14:], uint16(fs.nodes[0].nid()))
	le.PutUint64(s[16:], uint64(len(fs.nodes)))
	le.PutUint64(s[24:], uint64(fs.o.Epoch))
	le.PutUint32(s[36:], uint32(fs.blocks))
	copy(s[48:64], fs.o.UUID[:])
	copy(s[64:80], fs.o.Label)
	return b
}

// seal writes the checksum, of all in the first block that follows the place for
// boot sectors.
func (fs *FS) seal(f *os.File) error {
	b := make([]byte, block-superAt)
	if _, err := f.ReadAt(b, superAt); err != nil {
		return err
	}
	sum := ^crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	_, err := f.WriteAt(binary.LittleEndian.AppendUint32(nil, sum), superAt+4)
	return err
}
