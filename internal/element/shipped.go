package element

import (
	_ "embed"
	"strings"
)

//go:embed shipped.txt
var shipped string

// ShippedPackage is the package of Debian that the elements of diskimage-builder come
// in, and ShippedDir where they lie in it.
const (
	ShippedPackage = "python3-diskimage-builder"
	ShippedDir     = "usr/lib/python3/dist-packages/diskimage_builder/elements"
)

// Shipped are the elements that come with diskimage-builder, as far as they are known
// without having them: their names, what they need and what they provide. A definition is
// checked by that without a network; there are no files to build of. A test holds it
// against the package.
func Shipped() Source {
	s := Source{Name: "Debian's " + ShippedPackage}
	words := func(text string) []Word {
		var out []Word
		for _, w := range strings.Fields(text) {
			out = append(out, Word{Text: w, File: s.Name})
		}
		return out
	}
	for line := range strings.Lines(shipped) {
		name, rest, _ := strings.Cut(line, ":")
		deps, provides, _ := strings.Cut(rest, "=")
		s.known = append(s.known, &Element{Name: name, Source: s.Name, Deps: words(deps), Provides: words(provides)})
	}
	return s
}
