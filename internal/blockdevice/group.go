package blockdevice

import (
	"slices"

	"ingot/internal/disk"
	"ingot/internal/lvm"
)

// Parts of nodes that have identities of their own.
const (
	PoolData  = "data"  // the hidden volume with a pool's blocks
	PoolMeta  = "meta"  // the hidden volume with a pool's metadata
	PoolSpare = "spare" // the hidden volume for a pool's repair, of a group
)

// LVM is the group as it is written, of which only what is not the layout's was
// missing: identities, of a node or of a part of it, or "" for the node itself; the
// bytes of thin volumes that will be written; and when it is made, in seconds since
// 1970.
func (g FittedGroup) LVM(identity func(n Node, part string) lvm.ID, written func(*LV) []disk.Extent, epoch int64) lvm.Group {
	out := lvm.Group{Name: g.VG.Name, ID: identity(g.VG, ""), ExtentSize: g.VG.ExtentSize, Spare: g.segments(g.Spare), Epoch: epoch}
	if len(g.Spare) > 0 {
		out.SpareID = identity(g.VG, PoolSpare)
	}
	for _, v := range g.PVs {
		out.PVs = append(out.PVs, lvm.PV{ID: identity(v.PV, ""), Size: v.Place.Len, Extents: v.Extents})
	}
	for _, v := range g.LVs {
		to := lvm.LV{
			Name: v.LV.Name, ID: identity(v.LV, ""), Kind: lvm.Plain, Extents: v.Size / g.VG.ExtentSize,
			Segments: g.segments(v.Segments), Meta: g.segments(v.Meta), Chunk: v.Chunk,
		}
		switch v.LV.Type {
		case Thin:
			to.Kind, to.Pool, to.Written = lvm.Thin, v.LV.Pool.Name, written(v.LV)
		case ThinPool:
			to.Kind, to.DataID, to.MetaID = lvm.ThinPool, identity(v.LV, PoolData), identity(v.LV, PoolMeta)
		default:
		}
		out.LVs = append(out.LVs, to)
	}
	return out
}

func (g FittedGroup) segments(list []Segment) []lvm.Segment {
	var out []lvm.Segment
	for _, s := range list {
		to := lvm.Segment{Extents: s.Len / g.VG.ExtentSize, StripeSize: s.StripeSize}
		for _, p := range s.Pieces {
			i := slices.IndexFunc(g.PVs, func(v FittedPV) bool { return v.PV == p.PV })
			to.Pieces = append(to.Pieces, lvm.Piece{PV: i, Extent: p.Extent})
		}
		out = append(out, to)
	}
	return out
}
