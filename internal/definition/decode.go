package definition

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// maxDepth bounds how deep lists and maps may nest; the form itself needs 4.
const maxDepth = 16

// A source is one file of a definition as it was read.
type source struct {
	show  string // what a user would call it
	rel   string // relative to the definition's directory, with slashes
	data  []byte
	lines []string
	root  *yaml.Node // the top mapping, or nil
}

// A decoder turns nodes into the types of document.go. It never stops at a
// problem: it notes it and goes on, so that a user sees all of them at once.
type decoder struct {
	problems []Problem
	origin   map[*yaml.Node]*source // which file each node stands in
	keys     []string               // the keys that lead to the value being decoded
	keyNode  *yaml.Node             // the innermost of them
}

// decodable is a value that reads itself from a node.
type decodable interface {
	decode(d *decoder, n *yaml.Node)
}

// shorthand is a map that may also be written as a single text.
type shorthand interface {
	short(d *decoder, n *yaml.Node)
	shortForm() string // in words
}

// advisor is a map that knows what to say of some keys that it does not have.
type advisor interface {
	advise(key string) string
}

// key is the innermost key, for messages.
func (d *decoder) key() string {
	if len(d.keys) == 0 {
		return "the definition"
	}
	return d.keys[len(d.keys)-1]
}

// path is all keys, such as "boot.secure".
func (d *decoder) path() string { return strings.Join(d.keys, ".") }

func (d *decoder) problem(n *yaml.Node, format string, args ...any) {
	d.suggest(n, "", format, args...)
}

// suggest notes a problem at a node.
func (d *decoder) suggest(n *yaml.Node, suggestion, format string, args ...any) {
	src := d.origin[n]
	if src == nil {
		return // a node that stands in no file: cannot happen, and is no reason to panic
	}
	d.at(src, n.Line, n.Column, widthOf(src, n), suggestion, fmt.Sprintf(format, args...))
}

// hidden notes a problem with what may be a secret: the text is not shown.
func (d *decoder) hidden(n *yaml.Node, format string, args ...any) {
	if src := d.origin[n]; src != nil {
		d.note(Problem{File: src.show, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...), hidden: true})
	}
}

func (d *decoder) at(src *source, line, column, width int, suggestion, message string) {
	d.note(Problem{File: src.show, Line: line, Column: column, Message: message, Suggestion: suggestion, src: src, width: width})
}

func (d *decoder) note(p Problem) {
	if len(d.problems) < maxNoted {
		p.Line, p.Column = max(p.Line, 1), max(p.Column, 1)
		d.problems = append(d.problems, p)
	}
}

// widthOf is how many characters a node takes in its line.
func widthOf(src *source, n *yaml.Node) int {
	if n.Kind != yaml.ScalarNode || n.Line < 1 || n.Line > len(src.lines) {
		return 1
	}
	width := utf8.RuneCountInString(n.Value)
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		width += 2
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 || strings.Contains(n.Value, "\n") {
		width = 1
	}
	return width
}

// described says in words what a node is.
func described(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	case n.Tag == "!!int" || n.Tag == "!!float":
		return "the number " + printable(n.Value)
	case n.Tag == "!!bool":
		return n.Value
	}
	return "the text " + quote(n.Value)
}

func (d *decoder) wrongType(n *yaml.Node, want string) {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		d.problem(n, "%s has no value: want %s, or leave the key out", d.key(), want)
	case n.Kind == yaml.ScalarNode && (n.Tag == "!!int" || n.Tag == "!!float" || n.Tag == "!!bool" || n.Tag == "!!timestamp") &&
		!strings.Contains(want, "number") && !strings.Contains(want, "true"):
		d.suggest(n, fmt.Sprintf("%q", n.Value), "%s wants %s; write it in quotes: %q", d.key(), want, n.Value)
	default:
		d.problem(n, "%s wants %s, not %s", d.key(), want, described(n))
	}
}

// value decodes a node into a value of one of document.go's types.
func (d *decoder) value(v reflect.Value, n *yaml.Node) {
	if x, ok := v.Addr().Interface().(decodable); ok {
		x.decode(d, n)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(v, n)
	case reflect.Slice:
		d.list(v, n)
	default:
		panic("definition: no way to decode a " + v.Type().String()) // a mistake in document.go, which its test finds
	}
}

