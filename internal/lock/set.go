package lock

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"ingot/internal/distro"
)

// compareNames orders sets: by architecture and purpose, then flavors in falling order of
// their bytes. "~" is the last of them, so what a flavor leaves open comes first, and
// that of the definition itself leaves all open.
func compareNames(arch, purpose, flavor, arch2, purpose2, flavor2 string) int {
	return cmp.Or(cmp.Compare(arch, arch2), cmp.Compare(purpose, purpose2), cmp.Compare(flavor2, flavor))
}

// setWords are the words that name a set.
func setWords(arch, purpose, flavor string) []string {
	if flavor == "" {
		return []string{arch, purpose}
	}
	return []string{arch, purpose, flavor}
}

// encodeSets writes sets, those of flavors as what differs from the first of their
// architecture and purpose where that is shorter.
func encodeSets(b *bytes.Buffer, list []Set) {
	sets := slices.Clone(list)
	slices.SortFunc(sets, func(x, y Set) int {
		return compareNames(x.Arch, x.Purpose, x.Flavor, y.Arch, y.Purpose, y.Flavor)
	})
	var first Set
	for i, s := range sets {
		s.Asked = slices.Sorted(slices.Values(s.Asked))
		s.Refs = slices.SortedFunc(slices.Values(s.Refs), compareRefs)
		b.WriteByte('\n')
		line(b, "set", setWords(s.Arch, s.Purpose, s.Flavor)...)
		if i == 0 || s.Arch != first.Arch || s.Purpose != first.Purpose {
			first = s
			s.encode(b)
			continue
		}
		if less, more, short := s.differs(first); s.Flavor != "" && short {
			line(b, "  as", setWords(first.Arch, first.Purpose, first.Flavor)...)
			for _, words := range less.short() {
				line(b, "  -", words...)
			}
			for _, words := range more.lines() {
				line(b, "  +", words...)
			}
			continue
		}
		s.encode(b)
	}
}

func (s Set) encode(b *bytes.Buffer) {
	for _, words := range s.lines() {
		line(b, " ", words...)
	}
}

// lines are a set's lines, as words.
func (s Set) lines() [][]string {
	out := make([][]string, 0, 1+len(s.Asked)+len(s.Refs))
	if s.Start != "" {
		out = append(out, []string{"start", s.Start})
	}
	for _, a := range s.Asked {
		out = append(out, []string{"asked", a})
	}
	for _, r := range s.Refs {
		words := refWords(r)
		if label := s.Of[keyOf(r)]; label != "" {
			words = append(words, label)
		}
		out = append(out, words)
	}
	return out
}

// short are its lines as far as they tell them apart.
func (s Set) short() [][]string {
	out := s.lines()
	for i, words := range out {
		if len(words) > 2 {
			out[i] = []string{words[0], words[2]}
		}
	}
	return out
}

// differs says what another set has that this one has not, and the other way round, both
// sorted, and whether that takes fewer lines than the set itself.
func (s Set) differs(from Set) (less, more Set, short bool) {
	if s.Start != from.Start {
		less.Start, more.Start = from.Start, s.Start
	}
	less.Asked, more.Asked = without(from.Asked, s.Asked), without(s.Asked, from.Asked)
	less.Refs, more.Refs, more.Of = s.without(from), from.without(s), s.Of
	return less, more, 1+len(less.lines())+len(more.lines()) < len(s.lines())
}

// without gives the packages that another set has, and this one not, or of another group.
func (s Set) without(other Set) []distro.Ref {
	if len(s.Of)+len(other.Of) == 0 {
		return without(other.Refs, s.Refs)
	}
	type line struct {
		distro.Ref
		label string
	}
	there := make(map[line]bool, len(s.Refs))
	for _, r := range s.Refs {
		there[line{r, s.Of[keyOf(r)]}] = true
	}
	return slices.DeleteFunc(slices.Clone(other.Refs), func(r distro.Ref) bool { return there[line{r, other.Of[keyOf(r)]}] })
}

// without gives what is in one list and not in another.
func without[T comparable](list, other []T) []T {
	there := make(map[T]bool, len(other))
	for _, x := range other {
		there[x] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return there[x] })
}

// maxShared bounds what sets may have of other sets, in packages: a line is enough for
// all of them.
const maxShared = 1 << 19

// set takes one line of a set.
func (p *parser) set(w []string) error {
	s := &p.l.Sets[len(p.l.Sets)-1]
	switch w[0] {
	case "as":
		flavor := ""
		switch len(w) {
		case 3:
		case 4:
			flavor = w[3]
		default:
			return fmt.Errorf("as has %d words, want 2 or 3", len(w)-1)
		}
		from, ok := p.l.Set(w[1], w[2], flavor)
		if !ok || from.Name() == s.Name() {
			return fmt.Errorf("set %s is as %s, which is not there", bounded(s.Name()), bounded(setName(w[1], w[2], flavor)))
		}
		if p.shared += len(from.Asked) + len(from.Refs); p.shared > maxShared {
			return fmt.Errorf("sets have more than %d packages of each other", maxShared)
		}
		s.Start, s.Asked, s.Refs, s.Of = from.Start, slices.Clone(from.Asked), slices.Clone(from.Refs), maps.Clone(from.Of)
		return nil
	case "-":
		return s.drop(w[1:])
	case "+":
		return s.add(w[1:])
	}
	return s.add(w)
}

func (s *Set) add(w []string) error {
	if len(w) == 2 {
		switch w[0] {
		case "start":
			s.Start = w[1]
			return nil
		case "asked":
			s.Asked = append(s.Asked, w[1])
			return nil
		}
	}
	label := ""
	if len(w) == 8 {
		w, label = w[:7], w[7]
	}
	r, err := parseRef(w)
	s.Refs = append(s.Refs, r)
	if label != "" {
		s.SetGroup(r, label)
	}
	return err
}

// drop takes out what the set has of another one.
func (s *Set) drop(w []string) error {
	if len(w) != 2 {
		return fmt.Errorf("what a set lacks has %d words, want 2", len(w))
	}
	before := len(s.Asked) + len(s.Refs)
	switch {
	case w[0] == "start" && s.Start == w[1]:
		s.Start = ""
		return nil
	case w[0] == "asked" && slices.Contains(s.Asked, w[1]):
		s.Asked = slices.DeleteFunc(s.Asked, func(a string) bool { return a == w[1] })
	default:
		s.Refs = slices.DeleteFunc(s.Refs, func(r distro.Ref) bool { return r.Name == w[0] && r.Arch == w[1] })
		delete(s.Of, [2]string{w[0], w[1]})
	}
	if before == len(s.Asked)+len(s.Refs) {
		return fmt.Errorf("set %s lacks %q, which it does not have", bounded(s.Name()), bounded(w[0]+" "+w[1]))
	}
	return nil
}
