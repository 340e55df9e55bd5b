package element

import (
	"path"
	"strings"

	"ingot/internal/fault"
)

// legacyPrefix begins the names of lists of packages that are plain text.
const legacyPrefix = "package-installs-"

// A LegacyLine is a line of a file PHASE/package-installs-NAME: packages that are
// installed when the phase begins and, where the line begins with "-", removed when
// it ends.
type LegacyLine struct {
	Packages []string
	Remove   bool
	Line     int
}

// ParseLegacy reads a list of packages in plain text. Lines that begin with "#" and
// empty ones are skipped. Whole is false where the last line has no end: bash's read
// passes over it.
func ParseLegacy(data []byte) (lines []LegacyLine, whole bool) {
	n := 0
	for text := range strings.Lines(string(data)) {
		n++
		l := LegacyLine{Line: n}
		text = strings.Trim(text, " \t\n")
		if text == "" || text[0] == '#' {
			continue
		}
		text, l.Remove = strings.CutPrefix(text, "-")
		if l.Packages = strings.Fields(text); len(l.Packages) > 0 {
			lines = append(lines, l)
		}
	}
	return lines, len(data) == 0 || data[len(data)-1] == '\n'
}

// A LegacyList is one such file: NAME is what its packages are mapped by.
type LegacyList struct {
	Phase string
	Name  string
	File  File
	Lines []LegacyLine
}

// Legacy are the lists in plain text that lie in the hooks now.
func (h *Hooks) Legacy(around Surrounding) ([]LegacyList, []Warning, error) {
	var out []LegacyList
	var warnings []Warning
	for _, phase := range installPhases {
		for _, l := range h.List(phase) {
			name, ok := strings.CutPrefix(l.Name, legacyPrefix)
			if !ok || !l.Mode.IsRegular() {
				continue
			}
			at := path.Join(phase, l.Name)
			data, err := h.Read(at, maxList)
			if err != nil {
				return nil, nil, fault.Newf(fault.Definition, "cannot read %s: %w", at, err)
			}
			own, _ := h.Get(at)
			lines, whole := ParseLegacy(data)
			if !whole && len(lines) > 0 {
				last := &lines[len(lines)-1]
				warnings = append(warnings, Warning{File: own.shown(), Line: last.Line, Element: own.Element, Rule: RuleUnfinished,
					Message: "the last line has no end: diskimage-builder does not read it", Hint: "end the file with an empty line"})
				if around.Compat {
					lines = lines[:len(lines)-1]
				}
			}
			out = append(out, LegacyList{phase, name, own, lines})
		}
	}
	return out, warnings, nil
}
