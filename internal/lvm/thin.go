package lvm

import (
	"fmt"
	"slices"

	"ingot/internal/disk"
)

// spare is the volume that LVM keeps to mend a pool's metadata with.
const spare = "lvol0_pmspare"

// fill gives each thin volume's written chunks a place in the pool, one behind the
// other, and writes the pool's metadata.
func (p *planner) fill(lv LV) error {
	data := p.group.places(lv.Segments)
	size := p.group.ExtentSize
	chunks := lv.Extents * size / lv.Chunk
	var used int64
	var devices []thinDevice
	for i, thin := range p.thin(lv.Name) {
		d := thinDevice{id: uint64(i + 1), transaction: uint64(i), created: 0}
		for _, e := range disk.Round(thin.Written, lv.Chunk) {
			if e.Off < 0 || e.End() > (thin.Extents*size+lv.Chunk-1)/lv.Chunk*lv.Chunk {
				return fmt.Errorf("writes to %s from %d to %d are not in its %d extents", thin.Name, e.Off, e.End(), thin.Extents)
			}
			n := e.Len / lv.Chunk
			if used+n > chunks {
				return fmt.Errorf("what its volumes hold needs more than its %d chunks of %d KiB", chunks, lv.Chunk>>10)
			}
			for c := range n {
				d.mappings = append(d.mappings, mapping{uint64(e.Off/lv.Chunk + c), uint64(used + c)})
			}
			for r := range data.Runs(disk.Extent{Off: used * lv.Chunk, Len: e.Len}) {
				at := r.Off - used*lv.Chunk + e.Off // of the thin volume
				p.out.maps[thin.Name] = append(p.out.maps[thin.Name], row{Extent: disk.Extent{Off: at, Len: r.Len}, at: []place{{r.PV, r.At}}})
			}
			used += n
		}
		devices = append(devices, d)
	}
	blocks, err := thinMetadata(thinPool{
		metaBlocks: uint64(count(lv.Meta) * size / thinBlock), dataBlocks: uint64(chunks), chunk: uint32(lv.Chunk / sector),
		transaction: uint64(len(devices)), used: uint64(used), devices: devices,
	})
	if err != nil {
		return err
	}
	meta := p.group.places(lv.Meta)
	for i, b := range blocks {
		for r := range meta.Runs(disk.Extent{Off: int64(i) * thinBlock, Len: thinBlock}) {
			p.head(r.PV, r.At, b[r.Off-int64(i)*thinBlock:][:r.Len])
		}
	}
	return nil
}

// head adds bytes of a physical volume, to those before it if they follow.
func (p *planner) head(pv int, at int64, data []byte) {
	if n := len(p.out.Heads); n > 0 {
		last := &p.out.Heads[n-1]
		if last.PV == pv && last.At+int64(len(last.Data)) == at {
			last.Data = append(last.Data, data...)
			return
		}
	}
	p.out.Heads = append(p.out.Heads, Head{pv, at, slices.Clone(data)})
}
