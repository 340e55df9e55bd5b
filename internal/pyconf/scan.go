package pyconf

import (
	"strings"
	"unicode/utf8"

	"ingot/internal/fault"
)

// A kind is what a token of Python is.
type kind byte

const (
	name   kind = 'n'
	number kind = '0'
	quoted kind = 's' // text is what the quotes mean
	sign   kind = '+' // operators and brackets
)

type token struct {
	kind       kind
	text       string
	line       int
	start, end int // in the file
}

func (t token) is(texts ...string) bool {
	for _, s := range texts {
		if t.kind != quoted && t.text == s {
			return true
		}
	}
	return false
}

// A logical line is a statement, or several with ; between them, with what it is indented by.
type logical struct {
	indent string
	tokens []token
	line   int
}

// A scanner reads Python 2.
type scanner struct {
	file string
	src  string
	pos  int
	line int
}

func (s *scanner) wrong(line int, format string, args ...any) *fault.Error {
	return fault.Newf(fault.Definition, "%s:%d: "+format, append([]any{s.file, line}, args...)...)
}

// lines are all logical lines.
func (s *scanner) lines() ([]logical, error) {
	if !utf8.ValidString(s.src) || strings.ContainsRune(s.src, 0) {
		return nil, s.wrong(1, "not a text in UTF-8").WithHint("iconv -f latin1 -t utf-8 makes one")
	}
	s.src = strings.TrimPrefix(s.src, "\ufeff")
	s.src = strings.ReplaceAll(strings.ReplaceAll(s.src, "\r\n", "\n"), "\r", "\n")
	s.line = 1
	var out []logical
	for s.pos < len(s.src) {
		begin := s.pos
		for s.pos < len(s.src) && strings.ContainsRune(" \t\f", rune(s.src[s.pos])) {
			s.pos++
		}
		l := logical{indent: s.src[begin:s.pos], line: s.line}
		if err := s.logical(&l); err != nil {
			return nil, err
		}
		if len(l.tokens) > 0 {
			out = append(out, l)
		}
	}
	return out, nil
}

// logical reads tokens to the end of a logical line.
func (s *scanner) logical(l *logical) error {
	var open []token
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		switch {
		case c == ' ' || c == '\t' || c == '\f':
			s.pos++
		case c == '#':
			for s.pos < len(s.src) && s.src[s.pos] != '\n' {
				s.pos++
			}
		case c == '\\' && s.pos+1 < len(s.src) && s.src[s.pos+1] == '\n':
			s.pos += 2
			s.line++
		case c == '\n':
			s.pos++
			s.line++
			if len(open) == 0 {
				return nil
			}
		default:
			t, err := s.token()
			if err != nil {
				return err
			}
			switch {
			case t.is("(", "[", "{"):
				if open = append(open, t); len(open) > maxNesting {
					return s.wrong(t.line, "more than %d brackets in brackets", maxNesting)
				}
			case t.is(")", "]", "}"):
				if len(open) == 0 {
					return s.wrong(t.line, "%s that nothing opens", t.text)
				}
				open = open[:len(open)-1]
			}
			// Texts beside each other are one.
			if n := len(l.tokens); t.kind == quoted && n > 0 && l.tokens[n-1].kind == quoted {
				l.tokens[n-1].text += t.text
				l.tokens[n-1].end = t.end
				continue
			}
			if len(l.tokens) == 0 {
				l.line = t.line
			}
			l.tokens = append(l.tokens, t)
		}
	}
	if len(open) > 0 {
		return s.wrong(open[0].line, "%s that nothing closes", open[0].text)
	}
	return nil
}

// signs are operators, the longest first.
var signs = []string{"**=", "//=", "<<=", ">>=", "...", "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "<>", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=",
	"+", "-", "*", "/", "%", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", ";", "&", "|", "^", "~"}

// ours are the names of functions that rewriting puts in.
const ours = "_binary_ _slice_ _attribute_ _method_ _call_ _pow_ "

func letter(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

func (s *scanner) token() (token, error) {
	start, c := s.pos, s.src[s.pos]
	t := token{line: s.line, start: start}
	done := func(k kind, text string) (token, error) {
		t.kind, t.text, t.end = k, text, s.pos
		return t, nil
	}
	switch {
	case letter(c):
		for s.pos < len(s.src) && (letter(s.src[s.pos]) || digit(s.src[s.pos])) {
			s.pos++
		}
		word := s.src[start:s.pos]
		if s.pos < len(s.src) && (s.src[s.pos] == '\'' || s.src[s.pos] == '"') && len(word) <= 2 {
			prefix := strings.ToLower(word)
			switch prefix {
			case "r", "u", "b", "ur", "br":
				text, err := s.quoted(prefix)
				if err != nil {
					return t, err
				}
				return done(quoted, text)
			}
			return t, s.wrong(t.line, "%s in front of a text is not read", word).WithHint("write the text and put it together with + or %%")
		}
		if len(word) > 2 && strings.Contains(ours, word+" ") || strings.HasPrefix(word, setPrefix) {
			return t, s.wrong(t.line, "the name %s is not a configuration's", word)
		}
		return done(name, word)
	case digit(c) || c == '.' && s.pos+1 < len(s.src) && digit(s.src[s.pos+1]):
		text, err := s.number()
		if err != nil {
			return t, err
		}
		return done(number, text)
	case c == '\'' || c == '"':
		text, err := s.quoted("")
		if err != nil {
			return t, err
		}
		return done(quoted, text)
	}
	for _, op := range signs {
		if strings.HasPrefix(s.src[s.pos:], op) {
			if op == "<>" {
				return t, s.wrong(s.line, "<> is not read").WithHint("write !=")
			}
			s.pos += len(op)
			return done(sign, op)
		}
	}
	if c == '`' {
		return t, s.wrong(s.line, "a backtick is not read").WithHint("write repr(…)")
	}
	r, _ := utf8.DecodeRuneInString(s.src[s.pos:])
	return t, s.wrong(s.line, "%q means nothing in Python", r)
}

// number reads a number, as Starlark writes it.
func (s *scanner) number() (string, error) {
	start := s.pos
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		exponent := (c == '+' || c == '-') && (s.src[s.pos-1] == 'e' || s.src[s.pos-1] == 'E') && !strings.HasPrefix(strings.ToLower(s.src[start:]), "0x")
		if !letter(c) && !digit(c) && c != '.' && !exponent {
			break
		}
		s.pos++
	}
	text := strings.ToLower(s.src[start:s.pos])
	if len(text) > 400 {
		return "", s.wrong(s.line, "a number of %d digits", len(text))
	}
	if strings.HasSuffix(text, "j") {
		return "", s.wrong(s.line, "the complex number %s is not read", text)
	}
	whole := strings.TrimSuffix(text, "l")
	if len(whole) > 1 && whole[0] == '0' && strings.Trim(whole, "0123456789") == "" {
		if strings.Trim(whole, "01234567") != "" {
			return "", s.wrong(s.line, "%s begins with 0 and is no octal number", text)
		}
		return "0o" + whole[1:], nil // 0755
	}
	return whole, nil
}
