package debian

import (
	"bytes"
	"fmt"
	"iter"
)

// A Stanza is one paragraph of a Debian control file (deb822(5)): the raw bytes
// of its fields, without the empty line that ends it. It is a view into the text
// it was cut from.
type Stanza []byte

// Stanzas cuts a control file into its stanzas. The text is not copied; empty
// lines between stanzas, also doubled ones and such with a carriage return, are
// skipped.
func Stanzas(text []byte) iter.Seq[Stanza] {
	return func(yield func(Stanza) bool) {
		for {
			s, rest := cutStanza(text)
			if len(s) == 0 {
				return
			}
			if !yield(s) {
				return
			}
			text = rest
		}
	}
}

// cutStanza splits off the first stanza. An empty stanza means that there is none.
func cutStanza(text []byte) (Stanza, []byte) {
	for len(text) > 0 && (text[0] == '\n' || text[0] == '\r') {
		text = text[1:]
	}
	end := bytes.Index(text, []byte("\n\n"))
	if end < 0 {
		end = len(text)
	}
	// An empty line may hold a carriage return.
	if bytes.IndexByte(text[:end], '\r') >= 0 {
		if i := bytes.Index(text[:end], []byte("\n\r\n")); i >= 0 {
			end = i
		}
	}
	return Stanza(bytes.TrimRight(text[:end], "\r\n")), text[end:]
}

// Field is the value of the named field, names compared without case, and
// whether the stanza has it. Continuation lines stay as they are, newlines and
// leading blanks included.
func (s Stanza) Field(name string) (string, bool) {
	for len(s) > 0 {
		key, value, rest, err := nextField(s)
		if err != nil {
			return "", false
		}
		if equalFold(key, name) {
			return string(value), true
		}
		s = rest
	}
	return "", false
}

// Fields walks the stanza's fields in order. It stops with an error at the first
// line that is neither a field nor a continuation.
func (s Stanza) Fields(each func(name, value []byte) error) error {
	for line := []byte(s); len(line) > 0; {
		key, value, rest, err := nextField(line)
		if err != nil {
			return err
		}
		if err := each(key, value); err != nil {
			return err
		}
		line = rest
	}
	return nil
}

// nextField splits the first field off a stanza: its name, its value without
// surrounding blanks but with its continuation lines, and what follows.
func nextField(s []byte) (key, value, rest []byte, err error) {
	end := bytes.IndexByte(s, '\n')
	if end < 0 {
		end = len(s)
	}
	colon := bytes.IndexByte(s[:end], ':')
	if colon <= 0 || s[0] == ' ' || s[0] == '\t' {
		return nil, nil, nil, fmt.Errorf("line %q is not a field", clip(s[:end]))
	}
	// Lines that begin with a blank continue the field.
	for end < len(s) && end+1 < len(s) && (s[end+1] == ' ' || s[end+1] == '\t') {
		n := bytes.IndexByte(s[end+1:], '\n')
		if n < 0 {
			end = len(s)
			break
		}
		end += 1 + n
	}
	value = trimBlanks(s[colon+1 : end])
	if end < len(s) {
		end++
	}
	return s[:colon], value, s[end:], nil
}

// trimBlanks cuts blanks, tabs and carriage returns off both ends.
func trimBlanks(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// equalFold compares ASCII without case.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// clip shortens what an error message quotes.
func clip(b []byte) []byte {
	const most = 60
	if len(b) > most {
		return b[:most]
	}
	return b
}
