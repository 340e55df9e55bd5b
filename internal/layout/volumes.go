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

// A device is where a content's bytes go on the disk: in pieces, in the order of the
// content's bytes. Between pieces nothing can be written.
type device []stretch

// A stretch is bytes of a device in one piece.
type stretch struct {
	disk.Extent            // of the device
	At          int64      // on a disk, or in the payload of a container
	disk        int        // which one
	in          *container // nil for bytes that lie on the disk as they are
}

// whole is a device in one piece, of a disk by its number.
func whole(on int, place disk.Extent) device {
	return device{{Extent: disk.Extent{Len: place.Len}, At: place.Off, disk: on}}
}

// volume is a logical volume of a planned group on physical volumes.
func volume(runs []lvm.Run, pvs []device) (device, error) {
	var out device
	for _, run := range runs {
		err := pvs[run.PV].each(disk.Extent{Off: run.At, Len: run.Len}, func(s stretch) error {
			s.Off += run.Off - run.At
			out = append(out, s)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// from is what of the device lies behind a place.
func (d device) from(off int64) device {
	var out device
	for _, s := range d {
		if skip := max(0, off-s.Off); skip < s.Len {
			s.Off, s.Len, s.At = s.Off+skip-off, s.Len-skip, s.At+skip
			out = append(out, s)
		}
	}
	return out
}

// each calls f with each piece that a range of the device is.
func (d device) each(e disk.Extent, f func(s stretch) error) error {
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
		if err := f(stretch{disk.Extent{Off: e.Off, Len: n}, d[lo].At + skip, d[lo].disk, d[lo].in}); err != nil {
			return err
		}
		e.Off += n
		e.Len -= n
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
