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

// A device is where a content's bytes go: in one piece of a disk or of a container's
// payload, or in pieces of other devices, as a logical volume does. What of a volume lies
// in no run of its map cannot be written.
type device struct {
	size int64 // bytes
	skip int64 // bytes of what it lies on that are not the device's

	at   int64      // on a disk, or in the payload of a container
	disk int        // which one
	in   *container // nil for bytes that lie on the disk as they are

	runs  lvm.Map
	under []device // of a volume: what the map calls physical volumes
}

// A stretch is bytes of a device in one piece.
type stretch struct {
	disk.Extent            // of the device
	At          int64      // on a disk, or in the payload of a container
	disk        int        // which one
	in          *container // nil for bytes that lie on the disk as they are
}

// whole is a device in one piece, of a disk by its number.
func whole(on int, place disk.Extent) device {
	return device{size: place.Len, at: place.Off, disk: on}
}

// payload is the device in a container.
func payload(c *container) device { return device{size: c.on.size, in: c} }

// volume is a logical volume of a planned group on physical volumes.
func volume(size int64, runs lvm.Map, pvs []device) device {
	return device{size: size, runs: runs, under: pvs}
}

// from is what of the device lies behind a place.
func (d device) from(off int64) device {
	d.skip += off
	d.size = max(0, d.size-off)
	return d
}

// each calls f with each piece that a range of the device is.
func (d device) each(e disk.Extent, f func(s stretch) error) error {
	next, end := e.Off, e.End()
	switch {
	case e.Len <= 0:
		return nil
	case e.Off < 0 || end > d.size:
	case d.under == nil:
		return f(stretch{e, d.at + d.skip + e.Off, d.disk, d.in})
	default:
		for run := range d.runs.Runs(disk.Extent{Off: d.skip + e.Off, Len: e.Len}) {
			at := run.Off - d.skip // of the device
			if at != next {
				break
			}
			err := d.under[run.PV].each(disk.Extent{Off: run.At, Len: run.Len}, func(s stretch) error {
				s.Off += at - run.At
				return f(s)
			})
			if err != nil {
				return err
			}
			next += run.Len
		}
	}
	if next < end {
		return fmt.Errorf("layout: %d bytes at %d of a device have no place", end-next, next)
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
					out = append(out, disk.Extent{Off: s.At, Len: s.Len})
				}
				return nil
			}
			under, err := s.in.on.extents(on, disk.Round([]disk.Extent{{Off: s.At, Len: s.Len}}, s.in.sector))
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
		n, err := to.WriteAt(p[done:done+int(s.Len)], s.At)
		done += n
		return err
	})
	return done, err
}
