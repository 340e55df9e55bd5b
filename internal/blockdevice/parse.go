package blockdevice

import (
	"errors"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"

	"ingot/internal/spell"
)

// Params are what a description is read with, beside its text.
type Params struct {
	// Arch is Debian's name of the architecture: what a partition of type root is,
	// and which firmware a short form serves.
	Arch string
	// Firmware is "bios", "uefi" or both: which of a short form's partitions are
	// left out. None is all that the architecture has.
	Firmware []string
	// ImageSize is the size of a disk that says none, in bytes; 0 is as large as
	// the content needs.
	ImageSize int64
	// BlockSize, if not 0, wins over every disk's own.
	BlockSize int64
	// RootType, RootLabel and RootOptions are what the file system mkfs_root has
	// where it says nothing. No RootType is ext4, and no RootLabel is the node's name.
	RootType, RootLabel string
	RootOptions         []string
	// Types, if any, are the file systems that can be made, and swap: others of
	// [FilesystemTypes] are problems.
	Types []FilesystemType
	// Lenient makes warnings of what diskimage-builder ignores without a word.
	Lenient bool
}

// A FilesystemType is a kind of file system that can be made.
type FilesystemType struct {
	Name  string
	Least int64 // bytes of the smallest there is
	Most  int64 // bytes of the largest that can be made
	// Sectors is how many sectors the smallest has, which counts where they are large.
	Sectors int64
	// Check says what is wrong with a file system of this type, and at which of its
	// keys; lines are all of fstab.
	Check func(fs *Mkfs, lines []*Fstab) (key string, err error)
}

const (
	maxNodes = 1000 // of one description
	maxDepth = 32   // of nodes within nodes
	maxName  = 128  // bytes of a node's name
)

// Parse reads a description: the value of the key layout, a list or the name of a
// short form. What is wrong with it comes as [Problems], all at once.
func Parse(n *yaml.Node, params Params) (*Config, error) {
	p := &parser{params: params}
	if n = p.real(n); n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		return p.form(n)
	}
	return p.whole(n)
}

// whole reads a list.
func (p *parser) whole(n *yaml.Node) (*Config, error) {
	p.list(n)
	var c *Config
	if len(p.nodes) > 0 {
		c = p.link(n)
	}
	if len(p.problems) == 0 && c == nil {
		p.note(Problem{At: n, Message: "a layout without a node"})
	}
	least := Needs{}
	if c != nil && len(p.params.Types) > 0 {
		p.types(c, least)
	}
	if len(p.problems) == 0 {
		c.Warnings = p.warnings
		// What cannot fit whatever the contents are.
		var problem Problem
		if fitted, err := c.Fit(least); errors.As(err, &problem) {
			p.note(problem)
		} else if err == nil {
			p.most(c, fitted)
		}
	}
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return c, nil
}

// types holds file systems against those that can be made, and notes how large they
// are at the least.
func (p *parser) types(c *Config, least Needs) {
	for _, fs := range c.Filesystems {
		i := slices.IndexFunc(p.params.Types, func(t FilesystemType) bool { return t.Name == fs.Type })
		switch {
		case i >= 0:
			t := p.params.Types[i]
			least[fs.Name] = max(t.Least, t.Sectors*sectorOf(fs.Device))
			if key, err := t.Check(fs, c.Fstab); err != nil {
				p.problem(&fs.Header, key, "%v", err)
			}
		case slices.Contains(FilesystemTypes, fs.Type):
			p.problem(&fs.Header, "type", "type %q is not supported yet by this version of ingot", fs.Type)
		}
	}
}

// sectorOf is how many bytes a sector of a disk or a partition has; of others it is the
// least there is.
func sectorOf(device Node) int64 {
	switch d := device.(type) {
	case *LocalLoop:
		return d.BlockSize
	case *Partition:
		if d.Table.Disk != nil {
			return d.Table.Disk.BlockSize
		}
	}
	return 512
}

// most notes file systems that are larger than can be made, whatever their contents are.
func (p *parser) most(c *Config, fitted *Fitted) {
	for _, fs := range c.Filesystems {
		i := slices.IndexFunc(p.params.Types, func(t FilesystemType) bool { return t.Name == fs.Type })
		if i < 0 {
			continue
		}
		most := p.params.Types[i].Most
		if size := fitted.Size(fs.Device); size > most {
			p.note(fault(fs.Device.Head(), "size", "it has %s, and file systems of type %s are made with at most %s", human(size), fs.Type, human(most)))
		} else if fs.Free > most {
			p.problem(&fs.Header, "free", "free is %s, and file systems of type %s are made with at most %s", human(fs.Free), fs.Type, human(most))
		}
	}
}

// A parser reads one description. It never stops at a problem: it notes it and
// goes on.
type parser struct {
	params   Params
	problems Problems
	warnings []Problem
	nodes    []Node // in the order of the text
	tables   []*Partitioning
	full     bool // whether there were too many nodes
}

// real follows aliases, of which YAML has no rings that a loader would let through
// and no more than a few in a row.
func (p *parser) real(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			break
		}
		n = n.Alias
	}
	if n == nil {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	}
	return n
}

