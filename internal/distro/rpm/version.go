package rpm

import (
	"strconv"
	"strings"
)

// compareVersions orders two versions, or two releases, as rpm-version(7) says:
// digits by value, letters by their bytes, digits after letters, "~" before the
// end and "^" after it, whatever else only separates.
func compareVersions(a, b string) int {
	if a == b {
		return 0
	}
	for a != "" || b != "" {
		a, b = strings.TrimLeftFunc(a, separates), strings.TrimLeftFunc(b, separates)
		if strings.HasPrefix(a, "~") || strings.HasPrefix(b, "~") {
			switch {
			case !strings.HasPrefix(a, "~"):
				return 1
			case !strings.HasPrefix(b, "~"):
				return -1
			}
			a, b = a[1:], b[1:]
			continue
		}
		if strings.HasPrefix(a, "^") || strings.HasPrefix(b, "^") {
			switch {
			case a == "": // "1.0" is before "1.0^x"
				return -1
			case b == "":
				return 1
			case a[0] != '^': // and "1.0^x" before "1.0.1"
				return 1
			case b[0] != '^':
				return -1
			}
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			break
		}
		digits := isDigit(a[0])
		x, y := run(a, digits), run(b, digits)
		if y == "" { // of another kind: digits are newer
			if digits {
				return 1
			}
			return -1
		}
		a, b = a[len(x):], b[len(y):]
		if digits {
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(x) != len(y) {
				return sign(len(x) - len(y))
			}
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
	return sign(len(a) - len(b))
}

func separates(r rune) bool {
	return r != '~' && r != '^' && (r > 0x7f || !isDigit(byte(r)) && !isLetter(byte(r)))
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func run(s string, digits bool) string {
	is := isLetter
	if digits {
		is = isDigit
	}
	i := 0
	for i < len(s) && is(s[i]) {
		i++
	}
	return s[:i]
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// An evr is a version in its three parts. Requirements may leave the release
// out, and then any fits.
type evr struct {
	epoch   uint64
	version string
	release string
}

// parseEVR reads "[epoch:]version[-release]".
func parseEVR(s string) evr {
	var e evr
	if epoch, rest, ok := strings.Cut(s, ":"); ok {
		if n, err := strconv.ParseUint(epoch, 10, 32); err == nil {
			e.epoch, s = n, rest
		}
	}
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		s, e.release = s[:i], s[i+1:]
	}
	e.version = s
	return e
}

func (e evr) String() string {
	s := e.version
	if e.release != "" {
		s += "-" + e.release
	}
	if e.epoch != 0 {
		s = strconv.FormatUint(e.epoch, 10) + ":" + s
	}
	return s
}

// compare orders two versions; a release counts where both have one.
func (e evr) compare(o evr) int {
	if e.epoch != o.epoch {
		if e.epoch < o.epoch {
			return -1
		}
		return 1
	}
	if c := compareVersions(e.version, o.version); c != 0 || e.release == "" || o.release == "" {
		return c
	}
	return compareVersions(e.release, o.release)
}
