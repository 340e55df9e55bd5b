// Package btrfs makes a Btrfs filesystem of a [tree.Tree] in one pass: no root, no loop
// device, no directory on disk, no other program.
//
// [Plan] decides everything from the tree's metadata: how large the filesystem is and
// which block holds what. It reads no file content. The [FS] it gives is a function
// from block numbers to bytes, so blocks can be made in any order, on any number of
// cores, and always come out the same.
//
// # What is on the disk
//
// All that Btrfs knows lies in trees of nodes of 16 KiB, whose leaves hold items sorted
// by key: an object's number, a kind, and an offset. Nodes and files have logical
// addresses, which chunks map to the device; here both are the same.
//
//	64 KiB   superblock, with a copy at 64 MiB (and at 256 GiB)
//	1 MiB    system chunk: the tree of chunks
//	5 MiB    metadata chunk: all other trees, in one piece
//	behind   data chunks: files in the order of their paths, each in one piece as far
//	         as chunks allow
//	behind   nothing: the kernel makes more chunks of it
//
// The trees are: roots (where all others are), extents (what is in use, and by whom),
// devices (which parts of the device chunks have), checksums (of each 4096 bytes of
// files), free space, UUIDs of subvolumes, one that the kernel moves data with, and one
// for each subvolume, which holds its inodes, names and attributes. Small files lie in
// their subvolume's tree.
//
// Both data and metadata are there once (profile single): a machine's disk has its own
// redundancy, and btrfs balance makes two of it where it has none. Features are those of
// mkfs.btrfs 6.2 in Debian 12: skinny metadata, extended references, no holes, free
// space tree.
//
// Facts are from the Btrfs documentation (On-disk Format, btrfs.readthedocs.io) and the
// kernel's header btrfs_tree.h, which describes it for programs.
package btrfs

import (
	"context"
	"fmt"
	"io"
	"path"

	"ingot/internal/blockfs"
	"ingot/internal/disk"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

// Options say what the tree does not.
type Options struct {
	// UUID names the filesystem, and all other identities in it derive from it; it may
	// not be zero.
	UUID [16]byte
	// Label is at most 255 bytes.
	Label string
	// Epoch is, in seconds since 1970, the access, change and birth time of all
	// inodes. Modification times are the tree's.
	Epoch int64
	// Free is how many bytes can still be written: what df calls available.
	Free int64
	// Size is the size in bytes, rounded down to a whole block; 0 fits it to the
	// content and Free.
	Size int64
	// Subvolumes are directories of the tree, by path, that are subvolumes of their
	// own. What is not in the tree is made.
	Subvolumes []string
}

const (
	// MinSize is the least that Plan makes: the kernel wants room for new chunks.
	MinSize = 128 << 20
	// MaxSize bounds what Plan makes; such a filesystem can still grow.
	MaxSize = 4 << 40

	blockSize = blockfs.BlockSize
	nodeSize  = 16 << 10
	mib       = 1 << 20
)

// An FS is a planned filesystem. It does not change; its methods may be called from
// several goroutines.
type FS struct {
	o       Options
	ids     identities
	size    int64
	volumes []*volume
	chunks  []chunk
	files   []*extent // of all volumes, by logical address
	trees   []*btree
	regions []region // sorted by start: all blocks that may not be zero
	free    int64
	super   []byte
}

// Plan decides what each block of a filesystem with the tree's entries holds. It fails
// on a tree that Btrfs cannot hold, and with [fault.Preflight] when the given size is
// too small.
func Plan(t tree.Tree, o Options) (*FS, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	volumes, err := newVolumes(t, &o)
	if err != nil {
		return nil, err
	}
	fs := &FS{o: o, ids: newIdentities(o.UUID), volumes: volumes}
	if err := fs.place(); err != nil {
		return nil, err
	}
	fs.super = fs.encodeSuper()
	fs.listRegions()
	return fs, nil
}

func (o *Options) check() error {
	switch {
	case o.UUID == [16]byte{}:
		return fmt.Errorf("btrfs: the UUID is zero")
	case len(o.Label) > 255:
		return fmt.Errorf("btrfs: label %q is longer than 255 bytes", o.Label)
	case o.Size < 0 || o.Free < 0:
		return fmt.Errorf("btrfs: a size is negative")
	case o.Size > MaxSize || o.Free > MaxSize:
		return fault.Newf(fault.Preflight, "btrfs: a filesystem of %d bytes is larger than %d", max(o.Size, o.Free), int64(MaxSize)).
			WithHint("make it smaller and let it grow when it is mounted")
	}
	seen := map[string]bool{"": true}
	for _, s := range o.Subvolumes {
		if path.Clean("/"+s) != "/"+s || tree.CheckPath(s) != nil || seen[s] {
			return fmt.Errorf("btrfs: subvolume %q is there twice or no path of a directory", s)
		}
		seen[s] = true
	}
	return nil
}

// Size is the filesystem's size in bytes.
func (fs *FS) Size() int64 { return fs.size }

// FreeBytes is the space that files can have: in data chunks, and in no chunk yet.
func (fs *FS) FreeBytes() int64 { return fs.free }

// LogBytes is 0: Btrfs writes its log wherever there is room.
func (fs *FS) LogBytes() int64 { return 0 }

// Extents lists, in order, without overlap, the ranges that can hold something else
// than zeros. It depends on the tree and the options alone, not on content: what a file
// holds is inside, be it zeros.
func (fs *FS) Extents() []disk.Extent {
	var out []disk.Extent
	for _, r := range fs.regions {
		if k := len(out); k > 0 && out[k-1].End() == r.at {
			out[k-1].Len += r.n
			continue
		}
		out = append(out, disk.Extent{Off: r.at, Len: r.n})
	}
	return out
}

// WriteTo writes the filesystem to w, whose offset 0 is the filesystem's start and which
// must hold zeros, in the way of [blockfs.Write]; the caller sets w's size. File contents
// come from r, twice: once for their checksums.
func (fs *FS) WriteTo(ctx context.Context, w io.WriterAt, r *tree.Reader) error {
	if err := blockfs.Write(ctx, w, fs.Extents(), fs.renderer(r)); err != nil {
		return fmt.Errorf("btrfs: %w", err)
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

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }
