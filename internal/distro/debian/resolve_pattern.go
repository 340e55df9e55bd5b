package debian

import (
	"fmt"
	"regexp"
	"strings"
)

// A matcher says whether a package is meant by a pattern.
type matcher func(*solver, pkgID) bool

// parsePattern reads apt's package patterns (apt-patterns(7)), as far as they
// speak of what archives offer: ?and ?or ?not ?true ?false ?essential ?name
// ?exact-name ?priority ?section ?architecture ?version ?source-package ?virtual
// and the short forms of these.
func parsePattern(text string) (matcher, error) {
	p := patternParser{rest: text}
	m, err := p.either()
	if err != nil {
		return nil, err
	}
	if p.blanks(); p.rest != "" {
		return nil, fmt.Errorf("unexpected %q", p.rest)
	}
	return m, nil
}

type patternParser struct {
	rest  string
	depth int
}

func (p *patternParser) blanks() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// take removes a prefix if it is there.
func (p *patternParser) take(prefix string) bool {
	rest, ok := strings.CutPrefix(p.rest, prefix)
	p.rest = rest
	return ok
}

func (p *patternParser) either() (matcher, error) {
	// No pattern that anybody writes is deeper.
	const depthBound = 100
	if p.depth++; p.depth > depthBound {
		return nil, fmt.Errorf("nested too deeply")
	}
	defer func() { p.depth-- }()
	all := []matcher{}
	for {
		m, err := p.both()
		if err != nil {
			return nil, err
		}
		all = append(all, m)
		if p.blanks(); !p.take("|") {
			return anyOf(all), nil
		}
	}
}

func (p *patternParser) both() (matcher, error) {
	all := []matcher{}
	for {
		p.blanks()
		if len(all) > 0 && (p.rest == "" || !strings.ContainsRune("?~!(", rune(p.rest[0]))) {
			return allOf(all), nil
		}
		m, err := p.one()
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
}

func (p *patternParser) one() (matcher, error) {
	p.blanks()
	switch {
	case p.take("!"):
		if p.depth++; p.depth > 100 {
			return nil, fmt.Errorf("nested too deeply")
		}
		m, err := p.one()
		if err != nil {
			return nil, err
		}
		return not(m), nil
	case p.take("("):
		m, err := p.either()
		if err != nil {
			return nil, err
		}
		if p.blanks(); !p.take(")") {
			return nil, fmt.Errorf("no ) before %q", p.rest)
		}
		return m, nil
	case p.take("?"):
		return p.long()
	case p.take("~"):
		return p.short()
	}
	return nil, fmt.Errorf("no pattern at %q", p.rest)
}

func (p *patternParser) long() (matcher, error) {
	n := 0
	for n < len(p.rest) && (isLetter(p.rest[n]) || isDigit(p.rest[n]) || p.rest[n] == '-') {
		n++
	}
	name := p.rest[:n]
	p.rest = p.rest[n:]
	p.blanks()
	var args []matcher
	word := ""
	if p.take("(") {
		for {
			p.blanks()
			if p.take(")") {
				break
			}
			if p.rest != "" && strings.ContainsRune("?~!(", rune(p.rest[0])) {
				m, err := p.either()
				if err != nil {
					return nil, err
				}
				args = append(args, m)
			} else {
				w, err := p.word("|,()")
				if err != nil {
					return nil, err
				}
				word = w
			}
			p.blanks()
			if p.take(")") {
				break
			}
			if !p.take(",") {
				return nil, fmt.Errorf("no ) or , before %q", p.rest)
			}
		}
	}
	return patternOf(name, word, args)
}

func (p *patternParser) short() (matcher, error) {
	for _, f := range [...]struct{ short, long string }{
		{"E", "essential"}, {"n", "name"}, {"p", "priority"}, {"s", "section"}, {"r", "architecture"},
		{"V", "version"}, {"e", "source-package"}, {"v", "virtual"}, {"T", "true"}, {"F", "false"},
	} {
		if !p.take(f.short) {
			continue
		}
		switch f.short {
		case "E", "v", "T", "F":
			return patternOf(f.long, "", nil)
		}
		w, err := p.word("!?~|,() ")
		if err != nil {
			return nil, err
		}
		return patternOf(f.long, w, nil)
	}
	return nil, fmt.Errorf("unknown pattern ~%s", p.rest)
}

func (p *patternParser) word(ends string) (string, error) {
	if p.take(`"`) {
		w, rest, ok := strings.Cut(p.rest, `"`)
		if !ok {
			return "", fmt.Errorf("a quote is not closed")
		}
		p.rest = rest
		return w, nil
	}
	n := strings.IndexAny(p.rest, ends)
	if n < 0 {
		n = len(p.rest)
	}
	if n == 0 {
		return "", fmt.Errorf("no word at %q", p.rest)
	}
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w, nil
}

// patternOf is the matcher of a pattern's name and arguments.
func patternOf(name, word string, args []matcher) (matcher, error) {
	switch name {
	case "and", "narrow":
		return allOf(args), nil
	case "or":
		return anyOf(args), nil
	case "not":
		if len(args) != 1 {
			return nil, fmt.Errorf("?not takes one pattern")
		}
		return not(args[0]), nil
	case "true", "false":
		return func(*solver, pkgID) bool { return name == "true" }, nil
	case "essential":
		return func(s *solver, p pkgID) bool { return s.pkgs[p].flags&flagEssential != 0 }, nil
	case "virtual":
		return func(s *solver, p pkgID) bool { return s.pkgs[p].vers == none }, nil
	case "exact-name":
		return func(s *solver, p pkgID) bool { return s.nameText(s.pkgs[p].name) == word }, nil
	case "architecture":
		return func(s *solver, p pkgID) bool {
			a := s.archs[s.pkgs[p].arch]
			return a == word || word == "native" && s.pkgs[p].arch == native
		}, nil
	case "priority":
		return ofVersion(func(s *solver, v verID) bool { return priorityText[s.vers[v].priority] == word && word != "" }), nil
	}
	re, err := regexp.Compile("(?i)" + word)
	if err != nil {
		return nil, err
	}
	switch name {
	case "name":
		return func(s *solver, p pkgID) bool { return re.MatchString(s.nameText(s.pkgs[p].name)) }, nil
	case "version":
		return ofVersion(func(s *solver, v verID) bool { return re.MatchString(s.version(v)) }), nil
	case "section":
		return ofVersion(func(s *solver, v verID) bool {
			_, stanza := s.stanza(v)
			section, ok := stanza.Field("Section")
			return ok && re.MatchString(section)
		}), nil
	case "source-package":
		return ofVersion(func(s *solver, v verID) bool {
			source, _ := s.source(v)
			return re.MatchString(source)
		}), nil
	}
	return nil, fmt.Errorf("unknown pattern ?%s", name)
}

func not(m matcher) matcher { return func(s *solver, p pkgID) bool { return !m(s, p) } }

func allOf(all []matcher) matcher {
	return func(s *solver, p pkgID) bool {
		for _, m := range all {
			if !m(s, p) {
				return false
			}
		}
		return true
	}
}

func anyOf(all []matcher) matcher {
	return func(s *solver, p pkgID) bool {
		for _, m := range all {
			if m(s, p) {
				return true
			}
		}
		return false
	}
}

// ofVersion matches a package of which some version matches.
func ofVersion(m func(*solver, verID) bool) matcher {
	return func(s *solver, p pkgID) bool {
		for v := s.pkgs[p].vers; v != none; v = s.vers[v].next {
			if m(s, v) {
				return true
			}
		}
		return false
	}
}
