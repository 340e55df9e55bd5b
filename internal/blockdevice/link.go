package blockdevice

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"ingot/internal/spell"
)

// A linker makes a graph of the nodes of one parser.
type linker struct {
	*parser
	c      *Config
	byName map[string]Node
	ring   map[Node]bool // nodes that stand on themselves
	users  map[Node]Node // of devices
}

// link resolves names, checks what no key can say alone, and gives the config.
func (p *parser) link(top *yaml.Node) *Config {
	l := &linker{parser: p, c: &Config{arch: p.params.Arch}, byName: map[string]Node{}, ring: map[Node]bool{}, users: map[Node]Node{}}
	for _, n := range p.nodes {
		h := n.Head()
		if h.Name == "" {
			continue
		}
		if first := l.byName[h.Name]; first != nil {
			l.problem(h, "name", "the name is used twice: %s has it too%s", first.Head().Kind.one(), onLine(first.Head().At))
			continue
		}
		l.byName[h.Name] = n
	}
	for _, n := range p.nodes {
		if m, ok := n.(*Mount); ok {
			l.point(m)
		}
	}
	l.order()
	for _, t := range p.tables {
		l.table(t)
	}
	for _, n := range p.nodes {
		l.node(n)
	}
	l.options()
	l.labels()
	l.lines()
	l.readOnly()
	l.unlocking()
	if !slices.ContainsFunc(l.c.Mounts, func(m *Mount) bool { return m.Point == "/" }) {
		l.note(Problem{At: top, Message: "nothing is mounted at /"})
	}
	return l.c
}

func onLine(n *yaml.Node) string {
	if n == nil || n.Line == 0 {
		return ""
	}
	return ", on line " + strconv.Itoa(n.Line)
}

// before are the nodes that must be made before one, as far as they exist.
func (l *linker) before(n Node) []Node {
	var out []Node
	add := func(names ...string) {
		for _, name := range names {
			if b := l.byName[name]; b != nil {
				out = append(out, b)
			}
		}
	}
	switch n := n.(type) {
	case *Partition:
		add(n.Table.bases...)
		if i := slices.Index(n.Table.Partitions, n); i > 0 {
			out = append(out, n.Table.Partitions[i-1])
		}
	case *LVM:
		for _, v := range n.PVs {
			add(v.bases...)
		}
	case *PV:
		for _, other := range l.nodes {
			if lvm, ok := other.(*LVM); ok && slices.Contains(lvm.PVs, n) {
				out = append(out, lvm)
			}
		}
	case *LV:
		add(n.bases...)
		add(n.pool)
	case *Verity:
		add(n.bases...)
		add(n.data)
	default:
		add(n.Head().bases...)
	}
	return out
}

// order sorts the nodes, and the mounts.
func (l *linker) order() {
	waits := make([]int, len(l.nodes)) // how many nodes each waits for
	then := make([][]int, len(l.nodes))
	edge := func(from, to Node) {
		f, t := from.Head().index, to.Head().index
		waits[t]++
		then[f] = append(then[f], t)
	}
	for _, n := range l.nodes {
		for _, b := range l.before(n) {
			edge(b, n)
		}
		if m, ok := n.(*Mount); ok {
			l.c.Mounts = append(l.c.Mounts, m)
		}
	}
	slices.SortStableFunc(l.c.Mounts, func(a, b *Mount) int { return cmp.Compare(a.Point, b.Point) })
	for i := 1; i < len(l.c.Mounts); i++ {
		edge(l.c.Mounts[i-1], l.c.Mounts[i])
	}
	done := make([]bool, len(l.nodes))
	for range l.nodes {
		i := 0
		for i < len(l.nodes) && (done[i] || waits[i] > 0) {
			i++
		}
		if i == len(l.nodes) {
			l.rings(done)
			return
		}
		done[i] = true
		l.c.Nodes = append(l.c.Nodes, l.nodes[i])
		for _, t := range then[i] {
			waits[t]--
		}
	}
}

// rings finds a ring among the nodes that could not be put in order.
func (l *linker) rings(done []bool) {
	for _, start := range l.nodes {
		var walked []Node
		for n := start; n != nil && !done[n.Head().index] && !l.ring[n]; {
			if i := slices.Index(walked, n); i >= 0 {
				l.ringFound(walked[i:])
				break
			}
			walked = append(walked, n)
			var next Node
			for _, b := range l.before(n) {
				if !done[b.Head().index] {
					next = b
					break
				}
			}
			n = next
		}
	}
}

