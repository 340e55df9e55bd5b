package element

import (
	"cmp"
	"fmt"
	"slices"
)

// A Warning is something that diskimage-builder passes over or gets wrong, and
// where it stands.
type Warning struct {
	File    string `json:"file"`              // as a person would name it
	Line    int    `json:"line,omitempty"`    // from 1; 0 is the file as a whole
	Column  int    `json:"column,omitempty"`  // from 1; 0 is the line as a whole
	Element string `json:"element,omitempty"` // whose it is
	Rule    string `json:"rule"`              // a word of docs/reference/element.md
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do
}

// String is "file:line:column: message (rule)".
func (w Warning) String() string {
	at := w.File
	if w.Line > 0 {
		at += fmt.Sprintf(":%d", w.Line)
		if w.Column > 0 {
			at += fmt.Sprintf(":%d", w.Column)
		}
	}
	return fmt.Sprintf("%s: %s (%s)", at, w.Message, w.Rule)
}

// sortWarnings puts warnings in the order of files and lines, each once.
func sortWarnings(list []Warning) []Warning {
	slices.SortStableFunc(list, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(list)
}
