package vmdk

import (
	"encoding/binary"
	"io"
)

// sparseTables tells where a sparse image keeps its tables, in sectors: the
// redundant grain directory and its tables, then directory and tables again.
// Every table has its place, also one that points to nothing; such a one is a hole.
type sparseTables struct {
	count     int64
	redundant int64
	directory int64
	overhead  int64 // where grains begin
}

func newSparseTables(count int64) sparseTables {
	t := sparseTables{count: count, redundant: descriptorAt + descriptorSectors}
	one := t.directorySectors() + count*tableSectors
	t.directory = t.redundant + one
	t.overhead = (t.directory + one + grainSectors - 1) / grainSectors * grainSectors
	return t
}

func (t sparseTables) directorySectors() int64 { return (t.count*4 + sector - 1) / sector }

func (im *Image) writeSparse() error {
	t := im.sparse
	h := header{
		version:    1,
		flags:      newlineTest | redundantDir,
		capacity:   im.size / sector,
		descriptor: descriptorAt,
		redundant:  t.redundant,
		directory:  uint64(t.directory),
		overhead:   t.overhead,
	}
	if err := writeHead(io.NewOffsetWriter(im.f, 0), h, im.descriptor); err != nil {
		return err
	}
	for _, at := range []int64{t.redundant, t.directory} {
		if err := im.writeTables(at); err != nil {
			return err
		}
	}
	return nil
}

// writeTables writes a directory and what follows it: its tables, which together
// are one row of entries, a grain each.
func (im *Image) writeTables(at int64) error {
	first := at + im.sparse.directorySectors()
	directory := make([]byte, 0, im.sparse.count*4)
	for i := range im.sparse.count {
		directory = binary.LittleEndian.AppendUint32(directory, uint32(first+i*tableSectors))
	}
	if _, err := im.f.WriteAt(directory, at*sector); err != nil {
		return err
	}
	const most = 64 << 10 // entries that are in memory
	row := make([]byte, 0, most*4)
	for run := range im.blocks.Runs(most) {
		row = row[:0]
		for i := range run.Count {
			row = binary.LittleEndian.AppendUint32(row, uint32(im.placed.At(run.Ordinal+i)/sector))
		}
		if _, err := im.f.WriteAt(row, first*sector+run.First*4); err != nil {
			return err
		}
	}
	return nil
}
