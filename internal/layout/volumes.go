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

// A device is where a content's bytes go on the disk. What lies in no run of the map
// cannot be written.
type device struct {
	runs   lvm.Map
	starts []int64 // byte offsets on the disk of what the map calls physical volumes
}

// whole is a device in one piece.
func whole(at disk.Extent) device {
	return device{lvm.Whole(at.Len), []int64{at.Off}}
}

// volume is a logical volume of a planned group.
func volume(runs lvm.Map, pvs []blockdevice.FittedPV) device {
	d := device{runs: runs}
	for _, v := range pvs {
		d.starts = append(d.starts, v.Place.Off)
	}
	return d
}

// each calls f with each piece of the disk that a range of the device is.
func (d device) each(e disk.Extent, f func(at int64, part disk.Extent) error) error {
	for run := range d.runs.Runs(e) {
		if run.Off != e.Off {
			break
		}
		if err := f(d.starts[run.PV]+run.At, run.Extent); err != nil {
			return err
		}
		e.Off += run.Len
		e.Len -= run.Len
	}
	if e.Len > 0 {
		return fmt.Errorf("layout: %d bytes at %d of a device have no place", e.Len, e.Off)
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
