package flavor

import (
	"cmp"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// MaxText is how long the text of a flavor may be, in bytes.
const MaxText = 1 << 14

// Parse reads a flavor as a person writes it:
//
//	flavor = [ "use:" ] [ flag { "," flag } ] [ "is:" { arch } ] [ "target:" { arch } ]
//	flag   = sense name [ "." name ]
//	arch   = name [ "(" sense name { "," sense name } ")" ]
//	sense  = "" | "~" | "~!" | "!"
//	name   = letters, digits, "_" and "-"
//
// A flag with a point is a package's own: kernel.smp. Of a flag written twice the
// last counts. An error has code 2 and a hint.
func Parse(text string) (Flavor, error) { return parse(text, false) }

// ParseLoose reads whatever Conary reads. It takes two more things that nobody means:
// a second sign belongs to the name ("!~ssl" is never a flag called "~ssl"), and
// "is:" may touch the flag before it ("sslis: x86").
func ParseLoose(text string) (Flavor, error) { return parse(text, true) }

func parse(text string, loose bool) (Flavor, error) {
	if len(text) > MaxText {
		return Flavor{}, fault.Newf(fault.Usage, "a flavor of %d bytes is too long", len(text)).WithHint("at most %d bytes", MaxText)
	}
	p := parser{text: strings.Trim(text, " \t\n\r\v\f"), loose: loose}
	f, err := p.flavor()
	if err != nil {
		return Flavor{}, err
	}
	return f, nil
}

// parser reads from text[at:].
type parser struct {
	text  string
	at    int
	loose bool
}

func (p *parser) rest() string { return p.text[p.at:] }

func (p *parser) skip() {
	p.at = len(p.text) - len(strings.TrimLeft(p.rest(), " "))
}

// take steps over a word if it comes next.
func (p *parser) take(word string) bool {
	if !strings.HasPrefix(p.rest(), word) {
		return false
	}
	p.at += len(word)
	return true
}

func (p *parser) flavor() (Flavor, error) {
	var f Flavor
	use := p.take("use:")
	p.skip()
	if p.at < len(p.text) && !p.atClass() {
		list, err := p.flags(true)
		if err != nil {
			return f, err
		}
		f.use = sorted(list)
	}
	f.emptyUse = use && len(f.use) == 0
	for class, word := range []string{is: "is:", target: "target:"} {
		p.skip()
		if !p.take(word) {
			continue
		}
		var err error
		if f.archs[class], err = p.archs(); err != nil {
			return f, err
		}
		f.emptyArch[class] = len(f.archs[class]) == 0
	}
	p.skip()
	if p.at < len(p.text) {
		return f, p.unexpected()
	}
	return f, nil
}

func (p *parser) atClass() bool {
	return strings.HasPrefix(p.rest(), "is:") || strings.HasPrefix(p.rest(), "target:")
}

// flags reads flags with commas between them.
func (p *parser) flags(use bool) ([]Flag, error) {
	var list []Flag
	for {
		f, err := p.flag(use)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
		end := p.at
		p.skip()
		if !strings.HasPrefix(p.rest(), ",") {
			p.at = end
			return list, nil
		}
		if use && p.at > end && len(list) > 1 {
			return nil, p.wrong(end, "a space in front of a comma").WithHint("write %s,", f.Sense.String()+f.Name)
		}
		p.at++
		p.skip()
	}
}

func (p *parser) flag(use bool) (Flag, error) {
	start := p.at
	for p.at < len(p.text) && (p.text[p.at] == '~' || p.text[p.at] == '!') {
		p.at++
	}
	sign, more := p.text[start:p.at], ""
	sense, ok := senseOf(sign)
	if !ok {
		for _, first := range []string{"~!", "!"} {
			second, found := strings.CutPrefix(sign, first)
			if _, known := senseOf(second); found && known {
				sense, _ = senseOf(first)
				more, ok = second, p.loose && use
				break
			}
		}
	}
	if !ok {
		return Flag{}, p.wrong(start, "%q in front of a flag", sign).WithHint("in front of a flag stands nothing, ~ (preferred), ~! (rather not) or ! (never)")
	}
	name := p.name()
	if name == "" {
		return Flag{}, p.nameless(sign)
	}
	name = more + name
	if use && strings.HasPrefix(p.rest(), ".") {
		p.at++
		own := p.name()
		if own == "" {
			return Flag{}, p.wrong(p.at, "a flag's name is missing behind %q", name+".").WithHint("a package's own flag is written as kernel.smp")
		}
		name += "." + own
	}
	if use && p.loose && strings.HasPrefix(p.rest(), ":") {
		// "sslis: x86"
		for _, word := range []string{"is", "target"} {
			if cut, found := strings.CutSuffix(name, word); found && cut != more && !strings.HasSuffix(cut, ".") {
				p.at -= len(word)
				name = cut
				break
			}
		}
	}
	return Flag{name, sense}, nil
}

// name reads letters, digits, "_" and "-".
func (p *parser) name() string {
	start := p.at
	for p.at < len(p.text) && isName(p.text[p.at]) {
		p.at++
	}
	return p.text[start:p.at]
}

func isName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// archs reads architectures with spaces between them.
func (p *parser) archs() (archs, error) {
	var list archs
	start := p.at
	for {
		p.skip()
		if strings.HasPrefix(p.rest(), "target:") {
			return p.once(start, list)
		}
		a := arch{name: p.name()}
		if p.loose && strings.HasPrefix(p.rest(), ":") && a.name != "target" && strings.HasSuffix(a.name, "target") {
			// "is: x86target: ppc"
			p.at -= len("target")
			a.name = strings.TrimSuffix(a.name, "target")
		}
		if a.name == "" {
			return p.once(start, list)
		}
		if p.take("(") {
			p.skip()
			fs, err := p.flags(false)
			if err != nil {
				return nil, err
			}
			if !p.take(")") {
				return nil, p.unclosed(a.name)
			}
			a.flags = sorted(fs)
		}
		list = append(list, a)
		if r := p.rest(); r != "" && r[0] != ' ' && !strings.HasPrefix(r, "target:") {
			return p.once(start, list) // something unexpected
		}
	}
}

// once sorts architectures; one that was written twice gets the flags of both.
func (p *parser) once(start int, list archs) (archs, error) {
	slices.SortStableFunc(list, func(a, b arch) int { return cmp.Compare(a.name, b.name) })
	var out archs
	var bad clashes
	for _, a := range list {
		if i := len(out) - 1; i >= 0 && out[i].name == a.name {
			out[i].flags = out[i].flags.merge(a.flags, Normal, &bad)
			continue
		}
		out = append(out, a)
	}
	if err := bad.err(); err != nil {
		return nil, p.wrong(start, "%w", err)
	}
	return out, nil
}
