package xfs

import (
	"cmp"
	"slices"

	"ingot/internal/blockfs"
	"ingot/internal/tree"
)

// A content says what a region holds.
type content uint8

const (
	headContent content = iota
	treeContent
	inodeContent
	logContent
	dirContent
	linkContent
	attrContent
	fileContent
)

// A region is a run of blocks of one content.
type region struct {
	run
	what content
	node *node
	arg  int64 // a group, or the number of the run's first block in its file
}

// listRegions finds all blocks that may not be zero.
func (fs *FS) listRegions() {
	g := &fs.geo
	for i := range fs.groups {
		gr, start := &fs.groups[i], g.start(i)
		add := func(what content, at, n int64) {
			if n > 0 {
				fs.regions = append(fs.regions, region{run: run{start + at, n}, what: what, arg: int64(i)})
			}
		}
		add(headContent, 0, g.head+treeRoots)
		add(inodeContent, gr.inodes.start, gr.inodes.n)
		add(treeContent, gr.tree.start, gr.tree.below())
		if i == g.logGroup() {
			n := int64(1)
			if fs.o.Noise {
				n = g.log
			}
			add(logContent, g.logStart(), n)
		}
	}
	for _, n := range fs.inodes.all {
		what := fileContent
		switch {
		case n.dir != nil:
			what = dirContent
		case n.kind == tree.Symlink:
			what = linkContent
		}
		for _, e := range n.data {
			fs.regions = append(fs.regions, region{run: e.run, what: what, node: n, arg: e.file})
		}
		at := int64(0)
		for _, r := range n.attrRuns {
			fs.regions = append(fs.regions, region{run: r, what: attrContent, node: n, arg: at})
			at += r.n
		}
	}
	slices.SortFunc(fs.regions, func(a, b region) int { return cmp.Compare(a.start, b.start) })
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
				fs.encodeBlock(reg, b, out[:blockSize])
			}
		}
		at = to
	}
	clear(buf[(at-first)*blockSize:])
	return nil
}

// encodeBlock makes the block of a region that lies at a place.
func (fs *FS) encodeBlock(r *region, at int64, out []byte) {
	i := at - r.start
	switch r.what {
	case headContent:
		fs.encodeHead(int(r.arg), i, out)
	case treeContent:
		fs.encodeInodeTree(int(r.arg), i+1, out)
	case inodeContent:
		fs.encodeInodes(int(r.arg), i, out)
	case logContent:
		clear(out)
		if i == 0 {
			fs.encodeLog(out)
		}
	case dirContent:
		fs.encodeDir(r.node, r.arg+i, at, out)
	case linkContent:
		fs.encodeLink(r.node, at, out)
	case attrContent:
		fs.encodeAttrs(r.node, r.arg+i, at, out)
	case fileContent: // read, not made
	}
}

// read fills out with a file's content from an offset on, and zeros behind its end.
func (n *node) read(r *tree.Reader, offset int64, out []byte) error {
	return blockfs.Read(r, tree.Content{Pack: n.pack, Offset: n.offset, Size: n.size}, offset, out)
}
