package ext4

import (
	"cmp"
	"slices"

	"ingot/internal/blockfs"
	"ingot/internal/tree"
)

// A content says what a region holds.
type content uint8

const (
	superContent content = iota
	descContent
	reservedContent
	blockBitmapContent
	inodeBitmapContent
	tableContent
	journalContent
	resizeContent
	dirContent
	attrContent
	linkContent
	indexContent
	fileContent
)

// A region is a run of blocks of one content.
type region struct {
	run
	what content
	node *node
	attr *attrBlock
	arg  int64 // a group, an index, or the number of the run's first block in its file
}

// listRegions finds all blocks that may not be zero.
func (fs *FS) listRegions() {
	g := &fs.geo
	add := func(what content, start, n, arg int64) {
		if n > 0 {
			fs.regions = append(fs.regions, region{run: run{start, n}, what: what, arg: arg})
		}
	}
	for group := range g.groups {
		start, arg := g.start(group), int64(group)
		if hasSuper(group) {
			add(superContent, start, 1, arg)
			add(descContent, start+1, int64(g.descBlocks), 0)
		}
		flags := fs.groupFlags(group)
		if flags&blocksUnused == 0 {
			add(blockBitmapContent, g.blockBitmap(group), 1, arg)
		}
		if flags&inodesUnused == 0 {
			add(inodeBitmapContent, g.inodeBitmap(group), 1, arg)
		}
		table := ceilDiv(int64(fs.usedInodes(group)), inodesInBlock)
		if fs.o.Noise && fs.sum.none { // nothing tells the kernel to clear it
			table = int64(g.tableBlocks)
		}
		add(tableContent, g.inodeTable(group), table, arg)
	}
	if len(g.copies()) > 0 || fs.o.Noise {
		add(reservedContent, int64(1+g.descBlocks), int64(g.reserved), 0)
	}
	if g.journal > 0 {
		add(journalContent, fs.journal.runs[0].start, 1, 0)
	}
	add(resizeContent, fs.resize.runs[0].start, 1, 0)
	fs.addNode(journalContent, fs.journal)
	for _, n := range fs.inodes.dirs {
		fs.addNode(dirContent, n)
	}
	for _, b := range fs.inodes.blocks {
		fs.regions = append(fs.regions, region{run: run{b.at, 1}, what: attrContent, attr: b})
	}
	for _, n := range fs.inodes.links {
		fs.addNode(linkContent, n)
	}
	for _, n := range fs.inodes.files {
		fs.addNode(fileContent, n)
	}
	slices.SortFunc(fs.regions, func(a, b region) int { return cmp.Compare(a.start, b.start) })
}

func (fs *FS) addNode(what content, n *node) {
	at := int64(0)
	for _, r := range n.runs {
		if what != journalContent { // whose blocks are zero but for the first
			fs.regions = append(fs.regions, region{run: r, what: what, node: n, arg: at})
		}
		at += r.n
	}
	for i, b := range n.index {
		fs.regions = append(fs.regions, region{run: run{b, 1}, what: indexContent, node: n, arg: int64(i)})
	}
}

// render fills buf with the blocks from first on.
func (fs *FS) render(r *tree.Reader, first int64, buf []byte) error {
	end := first + int64(len(buf)/blockSize)
	i, _ := slices.BinarySearchFunc(fs.regions, first, func(r region, at int64) int { return cmp.Compare(r.end()-1, at) })
	at := first
	for ; i < len(fs.regions) && fs.regions[i].start < end; i++ {
		reg := &fs.regions[i]
		from, to := max(reg.start, first), min(reg.end(), end)
		clear(buf[(at-first)*blockSize : (from-first)*blockSize])
		out := buf[(from-first)*blockSize : (to-first)*blockSize]
		if reg.what == fileContent {
			if err := reg.node.read(r, (reg.arg+from-reg.start)*blockSize, out); err != nil {
				return err
			}
		} else {
			for b := from; b < to; b, out = b+1, out[blockSize:] {
				fs.encodeBlock(reg, b-reg.start, out[:blockSize])
			}
		}
		at = to
	}
	clear(buf[(at-first)*blockSize:])
	return nil
}

// encodeBlock makes one block of a region, counted from the region's start.
func (fs *FS) encodeBlock(r *region, i int64, out []byte) {
	switch r.what {
	case superContent:
		fs.encodeSuperBlock(int(r.arg), out)
	case descContent:
		copy(out, fs.descs[i*blockSize:])
	case reservedContent:
		fs.encodeReserved(r.start+i, out)
	case blockBitmapContent:
		fs.encodeBlockBitmap(int(r.arg), out)
	case inodeBitmapContent:
		fs.encodeInodeBitmap(int(r.arg), out)
	case tableContent:
		fs.encodeTable(uint32(r.arg*int64(fs.geo.inodesPerGroup)+i*inodesInBlock+1), out)
	case journalContent:
		fs.encodeJournal(out)
	case resizeContent:
		fs.encodeResizeTop(out)
	case dirContent:
		r.node.dir.encode(r.node.ino, r.arg+i, fs.sum.inode(r.node.ino), out)
	case attrContent:
		r.attr.encode(fs.sum, out)
	case linkContent:
		clear(out)
		copy(out, r.node.link)
	case indexContent:
		if fs.o.Generation == Ext4 {
			r.node.encodeIndex(int(r.arg), fs.sum.inode(r.node.ino), out)
		} else {
			r.node.encodeMapBlock(int(r.arg), out)
		}
	case fileContent: // read, not made
	}
}

// read fills out with a file's content from an offset on, and zeros behind its end.
func (n *node) read(r *tree.Reader, offset int64, out []byte) error {
	return blockfs.Read(r, tree.Content{Pack: n.pack, Offset: n.offset, Size: n.size}, offset, out)
}
