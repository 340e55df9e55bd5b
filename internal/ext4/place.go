package ext4

import (
	"ingot/internal/fault"
)

// A placer hands out blocks from the front, around the tables.
type placer struct {
	fixed []run // tables not passed yet
	next  int64
	used  int64
	maps  bool // of blocks, in place of extents
}

func (p *placer) take(n int64) []run {
	if n == 0 {
		return nil
	}
	out := make([]run, 0, 1)
	for n > 0 {
		if len(p.fixed) > 0 && p.next >= p.fixed[0].start {
			p.next = max(p.next, p.fixed[0].end())
			p.fixed = p.fixed[1:]
			continue
		}
		k := min(n, maxExtent)
		if len(p.fixed) > 0 {
			k = min(k, p.fixed[0].start-p.next)
		}
		out = append(out, run{p.next, k})
		p.next += k
		p.used += k
		n -= k
	}
	return out
}

// place gives every inode its blocks in one geometry, and says how many that are
// and where they end. It goes past the filesystem's end if it must.
func (fs *FS) place(g *geometry) (used, end int64) {
	p := placer{fixed: g.fixed(), maps: fs.o.Generation != Ext4}
	p.node(fs.journal)
	fs.resize.runs, fs.resize.reserved = p.take(1), g.reservedBlocks()
	for _, n := range fs.inodes.dirs {
		p.node(n)
	}
	for _, b := range fs.inodes.blocks {
		b.at = p.take(1)[0].start
	}
	for _, n := range fs.inodes.links {
		p.node(n)
	}
	for _, n := range fs.inodes.files {
		p.node(n)
	}
	return p.used, p.next
}

// node places an inode's content and, behind it, the blocks of its extent tree.
func (p *placer) node(n *node) {
	n.runs = p.take(n.contentBlocks())
	n.index = nil
	index := int64(indexBlocks(len(n.runs)))
	if p.maps {
		index = mapBlocks(n.contentBlocks())
	}
	for _, r := range p.take(index) {
		for b := r.start; b < r.end(); b++ {
			n.index = append(n.index, b)
		}
	}
}

// fit finds the geometry: the given size, or the smallest, found from below,
// that has room for the content, Free and what root and the kernel keep back.
func (fs *FS) fit() error {
	if blocks := fs.o.Size / blockSize; blocks > 0 && fs.try(fs.newGeometry(blocks, false)) <= 0 {
		return nil
	}
	for blocks := int64(1); blocks <= MaxSize/blockSize; {
		g := fs.newGeometry(blocks, true)
		if missing := fs.try(g); missing > 0 {
			blocks = g.blocks + missing
			continue
		}
		if fs.o.Size > 0 {
			return fault.Newf(fault.Preflight, "ext4: content and free space do not fit into a filesystem of %d bytes", fs.o.Size).
				WithHint("give it at least %d bytes", g.blocks*blockSize)
		}
		return nil
	}
	return fault.Newf(fault.Preflight, "ext4: content and free space need more than the %d bytes that a new filesystem may have", int64(MaxSize))
}

func (fs *FS) bytesPerInode() int64 {
	if fs.o.BytesPerInode > 0 {
		return fs.o.BytesPerInode
	}
	return 16384
}

// wantedInodes is how many inodes there must be, used or free.
func (fs *FS) wantedInodes() int64 {
	return int64(fs.inodes.last) + fs.o.FreeInodes + fs.o.Free/fs.bytesPerInode()
}

func (fs *FS) newGeometry(blocks int64, grow bool) geometry {
	return newGeometry(fs.o.Generation, blocks, fs.wantedInodes(), fs.bytesPerInode(), fs.o.Journal, grow)
}

// try places all in a geometry and says how many blocks are missing at least.
func (fs *FS) try(g geometry) (missing int64) {
	fs.journal.size = g.journal * blockSize
	used, end := fs.place(&g)
	fs.geo, fs.end = g, end
	fs.free = g.blocks - g.overhead() - used
	missing = ceilDiv(fs.o.Free, blockSize) + fs.reservedBlocks(g.blocks) - fs.free
	if fs.o.Free > 0 && fs.o.Generation == Ext4 {
		missing += kernelReserve(g.blocks)
	}
	if int64(g.groups)*int64(g.inodesPerGroup) < fs.wantedInodes() {
		missing = max(missing, 1) // only in a size that was given
	}
	return missing
}

func (fs *FS) reservedBlocks(blocks int64) int64 {
	return blocks * int64(fs.o.ReservedPercent) / 100
}

// kernelReserve is what the kernel keeps back from everyone to be able to write
// what it has promised: 2 % of all blocks, at most 4096. df does not count it as available.
func kernelReserve(blocks int64) int64 { return min(blocks/50, 4096) }

// usedBlocks is how many blocks of a group hold something or are kept for it.
// They are the group's first, as everything is placed from the front.
func (fs *FS) usedBlocks(group int) int64 {
	start := fs.geo.start(group)
	return max(min(fs.end-start, fs.geo.groupBlocks(group)), fs.geo.firstFree(group)-start)
}
