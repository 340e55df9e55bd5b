package gpt

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// A GUID has its bytes in the order in which they are written as text
// (RFC 9562); tables hold the first three groups little-endian, which is done on
// writing.
type GUID [16]byte

// ParseGUID reads the usual text form, in either case:
// "0FC63DAF-8483-4772-8E79-3D69D8477DE4".
func ParseGUID(s string) (GUID, error) {
	var g GUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return g, fmt.Errorf("GUID %q: want groups of 8-4-4-4-12 hexadecimal digits", s)
	}
	b, err := hex.DecodeString(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
	if err != nil {
		return g, fmt.Errorf("GUID %q: want groups of 8-4-4-4-12 hexadecimal digits", s)
	}
	copy(g[:], b)
	return g, nil
}

// String is the lower-case text form, as Linux tools print file system UUIDs.
func (g GUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", g[:4], g[4:6], g[6:8], g[8:10], g[10:])
}

// Upper is the upper-case text form, as partition tools print GUIDs.
func (g GUID) Upper() string { return strings.ToUpper(g.String()) }

func (g GUID) put(b []byte) {
	b[0], b[1], b[2], b[3] = g[3], g[2], g[1], g[0]
	b[4], b[5] = g[5], g[4]
	b[6], b[7] = g[7], g[6]
	copy(b[8:16], g[8:])
}
