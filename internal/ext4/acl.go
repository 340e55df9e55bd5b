package ext4

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
// (version 2, eight bytes an entry) into ext4's (version 1, the number only
// where it means something).
func encodeACL(v string) (string, error) {
	b := []byte(v)
	le := binary.LittleEndian
	if len(b) < 4 || (len(b)-4)%8 != 0 || le.Uint32(b) != 2 {
		return "", fmt.Errorf("%d bytes are no access control list of version 2", len(b))
	}
	out := le.AppendUint32(nil, 1)
	for b = b[4:]; len(b) > 0; b = b[8:] {
		switch tag := le.Uint16(b); tag {
		case aclUser, aclGroup:
			out = append(out, b[:8]...)
		case 0x01, 0x04, 0x10, 0x20: // owner, owning group, mask, others
			out = append(out, b[:4]...)
		default:
			return "", fmt.Errorf("access control entry has an unknown tag %#x", tag)
		}
	}
	return string(out), nil
}
