package ext4

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

const (
	attrMagic     = 0xea020000
	attrEntryHead = 16
	attrBlockHead = 32
	attrEnd       = 4    // a zero that ends the list of entries
	maxAttrShare  = 1024 // inodes that may point to one attribute block
)

// attrPrefixes are the beginnings of names that ext4 stores as a number.
var attrPrefixes = [...]struct {
	prefix string
	index  uint8
	whole  bool // nothing may follow
}{
	{"user.", 1, false},
	{"system.posix_acl_access", 2, true},
	{"system.posix_acl_default", 3, true},
	{"trusted.", 4, false},
	{"security.", 6, false},
}

// An attr is an extended attribute as ext4 stores it.
type attr struct {
	index uint8
	name  string
	value string
}

func (a *attr) headSpace() int  { return attrEntryHead + (len(a.name)+3)&^3 }
func (a *attr) valueSpace() int { return (len(a.value) + 3) &^ 3 }

// newAttr takes an attribute as the kernel names it to user space.
func newAttr(x tree.Xattr) (attr, error) {
	for _, p := range attrPrefixes {
		name, ok := strings.CutPrefix(x.Name, p.prefix)
		if !ok || p.whole && name != "" {
			continue
		}
		if !p.whole && (name == "" || len(name) > 255 || strings.IndexByte(name, 0) >= 0) {
			break
		}
		a := attr{p.index, name, x.Value}
		if p.whole {
			v, err := encodeACL(x.Value)
			if err != nil {
				return a, fmt.Errorf("attribute %s: %w", x.Name, err)
			}
			a.value = v
		}
		return a, nil
	}
	return attr{}, fmt.Errorf("attribute %q has a name that ext4 cannot store", x.Name)
}

// An attrBlock is a block of attributes, which inodes with the same ones share.
type attrBlock struct {
	attrs []attr
	refs  uint32
	at    int64 // its place
}

// An attrSet is the attribute blocks of a filesystem.
type attrSet struct {
	blocks []*attrBlock
	byKey  map[string]*attrBlock
}

// add stores a file's attributes: in the inode what fits, in the order given,
// and the others in a block.
func (s *attrSet) add(xs []tree.Xattr) (inline []byte, block *attrBlock, err error) {
	if len(xs) == 0 {
		return nil, nil, nil
	}
	var in, out []attr
	free := inlineSpace - 4 - attrEnd
	space := blockSize - attrBlockHead - attrEnd
	for _, x := range xs {
		a, err := newAttr(x)
		if err != nil {
			return nil, nil, err
		}
		n := a.headSpace() + a.valueSpace()
		if n <= free {
			free -= n
			in = append(in, a)
			continue
		}
		if space -= n; space < 0 {
			return nil, nil, fault.Newf(fault.Preflight, "attribute %q and those before it are larger than a block of %d bytes", x.Name, blockSize)
		}
		out = append(out, a)
	}
	order := func(a, b attr) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	}
	slices.SortFunc(in, order)
	slices.SortFunc(out, order)
	for _, l := range [][]attr{in, out} {
		for i := 1; i < len(l); i++ {
			if l[i].index == l[i-1].index && l[i].name == l[i-1].name {
				return nil, nil, fmt.Errorf("attribute %q is given twice", l[i].name)
			}
		}
	}
	if len(in) > 0 {
		inline = make([]byte, inlineSpace)
		binary.LittleEndian.PutUint32(inline, attrMagic)
		putAttrs(inline[4:], 0, in, false)
	}
	if len(out) == 0 {
		return inline, nil, nil
	}
	var key []byte
	for i := range out {
		key = fmt.Appendf(key, "%d %q %q ", out[i].index, out[i].name, out[i].value)
	}
	if s.byKey == nil {
		s.byKey = map[string]*attrBlock{}
	}
	block = s.byKey[string(key)]
	if block == nil || block.refs == maxAttrShare {
		block = &attrBlock{attrs: out}
		s.blocks = append(s.blocks, block)
		s.byKey[string(key)] = block
	}
	block.refs++
	return inline, block, nil
}

// putAttrs writes entries from at on and their values from the end of out
// backwards; both count from the start of out. The sum of hashes is for a block's header.
func putAttrs(out []byte, at int, attrs []attr, hashed bool) (sum uint32) {
	le := binary.LittleEndian
	end := len(out)
	for i := range attrs {
		a := &attrs[i]
		e := out[at:]
		e[0], e[1] = uint8(len(a.name)), a.index
		if len(a.value) > 0 {
			end -= a.valueSpace()
			le.PutUint16(e[2:], uint16(end))
			copy(out[end:], a.value)
		}
		le.PutUint32(e[8:], uint32(len(a.value)))
		copy(e[attrEntryHead:], a.name)
		if hashed {
			h := a.hash()
			le.PutUint32(e[12:], h)
			sum = sum<<16 ^ sum>>16 ^ h
		}
		at += a.headSpace()
	}
	return sum
}

// hash is of an attribute in a block: over the name's bytes, then over the
// value's words, the last one filled with zeros.
func (a *attr) hash() uint32 {
	var h uint32
	for i := range len(a.name) {
		h = h<<5 ^ h>>27 ^ uint32(a.name[i])
	}
	for i := 0; i < len(a.value); i += 4 {
		var w [4]byte
		copy(w[:], a.value[i:])
		h = h<<16 ^ h>>16 ^ binary.LittleEndian.Uint32(w[:])
	}
	return h
}

// encode writes the block.
func (b *attrBlock) encode(sum checksum, out []byte) {
	clear(out)
	le := binary.LittleEndian
	le.PutUint32(out, attrMagic)
	le.PutUint32(out[4:], b.refs)
	le.PutUint32(out[8:], 1) // blocks
	le.PutUint32(out[12:], putAttrs(out, attrBlockHead, b.attrs, true))
	le.PutUint32(out[16:], sum.add64(uint64(b.at)).add(out).value())
}
