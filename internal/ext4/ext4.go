// Package ext4 makes an ext4 filesystem of a [tree.Tree] in one pass: no root,
// no loop device, no directory on disk, no other program.
//
// [Plan] decides everything from the tree's metadata: how large the filesystem
// is and which block holds what. It reads no file content. The [FS] it gives
// is a function from block numbers to bytes, so blocks can be made in any order,
// on any number of cores, and always come out the same: [FS.WriteTo] makes all
// of them, [FS.ReaderAt] those that are asked for, [FS.Extents] names the ranges
// that are not zero for certain.
//
// # What is on the disk
//
// Blocks of 4096 bytes in groups of 32768. Superblock and group descriptors
// stand at the start of group 0, with copies in groups 1 and the powers of 3, 5
// and 7. Sixteen groups form a flexible group, whose bitmaps and inode tables
// stand together in the first of them. Behind those of the first group come the
// journal, the directories, long symlinks and attribute blocks, and then the
// files in the order of their paths, each in one piece but for the copies and
// tables that lie in between. The rest is free.
//
//	group 0                                   group 1            group 2
//	super, descriptors, reserved descriptors  super (copy), …    files
//	bitmaps, inode tables of groups 0 to 15   files              free
//	journal, directories, files
//
// The features are those of mke2fs in Debian 12, which its kernel, GRUB 2.06 and
// e2fsprogs 1.47 and all newer ones read: has_journal, ext_attr, resize_inode,
// dir_index, filetype, extent, 64bit, flex_bg, sparse_super, large_file,
// huge_file, dir_nlink, extra_isize, metadata_csum. The filesystem grows while
// it is mounted, to 1024 times its size or two tebibytes, whichever is more (with
// the journal of 4 MiB of a filesystem below 128 MiB 1.7 tebibytes). Not used:
// orphan_file and metadata_csum_seed, which older systems refuse, and
// sparse_super2, which the kernel cannot grow while mounted.
//
// # Its elders
//
// An ext3 or ext2 ([Options.Generation]) is the same in fewer words: has_journal (of ext3
// alone), ext_attr, resize_inode, dir_index, filetype, sparse_super, large_file. Each
// group has its own tables, inodes have maps of blocks, which stand behind the blocks
// that they map, and all bitmaps are written, as no flag says that the kernel can make them.
//
// Facts are from the kernel's Documentation/filesystems/ext4 and from looking
// at what mke2fs 1.47 writes.
package ext4

