package pyconf

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"ingot/internal/fault"
)

// bridged is a file in Starlark's words. Each of its lines is one of the file's.
type bridged struct {
	name       string
	source     string
	lines      []int          // the file's line of each line, from 0
	expression map[int]string // what stands behind the first = of a line of the file
}

// line is a line of the file.
func (b *bridged) line(p syntax.Position) int {
	if i := int(p.Line) - 1; i >= 0 && i < len(b.lines) {
		return b.lines[i]
	}
	return 1
}

var starlarkWords = regexp.MustCompile(`(?i)starlark`)

// located is an error of Starlark's at its line of the file.
func (b *bridged) located(err error) error {
	at := func(p syntax.Position, msg string) error {
		if _, told := errors.AsType[*fault.Error](err); told {
			msg = err.Error()
		}
		msg = starlarkWords.ReplaceAllString(strings.TrimPrefix(msg, "starlark: "), "here")
		e := fault.Newf(fault.Definition, "%s:%d: %s", b.name, b.line(p), msg)
		if hint := fault.HintOf(err); hint != "" {
			return e.WithHint("%s", hint)
		}
		return e.WithHint("configurations may hold values, if, for, def and functions of texts and lists; nothing that reads or changes the machine")
	}
	if e, ok := errors.AsType[syntax.Error](err); ok {
		return at(e.Pos, e.Msg)
	}
	if list, ok := errors.AsType[resolve.ErrorList](err); ok && len(list) > 0 {
		return at(list[0].Pos, list[0].Msg)
	}
	if e, ok := errors.AsType[*starlark.EvalError](err); ok {
		msg := e.Msg
		if strings.Contains(msg, "too many steps") {
			msg = "it does not come to an end: more than half a million steps"
		}
		var p syntax.Position
		for _, f := range e.CallStack {
			if f.Pos.Line > 0 && f.Pos.Filename() == b.name {
				p = f.Pos
			}
		}
		return at(p, msg)
	}
	return fault.Newf(fault.Definition, "%s: %w", b.name, err)
}

// bridge puts a file of Python 2 into Starlark's words.
func bridge(file string, src []byte) (*bridged, error) {
	s := &scanner{file: file, src: string(src)}
	lines, err := s.lines()
	if err != nil {
		return nil, err
	}
	b := &bridged{name: file, expression: map[int]string{}}
	var out strings.Builder
	for _, l := range lines {
		text, err := s.statementLine(l)
		if err != nil {
			return nil, err
		}
		if len(l.tokens) > 2 && l.tokens[1].is("=") {
			if _, ok := b.expression[l.line]; !ok {
				b.expression[l.line] = s.src[l.tokens[2].start:l.tokens[len(l.tokens)-1].end]
			}
		}
		out.WriteString(strings.ReplaceAll(l.indent, "\f", "") + text + "\n")
		b.lines = append(b.lines, l.line)
	}
	b.source = out.String()
	return b, nil
}

// statementLine is a logical line in Starlark's words.
func (s *scanner) statementLine(l logical) (string, error) {
	header, rest := splitHeader(l.tokens)
	var parts []string
	if len(header) > 0 {
		text, err := s.expression(header)
		if err != nil {
			return "", err
		}
		parts = append(parts, text)
	}
	var statements []string
	for _, st := range split(rest, ";") {
		if len(st) == 0 {
			continue
		}
		text, err := s.statement(st)
		if err != nil {
			return "", err
		}
		statements = append(statements, text)
	}
	return strings.Join(append(parts, strings.Join(statements, "; ")), " "), nil
}

// splitHeader splits "if x:" from what stands behind it in its line.
func splitHeader(tokens []token) (header, rest []token) {
	if !tokens[0].is("if", "elif", "else", "for", "while", "def") {
		return nil, tokens
	}
	depth, lambdas := 0, 0
	for i, t := range tokens {
		switch {
		case t.is("(", "[", "{"):
			depth++
		case t.is(")", "]", "}"):
			depth--
		case t.is("lambda") && depth == 0:
			lambdas++
		case t.is(":") && depth == 0 && lambdas > 0:
			lambdas--
		case t.is(":") && depth == 0:
			return tokens[:i+1], tokens[i+1:]
		}
	}
	return nil, tokens
}

