package element

import (
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"ingot/internal/fault"
)

// About is the first sentence of the element's README, or empty.
func (e *Element) About() string {
	for _, name := range []string{"README.rst", "README.md", "README"} {
		data, err := e.read(name)
		if err != nil || data == nil {
			continue
		}
		return sentence(string(data))
	}
	return ""
}

// maxAbout is how long a sentence about an element is shown, in characters.
const maxAbout = 80

// sentence is the first sentence of a text in the style of a README: what is no
// prose, titles and directives among it, is passed over.
func sentence(text string) string {
	for paragraph := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		var words []string
		for _, l := range strings.Split(strings.Trim(paragraph, "\n"), "\n") {
			if l != "" && strings.Trim(l, string(l[0])) == "" && unicode.IsPunct(rune(l[0])) || strings.Trim(l, "=") == "" {
				words = nil // what stands above the line is a title
				continue
			}
			words = append(words, strings.Fields(l)...)
		}
		s := strings.Join(words, " ")
		if s == "" || strings.HasPrefix(s, "..") || strings.HasPrefix(s, "#") || strings.HasPrefix(s, ":") {
			continue
		}
		if i := strings.Index(s, ". "); i > 0 {
			s = s[:i+1]
		}
		s = strings.ReplaceAll(s, "``", "")
		s = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return -1
			}
			return r
		}, s)
		if runes := []rune(s); len(runes) > maxAbout {
			s = string(runes[:maxAbout-1]) + "…"
		}
		return s
	}
	return ""
}

// BlockDevice is the layout that the elements bring: of the first by name that has
// one, the file for the architecture, else block-device-default.yaml. Without any,
// data is nil; others are the elements that have one too and are not asked.
func (s Set) BlockDevice(arch string) (data []byte, file string, others []string, err error) {
	names := []string{"block-device-" + arch + ".yaml", "block-device-default.yaml"}
	if arch == "ppc64le" {
		names = slices.Insert(names, 1, "block-device-ppc64el.yaml")
	}
	for _, e := range s.Elements {
		for _, name := range names {
			info, statErr := fs.Stat(e.FS, name)
			if statErr != nil || !info.Mode().IsRegular() {
				continue
			}
			if data != nil {
				others = append(others, e.Name)
				break
			}
			if data, err = e.read(name); err != nil {
				return nil, "", nil, fault.Wrap(fault.Definition, err)
			}
			file = e.At(name)
			break
		}
	}
	return data, file, others, nil
}
