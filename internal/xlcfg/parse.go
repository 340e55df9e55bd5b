package xlcfg

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"ingot/internal/fault"
)

// Parse reads a configuration; name is what messages call it. An error says the line of
// the first that is wrong and has exit code 3.
func Parse(name string, data []byte) (*Config, error) {
	if len(data) > MaxSize {
		return nil, fault.Newf(fault.Definition, "%s: %d bytes, and a guest's configuration has at most %d", name, len(data), MaxSize)
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return nil, fault.Newf(fault.Definition, "%s:%d: a NUL byte: not a text", name, 1+bytes.Count(data[:i], []byte("\n")))
	}
	p := parser{name: name, lexer: lexer{data: data, line: 1}, config: &Config{}}
	if err := p.file(); err != nil {
		return nil, err
	}
	p.config.Warnings = p.warnings
	return p.config, nil
}

// A kind is what a token is; of a sign it is the sign itself.
type kind byte

const (
	end     kind = 0
	newline kind = '\n'
	ident   kind = 'i'
	number  kind = 'n'
	text    kind = 's'
	add     kind = '+' // +=
)

// A token is a piece of a configuration.
type token struct {
	kind kind
	text string // as it is meant
	raw  string // as it is written
	line int
}

func (t token) String() string {
	switch t.kind {
	case end:
		return "the end of the file"
	case newline:
		return "the end of the line"
	default:
		raw := t.raw
		if len(raw) > 40 {
			raw = raw[:40] + "…"
		}
		return strconv.Quote(raw)
	}
}

type lexer struct {
	data     []byte
	pos      int
	line     int
	warnings []string
}

func lower(c byte) bool { return c >= 'a' && c <= 'z' }
func digit(c byte) bool { return c >= '0' && c <= '9' }

// next is the next token, or what Xen's reader has no word for.
func (l *lexer) next() (token, error) {
	for l.pos < len(l.data) && (l.data[l.pos] == ' ' || l.data[l.pos] == '\t') {
		l.pos++
	}
	if l.pos == len(l.data) {
		return token{kind: end, line: l.line}, nil
	}
	start, c := l.pos, l.data[l.pos]
	if start+1 == len(l.data) && !strings.ContainsRune("\n=,;[]", rune(c)) && !lower(c) && !digit(c) {
		l.warnings = append(l.warnings, fmt.Sprintf("%d: Xen's reader passes over %q at the end of the file", l.line, c))
		l.pos++
		return token{kind: end, line: l.line}, nil
	}
	take := func(k kind, n int) token {
		l.pos = start + n
		raw := string(l.data[start:l.pos])
		return token{kind: k, text: raw, raw: raw, line: l.line}
	}
	run := func(in func(byte) bool) int {
		n := 1
		for start+n < len(l.data) && in(l.data[start+n]) {
			n++
		}
		return n
	}
	switch {
	case lower(c):
		return take(ident, run(func(c byte) bool { return lower(c) || digit(c) || c == '.' || c == '_' })), nil
	case digit(c):
		return take(number, run(func(c byte) bool { return digit(c) || c >= 'a' && c <= 'f' || c == 'x' })), nil
	case c == '\'' || c == '"':
		return l.quoted(c)
	case c == '#':
		n := bytes.IndexByte(l.data[start:], '\n')
		if n < 0 {
			return token{}, l.wrong("a comment without an end of its line", "end the last line")
		}
		t := take(newline, n+1)
		l.line++
		return t, nil
	case c == '\n':
		t := take(newline, 1)
		l.line++
		return t, nil
	case c == '+' && start+1 < len(l.data) && l.data[start+1] == '=':
		return take(add, 2), nil
	case c == '=' || c == ',' || c == ';' || c == '[' || c == ']':
		return take(kind(c), 1), nil
	case c == '\r':
		return token{}, l.wrong("a carriage return", "Xen reads lines that end with a line feed alone: dos2unix")
	}
	return token{}, l.wrong(l.rest(), pythonHint)
}

// rest is what the line goes on with, quoted.
func (l *lexer) rest() string {
	rest, _, _ := bytes.Cut(l.data[l.pos:], []byte("\n"))
	if len(rest) > 40 {
		rest = rest[:40]
	}
	return "unexpected " + strconv.Quote(string(rest))
}

const pythonHint = "xl.cfg knows texts in quotes, whole numbers without a sign, and lists; keys are lower case. Python's other values and expressions are not read"

func (l *lexer) wrong(what, hint string) error {
	return fault.Newf(fault.Definition, "%d: %s", l.line, what).WithHint("%s", hint)
}

