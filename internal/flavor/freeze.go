package flavor

import (
	"strings"

	"ingot/internal/fault"
)

// The numbers of the classes in frozen flavors.
const (
	frozenIs     = "1#"
	frozenUse    = "5#"
	frozenTarget = "15#"
)

// Freeze is the form for keys and indexes: "1#x86_64:~nx|5#use:ssl:~!xen".
func (f Flavor) Freeze() string {
	var b strings.Builder
	add := func(class, name string, fs flags) {
		if b.Len() > 0 {
			b.WriteByte('|')
		}
		b.WriteString(class)
		b.WriteString(name)
		for _, f := range fs {
			b.WriteByte(':')
			b.WriteString(f.Sense.String())
			b.WriteString(f.Name)
		}
	}
	for _, a := range f.archs[is] {
		add(frozenIs, a.name, a.flags)
	}
	if len(f.use) > 0 {
		add(frozenUse, "use", f.use)
	}
	for _, a := range f.archs[target] {
		add(frozenTarget, a.name, a.flags)
	}
	return b.String()
}

// Thaw reads what Freeze wrote and nothing else: whatever is not sorted, or there
// twice, is an error of code 2.
func Thaw(text string) (Flavor, error) {
	var f Flavor
	if len(text) > MaxText {
		return f, fault.Newf(fault.Usage, "a frozen flavor of %d bytes is too long", len(text)).WithHint("at most %d bytes", MaxText)
	}
	wrong := func(why string) error {
		return fault.Newf(fault.Usage, "frozen flavor %q: %s", shortened(text), why).
			WithHint("it looks like 1#x86_64:~nx|5#use:ssl:~!xen")
	}
	if text == "" {
		return f, nil
	}
	for entry := range strings.SplitSeq(text, "|") {
		number, dep, found := strings.Cut(entry, "#")
		words := strings.Split(dep, ":")
		fs := thawFlags(words[1:], number+"#" == frozenUse)
		switch number += "#"; {
		case !found:
			return Flavor{}, wrong("an entry without the number of its class")
		case number == frozenUse && words[0] == "use":
			f.use = fs
		case number == frozenIs && onlyName(words[0]):
			f.archs[is] = append(f.archs[is], arch{words[0], fs})
		case number == frozenTarget && onlyName(words[0]):
			f.archs[target] = append(f.archs[target], arch{words[0], fs})
		default:
			return Flavor{}, wrong("a class or a name that flavors do not have")
		}
	}
	if f.Freeze() != text || !f.ordered() {
		return Flavor{}, wrong("it is not in its canonical form")
	}
	return f, nil
}

// thawFlags reads flags; one that cannot be is left out, so that freezing shows it.
func thawFlags(words []string, use bool) flags {
	var fs flags
	for _, w := range words {
		// As Conary reads: "!~foo" is never a flag called "~foo".
		sense, name := Required, w
		for _, s := range []Sense{PreferNot, Disallowed, Preferred} {
			if n, found := strings.CutPrefix(w, s.String()); found {
				sense, name = s, n
				break
			}
		}
		plain := name
		if use {
			if sense == PreferNot || sense == Disallowed {
				for _, s := range []Sense{PreferNot, Disallowed, Preferred} {
					if n, found := strings.CutPrefix(plain, s.String()); found {
						plain = n
						break
					}
				}
			}
			if before, own, found := strings.Cut(plain, "."); found && onlyName(before) {
				plain = own
			}
		}
		if onlyName(plain) {
			fs = append(fs, Flag{name, sense})
		}
	}
	return fs
}

func onlyName(s string) bool {
	for i := range len(s) {
		if !isName(s[i]) {
			return false
		}
	}
	return s != ""
}

// ordered says that all is sorted and there once.
func (f Flavor) ordered() bool {
	for _, as := range f.archs {
		for i, a := range as {
			if i > 0 && as[i-1].name >= a.name || !a.flags.ordered() {
				return false
			}
		}
	}
	return f.use.ordered()
}

func (fs flags) ordered() bool {
	for i := 1; i < len(fs); i++ {
		if fs[i-1].Name >= fs[i].Name {
			return false
		}
	}
	return true
}
