package xfs

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
	attrLocal   = 0x01 // the value stands beside the name
	attrTrusted = 0x02
	attrSecure  = 0x04

	attrLeafMagic = 0x3bee
	attrLeafHead  = 80
	attrEntry     = 8
	maxLocalAttr  = blockSize/2 + blockSize/4
	remoteHead    = 56
	remoteSpace   = blockSize - remoteHead
	maxAttrValue  = 64 << 10
)

// attrPrefixes are the beginnings of names that XFS stores as flags. The names of
// access control lists are XFS's own.
var attrPrefixes = [...]struct {
	prefix string
	flags  byte
	name   string // instead
}{
	{"user.", 0, ""},
	{"system.posix_acl_access", attrTrusted, "SGI_ACL_FILE"},
	{"system.posix_acl_default", attrTrusted, "SGI_ACL_DEFAULT"},
	{"trusted.", attrTrusted, ""},
	{"security.", attrSecure, ""},
}

// An attr is an extended attribute as XFS stores it.
type attr struct {
	flags byte
	name  string
	value string
	hash  uint32
	at    int64 // first block of a value that stands apart
}

// newAttr takes an attribute as the kernel names it to user space.
func newAttr(x tree.Xattr) (attr, error) {
	for _, p := range attrPrefixes {
		name, ok := strings.CutPrefix(x.Name, p.prefix)
		if !ok || p.name != "" && name != "" {
			continue
		}
		a := attr{flags: p.flags, name: name, value: x.Value}
		if p.name != "" {
			v, err := encodeACL(x.Value)
			if err != nil {
				return a, fmt.Errorf("attribute %s: %w", x.Name, err)
			}
			a.name, a.value = p.name, v
		}
		if a.name == "" || len(a.name) > 255 || strings.IndexByte(a.name, 0) >= 0 {
			break
		}
		if len(a.value) > maxAttrValue {
			return a, fault.Newf(fault.Preflight, "attribute %s has a value of %d bytes, more than %d", x.Name, len(a.value), maxAttrValue)
		}
		a.hash = hashName(a.name)
		return a, nil
	}
	return attr{}, fmt.Errorf("attribute %q has a name that XFS cannot store", x.Name)
}

// local says whether the value stands beside the name, in a block of attributes.
func (a *attr) local() bool { return round4(3+len(a.name)+len(a.value)) < maxLocalAttr }

// space is what an attribute takes in a block, without its entry.
func (a *attr) space() int {
	if a.local() {
		return round4(3 + len(a.name) + len(a.value))
	}
	return round4(11 + len(a.name))
}

// apart is how many blocks the value takes.
func (a *attr) apart() int64 {
	if a.local() {
		return 0
	}
	return ceilDiv(int64(len(a.value)), remoteSpace)
}

func round4(n int) int { return (n + 3) &^ 3 }

// An attrSet is the attributes of an inode, by hash.
type attrSet struct {
	attrs  []attr
	leaves []int // where each block of attributes begins
	total  int64 // blocks
}

// newAttrSet arranges attributes in blocks: a root that points to others, if
// they are more than one; these; values that are large. There is none without attributes.
func newAttrSet(xs []tree.Xattr) (*attrSet, error) {
	if len(xs) == 0 {
		return nil, nil
	}
	s := &attrSet{leaves: []int{0}}
	for _, x := range xs {
		a, err := newAttr(x)
		if err != nil {
			return nil, err
		}
		s.attrs = append(s.attrs, a)
	}
	slices.SortFunc(s.attrs, func(a, b attr) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.flags, b.flags), cmp.Compare(a.name, b.name))
	})
	room := blockSize - attrLeafHead
	for i := range s.attrs {
		a := &s.attrs[i]
		if i > 0 && a.flags == s.attrs[i-1].flags && a.name == s.attrs[i-1].name {
			return nil, fmt.Errorf("attribute %q is given twice", a.name)
		}
		if room -= attrEntry + a.space(); room < 0 {
			s.leaves = append(s.leaves, i)
			room = blockSize - attrLeafHead - attrEntry - a.space()
		}
	}
	if len(s.leaves) > leafEntries {
		return nil, fault.Newf(fault.Preflight, "attributes are more than %d blocks", leafEntries)
	}
	s.total = s.firstLeaf() + int64(len(s.leaves))
	for i := range s.attrs {
		s.attrs[i].at = s.total
		s.total += s.attrs[i].apart()
	}
	return s, nil
}

// firstLeaf is the first block of attributes: behind the root, or the only one.
func (s *attrSet) firstLeaf() int64 {
	if len(s.leaves) > 1 {
		return 1
	}
	return 0
}

func (s *attrSet) blocks() int64 { return s.total }

