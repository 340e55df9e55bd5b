package layout

import (
	"fmt"

	"ingot/internal/blockdevice"
	"ingot/internal/disk"
	"ingot/internal/lvm"
)

// lvmID is the identity of a physical volume, a group or a volume, or of a hidden
// part of one.
func (r Resolved) lvmID(n blockdevice.Node, part string) lvm.ID {
	h := n.Head()
	return lvm.ID(r.Derive(string(h.Kind) + " " + h.Name + " " + part))
}

// A device is where a content's bytes go on the disk: in pieces, in the order of the
// content's bytes. Between pieces nothing can be written.
type device []stretch

// A stretch is bytes of a device in one piece.
type stretch struct {
	disk.Extent       // of the device
	At          int64 // on the disk
}

// whole is a device in one piece.
func whole(place disk.Extent) device {
	return device{{disk.Extent{Len: place.Len}, place.Off}}
}

// volume is a logical volume of a planned group.
func volume(runs []lvm.Run, pvs []blockdevice.FittedPV) device {
	var out device
	for _, run := range runs {
		out = append(out, stretch{run.Extent, pvs[run.PV].Place.Off + run.At})
	}
	return out
}

// each calls f with each piece of the disk that a range of the device is.
func (d device) each(e disk.Extent, f func(at int64, part disk.Extent) error) error {
	lo, hi := 0, len(d)
	for lo < hi { // the first that ends behind the range's start
		if mid := (lo + hi) / 2; d[mid].End() > e.Off {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	for ; e.Len > 0; lo++ {
		if lo == len(d) || d[lo].Off > e.Off {
			return fmt.Errorf("layout: %d bytes at %d of a device have no place", e.Len, e.Off)
		}
		skip := e.Off - d[lo].Off
		n := min(e.Len, d[lo].Len-skip)
		if err := f(d[lo].At+skip, disk.Extent{Off: e.Off, Len: n}); err != nil {
			return err
		}
		e.Off += n
		e.Len -= n
	}
	return nil
}

// extents are ranges of the device as ranges of the disk.
func (d device) extents(list []disk.Extent) ([]disk.Extent, error) {
	var out []disk.Extent
	for _, e := range list {
		err := d.each(e, func(at int64, part disk.Extent) error {
			out = append(out, disk.Extent{Off: at, Len: part.Len})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// deviceWriter writes to a device's places.
type deviceWriter struct {
	to disk.Disk
	d  device
}

// WriteAt writes relative to the device's start.
func (w deviceWriter) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	err := w.d.each(disk.Extent{Off: off, Len: int64(len(p))}, func(at int64, part disk.Extent) error {
		n, err := w.to.WriteAt(p[done:done+int(part.Len)], at)
		done += n
		return err
	})
	return done, err
}
