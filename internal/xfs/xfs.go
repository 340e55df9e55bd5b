// Package xfs makes an XFS filesystem of a [tree.Tree] in one pass: no root, no
// loop device, no directory on disk, no other program.
//
// [Plan] decides everything from the tree's metadata: how large the filesystem
// is and which block holds what. It reads no file content. The [FS] it gives
// is a function from block numbers to bytes, so blocks can be made in any order,
// on any number of cores, and always come out the same.
//
// # What is on the disk
//
// Blocks of 4096 bytes in allocation groups of one size, four of them below
// four tebibytes. Each group begins with four sectors (superblock, free space,
// inodes, the free list) and the roots of five trees; the log lies in the
// middle group, as everything that mkfs.xfs makes has it. Behind the head of the
// first group stand the inodes, 64 a chunk, then directories, long symlinks and
// attributes, and then the files in the order of their paths, each in one piece
// but for the heads and the log that lie in between. The rest is free.
//
//	group 0                                       group 2
//	heads, tree roots, free list                  heads, tree roots, free list
//	inodes, the rest of their tree                log
//	directories, symlinks, attributes             files
//	files                                         free
//
// The format is version 5, where every block of metadata has a checksum, with
// the features of mkfs.xfs in Debian 12, which its kernel, GRUB 2.06 and all
// newer ones read: ftype, finobt, sparse inodes, reflink, inobtcount, bigtime.
// Not used: rmapbt, which costs space and time, and nrext64, which GRUB 2.06
// refuses.
//
// Facts are from the XFS Algorithms and Data Structures document (kernel.org),
// and from looking at what mkfs.xfs 6.1 writes.
package xfs

import (
	"context"
	"fmt"
	"io"

	"ingot/internal/blockfs"
	"ingot/internal/disk"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

// Options say what the tree does not.
type Options struct {
	// UUID names the filesystem and stands in all its metadata; it may not be zero.
	UUID [16]byte
	// Label is at most 12 bytes.
	Label string
	// Epoch is, in seconds since 1970, the access, change and birth time of all
	// inodes. Modification times are the tree's.
	Epoch int64
	// Free is how many bytes can still be written: what df calls available.
	Free int64
	// Size is the size in bytes, rounded down to a whole block; 0 fits it to the
	// content and Free.
	Size int64
	// SectorSize is what the filesystem takes a device to write at once: 512 or
	// 4096 bytes; 0 is 512. One of 512 cannot be mounted from sectors of 4096.
	SectorSize int
	// Groups is how many allocation groups there are; 0 is mkfs.xfs's choice. A
	// filesystem that grows gets more of the same size.
	Groups int
	// Log is the log's size in bytes; 0 is mkfs.xfs's choice.
	Log int64
	// Noise says that what is not written reads as anything, as in an encrypted
	// device. The whole log is then part of [FS.Extents]: it must begin as zeros.
	Noise bool
}

const (
	// MinSize is the least that mkfs.xfs makes: smaller ones have no room for a log
	// of a useful size.
	MinSize = 300 << 20
	// MaxSize bounds what Plan makes; such a filesystem can still grow.
	MaxSize = 4 << 40
)

// An FS is a planned filesystem. It does not change; its methods may be called
// from several goroutines.
type FS struct {
	o       Options
	geo     geometry
	inodes  inodeSet
	groups  []group
	regions []region // sorted by start: all blocks that may not be zero
	free    int64    // free blocks, those of free lists with them
	super   []byte   // the superblock, one sector
}

// Plan decides what each block of a filesystem with the tree's entries holds.
// It fails on a tree that XFS cannot hold, such as a symlink of more than 1024
// bytes, and with [fault.Preflight] when the given size is too small.
func Plan(t tree.Tree, o Options) (*FS, error) {
	if o.SectorSize == 0 {
		o.SectorSize = 512
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	inodes, err := newInodeSet(t, &o)
	if err != nil {
		return nil, err
	}
	fs := &FS{o: o, inodes: inodes}
	if err := fs.fit(); err != nil {
		return nil, err
	}
	fs.super = fs.encodeSuper()
	fs.listRegions()
	return fs, nil
}

func (o *Options) check() error {
	switch {
	case o.UUID == [16]byte{}:
		return fmt.Errorf("xfs: the UUID is zero")
	case len(o.Label) > 12:
		return fmt.Errorf("xfs: label %q is longer than 12 bytes", o.Label)
	case o.Size < 0 || o.Free < 0 || o.Log < 0 || o.Groups < 0:
		return fmt.Errorf("xfs: a size is negative")
	case o.SectorSize != 512 && o.SectorSize != 4096:
		return fmt.Errorf("xfs: a sector of %d bytes is neither 512 nor 4096", o.SectorSize)
	case o.Size > MaxSize || o.Free > MaxSize:
		return fault.Newf(fault.Preflight, "xfs: a filesystem of %d bytes is larger than %d", max(o.Size, o.Free), int64(MaxSize)).
			WithHint("make it smaller and let it grow when it is mounted")
	case o.Groups == 1 || o.Groups > maxGroups:
		return fmt.Errorf("xfs: %d allocation groups are not from 2 to %d", o.Groups, maxGroups)
	case o.Log != 0 && (o.Log < minLog*blockSize || o.Log > maxLog*blockSize):
		return fmt.Errorf("xfs: a log of %d bytes is not from %d to %d", o.Log, minLog*blockSize, maxLog*blockSize)
	}
	return nil
}

// Size is the filesystem's size in bytes.
func (fs *FS) Size() int64 { return fs.geo.blocks * blockSize }

// FreeBytes is the space that nothing uses, the kernel's reserves included.
func (fs *FS) FreeBytes() int64 { return fs.free * blockSize }

// LogBytes is the size of the log, which the kernel writes from end to end in time.
func (fs *FS) LogBytes() int64 { return fs.geo.log * blockSize }

// Extents lists, in order, without overlap, the ranges that can hold something
// else than zeros. It depends on the tree and the options alone, not on content:
// what a file holds is inside, be it zeros.
func (fs *FS) Extents() []disk.Extent {
	var out []disk.Extent
	for _, r := range fs.regions {
		off, n := r.start*blockSize, r.n*blockSize
		if k := len(out); k > 0 && out[k-1].Off+out[k-1].Len == off {
			out[k-1].Len += n
			continue
		}
		out = append(out, disk.Extent{Off: off, Len: n})
	}
	return out
}

// WriteTo writes the filesystem to w, whose offset 0 is the filesystem's start
// and which must hold zeros, in the way of [blockfs.Write]; the caller sets w's
// size. File contents come from r.
func (fs *FS) WriteTo(ctx context.Context, w io.WriterAt, r *tree.Reader) error {
	if err := blockfs.Write(ctx, w, fs.Extents(), fs.renderer(r)); err != nil {
		return fmt.Errorf("xfs: %w", err)
	}
	return nil
}

// ReaderAt reads the filesystem as if it had been written. File contents come from r.
func (fs *FS) ReaderAt(r *tree.Reader) io.ReaderAt {
	return blockfs.NewReaderAt(fs.Size(), fs.renderer(r))
}

func (fs *FS) renderer(r *tree.Reader) blockfs.Render {
	return func(first int64, buf []byte) error { return fs.render(r, first, buf) }
}