// quoted reads a text in quotes.
func (l *lexer) quoted(quote byte) (token, error) {
	start := l.pos
	i := start + 1
	for ; ; i++ {
		if i >= len(l.data) || l.data[i] == '\n' {
			return token{}, l.wrong("a text that its line does not end: "+l.rest(), `a line's end in a text is \n`)
		}
		if l.data[i] == quote {
			break
		}
		if l.data[i] == '\\' {
			if i++; i >= len(l.data) || l.data[i] == '\n' {
				return token{}, l.wrong("a text that its line does not end: "+l.rest(), `a line's end in a text is \n`)
			}
		}
	}
	l.pos = i + 1
	raw := l.data[start:l.pos]
	s, err := l.unescape(raw[1 : len(raw)-1])
	return token{kind: text, text: s, raw: string(raw), line: l.line}, err
}

var escapes = map[byte]byte{'\\': '\\', '\'': '\'', '"': '"', 'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}

// unescape is what is between the quotes as Xen reads it. Its reader refuses every \xNN,
// and forgets to store what \NNN stands for.
func (l *lexer) unescape(raw []byte) (string, error) {
	var b bytes.Buffer
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			b.WriteByte(raw[i])
			continue
		}
		i++
		c := raw[i]
		if to, ok := escapes[c]; ok {
			b.WriteByte(to)
			continue
		}
		octal := 0
		for octal < 3 && i+1+octal < len(raw) && raw[i+1+octal] >= '0' && raw[i+1+octal] <= '7' {
			octal++
		}
		if c < '0' || c > '7' || octal < 2 {
			return "", fault.Newf(fault.Definition, "%d: \\%c in a text means nothing to Xen", l.line, c).WithHint(`a backslash is \\; of \xNN and \NNN write the character itself`)
		}
		l.warnings = append(l.warnings, fmt.Sprintf("%d: Xen's reader drops \\%s", l.line, raw[i:i+1+octal]))
		i += octal
	}
	return b.String(), nil
}

type parser struct {
	lexer
	name   string
	config *Config
	token  token
}

// advance reads the next token.
func (p *parser) advance() error {
	t, err := p.next()
	p.token = t
	return p.named(err)
}

// named puts the file's name before a message that begins with a line.
func (p *parser) named(err error) error {
	if err == nil {
		return nil
	}
	return fault.Newf(fault.Definition, "%s:%w", p.name, err).WithHint("%s", fault.HintOf(err))
}

func (p *parser) unexpected(want string) error {
	e := fault.Newf(fault.Definition, "%s:%d: %s where %s belongs", p.name, p.token.line, p.token, want)
	return e.WithHint("%s", pythonHint)
}

func (p *parser) file() error {
	if err := p.advance(); err != nil {
		return err
	}
	for p.token.kind != end {
		if p.token.kind == newline || p.token.kind == ';' {
			if err := p.advance(); err != nil {
				return err
			}
			continue
		}
		if err := p.assignment(); err != nil {
			return err
		}
		if k := p.token.kind; k != newline && k != ';' && k != end {
			return p.unexpected("the end of the line")
		}
	}
	return nil
}

func (p *parser) assignment() error {
	if p.token.kind != ident {
		return p.unexpected("a key")
	}
	key := p.token
	if err := p.advance(); err != nil {
		return err
	}
	op := p.token.kind
	if op != '=' && op != add {
		return p.unexpected("= or +=")
	}
	if err := p.advance(); err != nil {
		return err
	}
	v, err := p.value(0)
	if err != nil {
		return err
	}
	if old, ok := p.config.values[key.text]; ok && op == add {
		if old.IsList != v.IsList {
			e := fault.Newf(fault.Definition, "%s:%d: %s is a list in one place and a text in another", p.name, key.line, key.text)
			return e.WithHint("+= adds lists to lists and texts to texts")
		}
		v.Text, v.List = old.Text+v.Text, append(old.List[:len(old.List):len(old.List)], v.List...)
	}
	v.added = op == add && !v.IsList
	p.config.Set(key.text, v)
	return nil
}

// value reads a text, a number or a list, and the token behind it.
func (p *parser) value(depth int) (Value, error) {
	switch p.token.kind {
	case text, number:
		v := Text(p.token.text)
		return v, p.advance()
	case '[':
		if depth == maxDepth {
			return Value{}, fault.Newf(fault.Definition, "%s:%d: more than %d lists in lists", p.name, p.token.line, maxDepth)
		}
		return p.list(depth)
	default:
		return Value{}, p.unexpected("a text, a number or a list")
	}
}

func (p *parser) list(depth int) (Value, error) {
	v := Value{IsList: true}
	open := p.token.line
	skip := func() error {
		err := p.advance()
		for err == nil && p.token.kind == newline {
			err = p.advance()
		}
		return err
	}
	if err := skip(); err != nil {
		return v, err
	}
	for p.token.kind != ']' {
		if p.token.kind == end {
			return v, fault.Newf(fault.Definition, "%s:%d: a list that nothing ends", p.name, open).WithHint("write ] behind its last value")
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.List = append(v.List, item)
		for p.token.kind == newline {
			if err := p.advance(); err != nil {
				return v, err
			}
		}
		switch p.token.kind {
		case ',':
			if err := skip(); err != nil {
				return v, err
			}
		case ']', end:
		default:
			return v, p.unexpected(", or ]")
		}
	}
	return v, p.advance()
}