// entryKinds are the kinds that are keys: at the top of a list, or within a node.
var entryKinds = []Kind{KindLoop, KindPartitioning, KindLVM, KindLUKS, KindVerity, KindMkfs, KindMount, KindFstab}

func entryNames() []string {
	var out []string
	for _, k := range entryKinds {
		out = append(out, string(k))
	}
	return out
}

func (p *parser) list(n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		p.note(Problem{At: n, Message: "a layout is the name of a short form or a list of nodes, not " + described(n)})
		return
	}
	for _, item := range n.Content {
		item = p.real(item)
		if item.Kind != yaml.MappingNode {
			p.note(Problem{At: item, Message: "a node is a kind and its keys, such as mkfs: {...}, not " + described(item)})
			continue
		}
		if len(item.Content) != 2 {
			p.note(Problem{At: item, Message: "an item of a layout has one key, the kind of the node, not " + strconv.Itoa(len(item.Content)/2)})
			continue
		}
		k, v := item.Content[0], p.real(item.Content[1])
		kind := Kind(k.Value)
		if k.Kind != yaml.ScalarNode || !slices.Contains(entryKinds, kind) {
			p.unknown(Problem{At: k, Message: "unknown kind of node " + described(k)}, k.Value, entryNames())
			continue
		}
		p.entry(kind, v, "", 0)
	}
}

// unknown notes a word that is none, and which was meant.
func (p *parser) unknown(q Problem, word string, among []string) {
	if q.Suggestion = spell.Nearest(word, among); q.Suggestion != "" {
		q.Message += `; did you mean "` + q.Suggestion + `"?`
	}
	p.note(q)
}

// add takes a node into the list.
func (p *parser) add(n Node) {
	if len(p.nodes) >= maxNodes {
		if !p.full {
			p.note(fault(n.Head(), "", "more than %d nodes", maxNodes))
		}
		p.full = true
		return
	}
	n.Head().index = len(p.nodes)
	p.nodes = append(p.nodes, n)
}

// A nested node stands within another.
type nested struct {
	kind Kind
	v    *yaml.Node
}

// entry reads a node and those within it.
func (p *parser) entry(kind Kind, v *yaml.Node, parent string, depth int) {
	if p.full {
		return
	}
	if depth > maxDepth {
		p.note(Problem{At: v, Key: string(kind), Message: "nodes within nodes, too deep"})
		return
	}
	var n Node
	switch kind {
	case KindLoop:
		n = &LocalLoop{BlockSize: 512}
	case KindVerity:
		n = &Verity{}
	case KindLUKS:
		n = &LUKS{}
	case KindMkfs:
		n = &Mkfs{}
	case KindMount:
		n = &Mount{}
	case KindFstab:
		n = &Fstab{Pass: 2, By: ByLabel, Options: "defaults"}
	case KindPartitioning:
		p.table(v, parent, depth)
		return
	default:
		p.volumes(v, parent, depth)
		return
	}
	within, lists := p.read(n, kind, v, parent)
	p.add(n)
	if fs, ok := n.(*Mkfs); ok && lists["subvolumes"] != nil {
		p.subvolumes(fs, lists["subvolumes"], depth)
	}
	p.inner(n, within, depth)
}

// subvolumes reads the subvolumes of a file system.
func (p *parser) subvolumes(fs *Mkfs, list *yaml.Node, depth int) {
	for _, item := range p.items(&fs.Header, "subvolumes", list) {
		s := &Subvolume{FS: fs}
		inside, _ := p.read(s, KindSubvolume, item, "")
		s.bases = []string{fs.Name}
		fs.Subvolumes = append(fs.Subvolumes, s)
		p.add(s)
		p.inner(s, inside, depth+1)
	}
}

// inner reads the nodes within one.
func (p *parser) inner(n Node, within []nested, depth int) {
	for _, w := range within {
		p.entry(w.kind, w.v, n.Head().Name, depth+1)
	}
}

func (p *parser) table(v *yaml.Node, parent string, depth int) {
	t := &Partitioning{Align: mib}
	within, lists := p.read(t, KindPartitioning, v, parent)
	p.tables = append(p.tables, t)
	base := ""
	if len(t.bases) > 0 {
		base = t.bases[0]
	}
	for _, item := range p.items(&t.Header, "partitions", lists["partitions"]) {
		part := &Partition{Table: t}
		inside, _ := p.read(part, KindPartition, item, base)
		t.Partitions = append(t.Partitions, part)
		p.add(part)
		p.inner(part, inside, depth)
	}
	p.inner(t, within, depth)
}

