package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A Problem is one thing that is wrong with a definition, and where.
type Problem struct {
	File       string `json:"file"`                 // as a user would name it
	Line       int    `json:"line"`                 // from 1
	Column     int    `json:"column"`               // from 1, in characters
	Message    string `json:"message"`              // one line
	Suggestion string `json:"suggestion,omitempty"` // what was probably meant
	Excerpt    string `json:"excerpt,omitempty"`    // the line and a caret below it

	hidden bool // the line may hold a secret: no problem on it shows an excerpt
	src    *source
	width  int // characters to mark
}

// String is "file:line:column: message".
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Problems is all that is wrong with a definition, in the order of the text:
// the definition's own file first, then its includes by name.
type Problems struct {
	File string    `json:"file"` // the definition's file, as the user named it
	List []Problem `json:"problems"`
	More int       `json:"more,omitempty"` // how many are not in List, which is bounded
}

const (
	maxProblems = 200    // are told of a definition that is wrong all over
	maxNoted    = 20_000 // are noted at all
)

// Error is a line that counts the problems and then each of them with its line
// of the file.
func (p *Problems) Error() string {
	var b strings.Builder
	n := len(p.List) + p.More
	fmt.Fprintf(&b, "%s is invalid, with %d %s", p.File, n, plural(n, "problem"))
	for _, q := range p.List {
		b.WriteString("\n" + q.String())
		if q.Excerpt != "" {
			b.WriteString("\n" + q.Excerpt)
		}
	}
	if p.More > 0 {
		fmt.Fprintf(&b, "\nand %d more", p.More)
	}
	return b.String()
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// sorted puts the problems in order, drops those said twice (a file is checked
// alone and again when merged), bounds the list and adds the excerpts.
func sorted(list []Problem, main string) ([]Problem, int) {
	slices.SortStableFunc(list, func(a, b Problem) int {
		if (a.File == main) != (b.File == main) {
			if a.File == main {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column))
	})
	type place struct {
		file string
		line int
	}
	hidden := map[place]bool{}
	for _, p := range list {
		if p.hidden {
			hidden[place{p.File, p.Line}] = true
		}
	}
	said := map[Problem]bool{}
	list = slices.DeleteFunc(list, func(p Problem) bool {
		again := said[p]
		said[p] = true
		return again
	})
	kept := list[:min(len(list), maxProblems)]
	for i := range kept {
		if p := &kept[i]; p.src != nil && !hidden[place{p.File, p.Line}] {
			p.Excerpt = excerpt(p.src.lines, p.Line, p.Column, p.width)
		}
	}
	return kept, len(list) - len(kept)
}

// excerptWidth is how many characters of a line an excerpt shows.
const excerptWidth = 96

// excerpt shows a line of a file with the place marked; width is how many
// characters to mark.
func excerpt(lines []string, line, column, width int) string {
	if line < 1 || line > len(lines) {
		return ""
	}
	if column < 1 {
		return ""
	}
	from := 0
	if column > excerptWidth-16 {
		from = column - 32
	}
	var text []rune // of the line, from the character at from on
	n := 0
	for _, r := range strings.TrimRight(lines[line-1], "\r\n") {
		if n++; n <= from {
			continue
		}
		if r == '\t' {
			r = ' '
		} else if !unicode.IsPrint(r) {
			r = '\ufffd' // a terminal must not obey what a file says
		}
		if text = append(text, r); len(text) == excerptWidth {
			break
		}
	}
	if len(text) == 0 && column > 1 || n == 0 {
		return ""
	}
	column = min(column-from, len(text)+1)
	width = max(1, min(width, len(text)-column+1))
	number := fmt.Sprintf("%5d", line)
	return fmt.Sprintf("%s | %s\n%s | %s%s", number, strings.TrimRight(string(text), " "),
		strings.Repeat(" ", len(number)), strings.Repeat(" ", column-1), strings.Repeat("^", width))
}
