package xfs

import "ingot/internal/fault"

// A group is what an allocation group holds, its places counted from its start.
type group struct {
	inodes run   // chunks of inodes
	first  int64 // inodes in groups before it
	used   int64 // inodes of its chunks that are in use
	tree   inodeTree
	free   []run
}

// count is how many inodes there are in the group.
func (g *group) count() int64 { return g.inodes.n * inodesInBlock }

// A placer hands out blocks from the front, around the heads, the log and what is
// kept free.
type placer struct {
	geo    *geometry
	groups []group
	group  int
	next   int64 // in the group
	over   int64 // blocks given behind the filesystem's end
}

// give counts n blocks as given.
func (p *placer) give(n int64) {
	p.next += n
	if p.group >= p.geo.groups {
		p.over += n
	}
}

// take gives n blocks, in as few pieces as can be.
func (p *placer) take(n int64) []run {
	if n == 0 {
		return nil
	}
	out := make([]run, 0, 1)
	for n > 0 {
		left := p.geo.length(p.group) - p.geo.reserve(p.group) - p.next
		if left <= 0 {
			p.leave()
			continue
		}
		k := min(n, left, maxExtent)
		out = append(out, run{p.geo.start(p.group) + p.next, k})
		p.give(k)
		n -= k
	}
	return out
}

// leave goes to the next group.
func (p *placer) leave() {
	p.close()
	p.group++
	p.open()
}

// close keeps the rest of the group as free.
func (p *placer) close() {
	g := &p.groups[p.group]
	if n := p.geo.length(p.group) - p.next; n > 0 {
		g.free = append(g.free, run{p.next, n})
	}
}

func (p *placer) open() {
	if p.group == len(p.groups) {
		p.groups = append(p.groups, group{})
	}
	p.next = p.geo.fixed(p.group)
}

// chunks places inodes at the front of as many groups as it takes.
func (p *placer) chunks(inodes int64) {
	left := ceilDiv(inodes, inodesInChunk)
	var before int64
	for {
		g := &p.groups[p.group]
		start := ceilDiv(p.next, chunkBlocks) * chunkBlocks
		room := p.geo.length(p.group) - p.geo.reserve(p.group) - start
		n := min(left, room/chunkBlocks)
		for n > 0 && n*chunkBlocks+newInodeTree(n).below() > room {
			n--
		}
		if n > 0 {
			if start > p.next {
				g.free = append(g.free, run{p.next, start - p.next})
			}
			g.inodes = run{start, n * chunkBlocks}
			g.first, g.used = before, min(n*inodesInChunk, inodes-before)
			g.tree = newInodeTree(n)
			g.tree.start = g.inodes.end()
			p.next = start
			p.give(g.inodes.n + g.tree.below())
			before += g.used
			left -= n
		}
		if left == 0 {
			return
		}
		p.leave()
	}
}

// place gives every inode its number and its blocks in one geometry, and says how
// many blocks lie behind the filesystem's end.
func (fs *FS) place(g *geometry) (over int64, err error) {
	p := placer{geo: g}
	p.open()
	p.chunks(fs.inodes.count())
	for i := range p.groups {
		gr := &p.groups[i]
		base := uint64(i)<<(g.groupLog+3) | uint64(gr.inodes.start)*inodesInBlock
		for k := range gr.used {
			fs.inodes.all[gr.first+k].ino = base + uint64(k)
		}
	}
	for _, kind := range [][]*node{fs.inodes.dirs, fs.inodes.links, fs.inodes.others, fs.inodes.files} {
		for _, n := range kind {
			if !p.node(n) && p.over == 0 {
				return 0, fault.Newf(fault.Preflight, "xfs: /%s is in %d pieces, more than its inode can list", n.path, len(n.data))
			}
		}
	}
	p.close()
	for len(p.groups) < g.groups {
		p.group++
		p.open()
		p.close()
	}
	fs.geo, fs.groups, fs.free = *g, p.groups, 0
	for _, gr := range p.groups {
		fs.free += freeList
		for _, r := range gr.free {
			fs.free += r.n
		}
	}
	return p.over, nil
}

// node places an inode's content and attributes. It says false where these are
// more pieces than the inode can list.
func (p *placer) node(n *node) bool {
	n.data = n.data[:0]
	for _, part := range n.parts() {
		at := part.at
		for _, r := range p.take(part.n) {
			n.data = append(n.data, extent{file: at, run: r})
			at += r.n
		}
	}
	n.fork = n.split(len(n.data))
	n.attrRuns = nil
	if n.fork.out {
		n.attrRuns = p.take(n.attrs.blocks())
	}
	return len(n.data)*extentSize <= n.fork.data && (!n.fork.out || len(n.attrRuns)*extentSize <= n.fork.attr)
}

// fit finds the geometry: the given size, or the smallest, found from below,
// that has room for the content, Free and what the kernel keeps back.
func (fs *FS) fit() error {
	if blocks := fs.o.Size / blockSize; blocks >= MinSize/blockSize {
		missing, err := fs.try(blocks)
		if err != nil || missing <= 0 {
			return err
		}
	}
	for blocks := int64(MinSize / blockSize); blocks <= MaxSize/blockSize; {
		missing, err := fs.try(blocks)
		if err != nil {
			return err
		}
		if missing > 0 {
			blocks += missing
			continue
		}
		if fs.o.Size > 0 {
			return fault.Newf(fault.Preflight, "xfs: content and free space do not fit into a filesystem of %d bytes", fs.o.Size).
				WithHint("give it at least %d bytes", fs.Size())
		}
		return nil
	}
	return fault.Newf(fault.Preflight, "xfs: content and free space need more than the %d bytes that a new filesystem may have", int64(MaxSize))
}

// try places all in a filesystem of so many blocks and says how many are missing
// at least.
func (fs *FS) try(blocks int64) (missing int64, err error) {
	g, ok := newGeometry(blocks, &fs.o)
	if !ok { // too small for such groups or such a log
		return max(blocks/8, 1), nil
	}
	over, err := fs.place(&g)
	if err != nil || over > 0 {
		return over, err
	}
	return ceilDiv(fs.o.Free, blockSize) + g.kept() - fs.free, nil
}