func (p *parser) volumes(v *yaml.Node, parent string, depth int) {
	l := &LVM{}
	within, lists := p.read(l, KindLVM, v, parent)
	p.add(l)
	var inside []func()
	each := func(key string, kind Kind, make func() Node) {
		for _, item := range p.items(&l.Header, key, lists[key]) {
			n := make()
			nodes, _ := p.read(n, kind, item, "")
			p.add(n)
			inside = append(inside, func() { p.inner(n, nodes, depth) })
		}
	}
	each("pvs", KindPV, func() Node {
		l.PVs = append(l.PVs, &PV{})
		return l.PVs[len(l.PVs)-1]
	})
	each("vgs", KindVG, func() Node {
		l.VGs = append(l.VGs, &VG{ExtentSize: DefaultExtent})
		return l.VGs[len(l.VGs)-1]
	})
	each("lvs", KindLV, func() Node {
		l.LVs = append(l.LVs, &LV{Type: Linear, StripeSize: 64 * kib})
		return l.LVs[len(l.LVs)-1]
	})
	for _, f := range inside {
		f()
	}
	p.inner(l, within, depth)
}

// items are the maps of a list of nodes.
func (p *parser) items(h *Header, key string, v *yaml.Node) []*yaml.Node {
	if v == nil {
		return nil // a key that must be there was noted as missing
	}
	if v.Kind != yaml.SequenceNode {
		p.problem(h, key, "%s wants a list, not %s", key, described(v))
		return nil
	}
	var out []*yaml.Node
	for _, item := range v.Content {
		if item = p.real(item); item.Kind != yaml.MappingNode {
			q := fault(h, key, "an item of %s is keys and values, not %s", key, described(item))
			q.At = item
			p.note(q)
			continue
		}
		out = append(out, item)
	}
	return out
}

// read reads the keys of a node. It gives the nodes within it, and the values of
// keys that are lists of nodes.
func (p *parser) read(n Node, kind Kind, v *yaml.Node, parent string) (within []nested, lists map[string]*yaml.Node) {
	h := n.Head()
	h.Kind, h.At, h.values = kind, v, map[string]*yaml.Node{}
	keys := n.keys()
	hasBase := slices.ContainsFunc(keys, func(k key) bool { return k.Name == "base" })
	if parent != "" && hasBase {
		h.bases = []string{parent}
	}
	if v.Kind != yaml.MappingNode {
		p.problem(h, "", "%s wants keys and values, not %s", kind, described(v))
		return nil, nil
	}
	p.call(h, v)
	lists = map[string]*yaml.Node{}
	for i := 0; i+1 < len(v.Content); i += 2 {
		k, value := v.Content[i], p.real(v.Content[i+1])
		if k.Kind != yaml.ScalarNode {
			p.note(at(fault(h, "", "%s is not a key", described(k)), k))
			continue
		}
		if h.values[k.Value] != nil {
			p.note(at(fault(h, k.Value, "%s is set twice", quote(k.Value)), k))
			continue
		}
		h.values[k.Value] = value
		if inner := Kind(k.Value); slices.Contains(entryKinds, inner) && kind != KindPV && kind != KindVG {
			within = append(within, nested{inner, value})
			continue
		}
		j := slices.IndexFunc(keys, func(key key) bool { return key.Name == k.Value })
		switch {
		case j < 0:
			p.unknownKey(h, k, keys)
		case keys[j].read == nil:
			lists[k.Value] = value
		default:
			keys[j].read(reader{p, h, k.Value, value})
		}
	}
	if len(h.bases) > 1 && kind != KindVG && kind != KindLVM {
		p.problem(h, "base", "base wants one node, not %d", len(h.bases))
	}
	for _, k := range keys {
		if k.Must && h.values[k.Name] == nil && (k.Name != "base" || len(h.bases) == 0) {
			p.problem(h, "", "%s of this %s is missing", k.Name, kind)
		}
	}
	if h.Name == "" && len(h.bases) > 0 {
		h.Name = string(kind) + "_" + h.bases[0]
	}
	if len(h.Name) > maxName {
		p.problem(h, "name", "name is too long: at most %d characters", maxName)
	}
	return within, lists
}

// call gives a node its name before its other keys are read, for their messages.
func (p *parser) call(h *Header, v *yaml.Node) {
	base := ""
	if len(h.bases) > 0 {
		base = h.bases[0]
	}
	for i := 0; i+1 < len(v.Content); i += 2 {
		value := p.real(v.Content[i+1])
		if value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
			continue
		}
		switch v.Content[i].Value {
		case "name":
			h.Name = value.Value
			return
		case "base":
			base = value.Value
		}
	}
	if base != "" && h.Kind != KindPartition {
		h.Name = string(h.Kind) + "_" + base
	}
}

func at(q Problem, n *yaml.Node) Problem {
	q.At = n
	return q
}

func (p *parser) unknownKey(h *Header, k *yaml.Node, keys []key) {
	names := entryNames()
	if h.Kind == KindPV || h.Kind == KindVG {
		names = nil
	}
	for _, key := range keys {
		names = append(names, key.Name)
	}
	q := at(fault(h, k.Value, "unknown key %s of this %s", quote(k.Value), h.Kind), k)
	if q.Suggestion = spell.Nearest(k.Value, names); q.Suggestion != "" {
		q.Message += `; did you mean "` + q.Suggestion + `"?`
	}
	p.ignored(q)
}
