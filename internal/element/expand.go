package element

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// Options say what elements a build has beside those that were named.
type Options struct {
	SkipBase bool   // do not add the element base (-n)
	Ramdisk  string // the ramdisk's element, which ramdisk-image-create adds; empty for none
	Arch     string // Debian's name of the architecture: which block device "vm" gets
	// AnyOS does not insist on an element that provides operating-system: for looking
	// at dependencies alone, and for definitions whose tree comes from elsewhere.
	AnyOS bool
	// Given are names that whoever makes the tree stands for, unless an element does:
	// what needs them needs no element.
	Given []string
	// By is what messages call who that is.
	By string
}

// The names that diskimage-builder itself knows.
const (
	baseElement     = "base"
	operatingSystem = "operating-system"
)

// A Set is the elements of a build.
type Set struct {
	Asked    []string          // what was named, with what [Options] added
	Elements []*Element        // all of them, by name
	Provided map[string]string // names that are no element here, and who provides them
}

// Names are the elements' names, sorted: IMAGE_ELEMENT.
func (s Set) Names() []string {
	out := make([]string, len(s.Elements))
	for i, e := range s.Elements {
		out[i] = e.Name
	}
	return out
}

// Get is an element of the set, or nil.
func (s Set) Get(name string) *Element {
	i, ok := slices.BinarySearchFunc(s.Elements, name, func(e *Element, n string) int { return strings.Compare(e.Name, n) })
	if !ok {
		return nil
	}
	return s.Elements[i]
}

// NoFinalImage says whether no disk image is made: diskimage-builder looks for the
// text in the names of all elements.
func (s Set) NoFinalImage() bool { return s.named("no-final-image") }

// EFI says whether a disk that takes its size from its content gets room for an
// EFI system partition: the text in a name, as with [Set.NoFinalImage].
func (s Set) EFI() bool { return s.named("block-device-efi") }

func (s Set) named(part string) bool { return strings.Contains(strings.Join(s.Names(), " "), part) }

// asked is what a command line that names some elements asks for.
func (o Options) asked(names []string) []string {
	var out []string
	if o.Ramdisk != "" {
		out = append(out, o.Ramdisk)
	}
	if !o.SkipBase {
		out = append(out, baseElement)
	}
	out = append(out, names...)
	device := func(name string) bool { return strings.HasPrefix(name, "block-device-") }
	if slices.Contains(names, "vm") && !slices.ContainsFunc(names, device) && !slices.Contains(o.Given, "block-device") {
		switch o.Arch {
		case "arm64", "aarch64":
			out = append(out, "block-device-efi")
		default:
			out = append(out, "block-device-mbr")
		}
	}
	var once []string
	for _, name := range out {
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once
}

// Expand adds to some elements all those that they depend on. What one element of
// the build provides is needed from no other.
//
// Errors exit 3: an element that is nowhere, two that provide the same name, one
// that was named and is provided by another, and no operating system.
func Expand(p *Path, names []string, o Options) (Set, error) {
	s := Set{Asked: o.asked(names), Provided: map[string]string{}}
	given := map[string]bool{}
	for _, name := range o.Given {
		given[name] = true
	}
	all := map[string]*Element{} // nil where a name was seen and not yet loaded
	wants := map[string]string{} // who wants a name
	queue := slices.Clone(s.Asked)
	for _, name := range queue {
		all[name] = nil
	}
	// A name that is nowhere may be provided by what comes later in the queue: it is
	// asked for again at the end.
	var later []string
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if _, ok := s.Provided[name]; ok || given[name] {
			continue
		}
		if p.found[name] == nil {
			later = append(later, name)
			continue
		}
		e, err := p.Load(name)
		if err != nil {
			return Set{}, err
		}
		all[name] = e
		for _, w := range sorted(e.Provides) {
			if by, ok := s.Provided[w.Text]; ok {
				return Set{}, fault.Newf(fault.Definition, "%s and %s both provide %s", by, name, w.Text).
					WithHint("%s; a build has one of them", w.place())
			}
			s.Provided[w.Text] = name
		}
		for _, w := range sorted(e.Deps) {
			if _, ok := all[w.Text]; !ok {
				all[w.Text] = nil
				wants[w.Text] = fmt.Sprintf("%s needs (%s)", name, w.place())
				if _, ok := s.Provided[w.Text]; !ok {
					queue = append(queue, w.Text)
				}
			}
		}
		if len(all) > maxNames {
			return Set{}, fault.Newf(fault.Definition, "more than %d elements depend on each other", maxNames)
		}
	}
	for _, name := range later {
		if _, ok := s.Provided[name]; !ok {
			return Set{}, p.missing(name, wants[name])
		}
	}
	for _, name := range o.Given {
		if _, ok := s.Provided[name]; !ok {
			s.Provided[name] = o.By
		}
	}
	for _, name := range s.Asked {
		if by, ok := s.Provided[name]; ok {
			err := fault.Newf(fault.Definition, "%s is already provided by %s", name, by)
			if by == o.By {
				return Set{}, err.WithHint("leave %s out", name)
			}
			return Set{}, err.WithHint("leave %s out, or %s", name, by)
		}
	}
	if _, ok := s.Provided[operatingSystem]; !ok && !o.AnyOS {
		return Set{}, fault.Newf(fault.Definition, "no element of %s provides an operating system", strings.Join(s.Asked, ", ")).
			WithHint("add one that does, such as debian-minimal")
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if _, ok := s.Provided[name]; !ok && all[name] != nil {
			s.Elements = append(s.Elements, all[name])
		}
	}
	return s, nil
}

// place is where a word stands.
func (w Word) place() string {
	if w.Line == 0 {
		return w.File
	}
	return fmt.Sprintf("%s:%d", w.File, w.Line)
}

// sorted is the entries of a list by name, each once.
func sorted(list []Word) []Word {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Word) int { return strings.Compare(a.Text, b.Text) })
	return slices.CompactFunc(list, func(a, b Word) bool { return a.Text == b.Text })
}
