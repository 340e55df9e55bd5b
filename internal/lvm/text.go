package lvm

import (
	"fmt"
	"strings"
)

// text is the group in LVM's form, with the zero byte that ends it.
func (p *planner) text() string {
	g := p.group
	var b strings.Builder
	w := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	w("%s {\nid = %q\nseqno = 1\nformat = \"lvm2\"\nstatus = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\nextent_size = %d\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n\nphysical_volumes {\n",
		g.Name, g.ID, g.ExtentSize/sector)
	for i, pv := range g.PVs {
		w("\npv%d {\nid = %q\nstatus = [\"ALLOCATABLE\"]\nflags = []\ndev_size = %d\npe_start = %d\npe_count = %d\n}\n",
			i, pv.ID, pv.Size/sector, DataStart/sector, pv.Extents)
	}
	w("}\n\nlogical_volumes {\n")
	for _, lv := range g.LVs {
		p.volume(w, lv)
	}
	if len(g.Spare) > 0 {
		w("%s", p.hidden(spare, g.SpareID, g.Spare))
	}
	for _, lv := range g.LVs {
		if lv.Kind == ThinPool {
			w("%s%s", p.hidden(lv.Name+"_tmeta", lv.MetaID, lv.Meta), p.hidden(lv.Name+"_tdata", lv.DataID, lv.Segments))
		}
	}
	w("}\n\n}\n# A volume group of LVM2, as ingot laid it out.\n\ncontents = \"Text Format Volume Group\"\nversion = 1\n\ndescription = \"\"\n\ncreation_host = \"ingot\"\ncreation_time = %d\n\n", g.Epoch)
	return b.String() + "\x00"
}

func (p *planner) volume(w func(string, ...any), lv LV) {
	w("%s", p.open(lv.Name, lv.ID, `"READ", "WRITE", "VISIBLE"`))
	switch lv.Kind {
	case Plain:
		w("%s", segmentsText(lv.Segments))
	case ThinPool:
		w("segment_count = 1\n\nsegment1 {\nstart_extent = 0\nextent_count = %d\n\ntype = \"thin-pool\"\nmetadata = %q\npool = %q\ntransaction_id = %d\nchunk_size = %d\ndiscards = \"passdown\"\nzero_new_blocks = 1\n}\n",
			lv.Extents, lv.Name+"_tmeta", lv.Name+"_tdata", len(p.thin(lv.Name)), lv.Chunk/sector)
	case Thin:
		id := p.device(lv)
		w("segment_count = 1\n\nsegment1 {\nstart_extent = 0\nextent_count = %d\n\ntype = \"thin\"\nthin_pool = %q\ntransaction_id = %d\ndevice_id = %d\n}\n",
			lv.Extents, lv.Pool, id-1, id)
	}
	w("}\n")
}

// hidden is a volume that only other volumes use.
func (p *planner) hidden(name string, id ID, segments []Segment) string {
	return p.open(name, id, `"READ", "WRITE"`) + segmentsText(segments) + "}\n"
}

func (p *planner) open(name string, id ID, status string) string {
	return fmt.Sprintf("\n%s {\nid = %q\nstatus = [%s]\nflags = []\ncreation_time = %d\ncreation_host = \"ingot\"\n", name, id, status, p.group.Epoch)
}

func segmentsText(segments []Segment) string {
	var b strings.Builder
	fmt.Fprintf(&b, "segment_count = %d\n", len(segments))
	start := int64(0)
	for i, s := range segments {
		fmt.Fprintf(&b, "\nsegment%d {\nstart_extent = %d\nextent_count = %d\n\ntype = \"striped\"\nstripe_count = %d\n", i+1, start, s.Extents, len(s.Pieces))
		if len(s.Pieces) > 1 {
			fmt.Fprintf(&b, "stripe_size = %d\n", s.StripeSize/sector)
		}
		b.WriteString("\nstripes = [\n")
		for j, p := range s.Pieces {
			comma := ","
			if j == len(s.Pieces)-1 {
				comma = ""
			}
			fmt.Fprintf(&b, "\"pv%d\", %d%s\n", p.PV, p.Extent, comma)
		}
		b.WriteString("]\n}\n")
		start += s.Extents
	}
	return b.String()
}

// thin are the volumes of a pool, in order.
func (p *planner) thin(pool string) []LV {
	var out []LV
	for _, lv := range p.group.LVs {
		if lv.Kind == Thin && lv.Pool == pool {
			out = append(out, lv)
		}
	}
	return out
}

// device is a thin volume's number in its pool, from 1.
func (p *planner) device(lv LV) int {
	for i, other := range p.thin(lv.Pool) {
		if other.Name == lv.Name {
			return i + 1
		}
	}
	return 0
}
