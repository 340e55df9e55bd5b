package btrfs

import (
	"slices"

	"ingot/internal/disk"
	"ingot/internal/fault"
)

// Types of chunks.
const (
	dataChunk     = 1
	systemChunk   = 2
	metadataChunk = 4
)

const (
	firstByte  = mib // what is before belongs to boot loaders and the superblock
	systemSize = 4 * mib
	maxChunk   = 1 << 30
	stripe     = 64 << 10 // around a superblock nothing else lies
	leastData  = 8 * mib
	spareMeta  = 32 * mib // what the kernel keeps for changes, beside what is in use
)

// supers are the places of superblocks on the device.
var supers = [...]int64{64 << 10, 64 * mib, 256 << 30}

// A chunk is a range of the device with one kind of content.
type chunk struct {
	disk.Extent
	kind uint64
	used int64
}

// A cursor hands out what chunks have, around superblocks.
type cursor struct {
	free []disk.Extent
}

// over makes a cursor of the chunks of a kind.
func over(chunks []chunk, kind uint64) *cursor {
	c := &cursor{}
	for _, ch := range chunks {
		if ch.kind != kind {
			continue
		}
		at := ch.Off
		for _, s := range supers {
			if s >= at && s < ch.End() {
				c.free = append(c.free, disk.Extent{Off: at, Len: s - at})
				at = s + stripe
			}
		}
		c.free = append(c.free, disk.Extent{Off: at, Len: ch.End() - at})
	}
	return c
}

// take gives up to most bytes in one piece, at least least; none is none.
func (c *cursor) take(least, most int64) disk.Extent {
	for len(c.free) > 0 && c.free[0].Len < least {
		c.free = c.free[1:]
	}
	if len(c.free) == 0 {
		return disk.Extent{}
	}
	e := disk.Extent{Off: c.free[0].Off, Len: min(most, c.free[0].Len)}
	c.free[0].Off += e.Len
	c.free[0].Len -= e.Len
	return e
}

// place finds chunks that hold everything, and fits the filesystem around them.
func (fs *FS) place() error {
	for meta := int64(0); ; {
		need, ok := fs.try(meta)
		if ok {
			break
		}
		meta = need
	}
	end := fs.chunks[len(fs.chunks)-1].End()
	var data, used int64
	for i, c := range fs.chunks {
		if c.kind == dataChunk {
			data += c.Len
			used += fs.chunks[i].used
		}
	}
	free := data - used
	// More files need more of everything else.
	least := max(MinSize, end+32*mib)
	want := max(least, end+roundUp(max(0, fs.o.Free+fs.o.Free/16-free), mib))
	fs.size = want
	if fs.o.Size > 0 {
		if fs.size = fs.o.Size / blockSize * blockSize; fs.size < least || fs.o.Free > 0 && fs.size < want {
			return fault.Newf(fault.Preflight, "btrfs: %d bytes are too few: it needs %d", fs.o.Size, want)
		}
	}
	fs.free = free + fs.size - end
	fs.finish()
	return nil
}

// try places everything with at least so much room for metadata, and says how much is
// needed where it is too little.
func (fs *FS) try(meta int64) (need int64, ok bool) {
	fs.layChunks(meta)
	fs.placeFiles()
	fs.listTrees()
	most := int64(0)
	for _, c := range fs.chunks {
		if c.kind == metadataChunk {
			most += c.Len
		}
	}
	// What is in use is itself in trees, which take room.
	extents, free := fs.find(extentsID), fs.find(freeID)
	for {
		used := fs.placeTrees()
		if need = roundUp(used+used/2+spareMeta, mib); need > most {
			return need, false
		}
		before := [2]int{len(extents.nodes), len(free.nodes)}
		if fs.listPlaces(); before == [2]int{len(extents.nodes), len(free.nodes)} {
			fs.placeTrees()
			return need, true
		}
	}
}

// layChunks divides the device from the front.
func (fs *FS) layChunks(meta int64) {
	fs.chunks = []chunk{{Extent: disk.Extent{Off: firstByte, Len: systemSize}, kind: systemChunk}}
	at := int64(firstByte + systemSize)
	lay := func(kind uint64, size, unit int64) {
		for size > 0 {
			n := min(maxChunk, roundUp(size, unit))
			for _, s := range supers {
				if s >= at && s < at+n {
					size += stripe
				}
			}
			n = min(maxChunk, roundUp(size, unit))
			fs.chunks = append(fs.chunks, chunk{Extent: disk.Extent{Off: at, Len: n}, kind: kind})
			at += n
			size -= n
		}
	}
	lay(metadataChunk, max(meta, spareMeta), mib)
	var data int64
	for _, v := range fs.volumes {
		for _, n := range v.inodes {
			if !n.inline() {
				data += n.bytes()
			}
		}
	}
	lay(dataChunk, max(data, leastData), mib)
}

// placeFiles gives each file its extents.
func (fs *FS) placeFiles() {
	c := over(fs.chunks, dataChunk)
	fs.files = fs.files[:0]
	for _, v := range fs.volumes {
		for _, n := range v.inodes {
			n.data = n.data[:0]
			if n.inline() {
				continue
			}
			for off, end := int64(0), n.bytes(); off < end; {
				e := c.take(blockSize, min(end-off, maxExtent))
				x := &extent{n, off, e.Off, e.Len}
				n.data = append(n.data, x)
				fs.files = append(fs.files, x)
				off += e.Len
			}
		}
	}
	for i := range fs.chunks {
		ch := &fs.chunks[i]
		ch.used = 0
		if ch.kind == dataChunk {
			for _, x := range fs.between(ch.Off, ch.End()) {
				ch.used += x.size
			}
		}
	}
}

// between are the files' extents in a range of logical addresses.
func (fs *FS) between(from, to int64) []*extent {
	i, _ := slices.BinarySearchFunc(fs.files, from, func(x *extent, at int64) int { return compare(x.at+x.size-1, at) })
	j, _ := slices.BinarySearchFunc(fs.files, to, func(x *extent, at int64) int { return compare(x.at, at) })
	return fs.files[i:max(i, j)]
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// placeTrees gives each node its place, and says how many bytes those in metadata
// chunks take.
func (fs *FS) placeTrees() int64 {
	system, meta := over(fs.chunks, systemChunk), over(fs.chunks, metadataChunk)
	used := int64(0)
	for i := range fs.chunks {
		if fs.chunks[i].kind != dataChunk {
			fs.chunks[i].used = 0
		}
	}
	for _, t := range fs.trees {
		from := meta
		if t.owner == chunksID {
			from = system
		} else {
			used += int64(len(t.nodes)) * nodeSize
		}
		for i := range t.nodes {
			at := from.take(nodeSize, nodeSize).Off
			t.nodes[i].at = at
			for j := range fs.chunks {
				if c := &fs.chunks[j]; at >= c.Off && at < c.End() {
					c.used += nodeSize
				}
			}
		}
	}
	return used
}
