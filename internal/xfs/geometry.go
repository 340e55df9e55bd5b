package xfs

// The sizes that do not change.
const (
	blockSize     = 4096
	sectorsIn     = blockSize / 512 // a block's address counts sectors of 512 bytes
	inodeSize     = 512
	inodesInBlock = blockSize / inodeSize
	inodesInChunk = 64
	chunkBlocks   = inodesInChunk / inodesInBlock
	maxExtent     = 1<<21 - 1 // blocks; an extent's length has 21 bits
	freeList      = 4         // blocks kept for the two trees of free space to grow
	treeRoots     = 5
	maxGroups     = 1 << 16
	minGroup      = 16 << 20 / blockSize   // blocks; mkfs.xfs makes none smaller
	maxGroup      = 1<<40/blockSize - 1    // blocks
	minLog        = 64 << 20 / blockSize   // blocks, as mkfs.xfs has it
	maxLog        = 2038 << 20 / blockSize // blocks, the format's limit
)

// Numbers that stand for no block and no inode.
const (
	nullBlock = 0xffffffff
	nullInode = 0xffffffff
)

// A run is a range of blocks, counted from the filesystem's start without gaps.
// The numbers in the filesystem have gaps between groups: see [geometry.block].
type run struct {
	start, n int64
}

func (r run) end() int64 { return r.start + r.n }

// A geometry says where the heads of groups and the log lie.
type geometry struct {
	blocks      int64
	groupBlocks int64 // in every group but the last
	groups      int
	groupLog    uint // bits of a block's number within its group
	head        int64
	log         int64 // blocks
}

// newGeometry divides a filesystem of so many blocks as mkfs.xfs does: in four
// groups, or in more where those would be larger than a tebibyte. It says false
// where that cannot be done.
func newGeometry(blocks int64, o *Options) (geometry, bool) {
	g := geometry{blocks: blocks, groups: 4, head: ceilDiv(4*int64(o.SectorSize), blockSize)}
	if o.Groups > 0 {
		g.groups = o.Groups
	}
	g.groupBlocks = min(ceilDiv(blocks, int64(g.groups)), maxGroup)
	g.groups = int(ceilDiv(blocks, g.groupBlocks))
	if last := g.length(g.groups - 1); last < minGroup {
		g.groups--
		g.blocks -= last
	}
	for 1<<g.groupLog < g.groupBlocks {
		g.groupLog++
	}
	if g.log = o.Log / blockSize; g.log == 0 {
		g.log = min(max(blocks/2048, minLog), maxLog)
	}
	return g, g.groups > 1 && g.length(g.logGroup())-g.fixed(g.logGroup()) > g.reserve(g.logGroup())
}

// logGroup is the group with the log. It is never the first, where inodes are.
func (g *geometry) logGroup() int { return g.groups / 2 }

// start is a group's first block.
func (g *geometry) start(group int) int64 { return int64(group) * g.groupBlocks }

// length is how many blocks a group has. Those behind the last, which exist only
// while a size is searched for, are whole.
func (g *geometry) length(group int) int64 {
	if group >= g.groups {
		return g.groupBlocks
	}
	return min(g.groupBlocks, g.blocks-g.start(group))
}

// root is the place in a group of a tree's root.
func (g *geometry) root(t treeKind) int64 { return g.head + int64(t) }

// listed is the place in a group of the free list's blocks.
func (g *geometry) listed() int64 { return g.head + treeRoots }

// logStart is the place of the log in its group.
func (g *geometry) logStart() int64 { return g.listed() + freeList }

// fixed is how many blocks at a group's start have their place before any content.
func (g *geometry) fixed(group int) int64 {
	if group == g.logGroup() {
		return g.logStart() + g.log
	}
	return g.listed() + freeList
}

// block is a block's number as the filesystem says it: the group's number above
// the place in the group.
func (g *geometry) block(at int64) uint64 {
	return uint64(at/g.groupBlocks)<<g.groupLog | uint64(at%g.groupBlocks)
}

// reserve is how many blocks of a group are kept free: what its trees of free
// inodes and of shared blocks can grow to, which the kernel takes aside when it
// mounts, and some for the other trees.
func (g *geometry) reserve(group int) int64 {
	const slack = 16
	return g.kernelReserve(group) + slack
}

// kernelReserve is what the kernel sets aside in a group: the most that the two
// trees can need when all their blocks are half full, less their roots.
func (g *geometry) kernelReserve(group int) int64 {
	n := g.length(group)
	if group == g.logGroup() {
		n -= g.log
	}
	return treeBlocks(n*inodesInBlock/inodesInChunk, 126, 252) + treeBlocks(n, 168, 252) - 2
}

// treeBlocks is how many blocks a tree of n records has with so many records in
// a leaf and entries in a node.
func treeBlocks(n, leaf, node int64) int64 {
	level := max(ceilDiv(n, leaf), 1)
	all := level
	for level > 1 {
		level = ceilDiv(level, node)
		all += level
	}
	return all
}

// kept is how many free blocks nobody can write to: the reserves of groups, eight
// blocks a group for the trees of free space, and a twentieth of all blocks, at
// most 8192, for what the kernel has promised.
func (g *geometry) kept() int64 {
	n := int64(g.groups)*8 + min(g.blocks/20, 8192)
	for group := range g.groups {
		n += g.kernelReserve(group)
	}
	return n
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }
