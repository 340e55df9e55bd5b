package element

import (
	"regexp"
	"strings"
)

// plainScalar is what YAML takes for a text without quotes, whatever its version.
var plainScalar = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9/._-]*$`)

// YAML is the value of IMAGE_ELEMENT_YAML: a map from the elements' names to the
// directories where dir says that their files lie.
func (s Set) YAML(dir func(*Element) string) string {
	quoted := func(text string) string {
		if plainScalar.MatchString(text) && !isNo(text) && !isYes(text) {
			return text
		}
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	var b strings.Builder
	for _, e := range s.Elements {
		b.WriteString(quoted(e.Name) + ": " + quoted(dir(e)) + "\n")
	}
	return b.String()
}

func isYes(s string) bool {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "null", "y", "n":
		return true
	}
	return false
}

// Array is what the function get_image_element_array prints, for bash to make an
// array of: words "[NAME]=DIRECTORY".
func (s Set) Array(dir func(*Element) string) string {
	var b strings.Builder
	for _, e := range s.Elements {
		b.WriteString("[" + e.Name + "]=" + shellWord(dir(e)) + " ")
	}
	return b.String()
}

// shellWord is a text as a word of a shell.
func shellWord(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return r > 127 || !isLetter(byte(r)) && !isDigit(byte(r)) && !strings.ContainsRune("/._-+:@%,=", r)
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
