package host

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/version"
)

// A Name is what a base or a layer is called, in imgbased's way: a base is
// NAME-VERSION-RELEASE, a layer of it has "+" and a number from 1 behind that. It is
// also the name of the volume.
type Name struct {
	Name, Version, Release string
	Layer                  int // 0 is the base
}

// maxName bounds a name with its hyphens doubled, as device-mapper writes them: it has
// 127 bytes for the name of group and volume (DM_NAME_LEN), and the group has the rest.
const maxName = 96

var (
	namePattern  = regexp.MustCompile(`^(.+)-([^-]+)-([^-]+?)(?:\+([1-9][0-9]{0,5}))?$`)
	nameLetters  = regexp.MustCompile(`^[a-zA-Z0-9_.][a-zA-Z0-9_.+-]*$`) // of lvm(8), but that a hyphen begins no name
	nameReserved = regexp.MustCompile(`^(snapshot|pvmove)|_(cdata|cmeta|corig|cvol|mlog|mimage|pmspare|rimage|rmeta|tdata|tmeta|vdata|vorigin|imeta|iorig)`)
)

// ParseName reads a name.
func ParseName(text string) (Name, error) {
	m := namePattern.FindStringSubmatch(text)
	switch {
	case m == nil:
		return Name{}, fault.Newf(fault.Usage, "%q is no name of a base or layer", text).WithHint("a base is NAME-VERSION-RELEASE, as Base-1-0, a layer of it Base-1-0+1")
	case !nameLetters.MatchString(text) || nameReserved.MatchString(text):
		return Name{}, fault.Newf(fault.Usage, "%q cannot be the name of a volume", text).WithHint("letters of ASCII, digits and _ . + - can be in it, and no words that LVM keeps for itself (lvm(8))")
	case len(text)+strings.Count(text, "-") > maxName:
		return Name{}, fault.Newf(fault.Usage, "the name %q is too long for a volume", text).WithHint("at most %d characters, hyphens counted twice", maxName)
	}
	n := Name{Name: m[1], Version: m[2], Release: m[3]}
	if m[4] != "" {
		n.Layer, _ = strconv.Atoi(m[4]) // at most six digits
	}
	return n, nil
}

// String is the name as it is written; of no name, "".
func (n Name) String() string {
	if n.IsZero() {
		return ""
	}
	s := n.Name + "-" + n.Version + "-" + n.Release
	if n.Layer > 0 {
		s += "+" + strconv.Itoa(n.Layer)
	}
	return s
}

// IsZero says whether it is no name.
func (n Name) IsZero() bool { return n == Name{} }

// Base is the name of the base that a layer is of.
func (n Name) Base() Name {
	n.Layer = 0
	return n
}

// MarshalText writes the name for JSON.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads it again.
func (n *Name) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*n = Name{}
		return nil
	}
	read, err := ParseName(string(text))
	if err != nil {
		return fmt.Errorf("name: %w", err)
	}
	*n = read
	return nil
}

// Compare orders names as imgbased does: versions and releases by rpm's order, layers by
// their numbers, a base before its layers. Names of different images, which imgbased cannot
// order, go by their bytes, and so do those that rpm takes for equal.
func (n Name) Compare(o Name) int {
	return cmp.Or(
		cmp.Compare(n.Name, o.Name),
		version.RPM(n.Version, o.Version), version.RPM(n.Release, o.Release),
		cmp.Compare(n.Version, o.Version), cmp.Compare(n.Release, o.Release),
		cmp.Compare(n.Layer, o.Layer),
	)
}