// split splits at a sign outside of brackets.
func split(tokens []token, at string) [][]token {
	var out [][]token
	depth, start := 0, 0
	for i, t := range tokens {
		switch {
		case t.is("(", "[", "{"):
			depth++
		case t.is(")", "]", "}"):
			depth--
		case t.is(at) && depth == 0:
			out = append(out, tokens[start:i])
			start = i + 1
		}
	}
	return append(out, tokens[start:])
}

// refused are words of Python that a configuration has no use for.
var refused = map[string]string{
	"try": "", "except": "", "finally": "", "class": "", "with": "", "del": "", "global": "", "nonlocal": "", "assert": "", "raise": "", "yield": "", "async": "", "await": "",
	"exec": "programs in texts are not run", "load": "nothing is loaded",
}

// modules are those that are there without being imported.
var modules = []string{"os", "os.path", "re", "string", "sys"}

func (s *scanner) statement(st []token) (string, error) {
	first := st[0]
	if why, ok := refused[first.text]; ok && first.kind == name && (len(st) < 2 || !st[1].is("=")) {
		return "", s.wrong(first.line, "%s is not read", first.text).WithHint("%s", orText(why, "write what a configuration says, without "+first.text))
	}
	switch {
	case first.is("import"):
		return s.importing(st)
	case first.is("from"):
		return s.importingFrom(st)
	case first.is("print") && (len(st) == 1 || !st[1].is("(", "=", ".", "[", "+=")):
		args := split(st[1:], ",")
		if len(st) > 1 && st[1].is(">>") {
			args = args[1:]
		}
		var texts []string
		for _, a := range args {
			if len(a) == 0 {
				continue
			}
			text, err := s.expression(a)
			if err != nil {
				return "", err
			}
			texts = append(texts, text)
		}
		return "print(" + strings.Join(texts, ", ") + ")", nil
	}
	if parts := split(st, "="); len(parts) > 2 {
		return s.chain(parts)
	}
	return s.expression(st)
}

func orText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// chain is a = b = 1.
func (s *scanner) chain(parts [][]token) (string, error) {
	value, err := s.expression(parts[len(parts)-1])
	if err != nil {
		return "", err
	}
	var out []string
	for i := len(parts) - 2; i >= 0; i-- {
		if len(parts[i]) != 1 || parts[i][0].kind != name {
			line := parts[len(parts)-1]
			at := 1
			if len(line) > 0 {
				at = line[0].line
			}
			return "", s.wrong(at, "only names may stand in a chain of =")
		}
		out = append(out, parts[i][0].text+" = "+value)
		value = parts[i][0].text
	}
	return strings.Join(out, "; "), nil
}

func dotted(tokens []token) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString(t.text)
	}
	return b.String()
}

func (s *scanner) noModule(at token, module string) error {
	return s.wrong(at.line, "there is no module %s here", module).WithHint("there are %s, as far as they look at nothing outside", strings.Join(modules, ", "))
}

func (s *scanner) importing(st []token) (string, error) {
	var out []string
	for _, part := range split(st[1:], ",") {
		module, alias := part, ""
		if n := len(part); n > 2 && part[n-2].is("as") {
			module, alias = part[:n-2], part[n-1].text
		}
		if len(module) == 0 || !slices.Contains(modules, dotted(module)) {
			return "", s.noModule(st[0], dotted(module))
		}
		if alias != "" {
			out = append(out, alias+" = "+dotted(module))
		}
	}
	return orText(strings.Join(out, "; "), "pass"), nil
}

func (s *scanner) importingFrom(st []token) (string, error) {
	i := slices.IndexFunc(st, func(t token) bool { return t.is("import") })
	if i < 0 || !slices.Contains(modules, dotted(st[1:i])) {
		return "", s.noModule(st[0], dotted(st[1:max(i, 1)]))
	}
	names := st[i+1:]
	if len(names) > 1 && names[0].is("(") {
		names = names[1 : len(names)-1]
	}
	var out []string
	for _, part := range split(names, ",") {
		switch {
		case len(part) == 1 && part[0].kind == name:
			out = append(out, part[0].text+" = "+dotted(st[1:i])+"."+part[0].text)
		case len(part) == 3 && part[1].is("as"):
			out = append(out, part[2].text+" = "+dotted(st[1:i])+"."+part[0].text)
		default:
			return "", s.wrong(st[0].line, "from %s import: name what is wanted of it", dotted(st[1:i]))
		}
	}
	return strings.Join(out, "; "), nil
}
