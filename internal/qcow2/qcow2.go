// Package qcow2 writes disk images in QEMU's qcow2 format, version 3, with
// clusters of 64 KiB.
//
// An image is written like a disk: positional writes, in any order, from several
// goroutines. It needs to be told beforehand which extents will be written,
// because clusters are given their places in the file before the first byte
// arrives: in order of their place on the disk, behind all metadata. So the file's
// bytes depend on the extents and on what was written, never on the order of
// writing or the number of cores.
//
// A compressed image cannot be placed before its bytes are known: it is collected
// in a sparse scratch file and compressed by [Image.Finish], in parallel.
//
// The facts are those of QEMU's docs/interop/qcow2.txt.
package qcow2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"ingot/internal/disk"
)

const (
	clusterBits = 16
	cluster     = 1 << clusterBits
	entry       = 8               // bytes of an L1, L2 or refcount table entry
	perTable    = cluster / entry // clusters that one L2 table maps
	perRefcount = cluster / 2     // clusters that one block of 16-bit refcounts covers
	maxSize     = 1 << 50
	copied      = 1 << 63 // an entry whose cluster has exactly one reference
	compressed  = 1 << 62
)

// A Compression is how clusters are compressed.
type Compression uint8

// The compressions. Zlib is read by everything that reads qcow2; Zstd is as
// small, several times as fast, and needs QEMU 5.1 or newer.
const (
	None Compression = iota
	Zlib
	Zstd
)

// Options say how an image is made.
type Options struct {
	Compression Compression
	// Workers is how many goroutines compress; 0 is one a core. It does not
	// change a byte.
	Workers int
}

// An Image is a qcow2 file being written.
type Image struct {
	f       disk.File
	size    int64
	o       Options
	blocks  disk.Blocks
	placed  *disk.Placed  // the clusters, behind the metadata; nil when compressing
	scratch *disk.Scratch // the clusters, when compressing
	meta    metadata
}

var _ disk.Image = (*Image)(nil)

// Create makes an empty file the image of a disk of size bytes, of which at most
// the extents will be written. The size is a multiple of 512.
func Create(f disk.File, size int64, extents []disk.Extent, o Options) (*Image, error) {
	if size <= 0 || size > maxSize || size%512 != 0 {
		return nil, fmt.Errorf("qcow2 %s: size of %d bytes is not a multiple of 512 up to 1 PiB", f.Name(), size)
	}
	blocks, err := disk.NewBlocks(size, cluster, extents)
	if err != nil {
		return nil, fmt.Errorf("qcow2 %s: %w", f.Name(), err)
	}
	im := &Image{f: f, size: size, o: o, blocks: blocks}
	// A compressed cluster may be the only one in two clusters of the file.
	room := blocks.Count()
	if o.Compression != None {
		room *= 2
	}
	im.meta = newMetadata(size, blocks.Extents(), room)
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	if o.Compression != None {
		im.scratch, err = disk.NewScratch(f, blocks)
	} else {
		im.placed, err = blocks.In(f, im.meta.end, cluster)
	}
	return im, err
}

func roundUp(n int64) int64 { return (n + cluster - 1) / cluster * cluster }

// Size is the disk's size in bytes.
func (im *Image) Size() int64 { return im.size }

// WriteAt writes to the disk. Writing outside the extents is an error.
func (im *Image) WriteAt(p []byte, off int64) (int, error) {
	if im.placed != nil {
		return im.placed.WriteAt(p, off)
	}
	return im.scratch.WriteAt(p, off)
}

// Finish writes what is left: the metadata and, when compressing, the clusters.
// The image is whole after it. The file stays open.
func (im *Image) Finish(ctx context.Context) error {
	if im.scratch != nil {
		if err := im.compress(ctx); err != nil {
			return errors.Join(err, im.Close())
		}
	} else {
		for guest, ordinal := range im.blocks.All() {
			host := im.placed.At(ordinal)
			im.meta.set(guest, uint64(host)|copied)
			im.meta.count(host, cluster)
		}
	}
	return errors.Join(im.meta.write(im.f, im.o.Compression), im.Close())
}

