package iso

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// names is one of the two trees: what files are called in it, and where its
// directories lie.
type names struct {
	joliet bool
	id     map[*node][]byte // identifiers
	dirs   []*node          // in the order of a path table
	order  map[*node][]*node
	at     map[*node]int64 // blocks
	size   map[*node]int64 // bytes

	tableL, tableM, tableSize int64
}

func newNames(joliet bool) *names {
	return &names{joliet: joliet, id: map[*node][]byte{}, order: map[*node][]*node{}, at: map[*node]int64{}, size: map[*node]int64{}}
}

// name gives everything its identifiers in both trees.
func (im *Image) name() (rock, joliet *names, err error) {
	rock, joliet = newNames(false), newNames(true)
	for _, d := range im.dirs {
		if err := rock.short(d); err != nil {
			return nil, nil, err
		}
		if err := joliet.wide(d); err != nil {
			return nil, nil, err
		}
	}
	for _, t := range []*names{rock, joliet} {
		t.dirs = []*node{im.root}
		for i := 0; i < len(t.dirs); i++ {
			for _, c := range t.order[t.dirs[i]] {
				if c.file == nil {
					t.dirs = append(t.dirs, c)
				}
			}
		}
		if len(t.dirs) > 1<<16-1 {
			return nil, nil, fault.Newf(fault.Preflight, "%d directories are more than %d", len(t.dirs), 1<<16-1)
		}
	}
	return rock, joliet, nil
}

// short gives a directory's children upper-case identifiers, "NAME.EXT;1", and their
// order: by name, then by extension, each as if filled up with spaces.
func (t *names) short(d *node) error {
	type parts struct{ base, ext string }
	taken := map[parts]bool{}
	all := map[*node]parts{}
	for _, c := range d.children {
		base, ext := c.name, ""
		if i := strings.LastIndexByte(base, '.'); i >= 0 && c.file != nil {
			base, ext = base[:i], base[i+1:]
		}
		p := parts{identifier(base, 8), identifier(ext, 3)}
		if p.base == "" {
			p.base = "_"
		}
		for n := 0; taken[p]; n++ {
			if n == 1000 {
				return fault.Newf(fault.Preflight, "more than 1000 names in one directory begin as %s does", c.name)
			}
			p.base = fmt.Sprintf("%.5s%03d", identifier(base, 5)+"_____", n)
		}
		taken[p], all[c] = true, p
		id := p.base
		if c.file != nil {
			id += "." + p.ext + ";1"
		}
		t.id[c] = []byte(id)
	}
	t.order[d] = slices.SortedFunc(slices.Values(d.children), func(a, b *node) int {
		return cmp.Or(cmp.Compare(all[a].base, all[b].base), cmp.Compare(all[a].ext, all[b].ext))
	})
	return nil
}

// identifier makes up to n characters of an identifier of a name.
func identifier(s string, n int) string {
	s = strings.Map(func(c rune) rune {
		if dCharacter(c) {
			return c
		}
		return '_'
	}, strings.ToUpper(s))
	return s[:min(n, len(s))]
}

// maxWide is how many UCS-2 characters a name has in Joliet's tree.
const maxWide = 64

// wide gives a directory's children names in UCS-2 (Joliet specification, 1.5), and
// their order.
func (t *names) wide(d *node) error {
	taken := map[string]bool{}
	for _, c := range d.children {
		var name []rune
		for _, r := range c.name {
			if r < ' ' || r > 0xFFFF || strings.ContainsRune(`*/:;?\`, r) {
				r = '_'
			}
			name = append(name, r)
		}
		name = name[:min(len(name), maxWide)]
		for n := 0; taken[string(name)]; n++ {
			if n == 1000 {
				return fault.Newf(fault.Preflight, "more than 1000 names in one directory begin as %s does", c.name)
			}
			name = append(name[:min(len(name), maxWide-4)], []rune(fmt.Sprintf("~%03d", n))...)
		}
		taken[string(name)] = true
		id := ucs2(string(name))
		if c.file != nil {
			id = append(id, ucs2(";1")...)
		}
		t.id[c] = id
	}
	t.order[d] = slices.SortedFunc(slices.Values(d.children), func(a, b *node) int { return bytes.Compare(t.id[a], t.id[b]) })
	return nil
}

// ucs2 is a text of characters of up to 16 bits, big endian.
func ucs2(s string) []byte {
	var b []byte
	for _, r := range s {
		b = binary.BigEndian.AppendUint16(b, uint16(r))
	}
	return b
}

// table is the path table (ECMA-119, 9.4): all directories, by depth, then by their
// parents' order, then by name.
func (t *names) table(order binary.AppendByteOrder) []byte {
	number := map[*node]int{}
	var b []byte
	for i, d := range t.dirs {
		number[d] = i + 1
		id := t.id[d]
		if i == 0 {
			id = []byte{0}
		}
		b = append(b, byte(len(id)), 0)
		b = order.AppendUint32(b, uint32(t.at[d]))
		b = order.AppendUint16(b, uint16(number[d.up]))
		b = append(b, id...)
		if len(id)%2 == 1 {
			b = append(b, 0)
		}
	}
	return b
}
