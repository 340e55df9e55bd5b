// Package version orders versions of anything by two rules: the UAPI group's, which
// boot loaders and systemd go by, and rpm's, which imgbased goes by. They differ in
// what "-", "." and "^" mean. dpkg's order is internal/distro/debian's.
//
// Both are total preorders over all strings: some that differ are equal ("1_0" and
// "1.0" to rpm, "1+" and "1" to both).
package version

import "strings"

// UAPI orders two versions as the UAPI group's Version Format Specification (UAPI.10,
// version 1.0) says: below zero where a is older, zero where neither is.
func UAPI(a, b string) int {
	for {
		a, b = strings.TrimLeftFunc(a, outside), strings.TrimLeftFunc(b, outside)
		if strings.HasPrefix(a, "~") || strings.HasPrefix(b, "~") {
			if c := marked(a, b, '~'); c != 0 {
				return c
			}
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			return sign(len(a) - len(b))
		}
		if i := strings.IndexAny("-^.", a[:1]+b[:1]); i >= 0 { // of two marks the first here is the lower
			if c := marked(a, b, "-^."[i]); c != 0 {
				return c
			}
			a, b = a[1:], b[1:]
			continue
		}
		is, compare := isLetter, strings.Compare
		if isDigit(a[0]) || isDigit(b[0]) {
			is, compare = isDigit, compareNumbers // no digits are a nought
		}
		x, y := run(a, is), run(b, is)
		if c := compare(x, y); c != 0 {
			return c
		}
		a, b = a[len(x):], b[len(y):]
	}
}

// marked is what a mark that begins a, b or both says of them: without it is higher.
func marked(a, b string, mark byte) int {
	switch {
	case a == "" || a[0] != mark:
		return 1
	case b == "" || b[0] != mark:
		return -1
	}
	return 0
}

func outside(r rune) bool {
	return r > 0x7f || !isDigit(byte(r)) && !isLetter(byte(r)) && !strings.ContainsRune("-.~^", r)
}

// RPM orders two versions, or two releases, as rpm-version(7) says:
// digits by value, letters by their bytes, digits after letters, "~" before the
// end and "^" after it, whatever else only separates.
func RPM(a, b string) int {
	if a == b {
		return 0
	}
	for a != "" || b != "" {
		a, b = strings.TrimLeftFunc(a, separates), strings.TrimLeftFunc(b, separates)
		if strings.HasPrefix(a, "~") || strings.HasPrefix(b, "~") {
			if c := marked(a, b, '~'); c != 0 {
				return c
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
			}
			if c := marked(a, b, '^'); c != 0 { // and "1.0^x" before "1.0.1"
				return c
			}
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			break
		}
		is, compare, digits := isLetter, strings.Compare, -1
		if isDigit(a[0]) {
			is, compare, digits = isDigit, compareNumbers, 1
		}
		x, y := run(a, is), run(b, is)
		if y == "" { // of another kind: digits are newer
			return digits
		}
		if c := compare(x, y); c != 0 {
			return c
		}
		a, b = a[len(x):], b[len(y):]
	}
	return sign(len(a) - len(b))
}

func separates(r rune) bool {
	return r != '~' && r != '^' && (r > 0x7f || !isDigit(byte(r)) && !isLetter(byte(r)))
}

// compareNumbers compares digits of any length by value.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return sign(len(a) - len(b))
	}
	return strings.Compare(a, b)
}

// run is what s begins with of one kind.
func run(s string, is func(byte) bool) string {
	i := 0
	for i < len(s) && is(s[i]) {
		i++
	}
	return s[:i]
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
