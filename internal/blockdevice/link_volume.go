package blockdevice

import (
	"slices"

	"go.yaml.in/yaml/v4"
)

func (l *linker) group(g *VG) {
	for _, name := range g.bases {
		v, ok := l.base(&g.Header, name, KindPV).(*PV)
		switch {
		case !ok:
		case v.VG != nil:
			l.problem(&g.Header, "base", "base %s is in the group %s already", printable(name), printable(v.VG.Name))
		default:
			v.VG = g
			g.PVs = append(g.PVs, v)
		}
	}
	if v := g.values["base"]; v != nil && v.Kind == yaml.SequenceNode && len(v.Content) == 0 {
		l.problem(&g.Header, "base", "base is an empty list: name at least one physical volume")
	}
	l.c.Groups = append(l.c.Groups, g)
}

func (l *linker) volume(v *LV) {
	h := &v.Header
	if v.VG, _ = l.one(v, KindVG).(*VG); v.VG != nil {
		v.VG.LVs = append(v.VG.LVs, v)
	}
	sized, counted := h.values["size"] != nil, h.values["extents"] != nil
	switch {
	case sized && counted:
		l.problem(h, "extents", "size and extents are two sizes of one volume")
	case !sized && !counted:
		l.problem(h, "", "size or extents of this lv is missing")
	}
	if v.Size.Form == Absolute && v.Size.Bytes < DefaultExtent {
		l.problem(h, "size", "size %s is rounded down to a multiple of 4 MiB: nothing is left", quote(v.Size.Text))
	}
	if v.Type == Thin && (counted || v.Size.Form == Percent) {
		l.problem(h, "", "a thin volume takes nothing of the group: say its size in bytes, or fit")
	}
	if v.Type == Thin && v.pool == "" {
		l.problem(h, "", "thin-pool of this thin volume is missing")
	}
	if v.pool != "" {
		pool, ok := l.byName[v.pool].(*LV)
		switch {
		case l.ring[v]:
		case v.Type != Thin:
			l.problem(h, "thin-pool", "thin-pool is for volumes of type thin, and this one is %s", v.Type)
		case !ok || pool.Type != ThinPool:
			l.problem(h, "thin-pool", "thin-pool %s is no volume of type thin-pool", quote(v.pool))
		case !slices.Equal(pool.bases, v.bases):
			l.problem(h, "thin-pool", "thin-pool %s is of another group", quote(v.pool))
		default:
			v.Pool = pool
		}
	}
	if v.Type == Striped && v.Stripes == 0 {
		v.Stripes = 2
	}
	if v.Type != Striped && (v.Stripes != 0 || h.values["stripe-size"] != nil) {
		l.problem(h, "type", "stripes and stripe-size are for volumes of type striped, and this one is %s", v.Type)
	}
	if g := v.VG; g != nil && v.Type == Striped && v.Stripes > int64(len(g.bases)) {
		l.problem(h, "stripes", "%d stripes want as many physical volumes, and %s has %d", v.Stripes, printable(g.Name), len(g.bases))
	}
	if v.Type == Striped && v.VG != nil && v.StripeSize > v.VG.ExtentSize {
		l.problem(h, "stripe-size", "stripe-size is larger than an extent")
	}
}

// idle are options of LVM's programs that change nothing of what is written.
var idle = []string{"--force", "-f", "-ff", "--yes", "-y", "--quiet", "-q", "--verbose", "-v", "--zero", "-Z", "y", "--wipesignatures", "-W", "n"}

// options looks for LVM's options, of which ingot, which runs none of its programs,
// does not follow any.
func (l *linker) options() {
	for _, n := range l.nodes {
		var list []string
		switch n := n.(type) {
		case *PV:
			list = n.Options
		case *VG:
			list = n.Options
		case *LV:
			list = n.Options
		default:
			continue
		}
		for _, o := range list {
			if !slices.Contains(idle, o) {
				l.ignored(fault(n.Head(), "options", "option %s has no effect: ingot runs no program of LVM's", quote(o)))
			}
		}
	}
}
