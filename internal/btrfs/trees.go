package btrfs

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"ingot/internal/disk"
	"ingot/internal/tree"
)

// identities are all UUIDs of a filesystem.
type identities struct {
	fs     [16]byte
	device [16]byte
	chunks [16]byte // of the tree of chunks
}

func newIdentities(fs [16]byte) identities {
	return identities{fs, derived(fs, "device"), derived(fs, "chunks")}
}

// derived is an identity that follows from the filesystem's (RFC 9562, version 8).
func derived(fs [16]byte, what string) [16]byte {
	sum := sha256.Sum256(append(append([]byte("btrfs "), fs[:]...), what...))
	id := [16]byte(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// volumeID is the identity of a subvolume.
func (fs *FS) volumeID(v *volume) [16]byte { return derived(fs.ids.fs, "subvolume "+v.path) }

// listTrees makes the trees whose items do not depend on where nodes lie.
func (fs *FS) listTrees() {
	for _, v := range fs.volumes {
		v.list()
	}
	move := &btree{owner: moveID, items: []item{
		made(key{firstInode, inodeKind, 0}, fs.plainInode(0)),
		made(key{firstInode, refKind, firstInode}, dotdot()),
	}}
	fs.trees = []*btree{{owner: rootsID}, {owner: extentsID}, fs.listChunks(), fs.listDevice(), fs.listSums(), fs.listUUIDs(), {owner: freeID}, move}
	for _, v := range fs.volumes {
		fs.trees = append(fs.trees, v.tree)
	}
	fs.listRoots()
	for _, t := range fs.trees {
		t.arrange()
	}
}

// find is the tree of a number.
func (fs *FS) find(owner uint64) *btree {
	i := slices.IndexFunc(fs.trees, func(t *btree) bool { return t.owner == owner })
	return fs.trees[i]
}

func dotdot() []byte {
	var e encoder
	e.u64(0)
	e.u16(2)
	e.text("..")
	return e
}

// plainInode is the inode of a directory that only Btrfs sees.
func (fs *FS) plainInode(size int64) []byte {
	var e encoder
	e.u64(generation, 0)
	e.i64(size, nodeSize, 0)
	e.u32(1, 0, 0, 0o040755)
	e.u64(0, 0, 0, 0, 0, 0, 0)
	for range 4 {
		e.time(tree.Time{Sec: fs.o.Epoch})
	}
	return e
}

// encodeChunk is what is said of a chunk, in the tree of chunks and the superblock.
func (fs *FS) encodeChunk(c *chunk) []byte {
	var e encoder
	e.i64(c.Len)
	e.u64(extentsID, stripe, c.kind)
	e.u32(stripe, stripe, blockSize)
	e.u16(1, 1)
	e.u64(deviceObject)
	e.i64(c.Off)
	e.id(fs.ids.device)
	return e
}

func (fs *FS) encodeDevice() []byte {
	var e encoder
	used := int64(0)
	for _, c := range fs.chunks {
		used += c.Len
	}
	e.u64(deviceObject)
	e.i64(fs.size, used)
	e.u32(blockSize, blockSize, blockSize)
	e.u64(0, 0, 0)
	e.u32(0)
	e.u8(0, 0)
	e.id(fs.ids.device)
	e.id(fs.ids.fs)
	return e
}

func (fs *FS) listChunks() *btree {
	t := &btree{owner: chunksID, items: []item{made(key{deviceObject, deviceKind, 1}, fs.encodeDevice())}}
	for i := range fs.chunks {
		t.items = append(t.items, made(key{chunkObject, chunkKind, uint64(fs.chunks[i].Off)}, fs.encodeChunk(&fs.chunks[i])))
	}
	return t
}

func (fs *FS) listDevice() *btree {
	t := &btree{owner: devicesID}
	for _, c := range fs.chunks {
		var e encoder
		e.u64(chunksID, chunkObject)
		e.i64(c.Off, c.Len)
		e.id(fs.ids.chunks)
		t.items = append(t.items, made(key{deviceObject, devExtentKind, uint64(c.Off)}, e))
	}
	return t
}

// sums are items of checksums, which are made when the contents are read: of runs of
// blocks, in one chunk each.
func (fs *FS) listSums() *btree {
	t := &btree{owner: sumsID}
	var run disk.Extent
	flush := func() {
		for run.Len > 0 {
			n := min(run.Len, maxSums*blockSize)
			t.items = append(t.items, item{key: key{sumsObject, sumKind, uint64(run.Off)}, size: int32(n / blockSize * sumSize)})
			run.Off, run.Len = run.Off+n, run.Len-n
		}
	}
	for _, c := range fs.chunks {
		for _, x := range fs.between(c.Off, c.End()) {
			if run.Len == 0 || run.End() != x.at {
				flush()
				run = disk.Extent{Off: x.at}
			}
			run.Len += x.size
		}
		flush()
	}
	return t
}

func (fs *FS) listUUIDs() *btree {
	t := &btree{owner: uuidsID}
	for _, v := range fs.volumes {
		id := fs.volumeID(v)
		le := binary.LittleEndian
		t.items = append(t.items, made(key{le.Uint64(id[:]), uuidKind, le.Uint64(id[8:])}, le.AppendUint64(nil, v.id)))
	}
	slices.SortFunc(t.items, func(a, b item) int { return compareKeys(a.key, b.key) })
	return t
}

// listRoots makes the tree that says where all others are: their places are filled in
// once they are known.
func (fs *FS) listRoots() {
	t := fs.trees[0]
	t.items = t.items[:0]
	for _, other := range fs.trees {
		if other.owner != rootsID && other.owner != chunksID {
			t.items = append(t.items, item{key: key{other.owner, rootKind, 0}, size: rootItemSize})
		}
	}
	const word = "default"
	var dir encoder
	dir.key(key{topID, rootKind, 1<<64 - 1})
	dir.u64(generation)
	dir.u16(0, len(word))
	dir.u8(2)
	dir.text(word)
	t.items = append(t.items,
		made(key{rootsDirID, inodeKind, 0}, fs.plainInode(0)),
		made(key{rootsDirID, refKind, rootsDirID}, dotdot()),
		made(key{rootsDirID, nameKind, nameHash(word)}, dir))
	for _, v := range fs.volumes {
		if v.in == nil {
			continue
		}
		var e encoder
		e.u64(v.dir.ino, v.index)
		e.u16(len(v.name))
		e.text(v.name)
		t.items = append(t.items, made(key{v.in.id, rootRefKind, v.id}, e), made(key{v.id, rootBackKind, v.in.id}, e))
	}
	slices.SortFunc(t.items, func(a, b item) int { return compareKeys(a.key, b.key) })
}

// encodeRoot says where a tree is.
func (fs *FS) encodeRoot(t *btree) []byte {
	var e encoder
	e.u64(generation, 0) // an inode, of which nothing is used
	e.i64(3, nodeSize, 0)
	e.u32(1, 0, 0, 0o040755)
	e.u64(0, 1<<31, 0, 0, 0, 0, 0)
	for range 4 {
		e.time(tree.Time{})
	}
	var v *volume
	if i := slices.IndexFunc(fs.volumes, func(v *volume) bool { return v.id == t.owner }); i >= 0 {
		v = fs.volumes[i]
	}
	dir := uint64(0)
	if v != nil || t.owner == moveID {
		dir = firstInode
	}
	e.u64(generation, dir)
	e.i64(t.root().at, 0, int64(len(t.nodes))*nodeSize, 0, 0)
	e.u32(1)
	e.key(key{})
	e.u8(0, t.root().level)
	e.u64(generation)
	var id [16]byte
	if v != nil {
		id = fs.volumeID(v)
	}
	e.id(id)
	e.zeros(32) // the subvolume that it is a snapshot of, and the one that was sent
	if v != nil {
		e.u64(generation, generation)
	} else {
		e.u64(0, 0)
	}
	e.u64(0, 0)
	made := tree.Time{}
	if v != nil {
		made.Sec = fs.o.Epoch
	}
	e.time(made)
	e.time(made)
	e.zeros(24 + 64)
	return e
}

// listPlaces makes the trees of what is in use, and what is not, of the places that
// nodes have now. Its own nodes lose their places.
func (fs *FS) listPlaces() {
	extents, free := fs.find(extentsID), fs.find(freeID)
	extents.items, free.items = extents.items[:0], free.items[:0]
	used := make([]disk.Extent, 0, len(fs.files))
	for _, t := range fs.trees {
		for _, n := range t.nodes {
			var e encoder
			e.u64(1, generation, 2)
			e.u8(treeRefKind)
			e.u64(t.owner)
			extents.items = append(extents.items, made(key{uint64(n.at), metadataKind, uint64(n.level)}, e))
			used = append(used, disk.Extent{Off: n.at, Len: nodeSize})
		}
	}
	for _, x := range fs.files {
		var e encoder
		e.u64(1, generation, 1)
		e.u8(dataRefKind)
		e.u64(x.n.vol.id, x.n.ino)
		e.i64(x.off)
		e.u32(1)
		extents.items = append(extents.items, made(key{uint64(x.at), extentKind, uint64(x.size)}, e))
		used = append(used, disk.Extent{Off: x.at, Len: x.size})
	}
	used = disk.Round(used, 1)
	for i := range fs.chunks {
		c := &fs.chunks[i]
		var e encoder
		e.i64(c.used)
		e.u64(chunkObject, c.kind)
		extents.items = append(extents.items, made(key{uint64(c.Off), groupKind, uint64(c.Len)}, e))
		free.items = append(free.items, listFree(c, used)...)
	}
	slices.SortFunc(extents.items, func(a, b item) int { return compareKeys(a.key, b.key) })
	extents.arrange()
	free.arrange()
}

// listFree says which parts of a chunk nothing lies in.
func listFree(c *chunk, used []disk.Extent) []item {
	var parts []item
	at := c.Off
	add := func(end int64) {
		if end > at {
			parts = append(parts, made(key{uint64(at), freeExtentKind, uint64(end - at)}, nil))
		}
	}
	i, _ := slices.BinarySearchFunc(used, c.Off, func(e disk.Extent, at int64) int { return compare(e.End()-1, at) })
	for ; i < len(used) && used[i].Off < c.End(); i++ {
		add(used[i].Off)
		at = min(used[i].End(), c.End())
	}
	add(c.End())
	var e encoder
	e.u32(uint32(len(parts)), 0)
	return append([]item{made(key{uint64(c.Off), freeInfoKind, uint64(c.Len)}, e)}, parts...)
}

// finish fills in what says where trees are, and how large the device is.
func (fs *FS) finish() {
	for _, t := range fs.trees {
		for i := range t.items {
			switch it := &t.items[i]; {
			case t.owner == rootsID && it.kind == rootKind:
				it.data = fs.encodeRoot(fs.find(it.object))
			case t.owner == chunksID && it.kind == deviceKind:
				it.data = fs.encodeDevice()
			}
		}
	}
}
