package blockdevice

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"go.yaml.in/yaml/v4"

	"ingot/internal/gpt"
	"ingot/internal/luks"
	"ingot/internal/mbr"
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

func (l *linker) disk(d *LocalLoop) {
	if l.params.BlockSize != 0 {
		d.BlockSize = l.params.BlockSize
	}
	if d.said == 0 {
		d.said = l.params.ImageSize
	}
	d.Size = roundDown(d.said, d.BlockSize)
	l.c.Disks = append(l.c.Disks, d)
}

var serialPattern = regexp.MustCompile(`^(?:0[xX])?[0-9A-Fa-f]{8}$`)

func (l *linker) table(t *Partitioning) {
	h := &t.Header
	if len(t.bases) == 1 {
		if d, ok := l.base(h, t.bases[0], KindLoop).(*LocalLoop); ok {
			t.Disk = d
			if d.Table != nil {
				l.problem(h, "base", "base %s has a partition table already", printable(d.Name))
			} else {
				l.use(d, t)
				d.Table = t
			}
		}
	}
	switch t.Label {
	case GPT:
		if h.values["align"] != nil {
			l.ignored(fault(h, "align", "align has no effect on GPT, where partitions start at multiples of 1 MiB"))
		}
		t.Align = mib
		l.guid(h, t.UUID)
	case MBR:
		if t.Disk != nil && t.Align%t.Disk.BlockSize != 0 {
			l.problem(h, "align", "align %d is not a multiple of the sectors' %d bytes", t.Align, t.Disk.BlockSize)
		}
		if t.Align > 1<<30 {
			l.problem(h, "align", "align %s is more than 1 GiB", human(t.Align))
		}
		if t.UUID != "" && (!serialPattern.MatchString(t.UUID) || strings.HasSuffix(t.UUID, "00000000")) {
			l.problem(h, "uuid", "uuid %s is not an MBR's: want 8 hexadecimal digits that are not all 0", quote(t.UUID))
		}
	}
	logical, primaries, active := 0, 0, ""
	for i, part := range t.Partitions {
		h := &part.Header
		if len(part.bases) == 1 && len(t.bases) == 1 && part.bases[0] != t.bases[0] {
			l.problem(h, "base", "base %s is not the table's, %s", quote(part.bases[0]), quote(t.bases[0]))
		}
		for _, f := range part.flags {
			switch f {
			case "boot":
				part.Boot = true
			case "primary":
				part.Primary = true
			default:
				l.suggest(h, "flags", spell.Nearest(f, []string{"boot", "primary"}), "flag %s is unknown: there are boot and primary", quote(f))
			}
		}
		part.Number = i + 1
		if t.Label == GPT {
			l.gptPartition(part)
			continue
		}
		if t.Label != MBR {
			continue
		}
		l.mbrPartition(part)
		if part.Boot && active != "" {
			l.problem(h, "flags", "flag boot is on %s already: a BIOS starts one partition", printable(active))
		} else if part.Boot {
			active = part.Name
		}
		switch {
		case part.Primary && logical > 0:
			l.problem(h, "flags", "primary partitions must stand before those that are not")
		case part.Primary:
			primaries++
		default:
			part.Number = mbr.FirstLogical + logical
			logical++
		}
	}
	switch {
	case t.Label == MBR && (primaries > mbr.Primaries || primaries == mbr.Primaries && logical > 0):
		l.problem(h, "partitions", "an MBR has four entries, and logical partitions take one: there are %d primary and %d logical partitions", primaries, logical)
	case len(t.Partitions) > 124:
		l.problem(h, "partitions", "%d partitions are more than 124", len(t.Partitions))
	case len(t.Partitions) == 0 && h.values["partitions"] != nil && h.values["partitions"].Kind == yaml.SequenceNode:
		l.problem(h, "partitions", "partitions is an empty list: name at least one")
	}
}

func (l *linker) gptPartition(part *Partition) {
	h := &part.Header
	if part.Primary {
		l.problem(h, "flags", "flag primary is not for GPT, which has no other partitions")
	}
	if part.Boot {
		l.warn(h, "flags", "flag boot has no effect on GPT")
	}
	if part.Type.Text == "" {
		part.Type.Text = "8300"
	}
	var why string
	if part.Type.GPT, why = gptType(part.Type.Text, l.params.Arch); why != "" {
		l.suggest(h, "type", spell.Nearest(part.Type.Text, typeNames(GPT)), "type %s %s", quote(part.Type.Text), why)
	}
	if len(utf16.Encode([]rune(part.Name))) > 36 {
		l.problem(h, "name", "name does not fit in the 36 UTF-16 units of a GPT")
	}
	l.guid(h, part.UUID)
}

func (l *linker) mbrPartition(part *Partition) {
	h := &part.Header
	if part.Type.Text == "" {
		part.Type.Text = "0x83"
	}
	var why string
	if part.Type.MBR, why = mbrType(part.Type.Text); why != "" {
		l.suggest(h, "type", spell.Nearest(part.Type.Text, typeNames(MBR)), "type %s %s", quote(part.Type.Text), why)
	}
	if part.UUID != "" {
		l.problem(h, "uuid", "uuid is not for MBR, whose partitions go by the table's")
	}
}

// guid checks a partition's or a table's GUID, if there is one.
func (l *linker) guid(h *Header, s string) {
	if s == "" {
		return
	}
	if g, err := gpt.ParseGUID(s); err != nil || g == (gpt.GUID{}) {
		l.problem(h, "uuid", "uuid %s is not a GUID: want groups of 8-4-4-4-12 hexadecimal digits, not all 0", quote(s))
	}
}

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

