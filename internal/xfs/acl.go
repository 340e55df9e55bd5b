package xfs

import (
	"encoding/binary"
	"fmt"
)

// The tags of access control entries that carry a user's or group's number.
const (
	aclUser  = 0x02
	aclGroup = 0x08
)

// encodeACL turns an access control list from the form that user space sees
// (version 2, eight bytes an entry, low end first) into XFS's: a count, and
// entries of tag, number and permissions, twelve bytes each.
func encodeACL(v string) (string, error) {
	b := []byte(v)
	le, be := binary.LittleEndian, binary.BigEndian
	if len(b) < 4 || (len(b)-4)%8 != 0 || le.Uint32(b) != 2 {
		return "", fmt.Errorf("%d bytes are no access control list of version 2", len(b))
	}
	out := be.AppendUint32(nil, uint32(len(b)-4)/8)
	for b = b[4:]; len(b) > 0; b = b[8:] {
		tag, id := le.Uint16(b), uint32(0)
		switch tag {
		case aclUser, aclGroup:
			id = le.Uint32(b[4:])
		case 0x01, 0x04, 0x10, 0x20: // owner, owning group, mask, others
		default:
			return "", fmt.Errorf("access control entry has an unknown tag %#x", tag)
		}
		out = be.AppendUint32(out, uint32(tag))
		out = be.AppendUint32(out, id)
		out = be.AppendUint16(out, le.Uint16(b[2:]))
		out = append(out, 0, 0)
	}
	return string(out), nil
}
