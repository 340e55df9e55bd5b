package btrfs

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"ingot/internal/blockfs"
	"ingot/internal/tree"
)

// A region is a range of bytes with one content: a superblock, a node of a tree, or a
// part of a file.
type region struct {
	at, n int64
	tree  *btree
	node  int
	file  *extent
}

// listRegions finds all bytes that may not be zero.
func (fs *FS) listRegions() {
	for _, at := range supers {
		if at+superSize <= fs.size {
			fs.regions = append(fs.regions, region{at: at, n: superSize})
		}
	}
	for _, t := range fs.trees {
		for i, n := range t.nodes {
			fs.regions = append(fs.regions, region{at: n.at, n: nodeSize, tree: t, node: i})
		}
	}
	for _, x := range fs.files {
		fs.regions = append(fs.regions, region{at: x.at, n: x.size, file: x})
	}
	slices.SortFunc(fs.regions, func(a, b region) int { return compare(a.at, b.at) })
}

// render fills buf with the blocks from first on.
func (fs *FS) render(r *tree.Reader, first int64, buf []byte) error {
	begin := first * blockSize
	end := begin + int64(len(buf))
	i, _ := slices.BinarySearchFunc(fs.regions, begin, func(g region, at int64) int { return compare(g.at+g.n-1, at) })
	at := begin
	for ; i < len(fs.regions) && fs.regions[i].at < end; i++ {
		g := &fs.regions[i]
		from, to := max(g.at, begin), min(g.at+g.n, end)
		clear(buf[at-begin : from-begin])
		out := buf[from-begin : to-begin]
		if g.file != nil {
			if err := g.file.read(r, from-g.at, out); err != nil {
				return err
			}
		} else {
			whole := fs.encodeSuperAt(g.at)
			if g.tree != nil {
				var err error
				if whole, err = fs.encodeNode(g.tree, g.node, r); err != nil {
					return err
				}
			}
			copy(out, whole[from-g.at:])
		}
		at = to
	}
	clear(buf[at-begin:])
	return nil
}

// read fills out with the extent's content from an offset on, and zeros behind the
// file's end.
func (x *extent) read(r *tree.Reader, offset int64, out []byte) error {
	return blockfs.Read(r, x.n.entry.Content, x.off+offset, out)
}

// encodeNode makes a node of a tree.
func (fs *FS) encodeNode(t *btree, i int, r *tree.Reader) ([]byte, error) {
	n := &t.nodes[i]
	e := make(encoder, 0, nodeSize)
	e.zeros(sumEnd)
	e.id(fs.ids.fs)
	e.i64(n.at)
	e.u64(written | newRefs)
	e.id(fs.ids.chunks)
	e.u64(generation, t.owner)
	e.u32(uint32(n.to - n.from))
	e.u8(n.level)
	if n.level > 0 {
		for j := n.from; j < n.to; j++ {
			e.key(t.first(j))
			e.i64(t.nodes[j].at)
			e.u64(generation)
		}
		e.zeros(nodeSize - len(e))
		seal(e)
		return e, nil
	}
	b := e[:nodeSize]
	end := leafSpace
	for j := n.from; j < n.to; j++ {
		it := &t.items[j]
		end -= int(it.size)
		e.key(it.key)
		e.u32(uint32(end), uint32(it.size))
		if it.kind == sumKind {
			if err := fs.sums(it, b[headSize+end:][:it.size], r); err != nil {
				return nil, err
			}
			continue
		}
		data, err := fs.encode(it, r)
		if err != nil {
			return nil, err
		}
		copy(b[headSize+end:], data)
	}
	seal(b)
	return b, nil
}

// sums fills out with the checksums of the blocks that an item is of.
func (fs *FS) sums(it *item, out []byte, r *tree.Reader) error {
	at := int64(it.offset)
	end := at + int64(len(out))/sumSize*blockSize
	buf := make([]byte, 1<<20)
	for _, x := range fs.between(at, end) {
		for at < min(end, x.at+x.size) {
			part := buf[:min(int64(len(buf)), min(end, x.at+x.size)-at)]
			if err := x.read(r, at-x.at, part); err != nil {
				return err
			}
			for ; len(part) > 0; part = part[blockSize:] {
				binary.LittleEndian.PutUint32(out, crc32.Checksum(part[:blockSize], castagnoli))
				out = out[sumSize:]
				at += blockSize
			}
		}
	}
	return nil
}
