package pyconf

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

var plainEscapes = map[byte]string{'\n': "", '\\': `\`, '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v"}

// quoted reads a text in quotes, whose prefix is read: what it means to Python 2.
func (s *scanner) quoted(prefix string) (string, error) {
	line := s.line
	quote := s.src[s.pos : s.pos+1]
	if strings.HasPrefix(s.src[s.pos:], strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	s.pos += len(quote)
	raw, unicode := strings.Contains(prefix, "r"), strings.Contains(prefix, "u")
	var b strings.Builder
	for {
		switch {
		case s.pos >= len(s.src) || len(quote) == 1 && s.src[s.pos] == '\n':
			return "", s.wrong(line, "a text that nothing ends").WithHint("end it with %s; a text of several lines stands in three quotes", quote)
		case strings.HasPrefix(s.src[s.pos:], quote):
			s.pos += len(quote)
			if b.Len() > maxText || !utf8.ValidString(b.String()) || strings.ContainsRune(b.String(), 0) {
				return "", s.wrong(line, "a text that is not UTF-8").WithHint(`\x7f is the last byte that \x can say; write the character itself`)
			}
			return b.String(), nil
		case s.src[s.pos] == '\\' && s.pos+1 < len(s.src):
			if s.src[s.pos+1] == '\n' {
				s.line++
			}
			if raw {
				b.WriteString(s.src[s.pos : s.pos+2])
				s.pos += 2
				continue
			}
			s.pos++
			if err := s.escape(&b, unicode); err != nil {
				return "", err
			}
		default:
			if s.src[s.pos] == '\n' {
				s.line++
			}
			b.WriteByte(s.src[s.pos])
			s.pos++
		}
	}
}

// escape reads what stands behind a backslash.
func (s *scanner) escape(b *strings.Builder, unicode bool) error {
	c := s.src[s.pos]
	if to, ok := plainEscapes[c]; ok {
		b.WriteString(to)
		s.pos++
		return nil
	}
	code := func(from, digits, base int) error {
		if s.pos+from+digits > len(s.src) {
			return s.wrong(s.line, "a text that ends in the middle of \\%c", c)
		}
		n, err := strconv.ParseUint(s.src[s.pos+from:s.pos+from+digits], base, 32)
		if err != nil {
			return s.wrong(s.line, "\\%s is not a character's number", s.src[s.pos:s.pos+from+digits])
		}
		if !unicode && n < 256 {
			b.WriteByte(byte(n))
		} else {
			b.WriteRune(rune(n)) //nolint:gosec // at most 32 bits; what is no character becomes U+FFFD
		}
		s.pos += from + digits
		return nil
	}
	switch {
	case c == 'x':
		return code(1, 2, 16)
	case unicode && c == 'u':
		return code(1, 4, 16)
	case unicode && c == 'U':
		return code(1, 8, 16)
	case unicode && c == 'N':
		return s.wrong(s.line, `\N{…} is not read`).WithHint("write the character itself")
	case c >= '0' && c <= '7':
		n := 1
		for n < 3 && s.pos+n < len(s.src) && s.src[s.pos+n] >= '0' && s.src[s.pos+n] <= '7' {
			n++
		}
		return code(0, n, 8)
	}
	b.WriteByte('\\') // which Python leaves as it is
	return nil
}
