package dib

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

const (
	maxFile  = 1 << 20 // bytes of one file
	maxDepth = 16      // how deep it may nest; the form needs 3
	maxNodes = 100_000 // values, counted again at each alias
	maxNoted = 50      // problems that are told of
)

// A Problem is one thing that is wrong with a file, and where.
type Problem struct {
	File    string `json:"file"`   // as the user named it
	Line    int    `json:"line"`   // from 1
	Column  int    `json:"column"` // from 1, in characters
	Message string `json:"message"`
}

// String is "file:line:column: message".
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Problems are all that is wrong with the files, in their order.
type Problems []Problem

// Error is a line for each.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, q := range p {
		lines[i] = q.String()
	}
	return strings.Join(lines, "\n")
}

// A document is one file that is being read.
type document struct {
	file     string
	problems Problems
	nodes    int
}

func (d *document) problem(n *yaml.Node, format string, args ...any) {
	d.at(n.Line, n.Column, fmt.Sprintf(format, args...))
}

func (d *document) at(line, column int, message string) {
	if len(d.problems) < maxNoted {
		d.problems = append(d.problems, Problem{d.file, max(line, 1), max(column, 1), message})
	}
}

// parse reads the text's one value; nil where there is none to go on with.
func (d *document) parse(data []byte) *yaml.Node {
	if !utf8.Valid(data) {
		for i, l := range strings.Split(string(data), "\n") {
			if !utf8.ValidString(l) {
				valid := strings.ToValidUTF8(l, "\uffff")
				d.at(i+1, utf8.RuneCountInString(valid[:strings.IndexRune(valid, '\uffff')])+1, "the file is not UTF-8 text")
				break
			}
		}
		return nil
	}
	loader, err := yaml.NewLoader(strings.NewReader(string(data)),
		yaml.WithV4Defaults(), yaml.WithUniqueKeys(false), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		d.at(1, 1, err.Error())
		return nil
	}
	var doc, second yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) || err == nil && (doc.Kind != yaml.DocumentNode || len(doc.Content) != 1) {
		d.at(1, 1, "the file is empty: want a list of images")
		return nil
	} else if err != nil {
		d.syntax(err)
		return nil
	}
	if err := loader.Load(&second); err == nil {
		d.problem(&second, "a second document begins here: want one list of images")
		return nil
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
		return nil
	}
	return doc.Content[0]
}

func (d *document) syntax(err error) {
	e, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		d.at(1, 1, "not YAML: "+strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	message := e.Message
	if e.ContextMsg != "" {
		message = e.ContextMsg + ": " + message
	}
	d.at(e.Mark.Line, e.Mark.Column, "not YAML: "+message)
}

// real follows aliases and counts, so that a few lines cannot stand for a million
// values.
func (d *document) real(n *yaml.Node) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.AliasNode && i < maxDepth; i++ {
		n = n.Alias
	}
	if d.nodes++; n == nil || n.Kind == yaml.AliasNode || d.nodes > maxNodes {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1, Column: 1}
	}
	return n
}

// A pair is a key of a map and its value.
type pair struct{ key, value *yaml.Node }

// pairs are the keys of a map with what it merges from others by "<<": its own keys
// first, which win. A key that is there twice is a problem.
func (d *document) pairs(n *yaml.Node, depth int) []pair {
	var own, merged []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := d.real(n.Content[i]), d.real(n.Content[i+1])
		if k.Kind == yaml.ScalarNode && k.Value == "<<" && k.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 {
			from := []*yaml.Node{v}
			if v.Kind == yaml.SequenceNode {
				from = v.Content
			}
			for _, f := range from {
				if f = d.real(f); f.Kind != yaml.MappingNode || depth > maxDepth {
					d.problem(k, "<< wants keys and values to merge")
					continue
				}
				merged = append(merged, d.pairs(f, depth+1)...)
			}
			continue
		}
		if twice := slices.IndexFunc(own, func(p pair) bool { return p.key.Value == k.Value }); twice >= 0 {
			d.problem(k, "%s is set twice, first on line %d", printable(k.Value), own[twice].key.Line)
			continue
		}
		own = append(own, pair{k, v})
	}
	for _, m := range merged {
		if !slices.ContainsFunc(own, func(p pair) bool { return p.key.Value == m.key.Value }) {
			own = append(own, m)
		}
	}
	return own
}

// The values that YAML 1.1 reads into a plain word, which is what these files are
// written for: "yes" is true, and 012 a number.
var (
	truePattern  = regexp.MustCompile(`^(yes|Yes|YES|true|True|TRUE|on|On|ON)$`)
	falsePattern = regexp.MustCompile(`^(no|No|NO|false|False|FALSE|off|Off|OFF)$`)
	nullPattern  = regexp.MustCompile(`^(~|null|Null|NULL|)$`)
	intPattern   = regexp.MustCompile(`^[-+]?(0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(:[0-5]?[0-9])+)$`)
	realPattern  = regexp.MustCompile(`^([-+]?([0-9][0-9_]*)\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
	datePattern  = regexp.MustCompile(`^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?$`)
	decimal      = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)
)

// kindOfNode says in a word what a value is by YAML 1.1.
func kindOfNode(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 || n.Style&yaml.TaggedStyle != 0 && n.Tag == "!!str":
		return "a text"
	case truePattern.MatchString(n.Value), falsePattern.MatchString(n.Value):
		return "true or false"
	case nullPattern.MatchString(n.Value):
		return "nothing"
	case intPattern.MatchString(n.Value):
		return "a whole number"
	case realPattern.MatchString(n.Value):
		return "a number"
	case datePattern.MatchString(n.Value):
		return "a date"
	}
	return "a text"
}

// is says whether a value is of a kind; else it notes a problem.
func (d *document) is(n *yaml.Node, key, kind string) bool {
	got := kindOfNode(n)
	if got == kind {
		return true
	}
	if kind == "a text" && n.Kind == yaml.ScalarNode && got != "nothing" {
		d.problem(n, "%s wants a text, and %s is %s: write it in quotes", key, printable(n.Value), got)
	} else {
		d.problem(n, "%s wants %s, not %s", key, kind, got)
	}
	return false
}