// meant is what a text was probably meant to be where a value of some type is wanted: what
// its own decoding would suggest, or itself.
func (d *decoder) meant(want reflect.Type, n *yaml.Node) string {
	trial := decoder{origin: d.origin, keys: d.keys, keyNode: d.keyNode}
	trial.value(reflect.New(want).Elem(), n)
	for _, p := range trial.problems {
		if p.Suggestion != "" {
			return p.Suggestion
		}
	}
	return n.Value
}

func (d *decoder) list(v reflect.Value, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
			meant := d.meant(v.Type().Elem(), n)
			d.suggest(n, "["+meant+"]", "%s wants a list, not %s; did you mean [%s]?", d.key(), described(n), printable(meant))
			return
		}
		d.wrongType(n, "a list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(out.Index(i), item)
	}
	v.Set(out)
}

// printable is a text as a message may show it unquoted.
func printable(s string) string {
	q := quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

func (d *decoder) mapping(v reflect.Value, n *yaml.Node) {
	short, hasShort := v.Addr().Interface().(shorthand)
	at := v.FieldByName("At")
	if at.IsValid() {
		at.Set(reflect.ValueOf(n))
	}
	if n.Kind != yaml.MappingNode {
		switch {
		case hasShort && n.Kind == yaml.ScalarNode && n.Tag != "!!null":
			short.short(d, n)
		case hasShort:
			d.wrongType(n, "keys and values or "+short.shortForm())
		default:
			d.wrongType(n, "keys and values")
		}
		return
	}
	fields := fieldsOf(v.Type())
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, item := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || k.Tag != "!!str" {
			d.problem(k, "%s is not a key%s", described(k), d.inside())
			continue
		}
		if first := seen[k.Value]; first != nil {
			d.problem(k, "%s is set twice%s, first on line %d", quote(k.Value), d.inside(), first.Line)
			continue
		}
		seen[k.Value] = k
		f, ok := fields.find(k.Value)
		if !ok {
			d.unknown(v, k, fields)
			continue
		}
		d.keys = append(d.keys, k.Value)
		outer := d.keyNode
		d.keyNode = k
		d.value(v.FieldByIndex(f.index), item)
		if f.filled && item.Kind == yaml.SequenceNode && len(item.Content) == 0 {
			d.problem(item, "%s is an empty list: name at least one", d.key())
		}
		d.keyNode = outer
		d.keys = d.keys[:len(d.keys)-1]
	}
	if len(d.keys) == 0 {
		return // what the whole must have is known only when all files are merged
	}
	for _, f := range fields {
		if f.required && seen[f.name] == nil {
			d.problem(n, "%s is missing%s", f.name, d.inside())
		}
	}
}

func (d *decoder) inside() string {
	if len(d.keys) == 0 {
		return ""
	}
	return " in " + d.path()
}

func (d *decoder) unknown(v reflect.Value, k *yaml.Node, fields fieldList) {
	if a, ok := v.Addr().Interface().(advisor); ok {
		if s := a.advise(k.Value); s != "" {
			note := d.problem
			if strings.Contains(s, "password") {
				note = d.hidden
			}
			note(k, "unknown key %s%s; %s", quote(k.Value), d.inside(), s)
			return
		}
	}
	hint, word := didYouMean(k.Value, fields.names())
	d.suggest(k, word, "unknown key %s%s%s", quote(k.Value), d.inside(), hint)
}

// A field is one key of a map: what a struct's tags say of it.
type field struct {
	name     string
	index    []int
	typ      reflect.Type
	required bool // jsonschema:"required"
	filled   bool // jsonschema:"minItems=1"
	doc      string
	def      string // default, in words or as written
	example  string // YAML
	title    string // of a part of the reference that begins here
}

type fieldList []field

func fieldsOf(t reflect.Type) fieldList {
	var out fieldList
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		js := f.Tag.Get("jsonschema")
		out = append(out, field{
			name: name, index: f.Index, typ: f.Type,
			required: strings.Contains(js, "required"), filled: strings.Contains(js, "minItems=1"),
			doc: f.Tag.Get("doc"), def: f.Tag.Get("default"), example: f.Tag.Get("example"), title: f.Tag.Get("title"),
		})
	}
	return out
}

