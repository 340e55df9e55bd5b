package squashfs

import (
	"encoding/binary"
	"strings"

	"ingot/internal/tree"
)

// attributes are extended attributes: sets of names and values, each set once.
type attributes struct {
	values  table
	sets    []byte // where each set is, how many it has and how many bytes
	index   map[string]uint32
	dropped int
}

func newAttributes(code codec) attributes {
	return attributes{values: table{code: code}, index: map[string]uint32{}}
}

func (a *attributes) empty() bool { return len(a.sets) == 0 }

// spaces are the parts of names that the format knows, with their numbers.
var spaces = []string{"user.", "trusted.", "security."}

// add gives the number of an entry's set, or none32.
func (a *attributes) add(list []tree.Xattr) (uint32, error) {
	le := binary.LittleEndian
	var set []byte
	n := uint32(0)
	for _, x := range list {
		known := false
		for number, space := range spaces {
			name, ok := strings.CutPrefix(x.Name, space)
			if !ok {
				continue
			}
			known = true
			n++
			set = le.AppendUint16(set, uint16(number))
			set = le.AppendUint16(set, uint16(len(name)))
			set = append(set, name...)
			set = le.AppendUint32(set, uint32(len(x.Value)))
			set = append(set, x.Value...)
		}
		if !known {
			a.dropped++
		}
	}
	if n == 0 {
		return none32, nil
	}
	if i, ok := a.index[string(set)]; ok {
		return i, nil
	}
	i := uint32(len(a.index))
	a.index[string(set)] = i
	a.sets = le.AppendUint64(a.sets, a.values.here().number())
	a.sets = le.AppendUint32(a.sets, n)
	a.sets = le.AppendUint32(a.sets, uint32(len(set)))
	return i, a.values.add(set)
}

// putAttributes writes the table and gives its place: the values, the sets, and a
// head that says where both are.
func (b *builder) putAttributes() (uint64, error) {
	a := &b.attrs
	if a.empty() {
		return none64, nil
	}
	values, err := b.putTable(&a.values)
	if err != nil {
		return 0, err
	}
	blocks, err := b.putBlocks(a.sets)
	if err != nil {
		return 0, err
	}
	at := uint64(b.at)
	le := binary.LittleEndian
	head := le.AppendUint64(nil, values)
	head = le.AppendUint32(head, uint32(len(a.index)))
	head = le.AppendUint32(head, 0)
	return at, b.put(append(head, blocks...))
}