// Close gives up what an unfinished image holds beside its file. After Finish
// it does nothing.
func (im *Image) Close() error {
	if im.scratch == nil {
		return nil
	}
	return im.scratch.Close()
}

// metadata is what stands before the data: header, refcount table, refcount
// blocks, L1 table, L2 tables, in this order.
type metadata struct {
	size      int64
	refTable  int64 // offsets in the file
	refBlocks int64
	l1        int64
	l2        int64
	end       int64
	refs      []uint16
	tables    map[int64]int64 // L1 index to offset of its L2 table
	entries   []uint64        // of all L2 tables
}

// newMetadata places the metadata of an image with so much room for clusters
// of data.
func newMetadata(size int64, extents []disk.Extent, room int64) metadata {
	m := metadata{size: size, tables: map[int64]int64{}}
	var order []int64
	for _, e := range extents {
		for i := e.Off / cluster / perTable; i <= (e.End()-1)/cluster/perTable; i++ {
			if _, ok := m.tables[i]; !ok {
				m.tables[i] = 0
				order = append(order, i)
			}
		}
	}
	l1 := roundUp(m.l1Entries()*entry) / cluster
	l2 := int64(len(order))
	// Refcount blocks count themselves: more of them until all is covered.
	blocks, table := int64(1), int64(1)
	for {
		all := 1 + table + blocks + l1 + l2 + room
		b := (all + perRefcount - 1) / perRefcount
		t := roundUp(b*entry) / cluster
		if b <= blocks && t <= table {
			break
		}
		blocks, table = b, t
	}
	m.refTable = cluster
	m.refBlocks = m.refTable + table*cluster
	m.l1 = m.refBlocks + blocks*cluster
	m.l2 = m.l1 + l1*cluster
	m.end = m.l2 + l2*cluster
	for i, index := range order {
		m.tables[index] = m.l2 + int64(i)*cluster
	}
	m.refs = make([]uint16, blocks*perRefcount)
	m.entries = make([]uint64, l2*perTable)
	m.count(0, m.end)
	return m
}

func (m *metadata) l1Entries() int64 { return (roundUp(m.size)/cluster + perTable - 1) / perTable }

// set maps a cluster of the disk.
func (m *metadata) set(guest int64, e uint64) {
	m.entries[(m.tables[guest/perTable]-m.l2)/entry+guest%perTable] = e
}

// count counts a reference to every cluster of the file that a range touches.
func (m *metadata) count(off, n int64) {
	for c := off / cluster; c <= (off+n-1)/cluster; c++ {
		m.refs[c]++
	}
}

func (m *metadata) write(f disk.File, c Compression) error {
	be := binary.BigEndian
	b := make([]byte, m.end)
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], clusterBits)
	be.PutUint64(b[24:], uint64(m.size))
	be.PutUint32(b[36:], uint32(m.l1Entries()))
	be.PutUint64(b[40:], uint64(m.l1))
	be.PutUint64(b[48:], uint64(m.refTable))
	be.PutUint32(b[56:], uint32((m.refBlocks-m.refTable)/cluster))
	be.PutUint32(b[96:], 4)    // refcounts of 16 bits
	be.PutUint32(b[100:], 112) // length of the header
	if c == Zstd {
		be.PutUint64(b[72:], 1<<3) // a reader must know compression types
		b[104] = 1
	}
	for i := range (m.l1 - m.refBlocks) / cluster {
		be.PutUint64(b[m.refTable+i*entry:], uint64(m.refBlocks+i*cluster))
	}
	for i, n := range m.refs {
		be.PutUint16(b[m.refBlocks+int64(i)*2:], n)
	}
	for index, at := range m.tables {
		be.PutUint64(b[m.l1+index*entry:], uint64(at)|copied)
	}
	for i, e := range m.entries {
		be.PutUint64(b[m.l2+int64(i)*entry:], e)
	}
	_, err := f.WriteAt(b, 0)
	return err
}
