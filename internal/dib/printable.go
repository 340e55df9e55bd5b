package dib

import (
	"strconv"
	"unicode/utf8"
)

// printable makes a word that somebody gave fit to stand in a message: one line,
// bounded, no control characters.
func printable(s string) string {
	if utf8.RuneCountInString(s) > 64 {
		s = string([]rune(s)[:60]) + "…"
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}
