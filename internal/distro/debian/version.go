package debian

import (
	"fmt"
	"strings"
)

// A Version is a Debian version in its three parts
// ([epoch:]upstream[-revision], deb-version(7)).
type Version struct {
	Epoch    string // digits, or "" for none
	Upstream string
	Revision string // "" for none
}

// ParseVersion takes a version apart and refuses what dpkg refuses: no upstream
// part, one that does not begin with a digit, an epoch that is no number, and
// foreign characters.
func ParseVersion(s string) (Version, error) {
	v := splitVersion(s)
	fail := func(why string) (Version, error) {
		return Version{}, fmt.Errorf("version %q: %s", s, why)
	}
	hasEpoch := strings.IndexByte(s, ':') >= 0
	if hasEpoch && v.Epoch == "" {
		return fail("the epoch is empty")
	}
	if strings.Trim(v.Epoch, "0123456789") != "" {
		return fail("the epoch is not a number")
	}
	// dpkg keeps epochs in an int.
	if e := strings.TrimLeft(v.Epoch, "0"); len(e) > 10 || len(e) == 10 && e > "2147483647" {
		return fail("the epoch is too large")
	}
	if v.Upstream == "" {
		return fail("the upstream part is empty")
	}
	if !isDigit(v.Upstream[0]) {
		return fail("the upstream part does not begin with a digit")
	}
	if strings.HasSuffix(s, "-") {
		return fail("the revision is empty")
	}
	for i := range len(v.Upstream) {
		if c := v.Upstream[i]; !isDigit(c) && !isLetter(c) && strings.IndexByte(".-+~:", c) < 0 {
			return fail("the upstream part holds a foreign character")
		}
	}
	for i := range len(v.Revision) {
		if c := v.Revision[i]; !isDigit(c) && !isLetter(c) && strings.IndexByte(".+~", c) < 0 {
			return fail("the revision holds a foreign character")
		}
	}
	return v, nil
}

// String puts the parts together again.
func (v Version) String() string {
	s := v.Upstream
	if v.Epoch != "" {
		s = v.Epoch + ":" + s
	}
	if v.Revision != "" {
		s += "-" + v.Revision
	}
	return s
}

// splitVersion cuts at the first colon and the last hyphen, without judging.
func splitVersion(s string) Version {
	// One loop: versions are short, and resolving compares a great many.
	colon, hyphen := -1, len(s)
	for i := range len(s) {
		switch s[i] {
		case ':':
			if colon < 0 {
				colon = i
			}
		case '-':
			hyphen = i
		}
	}
	// A hyphen before the colon belongs to the epoch.
	if hyphen < colon {
		hyphen = len(s)
	}
	v := Version{Upstream: s[colon+1 : hyphen]}
	if colon > 0 {
		v.Epoch = s[:colon]
	}
	if hyphen < len(s) {
		v.Revision = s[hyphen+1:]
	}
	return v
}

// CompareVersions orders two versions as dpkg does: below zero where a is older
// than b, zero where they are equal, above where a is newer. It also orders what
// is no valid version, in some consistent way.
func CompareVersions(a, b string) int {
	if a == b {
		return 0
	}
	va, vb := splitVersion(a), splitVersion(b)
	if c := compareNumbers(va.Epoch, vb.Epoch); c != 0 {
		return c
	}
	if c := comparePart(va.Upstream, vb.Upstream); c != 0 {
		return c
	}
	return comparePart(va.Revision, vb.Revision)
}

// comparePart compares upstream parts or revisions: stretches of other
// characters and of digits in turn.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !isDigit(a[0]) || b != "" && !isDigit(b[0]) {
			wa, wb := weigh(a), weigh(b)
			if wa != wb {
				return wa - wb
			}
			// Equal weights mean the same character on both sides: a digit
			// or the end weighs nothing and no character does.
			a, b = a[1:], b[1:]
		}
		na, nb := digits(a), digits(b)
		if c := compareNumbers(a[:na], b[:nb]); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return 0
}

// weigh orders one character of a stretch without digits: the tilde comes
// before the end, letters come before all other characters.
func weigh(s string) int {
	switch {
	case s == "" || isDigit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case isLetter(s[0]):
		return int(s[0])
	}
	return int(s[0]) + 256
}

// compareNumbers compares digits of any length by value.
func compareNumbers(a, b string) int {
	for a != "" && a[0] == '0' {
		a = a[1:]
	}
	for b != "" && b[0] == '0' {
		b = b[1:]
	}
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	for i := range len(a) {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return 0
}

func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
