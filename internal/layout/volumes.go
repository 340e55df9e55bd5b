package layout

import (
	"fmt"
	"io"

	"ingot/internal/blockdevice"
	"ingot/internal/disk"
	"ingot/internal/luks"
	"ingot/internal/lvm"
)

// lvmID is the identity of a physical volume, a group or a volume, or of a hidden
// part of one.
func (r Resolved) lvmID(n blockdevice.Node, part string) lvm.ID {
	h := n.Head()
	return lvm.ID(r.Derive(string(h.Kind) + " " + h.Name + " " + part))
}

// A device is where a content's bytes go. What lies in no run of the map cannot be
// written.
type device struct {
	runs lvm.Map
	on   []spot // what the map calls physical volumes
	skip int64  // bytes of the map before the device's first
}

// A spot is a place on a disk, or in the payload of a container.
type spot struct {
	disk int        // which one
	at   int64      // bytes from its start, or from the payload's
	in   *container // nil for what lies on the disk as it is
}

// A stretch is bytes of a device in one piece.
type stretch struct {
	disk.Extent // of the device
	spot
}

// whole is a device in one piece.
func whole(size int64, at spot) device {
	return device{runs: lvm.Whole(size), on: []spot{at}}
}

// volume is a logical volume of a planned group on physical volumes.
func volume(runs lvm.Map, pvs []device) device {
	d := device{runs: runs}
	for _, v := range pvs {
		d.on = append(d.on, v.on[0])
	}
	return d
}

// from is what of the device lies behind a place.
func (d device) from(off int64) device {
	d.skip += off
	return d
}

// each calls f with each piece that a range of the device is.
func (d device) each(e disk.Extent, f func(s stretch) error) error {
	left := disk.Extent{Off: e.Off + d.skip, Len: e.Len}
	for run := range d.runs.Runs(left) {
		if run.Off != left.Off {
			break
		}
		s := stretch{disk.Extent{Off: run.Off - d.skip, Len: run.Len}, d.on[run.PV]}
		s.at += run.At
		if err := f(s); err != nil {
			return err
		}
		left.Off += run.Len
		left.Len -= run.Len
	}
	if left.Len > 0 {
		return fmt.Errorf("layout: %d bytes at %d of a device have no place", left.Len, left.Off-d.skip)
	}
	return nil
}

// extents are ranges of the device as ranges of a disk, as far as they lie on it.
func (d device) extents(on int, list []disk.Extent) ([]disk.Extent, error) {
	var out []disk.Extent
	for _, e := range list {
		err := d.each(e, func(s stretch) error {
			if s.in == nil {
				if s.disk == on {
					out = append(out, disk.Extent{Off: s.at, Len: s.Len})
				}
				return nil
			}
			under, err := s.in.on.extents(on, disk.Round([]disk.Extent{{Off: s.at, Len: s.Len}}, s.in.sector))
			out = append(out, under...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// deviceWriter writes to a device's places.
type deviceWriter struct {
	to       []disk.Disk
	payloads map[*container]*luks.Payload
	d        device
}

// WriteAt writes relative to the device's start.
func (w deviceWriter) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	err := w.d.each(disk.Extent{Off: off, Len: int64(len(p))}, func(s stretch) error {
		var to io.WriterAt
		if s.in != nil {
			to = w.payloads[s.in]
		} else {
			to = w.to[s.disk]
		}
		n, err := to.WriteAt(p[done:done+int(s.Len)], s.at)
		done += n
		return err
	})
	return done, err
}
