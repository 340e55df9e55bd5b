package element

import (
	"regexp"
	"strconv"

	"ingot/internal/fault"
)

// Lint looks at some elements of a path for what diskimage-builder silently ignores
// or gets wrong: each by itself, and together with those that it depends on. It gives
// warnings by file and line; an error is only what keeps it from looking.
func Lint(p *Path, names []string) ([]Warning, error) {
	l := linter{path: p, providers: map[string][]string{}}
	for _, name := range p.Names() {
		e, err := p.Load(name)
		if err != nil {
			continue // said when the element is looked at
		}
		for _, w := range e.Provides {
			l.providers[w.Text] = append(l.providers[w.Text], name)
		}
	}
	for _, name := range names {
		if p.found[name] == nil {
			return nil, p.missing(name, "")
		}
		e, err := p.Load(name)
		if err != nil {
			l.invalid(&Element{Name: name}, "element-deps", err)
			continue
		}
		l.element(e)
	}
	return sortWarnings(l.out), nil
}

type linter struct {
	path      *Path
	providers map[string][]string // who provides a name
	out       []Warning
}

func (l *linter) add(e *Element, file string, line int, rule, message, hint string) {
	l.out = append(l.out, Warning{File: e.At(file), Line: line, Element: e.Name, Rule: rule, Message: message, Hint: hint})
}

var placed = regexp.MustCompile(`^(.+?):(\d+)(?::(\d+))?: (.*)$`)

// invalid is an error about a list as a warning.
func (l *linter) invalid(e *Element, file string, err error) {
	w := Warning{File: e.At(file), Element: e.Name, Rule: RuleInvalid, Message: err.Error(), Hint: fault.HintOf(err)}
	if m := placed.FindStringSubmatch(w.Message); m != nil {
		w.File, w.Message = m[1], m[4]
		w.Line, _ = strconv.Atoi(m[2])
		w.Column, _ = strconv.Atoi(m[3])
	}
	l.out = append(l.out, w)
}

func (l *linter) element(e *Element) {
	l.dependencies(e)
	l.top(e)
	for _, p := range Phases {
		l.phase(e, p)
	}
	l.environment(e)
	l.lists(e)
	l.static(e)
	l.together(e)
}
