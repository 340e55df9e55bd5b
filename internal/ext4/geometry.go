package ext4

// The sizes that do not change.
const (
	blockSize      = 4096
	sectorsInBlock = blockSize / 512 // i_blocks counts sectors
	blocksPerGroup = 8 * blockSize   // as many as a bitmap of one block has bits
	inodeSize      = 256
	inodesInBlock  = blockSize / inodeSize
	maxGroupInodes = 8 * blockSize
	descSize64     = 64            // of a group descriptor with 64bit
	descSize32     = 32            // without
	addrsInBlock   = blockSize / 4 // block numbers in an indirect block
	maxFlexLog     = 4             // up to 16 groups keep their tables together
	growTo         = 2 << 40       // bytes for which descriptors are reserved at least
	journalSlack   = 32            // blocks of such a transaction besides them, with room
	minLastGroup   = 50            // free blocks without which a last group is left out
)

// A run is a range of blocks.
type run struct {
	start, n int64
}

func (r run) end() int64 { return r.start + r.n }

// A geometry says where the tables of a filesystem lie.
type geometry struct {
	blocks         int64
	groups         int
	inodesPerGroup int
	tableBlocks    int // of one group's inode table
	descBlocks     int
	reserved       int // blocks kept for more descriptors
	journal        int64
	flexLog        int
	descSize       int
}

func (g *geometry) descsInBlock() int64 { return int64(blockSize / g.descSize) }

// newGeometry lays out a filesystem of about the given number of blocks with at
// least so many inodes. A last group too small for its tables is rounded away:
// up if grow is set, else down.
func newGeometry(generation Generation, blocks, inodes, bytesPerInode, journal int64, grow bool) geometry {
	if grow {
		blocks = max(blocks, (ceilDiv(inodes, maxGroupInodes)-1)*blocksPerGroup+1)
	}
	for {
		g := geometry{blocks: blocks, groups: int(ceilDiv(blocks, blocksPerGroup)), descSize: descSize64}
		if generation != Ext4 {
			g.descSize = descSize32
		}
		perGroup := max(blocksPerGroup*blockSize/bytesPerInode, ceilDiv(inodes, int64(g.groups)))
		g.inodesPerGroup = int(min(ceilDiv(perGroup, inodesInBlock)*inodesInBlock, maxGroupInodes))
		g.tableBlocks = g.inodesPerGroup / inodesInBlock
		g.descBlocks = int(ceilDiv(int64(g.groups), g.descsInBlock()))
		if generation != Ext2 {
			g.journal = journalBlocks(journal, blocks)
		}
		g.reserve()
		if generation == Ext4 {
			g.flexLog = maxFlexLog
		}
		for g.flexLog > 0 && (2+g.tableBlocks)<<g.flexLog > blocksPerGroup/2 {
			g.flexLog--
		}
		last := g.groups - 1
		need := g.firstFree(last) - g.start(last) + minLastGroup
		if g.groupBlocks(last) >= need {
			return g
		}
		if grow {
			blocks = g.start(last) + need
		} else if last > 0 {
			blocks = g.start(last)
		} else {
			return g // too small for anything; the caller finds no free block
		}
	}
}

// reserve sets how many blocks are reserved for descriptors: enough to grow to
// growTo or, as with mke2fs, to 1024 times the size. When it adds groups, the
// kernel may write all of them in one transaction, which takes at most a quarter
// of the journal; if they are more, it refuses to grow at all.
func (g *geometry) reserve() {
	limit := max(min(g.blocks*1024, 1<<32-1), growTo/blockSize)
	all := int(ceilDiv(ceilDiv(limit, blocksPerGroup), g.descsInBlock()))
	if g.journal > 0 {
		all = min(all, int(g.journal/4)-journalSlack)
	}
	g.reserved = max(0, min(all, addrsInBlock)-g.descBlocks)
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

func (g *geometry) start(group int) int64 { return int64(group) * blocksPerGroup }

func (g *geometry) groupBlocks(group int) int64 {
	return min(g.blocks-g.start(group), blocksPerGroup)
}

// hasSuper says whether a group begins with a copy of the superblock and the
// descriptors: 0, 1 and the powers of 3, 5 and 7.
func hasSuper(group int) bool {
	if group <= 1 {
		return true
	}
	for _, base := range [...]int{3, 5, 7} {
		p := base
		for p < group {
			p *= base
		}
		if p == group {
			return true
		}
	}
	return false
}

// superBlocks is how many blocks of a group superblock and descriptors take.
func (g *geometry) superBlocks(group int) int64 {
	if !hasSuper(group) {
		return 0
	}
	return int64(1 + g.descBlocks + g.reserved)
}

// leader is the group that holds the tables of a group, and how many groups'
// tables those are.
func (g *geometry) leader(group int) (first, n int) {
	first = group >> g.flexLog << g.flexLog
	return first, min(1<<g.flexLog, g.groups-first)
}

func (g *geometry) blockBitmap(group int) int64 {
	first, _ := g.leader(group)
	return g.start(first) + g.superBlocks(first) + int64(group-first)
}

func (g *geometry) inodeBitmap(group int) int64 {
	_, n := g.leader(group)
	return g.blockBitmap(group) + int64(n)
}

func (g *geometry) inodeTable(group int) int64 {
	first, n := g.leader(group)
	return g.start(first) + g.superBlocks(first) + int64(2*n) + int64(group-first)*int64(g.tableBlocks)
}

// firstFree is the first block of a group that holds no superblock, descriptor
// or table. In a group that is alone smaller than its tables it lies behind the group.
func (g *geometry) firstFree(group int) int64 {
	free := g.start(group) + g.superBlocks(group)
	if first, n := g.leader(group); first == group {
		free += int64(n) * int64(2+g.tableBlocks)
	}
	return free
}

// fixed is the tables' runs in order, at most one a group.
func (g *geometry) fixed() []run {
	var out []run
	for group := range g.groups {
		if r := (run{g.start(group), g.firstFree(group) - g.start(group)}); r.n > 0 {
			out = append(out, r)
		}
	}
	return out
}

// overhead is how many blocks the tables take.
func (g *geometry) overhead() int64 {
	var n int64
	for _, r := range g.fixed() {
		n += r.n
	}
	return n
}
