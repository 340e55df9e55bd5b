package fat

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"ingot/internal/fault"
)

// A node is a directory or a file of the volume.
type node struct {
	name     string
	short    [11]byte
	long     []uint16         // UTF-16 units; nil where the short name says it all
	parent   *node            // nil for the root
	children []*node          // in order of name
	names    map[string]*node // children by folded name; not nil for a directory
	content  File             // of a file
	first    int64            // cluster
	count    int64
}

// newTree hangs the files into directories and names everything.
func newTree(files []File) (*node, error) {
	root := &node{names: map[string]*node{}}
	for _, f := range files {
		if f.Len() > 1<<32-1 {
			return nil, fault.Newf(fault.Preflight, "FAT: %s of %d bytes is larger than 4 GiB less one byte", f.Path, f.Len())
		}
		dir := root
		parts := strings.Split(f.Path, "/")
		for i, name := range parts {
			if err := checkName(name); err != nil {
				return nil, fmt.Errorf("FAT: path %q: %w", f.Path, err)
			}
			old := dir.names[fold(name)]
			last := i == len(parts)-1 && !f.Dir
			switch {
			case old != nil && (last || old.names == nil):
				return nil, fmt.Errorf("FAT: %q is there twice", f.Path)
			case old != nil && old.name != name:
				return nil, fmt.Errorf("FAT: %q differs from a directory %q by case only", f.Path, old.name)
			case old != nil:
				dir = old
			default:
				n := &node{name: name, parent: dir}
				if last {
					n.content = f
				} else {
					n.names = map[string]*node{}
				}
				dir.children = append(dir.children, n)
				dir.names[fold(name)] = n
				dir = n
			}
		}
	}
	root.walk(func(n *node) {
		slices.SortFunc(n.children, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	})
	var err error
	root.walk(func(n *node) {
		if e := n.nameChildren(); e != nil && err == nil {
			err = e
		}
	})
	return root, err
}

// fold makes names equal that a FAT reader takes for the same.
func fold(s string) string { return strings.ToUpper(s) }

// walk visits a node, then what is below it.
func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, c := range n.children {
		c.walk(visit)
	}
}

func checkName(s string) error {
	switch {
	case s == "" || s == "." || s == "..":
		return fmt.Errorf("name %q is none", s)
	case !utf8.ValidString(s):
		return fmt.Errorf("name %q is not UTF-8", s)
	case len(utf16.Encode([]rune(s))) > 255:
		return fault.Newf(fault.Preflight, "name %q is longer than 255 characters", s)
	case strings.HasSuffix(s, ".") || strings.HasSuffix(s, " ") || strings.HasPrefix(s, " "):
		return fmt.Errorf("name %q begins or ends with a blank or ends with a dot", s)
	}
	for _, r := range s {
		if r < ' ' || r == 0x7F || strings.ContainsRune(`"*/:<>?\|`, r) {
			return fmt.Errorf("name %q has the character %q", s, r)
		}
	}
	return nil
}

// nameChildren gives short names: a name that is one already, in upper case,
// first; then every other name, in order, an alias that is still free.
func (n *node) nameChildren() error {
	taken := map[[11]byte]bool{}
	tried := map[string]int{} // numbers up to which all are taken
	for _, c := range n.children {
		if s, ok := exactShort(c.name); ok {
			c.short = s
			taken[s] = true
		}
	}
	for _, c := range n.children {
		if c.short != [11]byte{} {
			continue
		}
		c.long = utf16.Encode([]rune(c.name))
		// A name that only differs by case has its upper case as alias.
		if s, ok := exactShort(upperASCII(c.name)); ok && !taken[s] {
			c.short = s
			taken[s] = true
			continue
		}
		base, ext := basis(c.name)
		for i := tried[base+"."+ext] + 1; ; i++ {
			if i > 999999 {
				return fault.Newf(fault.Preflight, "FAT: too many names like %q in one directory", c.name)
			}
			tail := fmt.Sprintf("~%d", i)
			var s [11]byte
			copy(s[:], fmt.Sprintf("%-8s%-3s", base[:min(len(base), 8-len(tail))]+tail, ext))
			if !taken[s] {
				c.short = s
				taken[s] = true
				tried[base+"."+ext] = i
				break
			}
		}
	}
	return nil
}

// shortChar says whether a short name may have the character.
func shortChar(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("$%'-_@~`!(){}^#&", c) >= 0
}

func upperASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// exactShort is the short form of a name that needs no long one.
func exactShort(name string) (s [11]byte, ok bool) {
	base, ext, dot := strings.Cut(name, ".")
	if base == "" || len(base) > 8 || len(ext) > 3 || dot && ext == "" {
		return s, false
	}
	for _, c := range []byte(base + ext) {
		if !shortChar(c) {
			return s, false
		}
	}
	copy(s[:], fmt.Sprintf("%-8s%-3s", base, ext))
	return s, true
}

// basis is what an alias is made of: the name in upper case without what a short
// name cannot have, cut at its last dot.
func basis(name string) (base, ext string) {
	name = strings.TrimLeft(name, ".")
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		i = len(name)
	} else {
		ext = name[i+1:]
	}
	clean := func(s string, most int) string {
		var b bytes.Buffer
		for _, r := range upperASCII(s) {
			switch {
			case b.Len() == most:
			case r == ' ' || r == '.':
			case r < utf8.RuneSelf && shortChar(byte(r)):
				b.WriteByte(byte(r))
			default:
				b.WriteByte('_')
			}
		}
		return b.String()
	}
	if base = clean(name[:i], 8); base == "" {
		base = "_"
	}
	return base, clean(ext, 3)
}

const (
	slot        = 32 // bytes of a directory entry
	unitsOfSlot = 13 // UTF-16 units of a long name in one entry
	attrLabel   = 0x08
	attrDir     = 0x10
	attrFile    = 0x20 // "archive", as every new file has
	attrLong    = 0x0F
)

// dirSize is how many bytes the directory's entries take.
func (n *node) dirSize(label bool) int64 {
	slots := 0
	if n.parent != nil {
		slots = 2
	} else if label {
		slots = 1
	}
	for _, c := range n.children {
		slots += 1 + (len(c.long)+unitsOfSlot-1)/unitsOfSlot
	}
	return int64(max(1, slots)) * slot
}

// directory is the directory's bytes.
func (n *node) directory(label string, at stamp) []byte {
	b := make([]byte, 0, n.dirSize(label != ""))
	if n.parent != nil {
		b = appendSlot(b, [11]byte([]byte(".          ")), attrDir, n.first, 0, at)
		up := n.parent.first
		if n.parent.parent == nil {
			up = 0 // the root is always cluster 0 here, whatever its own
		}
		b = appendSlot(b, [11]byte([]byte("..         ")), attrDir, up, 0, at)
	} else if label != "" {
		b = appendSlot(b, [11]byte([]byte(padded(label, ""))), attrLabel, 0, 0, at)
	}
	for _, c := range n.children {
		b = appendLong(b, c.long, c.short)
		if c.names != nil {
			b = appendSlot(b, c.short, attrDir, c.first, 0, at)
		} else {
			b = appendSlot(b, c.short, attrFile, c.first, c.content.Len(), at)
		}
	}
	if len(b) == 0 {
		b = make([]byte, slot)
	}
	return b
}

func appendSlot(b []byte, name [11]byte, attr byte, cluster, size int64, at stamp) []byte {
	e := make([]byte, slot)
	le := binary.LittleEndian
	copy(e, name[:])
	e[11] = attr
	if attr != attrLabel {
		le.PutUint16(e[14:], at.time) // created
		le.PutUint16(e[16:], at.date)
		le.PutUint16(e[18:], at.date) // read
	}
	le.PutUint16(e[20:], uint16(cluster>>16))
	le.PutUint16(e[22:], at.time) // written
	le.PutUint16(e[24:], at.date)
	le.PutUint16(e[26:], uint16(cluster))
	le.PutUint32(e[28:], uint32(size))
	return append(b, e...)
}

// appendLong writes the entries of a long name, last part first, tied to the
// short name by its checksum.
func appendLong(b []byte, long []uint16, short [11]byte) []byte {
	if long == nil {
		return b
	}
	var sum byte
	for _, c := range short {
		sum = sum>>1 | sum<<7
		sum += c
	}
	places := [unitsOfSlot]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}
	parts := (len(long) + unitsOfSlot - 1) / unitsOfSlot
	for part := parts; part >= 1; part-- {
		e := make([]byte, slot)
		e[0] = byte(part)
		if part == parts {
			e[0] |= 0x40
		}
		e[11], e[13] = attrLong, sum
		for i, at := range places {
			unit := uint16(0xFFFF)
			switch k := (part-1)*unitsOfSlot + i; {
			case k < len(long):
				unit = long[k]
			case k == len(long):
				unit = 0
			}
			binary.LittleEndian.PutUint16(e[at:], unit)
		}
		b = append(b, e...)
	}
	return b
}