// shortSize is what the attributes take in an inode.
func (s *attrSet) shortSize() int {
	n := 4
	for i := range s.attrs {
		n += 3 + len(s.attrs[i].name) + len(s.attrs[i].value)
	}
	return n
}

// fits says whether the attributes can lie in so many bytes of an inode.
func (s *attrSet) fits(room int) bool {
	return s.shortSize() <= room && !slices.ContainsFunc(s.attrs, func(a attr) bool { return len(a.value) > 255 })
}

// encodeShort writes attributes that lie in their inode.
func (s *attrSet) encodeShort(out []byte) {
	binary.BigEndian.PutUint16(out, uint16(s.shortSize()))
	out[2] = byte(len(s.attrs))
	at := 4
	for i := range s.attrs {
		a := &s.attrs[i]
		out[at], out[at+1], out[at+2] = byte(len(a.name)), byte(len(a.value)), a.flags
		copy(out[at+3:], a.name)
		copy(out[at+3+len(a.name):], a.value)
		at += 3 + len(a.name) + len(a.value)
	}
}

// encodeAttrs writes the i-th block of an inode's attributes.
func (fs *FS) encodeAttrs(n *node, i, at int64, out []byte) {
	clear(out)
	s := n.attrs
	leaf := i - s.firstLeaf()
	switch {
	case leaf < 0:
		fs.putHashHead(out, nodeMagic, n, at)
		putNode(out, 1, len(s.leaves))
		for k := range s.leaves {
			in := s.in(k)
			putPointer(out, k, in[len(in)-1].hash, s.firstLeaf()+int64(k))
		}
		putSum(out, 12)
	case leaf < int64(len(s.leaves)):
		fs.putHashHead(out, attrLeafMagic, n, at)
		putNeighbours(out, leaf, int64(len(s.leaves)), i)
		putAttrs(out, s.in(int(leaf)))
		putSum(out, 12)
	default:
		k := slices.IndexFunc(s.attrs, func(a attr) bool { return i >= a.at && i < a.at+a.apart() })
		fs.putRemote(out, "XARM", n, at)
		off := (i - s.attrs[k].at) * remoteSpace
		c := copy(out[remoteHead:], s.attrs[k].value[off:])
		binary.BigEndian.PutUint32(out[4:], uint32(off))
		binary.BigEndian.PutUint32(out[8:], uint32(c))
		putSum(out, 12)
	}
}

// in is the attributes of a block.
func (s *attrSet) in(leaf int) []attr {
	if leaf+1 < len(s.leaves) {
		return s.attrs[s.leaves[leaf]:s.leaves[leaf+1]]
	}
	return s.attrs[s.leaves[leaf]:]
}

// putAttrs writes entries from the front and names with values from the end.
func putAttrs(out []byte, attrs []attr) {
	be := binary.BigEndian
	end := blockSize
	for i := range attrs {
		a := &attrs[i]
		end -= a.space()
		e := out[attrLeafHead+attrEntry*i:]
		be.PutUint32(e, a.hash)
		be.PutUint16(e[4:], uint16(end))
		e[6] = a.flags
		b := out[end:]
		if a.local() {
			e[6] |= attrLocal
			be.PutUint16(b, uint16(len(a.value)))
			b[2] = byte(len(a.name))
			copy(b[3:], a.name)
			copy(b[3+len(a.name):], a.value)
		} else {
			be.PutUint32(b, uint32(a.at))
			be.PutUint32(b[4:], uint32(len(a.value)))
			b[8] = byte(len(a.name))
			copy(b[9:], a.name)
		}
	}
	be.PutUint16(out[56:], uint16(len(attrs)))
	be.PutUint16(out[58:], uint16(blockSize-end)) // bytes of names
	be.PutUint16(out[60:], uint16(end))
	free := attrLeafHead + attrEntry*len(attrs)
	be.PutUint16(out[64:], uint16(free)) // the largest free piece
	be.PutUint16(out[66:], uint16(end-free))
}

// putRemote begins a block of a value or a symlink's target.
func (fs *FS) putRemote(out []byte, magic string, n *node, at int64) {
	be := binary.BigEndian
	copy(out, magic)
	copy(out[16:], fs.o.UUID[:])
	be.PutUint64(out[32:], n.ino)
	be.PutUint64(out[40:], sectors(at))
}

// encodeLink writes the block of a symlink's target.
func (fs *FS) encodeLink(n *node, at int64, out []byte) {
	clear(out)
	fs.putRemote(out, "XSLM", n, at)
	binary.BigEndian.PutUint32(out[8:], uint32(len(n.link)))
	copy(out[remoteHead:], n.link)
	putSum(out, 12)
}