var serialOfFAT = regexp.MustCompile(`^[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}$`)

func (l *linker) filesystem(f *Mkfs) {
	h := &f.Header
	if f.Name == "mkfs_root" {
		if f.Type == "" && h.values["type"] == nil {
			f.Type = cmp.Or(l.params.RootType, "ext4")
		}
		if h.values["label"] == nil {
			f.Label = l.params.RootLabel
		}
		if h.values["opts"] == nil {
			f.Options = l.params.RootOptions
		}
	}
	if f.Type == "" && h.values["type"] == nil && h.At.Kind == yaml.MappingNode {
		l.problem(h, "", "type of this mkfs is missing")
	}
	if f.Label == "" {
		f.Label = f.Name
	}
	if f.Type == "vfat" {
		f.Label = strings.ToUpper(f.Label)
	}
	switch {
	case f.UUID == "":
	case f.Type == "vfat" && !serialOfFAT.MatchString(f.UUID):
		l.problem(h, "uuid", "uuid %s is not a vfat's: want such as ABCD-1234", quote(f.UUID))
	case f.Type != "vfat" && f.Type != "":
		l.fsUUID(h, f.UUID)
	}
}

// fsUUID checks an identity that is no vfat's, if there is one.
func (l *linker) fsUUID(h *Header, s string) {
	if s == "" {
		return
	}
	if g, err := gpt.ParseGUID(s); err != nil || g == (gpt.GUID{}) {
		l.problem(h, "uuid", "uuid %s is not one: want groups of 8-4-4-4-12 hexadecimal digits, not all 0", quote(s))
	}
}

// labels checks that labels and identities fit and are unique.
func (l *linker) labels() {
	labels, ids := map[string]*Header{}, map[string]*Header{}
	once := func(h *Header, id string) {
		if id = strings.ToLower(id); id == "" {
			return
		}
		if first := ids[id]; first != nil {
			l.problem(h, "uuid", "uuid %s is used more than once: %s has it too", id, printable(first.Name))
			return
		}
		ids[id] = h
	}
	for _, t := range l.tables {
		once(&t.Header, t.UUID)
		for _, part := range t.Partitions {
			once(&part.Header, part.UUID)
		}
	}
	label := func(h *Header, what, label string, most int) {
		said := ""
		if h.values["label"] == nil {
			said = ", which is the node's name; say another"
		}
		if most > 0 && len(label) > most {
			l.problem(h, "label", "label %s is too long for %s: %d bytes, at most %d%s", quote(label), what, len(label), most, said)
		}
		if strings.ContainsAny(label, "\"'\\") {
			l.problem(h, "label", "label %s has a quote or a backslash, which fstab cannot say", quote(label))
		}
		if first := labels[label]; first != nil {
			l.problem(h, "label", "label %s is used more than once: %s has it too", quote(label), printable(first.Name))
			return
		}
		labels[label] = h
	}
	for _, c := range l.c.Containers {
		once(&c.Header, c.UUID)
		label(&c.Header, "a luks", c.Label, luks.MaxLabel)
	}
	for _, f := range l.c.Filesystems {
		once(&f.Header, f.UUID)
		label(&f.Header, f.Type, f.Label, labelMax[f.Type])
	}
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

func (l *linker) mount(m *Mount) {
	if m.Point != "none" && m.Point != "" {
		for _, other := range l.c.Mounts {
			if other.Point == m.Point && other.index < m.index {
				l.problem(&m.Header, "mount_point", "mount_point %s is used more than once: %s has it too", quote(m.Point), printable(other.Name))
				break
			}
		}
	}
	if m.FS == nil {
		return
	}
	is, name := &m.FS.Mount, m.FS.Name
	if m.Sub != nil {
		is, name = &m.Sub.Mount, m.Sub.Name
	}
	if *is != nil {
		l.problem(&m.Header, "base", "base %s is mounted already, at %s", printable(name), quote((*is).Point))
		return
	}
	*is = m
}

// subvolume checks a subvolume.
func (l *linker) subvolume(s *Subvolume) {
	h := &s.Header
	if s.Path == "" {
		s.Path = s.Name
	}
	if s.FS.Type != "btrfs" && s.FS.Type != "" {
		l.problem(h, "", "subvolumes are for btrfs, and %s is %s", printable(s.FS.Name), s.FS.Type)
	}
	if path.Clean("/"+s.Path) != "/"+s.Path || s.Path == "" || len(s.Path) > 1024 || strings.ContainsAny(s.Path, ", \t\\") {
		key := "path"
		if h.values[key] == nil {
			key = "name"
		}
		l.problem(h, key, "%s %s is no relative path in its shortest form, without commas and blanks", key, quote(s.Path))
	}
	for _, other := range s.FS.Subvolumes {
		if other.Path == s.Path && other.index < s.index {
			l.problem(h, "path", "path %s is that of %s", quote(s.Path), printable(other.Name))
		}
	}
}

// lines finishes fstab, in mount order.
func (l *linker) lines() {
	for _, m := range l.c.Mounts {
		f := m.Fstab
		if f == nil {
			continue
		}
		if m.FS != nil && m.FS.Type == "swap" {
			f.Options, f.Dump, f.Pass = "sw", 0, 0
		}
		if f.discard && !slices.Contains(strings.Split(f.Options, ","), "discard") {
			f.Options += ",discard"
		}
		if m.Sub != nil {
			f.Options += ",subvol=" + m.Sub.Path
		}
		l.c.Fstab = append(l.c.Fstab, f)
	}
}