import (
	"fmt"

	"ingot/internal/disk"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

// A Generation is one of the file systems that are one family.
type Generation int

// The generations. Those before ext4 have what mke2fs gives them: files' blocks are in
// maps in place of extents, tables stand in each group, block numbers and directories'
// links are small, and nothing has a checksum.
const (
	Ext4 Generation = iota
	Ext3            // with a journal
	Ext2            // without
)

// String is what mke2fs and mount call it.
func (g Generation) String() string { return [...]string{"ext4", "ext3", "ext2"}[g] }

// Options say what the tree does not.
type Options struct {
	// Generation is [Ext4] unless it is said.
	Generation Generation
	// UUID names the filesystem and seeds all its checksums; it may not be zero.
	UUID [16]byte
	// HashSeed seeds the hash of names in large directories.
	HashSeed [16]byte
	// Label is at most 16 bytes.
	Label string
	// Epoch is, in seconds since 1970, when the filesystem was made, and the
	// access, change and birth time of all inodes. Modification times are the tree's.
	Epoch int64
	// Free is how many bytes an ordinary user can still write: what df calls
	// available.
	Free int64
	// Size is the size in bytes, rounded down to a whole block; 0 fits it to the
	// content and Free.
	Size int64
	// ReservedPercent of all blocks only root may fill.
	ReservedPercent int
	// BytesPerInode sets how many inodes there are, also after growing; 0 is
	// mke2fs's 16384. A tree with more files gets more.
	BytesPerInode int64
	// FreeInodes are left at least, besides one for each BytesPerInode of Free.
	FreeInodes int64
	// Journal is the journal's size in bytes, from 4 MiB; 0 chooses it by the
	// filesystem's size.
	Journal int64
	// Noise says that what is not written reads as anything, as in an encrypted
	// device. The kernel then clears the rest of the tables once it is mounted.
	Noise bool
}

// MaxSize bounds what Plan makes; such a filesystem can still grow.
const MaxSize = 4 << 40

// An FS is a planned filesystem. It does not change but by SetBoot; its other methods may
// be called from several goroutines.
type FS struct {
	o       Options
	geo     geometry
	inodes  inodeSet
	sum     checksum
	regions []region // sorted by start: all blocks that may not be zero
	end     int64    // all blocks below end are in use
	free    int64    // free blocks
	journal *node
	resize  *node
	super   []byte // the primary superblock, 1024 bytes
	boot    []byte // what stands in front of it
	descs   []byte // the group descriptors, whole blocks
}

// Plan decides what each block of a filesystem with the tree's entries holds.
// It fails on a tree that ext4 cannot hold, such as an extended attribute larger
// than a block, and with [fault.Preflight] when the given size is too small.
func Plan(t tree.Tree, o Options) (*FS, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	inodes, err := newInodeSet(t, &o)
	if err != nil {
		return nil, err
	}
	fs := &FS{o: o, inodes: inodes, sum: newChecksum(&o), journal: newJournal(&o), resize: newResizeInode(&o)}
	if err := fs.fit(); err != nil {
		return nil, err
	}
	fs.listRegions()
	fs.descs = fs.encodeDescriptors()
	fs.super = fs.encodeSuper()
	return fs, nil
}

func (o *Options) check() error {
	switch {
	case o.UUID == [16]byte{}:
		return fmt.Errorf("ext4: the UUID is zero")
	case len(o.Label) > 16:
		return fmt.Errorf("ext4: label %q is longer than 16 bytes", o.Label)
	case o.Generation < Ext4 || o.Generation > Ext2:
		return fmt.Errorf("ext4: there is no generation %d", int(o.Generation))
	case o.Generation == Ext2 && o.Journal != 0:
		return fmt.Errorf("ext4: an ext2 has no journal")
	case o.Size < 0 || o.Free < 0 || o.FreeInodes < 0 || o.Journal < 0:
		return fmt.Errorf("ext4: a size is negative")
	case o.Size > MaxSize || o.Free > MaxSize:
		return fault.Newf(fault.Preflight, "ext4: a filesystem of %d bytes is larger than %d", max(o.Size, o.Free), int64(MaxSize)).
			WithHint("make it smaller and let it grow when it is mounted")
	case o.FreeInodes > 1<<31:
		return fmt.Errorf("ext4: %d free inodes are more than a filesystem has", o.FreeInodes)
	case o.ReservedPercent < 0 || o.ReservedPercent > 50:
		return fmt.Errorf("ext4: reserved percentage %d is not from 0 to 50", o.ReservedPercent)
	case o.BytesPerInode != 0 && (o.BytesPerInode < 1024 || o.BytesPerInode > 64<<20):
		return fmt.Errorf("ext4: bytes per inode %d is not from 1024 to %d", o.BytesPerInode, 64<<20)
	case o.Journal != 0 && (o.Journal < minJournal*blockSize || o.Journal > 1<<30):
		return fmt.Errorf("ext4: journal of %d bytes is not from %d to %d", o.Journal, minJournal*blockSize, 1<<30)
	}
	return nil
}

// Size is the filesystem's size in bytes. With [Options.Size] given it can be
// less than that, by up to a few megabytes: a last group that would hold nothing
// but tables is left out, as mke2fs does.
func (fs *FS) Size() int64 { return fs.geo.blocks * blockSize }

// BootSize is how many bytes at its start a filesystem leaves to a boot loader.
const BootSize = 1024

// SetBoot puts a boot loader's code at the filesystem's start, before it is written.
func (fs *FS) SetBoot(code []byte) error {
	if len(code) > BootSize {
		return fmt.Errorf("ext4: boot code of %d bytes is longer than %d", len(code), BootSize)
	}
	fs.boot = code
	return nil
}

// Where gives the ranges of the filesystem in which the content of a file lies, in order,
// in whole blocks: the file whose content is at an offset of a pack. There are none
// where there is no such file.
func (fs *FS) Where(pack string, offset int64) []disk.Extent {
	var out []disk.Extent
	for _, n := range fs.inodes.files {
		if n.kind != tree.File || n.pack != pack || n.offset != offset {
			continue
		}
		for _, r := range n.runs {
			out = append(out, disk.Extent{Off: r.start * blockSize, Len: r.n * blockSize})
		}
		break
	}
	return out
}

// Inodes is how many inodes there are, and how many are free.
func (fs *FS) Inodes() (all, free int64) {
	all = int64(fs.geo.groups) * int64(fs.geo.inodesPerGroup)
	return all, all - int64(fs.inodes.last)
}

// FreeBytes is the space that nothing uses, root's reserve included.
func (fs *FS) FreeBytes() int64 { return fs.free * blockSize }

// LogBytes is the size of the journal, which the kernel writes from end to end in time.
func (fs *FS) LogBytes() int64 { return fs.geo.journal * blockSize }

// Extents lists, in order, without overlap or gaps of zero, the ranges that can
// hold something else than zeros. It depends on the tree and the options alone,
// not on content: what a file holds is inside, be it zeros.
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

// MinSize is the size in bytes of the smallest filesystem of a generation.
func MinSize(g Generation) int64 {
	return [...]int64{Ext4: 7245824, Ext3: 6856704, Ext2: 2838528}[g]
}
