package blockdevice

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A Problem is one thing that is wrong with a description, and where.
type Problem struct {
	At         *yaml.Node // where it stands in the text; nil if nowhere
	Node       string     // the node's name, or its kind, or ""
	Key        string     // the key, or ""
	Message    string     // one line, with node and key
	Suggestion string     // what was probably meant, or ""
}

func (p Problem) Error() string { return p.Message }

// Problems are all that is wrong, in the order in which it was found.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, q := range p {
		lines[i] = "layout: " + q.Message
	}
	return strings.Join(lines, "\n")
}

// maxProblems are noted of a description that is wrong all over.
const maxProblems = 1000

// fault is a problem with a key of a node.
func fault(h *Header, key, format string, args ...any) Problem {
	name := h.Name
	if name == "" {
		name = string(h.Kind)
	}
	return Problem{At: h.Where(key), Node: name, Key: key, Message: printable(name) + ": " + fmt.Sprintf(format, args...)}
}

func (p *parser) note(q Problem) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, q)
	}
}

func (p *parser) problem(h *Header, key, format string, args ...any) {
	p.note(fault(h, key, format, args...))
}

// suggest notes a problem and what was probably meant, which the message says too.
func (p *parser) suggest(h *Header, key, suggestion, format string, args ...any) {
	q := fault(h, key, format, args...)
	if q.Suggestion = suggestion; suggestion != "" {
		q.Message += fmt.Sprintf("; did you mean %q?", suggestion)
	}
	p.note(q)
}

func (p *parser) warn(h *Header, key, format string, args ...any) {
	if len(p.warnings) < maxProblems {
		p.warnings = append(p.warnings, fault(h, key, format, args...))
	}
}

// ignored is a problem with what diskimage-builder takes without a word.
func (p *parser) ignored(q Problem) {
	if !p.params.Lenient {
		p.note(q)
	} else if len(p.warnings) < maxProblems {
		p.warnings = append(p.warnings, q)
	}
}

// quote makes a text fit to show: one line, bounded, no control characters.
func quote(s string) string {
	if r := []rune(s); len(r) > 64 {
		s = string(r[:60]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// printable is a name as messages show it: in quotes only where it needs them.
func printable(s string) string {
	if q := quote(s); q != `"`+s+`"` || s == "" || strings.ContainsAny(s, " :") {
		return q
	}
	return s
}
