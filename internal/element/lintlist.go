package element

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/spell"
)

// dependencies looks at element-deps and element-provides.
func (l *linter) dependencies(e *Element) {
	for file, list := range map[string][]Word{"element-deps": e.Deps, "element-provides": e.Provides} {
		for _, w := range list {
			switch {
			case strings.Contains(w.Text, "#"):
				l.add(e, file, w.Line, RuleComment, strconv.Quote(w.Text)+" is taken for a name: "+file+" has no comments", "leave the comment out")
			case file == "element-provides":
			case w.Text == "dib-python" || w.Text == "dib-run-parts":
				l.add(e, file, w.Line, RuleDeprecated, w.Text+" works on no release of today", "leave it out")
			case l.path.found[w.Text] == nil && len(l.providers[w.Text]) == 0:
				hint := "nobody provides it either"
				if near := spell.Nearest(w.Text, l.path.Names()); near != "" {
					hint = "did you mean " + near + "?"
				}
				l.add(e, file, w.Line, RuleNoElement, "there is no element "+strconv.Quote(w.Text), hint)
			}
		}
	}
}

var notPlain = regexp.MustCompile(`[^0-9A-Za-z_-]+`)

// plainName is a name that runs.
func plainName(name string) string {
	if base, _, ok := strings.Cut(name, "."); ok && base != "" {
		name = base
	}
	return strings.Trim(notPlain.ReplaceAllString(name, "-"), "-")
}

// legacy looks at a list of packages in plain text.
func (l *linter) legacy(e *Element, at string) {
	data, err := e.read(at)
	if err != nil {
		l.invalid(e, at, err)
		return
	}
	lines, whole := ParseLegacy(data)
	for i, line := range lines {
		if !whole && i == len(lines)-1 {
			l.add(e, at, line.Line, RuleUnfinished, "the last line has no end: it is not read", "end the file with an empty line")
		}
		if slices.ContainsFunc(line.Packages, func(p string) bool { return strings.HasPrefix(p, "#") }) {
			l.add(e, at, line.Line, RuleComment, "what follows # is taken for packages: only whole lines are comments", "put the comment on a line of its own")
		}
	}
}

// lists looks at package lists, maps and sources.
func (l *linter) lists(e *Element) {
	for _, name := range packageLists {
		data, err := e.read(name)
		var wishes []Wish
		if err == nil {
			wishes, err = ParsePackages(data, e.At(name))
		}
		if err != nil {
			l.invalid(e, name, err)
		}
		for _, w := range wishes {
			l.out = append(l.out, w.check(e.Name)...)
			for _, c := range w.When {
				if strings.HasPrefix(c.Value, "=") {
					l.add(e, name, c.Line, RuleEquals, "the condition compares with "+strconv.Quote(c.Value), "write one =")
				}
			}
		}
	}
	for _, h := range e.Hidden {
		if !e.inside() && (h.Has("package-installs.yaml") || h.Has("package-installs.json")) {
			l.add(e, "", 0, RuleHiddenList, "this overrides "+h.At("")+", whose packages diskimage-builder installs too", "")
		}
	}
	if data, err := e.read("pkg-map"); err != nil {
		l.invalid(e, "pkg-map", err)
	} else if m, err := ParsePackageMap(data, e.At("pkg-map")); err != nil {
		l.invalid(e, "pkg-map", err)
	} else {
		l.packageMap(e, m)
	}
	if data, err := e.read("svc-map"); err != nil {
		l.invalid(e, "svc-map", err)
	} else if _, err := ParseServices(data, e.At("svc-map")); err != nil {
		l.invalid(e, "svc-map", err)
	}
}

var (
	sections = []string{"release", "distro", "family", "default"}
	families = []string{"redhat", "debian", "suse", "gentoo"}
)

func (l *linter) packageMap(e *Element, m PackageMap) {
	for _, u := range m.Unknown {
		l.out = append(l.out, Warning{e.At("pkg-map"), u.Line, u.Column, e.Name, RuleUnknownSection,
			"the section " + u.Word + " is never looked at", "the sections are " + strings.Join(sections, ", ")})
	}
	for family := range m.Family {
		if !slices.Contains(families, family) {
			l.add(e, "pkg-map", 0, RuleUnknownSection, "the family "+family+" is never looked at: no distribution is of it", "the families are "+strings.Join(families, ", "))
		}
	}
}