func (l fieldList) find(name string) (field, bool) {
	for _, f := range l {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

func (l fieldList) names() []string {
	out := make([]string, len(l))
	for i, f := range l {
		out[i] = f.name
	}
	return out
}

// parse reads a file's YAML into its nodes and refuses what a definition has no
// use for: several documents, anchors, aliases, tags of one's own.
func (d *decoder) parse(src *source) {
	src.lines = strings.Split(string(src.data), "\n")
	whole := func(message string) { d.at(src, 1, 1, 1, "", message) }
	if !utf8.Valid(src.data) {
		line, column := firstInvalid(src.lines)
		d.at(src, line, column, 1, "", "the file is not UTF-8 text")
		return
	}
	loader, err := yaml.NewLoader(strings.NewReader(string(src.data)),
		yaml.WithV4Defaults(), yaml.WithUniqueKeys(false), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		whole(err.Error())
		return
	}
	var doc, second yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		whole("the file is empty")
		return
	case err != nil:
		d.syntax(src, err)
		return
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		whole("the file is empty")
		return
	}
	top := doc.Content[0]
	if !d.adopt(src, top) {
		return
	}
	switch err := loader.Load(&second); {
	case err == nil:
		d.at(src, second.Line, second.Column, 1, "", "a second YAML document: a definition is one")
	case !errors.Is(err, io.EOF):
		d.syntax(src, err)
		return
	}
	if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
		whole("the file is empty")
		return
	}
	if top.Kind != yaml.MappingNode {
		d.problem(top, "a definition is keys and values, not %s", described(top))
		return
	}
	src.root = top
}

// adopt notes which file the nodes below n stand in; it says whether they can
// be decoded.
func (d *decoder) adopt(src *source, n *yaml.Node) bool {
	d.origin[n] = src
	ok := true
	switch {
	case n.Kind == yaml.AliasNode:
		d.problem(n, "an alias (*%s): a definition has none, say the value again", printable(n.Value))
		return false // its target is another place of the same graph
	case n.Anchor != "":
		d.problem(n, "an anchor (&%s): a definition has none, say the value again", printable(n.Anchor))
		ok = false
	case n.Tag == "!!merge":
		d.problem(n, "a merge key (<<): a definition has none; use include")
		ok = false
	case n.Style&yaml.TaggedStyle != 0:
		d.problem(n, "a YAML tag (%s): a definition has none", printable(n.Tag))
		ok = false
	}
	for _, c := range n.Content {
		if !d.adopt(src, c) {
			ok = false
		}
	}
	return ok
}

// syntax notes what the YAML reader could not read.
func (d *decoder) syntax(src *source, err error) {
	e, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		d.at(src, 1, 1, 1, "", "not YAML: "+strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	line, column := whereWrong(src, e)
	message := e.Message
	if e.ContextMsg != "" {
		message = e.ContextMsg + ": " + message
	}
	if e.ContextMark.Line > 0 && e.ContextMark.Line != line {
		message += fmt.Sprintf(", begun on line %d", e.ContextMark.Line)
	}
	if line >= 1 && line <= len(src.lines) && strings.HasPrefix(strings.TrimLeft(src.lines[line-1], " "), "\t") {
		message = "indent with spaces, not tabs (" + message + ")"
	}
	d.at(src, line, column, 1, "", "not YAML: "+message)
}

// whereWrong is where a person would look for what the YAML reader could not read. The
// reader says where it gave up, which may be a line later or behind the end.
func whereWrong(src *source, e *yaml.LoadError) (line, column int) {
	last := len(src.lines)
	for last > 1 && strings.TrimSpace(src.lines[last-1]) == "" {
		last--
	}
	line, column = e.Mark.Line, e.Mark.Column
	begun := e.ContextMark
	switch {
	case line < 1: // its own input, which has no lines
		return firstControl(src.lines)
	case strings.HasPrefix(e.Message, "could not find expected ':'") && begun.Line > 0:
		return begun.Line, begun.Column // the word that ought to be a key
	case line <= last:
	case begun.Line > 0 && begun.Line <= last:
		return begun.Line, begun.Column // what has no end
	default:
		return last, utf8.RuneCountInString(strings.TrimRight(src.lines[last-1], "\r")) + 1
	}
	return line, column
}

// firstControl is the first character that YAML does not allow (YAML 1.2.2, 5.1).
func firstControl(lines []string) (line, column int) {
	for i, l := range lines {
		column = 0
		for _, r := range l {
			column++
			if r < ' ' && r != '\t' && r != '\r' || r >= 0x7f && r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff {
				return i + 1, column
			}
		}
	}
	return 1, 1
}

func firstInvalid(lines []string) (line, column int) {
	for i, l := range lines {
		if utf8.ValidString(l) {
			continue
		}
		column = 1
		for len(l) > 0 {
			r, n := utf8.DecodeRuneInString(l)
			if r == utf8.RuneError && n == 1 {
				return i + 1, column
			}
			l = l[n:]
			column++
		}
	}
	return 1, 1
}
