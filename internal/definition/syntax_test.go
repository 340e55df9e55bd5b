package definition

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
)

// Where a person looks for a mistake that the YAML reader found.
func TestSyntaxIsWrongWhere(t *testing.T) {
	for text, want := range map[string]string{
		// At the first line, and at the last.
		"\tname: x\n":             "1:1",
		"b: c: d\n":               "1:5",
		"]\n":                     "1:1",
		"a: 1\nb: ]\n":            "2:4",
		"a: 1\nb: c: d":           "2:5",
		"a: 1\nb: @x\n\n\n":       "2:4",
		"a: 1\nb: \"\\q\"":        "2:5",
		"a: 1\nb:\n- c\n d: 1\n":  "4:3",
		"a: 1\nb:\n  - c\n - d\n": "4:2",
		"a: 1\nb: >-\n  x\n y\n":  "4:2",
		"a: 1\nb: 'x' y\nc: 2\n":  "2:8",
		"a: [1, 2\nb: 3\n":        "2:2",
		// Tabs.
		"a: 1\n\tb: 2\n":       "2:1",
		"a: 1\nb: 2\n\tc: 3\n": "3:1",
		"a:\n\tb: 2\n":         "2:1",
		// A line that is no key: the reader gives up on the next one.
		"a: 1\nb\nc: 2\n":                     "2:1",
		"a: 1\nb\n":                           "2:1",
		"a: 1\nb":                             "2:1",
		"a: 1\nb\n\n\nc: 2\n":                 "2:1",
		"a: 1\n<<<<<<< HEAD\nb: 2\n=======\n": "2:1",
		// What has no end, begun on the first line, the last and one between.
		"a: \"x\n":                   "1:4",
		"a: 1\nb: 'x\n":              "2:4",
		"a: 1\nb: \"x\nc: 1\nd: 2\n": "2:4",
		"a: [1, 2\n":                 "1:4",
		"a: 1\nb: {x: 1\n\n\n":       "2:4",
		"# c\n\n\na: [":              "4:5",
		"a: 1\r\nb: [\r\n":           "2:5",
		// What is no text of YAML's.
		"a: 1\n\x00\n":           "2:1",
		"a: 1\nb: é\x01\nc: 2\n": "2:5",
	} {
		_, err := Load(filepath.Join(lay(t, map[string]string{FileName: text}), FileName), Options{HostArch: "amd64"})
		p, ok := errors.AsType[*Problems](err)
		if !ok || len(p.List) != 1 {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := fmt.Sprintf("%d:%d", p.List[0].Line, p.List[0].Column); got != want {
			t.Errorf("%q is wrong at %s, want %s: %s", text, got, want, p.List[0].Message)
		}
	}
}
