package flavor

import (
	"strings"

	"ingot/internal/fault"
)

// wrong is an error at a place of the text, which is told as a byte from 1.
func (p *parser) wrong(at int, format string, args ...any) *fault.Error {
	e := fault.Newf(fault.Usage, format, args...)
	return fault.Newf(fault.Usage, "flavor %q, byte %d: %w", shortened(p.text), at+1, e)
}

// shortened is a text that fits a message.
func shortened(text string) string {
	const most = 120
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// nameless is the error where a flag's name should begin.
func (p *parser) nameless(sign string) error {
	switch r := p.rest(); {
	case r == "" && sign == "":
		return p.wrong(p.at, "a flag is missing behind the comma")
	case r == "":
		return p.wrong(p.at, "a flag's name is missing behind %q", sign)
	case r[0] == ' ' && sign != "":
		return p.wrong(p.at, "a space between %q and the flag's name", sign).WithHint("write %s", sign+strings.TrimLeft(r, " "))
	case r[0] == ',':
		return p.wrong(p.at, "a comma where a flag should be")
	case r[0] == ')':
		return p.wrong(p.at, "a closing parenthesis where a flag should be").WithHint("without flags an architecture has no parentheses")
	default:
		return p.unexpected()
	}
}

// unclosed is the error where a ")" should be.
func (p *parser) unclosed(arch string) error {
	if strings.HasPrefix(strings.TrimLeft(p.rest(), " "), ")") {
		return p.wrong(p.at, "a space in front of the closing parenthesis of %s", arch).WithHint("write %s(sse2)", arch)
	}
	if r := p.rest(); r != "" {
		return p.unexpected()
	}
	return p.wrong(p.at, "the flags of %s are not closed", arch).WithHint("write %s(sse2)", arch)
}

// unexpected is the error for whatever cannot be where it is.
func (p *parser) unexpected() error {
	r := p.rest()
	c, _ := strings.CutPrefix(r, " ")
	switch archs := strings.Contains(p.text[:p.at], "is:") || strings.Contains(p.text[:p.at], "target:"); {
	case strings.HasPrefix(r, "is:"), strings.HasPrefix(r, "use:"), strings.HasPrefix(r, "target:"):
		p.at += strings.IndexByte(r, ':')
		return p.unexpected()
	case r[0] == ',' && archs:
		return p.wrong(p.at, "a comma between architectures").WithHint("architectures have spaces between them: is: x86 x86_64")
	case r[0] == ':' && p.again() != "":
		return p.wrong(p.at, "%q for a second time or out of place", p.again()+":").
			WithHint("flags stand first, then one is: with all architectures, then one target:")
	case r[0] == ':':
		return p.wrong(p.at, "a colon behind a name").WithHint("only use:, is: and target: have one, in small letters, with a space before them")
	case r[0] == '=':
		return p.wrong(p.at, "a flag has no value").WithHint("write foo where it is there, !foo where it is not")
	case r[0] == '.':
		return p.wrong(p.at, "a point too many").WithHint("a package's own flag has one: kernel.smp")
	case r[0] == '(' && !archs:
		return p.wrong(p.at, "parentheses behind a flag").WithHint("architectures have flags in parentheses and stand behind is:")
	case r[0] == '(':
		return p.wrong(p.at, "parentheses that belong to no architecture").WithHint("they touch its name: is: x86(sse2)")
	case r[0] == '~', r[0] == '!':
		if archs {
			return p.wrong(p.at, "a flag among architectures").WithHint("flags stand before is:, or in parentheses behind an architecture")
		}
		return p.wrong(p.at, "a flag without a comma before it").WithHint("flags have commas between them: ssl,~!xen")
	case !archs && c != "" && isName(c[0]):
		return p.wrong(p.at, "a flag without a comma before it").WithHint("flags have commas between them: ssl,~!xen")
	case r[0] == '\t' || r[0] == '\n' || r[0] == '\r':
		return p.wrong(p.at, "white space other than a space")
	default:
		return p.wrong(p.at, "a character that no name has: %q", []rune(r)[0]).
			WithHint("names are letters, digits, _ and -")
	}
}

// again is the class, "is" or another, whose colon comes next.
func (p *parser) again() string {
	before := p.text[:p.at]
	word := before[strings.LastIndexByte(before, ' ')+1:]
	if word == "is" || word == "use" || word == "target" {
		return word
	}
	return ""
}