func (l *linker) ringFound(ring []Node) {
	first := slices.MinFunc(ring, func(a, b Node) int { return a.Head().index - b.Head().index })
	i := slices.Index(ring, first)
	var names []string
	for j := range ring {
		n := ring[(i+j)%len(ring)]
		l.ring[n] = true
		names = append(names, printable(n.Head().Name))
	}
	names = append(names, names[0])
	l.problem(first.Head(), "base", "it stands on itself: %s", strings.Join(names, " on "))
}

// base is the node that one stands on, if it is of a right kind.
func (l *linker) base(h *Header, name string, kinds ...Kind) Node {
	b := l.byName[name]
	if b == nil {
		var known []string
		for _, n := range l.nodes {
			if slices.Contains(kinds, n.Head().Kind) {
				known = append(known, n.Head().Name)
			}
		}
		l.suggest(h, "base", spell.Nearest(name, known), "base %s is no node", quote(name))
		return nil
	}
	if !slices.Contains(kinds, b.Head().Kind) {
		var want []string
		for _, k := range kinds {
			want = append(want, k.one())
		}
		l.problem(h, "base", "base %s is %s: %s stands on %s", quote(name), b.Head().Kind.one(), h.Kind.one(), strings.Join(want, " or "))
		return nil
	}
	return b
}

// one is [linker.base] of a node's only base, unless it stands in a ring.
func (l *linker) one(n Node, kinds ...Kind) Node {
	h := n.Head()
	if l.ring[n] || len(h.bases) != 1 {
		return nil
	}
	return l.base(h, h.bases[0], kinds...)
}

// use notes what a device is used by: no device is used twice.
func (l *linker) use(device, by Node) {
	if device == nil {
		return
	}
	if first := l.users[device]; first != nil {
		l.problem(by.Head(), "base", "base %s is used already, by %s", printable(device.Head().Name), printable(first.Head().Name))
		return
	}
	l.users[device] = by
}

func (l *linker) node(n Node) {
	switch n := n.(type) {
	case *LocalLoop:
		l.disk(n)
	case *LVM:
		for _, name := range n.bases {
			if l.byName[name] == nil && !slices.ContainsFunc(l.tables, func(t *Partitioning) bool { return t.Name == name }) {
				l.base(&n.Header, name)
			}
		}
	case *PV:
		n.Device = l.one(n, KindPartition, KindLoop, KindLUKS)
		if c, ok := n.Device.(*LUKS); ok && len(c.bases) == 1 {
			if v, ok := l.byName[c.bases[0]].(*LV); ok {
				l.problem(&n.Header, "base", "base %s lies on the volume %s: a group lies on no other", printable(c.Name), printable(v.Name))
			}
		}
		l.use(n.Device, n)
	case *VG:
		l.group(n)
	case *LV:
		l.volume(n)
	case *LUKS:
		l.container(n)
	case *Verity:
		l.verity(n)
	case *Mkfs:
		n.Device = l.one(n, KindPartition, KindLV, KindLoop, KindLUKS)
		if v, ok := n.Device.(*LV); ok && v.Type == ThinPool {
			l.problem(&n.Header, "base", "base %s is a pool, which holds volumes and no file system", printable(v.Name))
		}
		l.use(n.Device, n)
		l.filesystem(n)
		l.c.Filesystems = append(l.c.Filesystems, n)
	case *Subvolume:
		l.subvolume(n)
	case *Mount:
		switch on := l.one(n, KindMkfs, KindSubvolume).(type) {
		case *Mkfs:
			n.FS = on
		case *Subvolume:
			n.FS, n.Sub = on.FS, on
		}
		l.mount(n)
	case *Fstab:
		n.Mount, _ = l.one(n, KindMount).(*Mount)
		if m := n.Mount; m != nil && m.Fstab != nil {
			l.problem(&n.Header, "base", "base %s has a line of fstab already, %s", printable(m.Name), printable(m.Fstab.Name))
		} else if m != nil {
			m.Fstab = n
		}
	}
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}
