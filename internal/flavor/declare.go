package flavor

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"ingot/internal/fault"
	"ingot/internal/spell"
)

// A Declaration says what a flag is.
type Declaration struct {
	Name     string
	Sense    Sense  // what a flavor says that is not told otherwise
	Platform bool   // what it runs on rather than what is in it: never left out of names
	About    string // one line
}

// An Architecture says what an architecture is.
type Architecture struct {
	Name   string
	About  string              // one line
	Bits   int                 // 32 or 64
	Big    bool                // the high byte first
	Debian string              // Debian's name for it
	Also   []string            // whose programs it runs too, best first
	Flags  map[string][]string // its flags, and which others each of them subsumes
}

// Declared are the flags and architectures that there are.
type Declared struct {
	Flags         map[string]Declaration
	Architectures map[string]Architecture
}

// The embedded declarations are ingot's own.
//
//go:embed declared
var declared embed.FS

// Builtin are ingot's own declarations.
var Builtin = sync.OnceValue(func() Declared {
	d, err := Read()
	if err != nil {
		panic(err) // its files are compiled in
	}
	return d
})

// The bounds of what Read reads.
const (
	maxDeclared    = 4096    // files
	maxDeclaration = 1 << 12 // bytes of one file
)

// Read reads declarations: ingot's own, then more, where a later one of a name counts.
// There is a file for each flag in flags/, one for each architecture in architectures/,
// called as what it declares. A line is "key: value"; an empty one, or one that begins
// with "#", says nothing. Keys of flags are sense (required, preferred, prefernot,
// disallowed; preferred if not said), platform (yes or no) and about; those of
// architectures are about, bits, order (little or big), debian, also (which other
// architecture's programs run on it) and flag ("sse2" or "sse2 subsumes sse"), the last
// two as often as needed. Errors have code 3.
func Read(more ...fs.FS) (Declared, error) {
	d := Declared{map[string]Declaration{}, map[string]Architecture{}}
	own, err := fs.Sub(declared, "declared")
	if err != nil {
		return d, fmt.Errorf("cannot read declarations: %w", err)
	}
	for _, from := range append([]fs.FS{own}, more...) {
		flags, err := d.read(from, "flags", d.flag)
		if err != nil {
			return d, err
		}
		architectures, err := d.read(from, "architectures", d.architecture)
		if err != nil {
			return d, err
		}
		if flags+architectures == 0 {
			return d, fault.Newf(fault.Definition, "no declarations are there").WithHint("they are files in flags/ and architectures/")
		}
	}
	return d, d.check()
}

// read reads the files of one directory, which may be missing.
func (d Declared) read(from fs.FS, dir string, one func(string, [][2]string) error) (int, error) {
	files, err := fs.ReadDir(from, dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("cannot read declarations: %w", err)
	case len(files) > maxDeclared:
		return 0, fault.Newf(fault.Definition, "%s: more than %d declarations", dir, maxDeclared)
	}
	for _, f := range files {
		name := path.Join(dir, f.Name())
		lines, err := readLines(from, name)
		if err != nil {
			return 0, err
		}
		if err := one(f.Name(), lines); err != nil {
			return 0, fault.Newf(fault.Definition, "%s: %w", name, err)
		}
	}
	return len(files), nil
}

// readLines reads one file's keys and values.
func readLines(from fs.FS, name string) (lines [][2]string, err error) {
	info, err := fs.Stat(from, name)
	if err != nil {
		return nil, fmt.Errorf("cannot read declarations: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxDeclaration {
		return nil, fault.Newf(fault.Definition, "%s: no file of at most %d bytes", name, maxDeclaration)
	}
	data, err := fs.ReadFile(from, name)
	if err != nil {
		return nil, fmt.Errorf("cannot read declarations: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fault.Newf(fault.Definition, "%s: %q is no key with a value", name, shortened(line)).WithHint("write key: value")
		}
		lines = append(lines, [2]string{key, strings.TrimSpace(value)})
	}
	return lines, nil
}

// spelled are the senses as declarations spell them.
var spelled = map[string]Sense{"required": Required, "preferred": Preferred, "prefernot": PreferNot, "disallowed": Disallowed}

func (d Declared) flag(name string, lines [][2]string) error {
	before, own, dotted := strings.Cut(name, ".")
	if !onlyName(before) || dotted && !onlyName(own) {
		return fmt.Errorf("%q cannot be the name of a flag", name)
	}
	f := Declaration{Name: name, Sense: Preferred}
	for _, l := range lines {
		ok := true
		switch key, value := l[0], l[1]; key {
		case "sense":
			f.Sense, ok = spelled[value]
		case "platform":
			f.Platform, ok = value == "yes", value == "yes" || value == "no"
		case "about":
			f.About = value
		default:
			return fmt.Errorf("no key %q: flags have sense, platform and about", key)
		}
		if !ok {
			return fmt.Errorf("%s cannot be %q", l[0], l[1])
		}
	}
	d.Flags[name] = f
	return nil
}

func (d Declared) architecture(name string, lines [][2]string) error {
	if !onlyName(name) {
		return fmt.Errorf("%q cannot be the name of an architecture", name)
	}
	a := Architecture{Name: name, Flags: map[string][]string{}}
	for _, l := range lines {
		ok := true
		switch key, value := l[0], l[1]; key {
		case "about":
			a.About = value
		case "bits":
			a.Bits = map[string]int{"32": 32, "64": 64}[value]
			ok = a.Bits != 0
		case "order":
			a.Big, ok = value == "big", value == "big" || value == "little"
		case "debian":
			a.Debian = value
		case "also":
			a.Also = append(a.Also, value)
		case "flag":
			words := strings.Fields(value)
			ok = len(words) == 1 || len(words) > 2 && words[1] == "subsumes"
			for i, w := range words {
				ok = ok && (i == 1 || onlyName(w))
			}
			if ok {
				a.Flags[words[0]] = words[min(2, len(words)):]
			}
		default:
			return fmt.Errorf("no key %q: architectures have about, bits, order, debian, also and flag", key)
		}
		if !ok {
			return fmt.Errorf("%s cannot be %q", l[0], l[1])
		}
	}
	d.Architectures[name] = a
	return nil
}

// check finds what refers to nothing.
func (d Declared) check() error {
	for _, name := range slices.Sorted(maps.Keys(d.Architectures)) {
		a := d.Architectures[name]
		for _, other := range a.Also {
			if _, ok := d.Architectures[other]; !ok {
				return fault.Newf(fault.Definition, "architectures/%s: no architecture %q is declared", name, other)
			}
		}
		for _, f := range slices.Sorted(maps.Keys(a.Flags)) {
			for _, sub := range a.Flags[f] {
				if _, ok := a.Flags[sub]; !ok {
					return fault.Newf(fault.Definition, "architectures/%s: %s subsumes %q, which is not declared", name, f, sub)
				}
			}
			if slices.Contains(a.subsumed(f), f) {
				return fault.Newf(fault.Definition, "architectures/%s: %s subsumes itself", name, f)
			}
		}
	}
	return nil
}

// subsumed are all flags that a flag brings with it, near ones first.
func (a Architecture) subsumed(flag string) []string {
	out := slices.Clone(a.Flags[flag])
	for i := 0; i < len(out); i++ {
		for _, f := range a.Flags[out[i]] {
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	return out
}

// Expand adds what flags of architectures bring with them: what has i686 has i586 and
// i486, as firmly; what never has i486 never has i686. What the flavor says itself
// stays.
func (d Declared) Expand(f Flavor) Flavor {
	for class, archs := range f.archs {
		out := slices.Clone(archs)
		for i, a := range out {
			implied := map[string]Sense{}
			add := func(flag string, s Sense) {
				if old, ok := implied[flag]; a.flags.sense(flag) == Unset && (!ok || firmer(s, old)) {
					implied[flag] = s
				}
			}
			known := d.Architectures[a.name]
			for flag := range known.Flags {
				for _, sub := range known.subsumed(flag) {
					if s := a.flags.sense(flag); s.Positive() {
						add(sub, s)
					}
					if s := a.flags.sense(sub); s.Negative() {
						add(flag, s)
					}
				}
			}
			all := slices.Clone(a.flags)
			for flag, s := range implied {
				all = append(all, Flag{flag, s})
			}
			out[i].flags = sorted(all)
		}
		f.archs[class] = out
	}
	return f
}

// firmer says which of two implied senses counts: the strong one, and of equal ones the
// positive one.
func firmer(s, than Sense) bool {
	if strong := s.Strong() == s; strong != (than.Strong() == than) {
		return strong
	}
	return s.Positive() && !than.Positive()
}

// System is the flavor of a machine of one architecture as declared: every flag with
// its sense, the architecture, and those whose programs it runs too.
func (d Declared) System(architecture string) (Flavor, error) {
	a, ok := d.Architectures[architecture]
	if !ok {
		return Flavor{}, d.unknownArchitecture(architecture)
	}
	var f Flavor
	for name, flag := range d.Flags {
		f.use = append(f.use, Flag{name, flag.Sense})
	}
	f.use = sorted(f.use)
	for _, name := range slices.Sorted(slices.Values(append([]string{architecture}, a.Also...))) {
		f.archs[is] = append(f.archs[is], arch{name: name})
	}
	return f, nil
}

// Order gives what architectures a flavor's versions are preferred for: of a machine
// that runs another architecture's programs too, first its own, then the others. It is
// nil where there is nothing to prefer.
func (d Declared) Order(f Flavor) []Flavor {
	major := d.Major(f)
	also := d.Architectures[major].Also
	if len(also) == 0 {
		return nil
	}
	var order []Flavor
	for _, name := range append([]string{major}, also...) {
		order = append(order, Flavor{archs: [classes]archs{is: {{name: name}}}})
	}
	return order
}

// Major is the architecture of a flavor that runs the programs of all its others, or
// empty.
func (d Declared) Major(f Flavor) string {
	archs := f.archs[is]
	if len(archs) == 1 {
		return archs[0].name
	}
	major := ""
	for _, a := range archs {
		also := d.Architectures[a.name].Also
		all := len(also) > 0
		for _, b := range archs {
			all = all && (b.name == a.name || slices.Contains(also, b.name))
		}
		if all {
			major = a.name
		}
	}
	return major
}

// Check finds the traps of reading in what a person typed, with code 4: architectures
// and their flags that nothing declares, and flags that neither a declaration nor any
// of the known flavors names. So "arm" is told to be an architecture, and "vmwrae" is
// not silently ignored. A package's own flags (kernel.smp) are not declared.
func (d Declared) Check(typed Flavor, known ...Flavor) error {
	flags := map[string]bool{}
	archFlags := map[string]bool{}
	for name := range d.Flags {
		flags[name] = true
	}
	architectures := map[string]bool{}
	for name, a := range d.Architectures {
		architectures[name] = true
		for f := range a.Flags {
			archFlags[name+"("+f] = true
		}
	}
	for _, f := range known {
		for _, g := range f.use {
			flags[g.Name] = true
		}
		for _, as := range f.archs {
			for _, a := range as {
				architectures[a.name] = true
				for _, g := range a.flags {
					archFlags[a.name+"("+g.Name] = true
				}
			}
		}
	}
	for _, g := range typed.use {
		if !flags[g.Name] && !strings.Contains(g.Name, ".") {
			return d.unknownFlag(g, slices.Sorted(maps.Keys(flags)))
		}
	}
	for _, as := range typed.archs {
		for _, a := range as {
			if !architectures[a.name] {
				return d.unknownArchitecture(a.name)
			}
			for _, g := range a.flags {
				if !archFlags[a.name+"("+g.Name] {
					e := fault.Newf(fault.NotFound, "architecture %s has no flag %q", a.name, g.Name)
					there := slices.Sorted(maps.Keys(d.Architectures[a.name].Flags))
					if near := spell.Nearest(g.Name, there); near != "" {
						return e.WithHint("did you mean %s?", near)
					}
					return e.WithHint("it has %s", listed(there))
				}
			}
		}
	}
	return nil
}

// Trapped finds what is wrong wherever it stands: a flag that is called as an
// architecture is, and an architecture by the name that only Debian gives it. It has
// code 2.
func (d Declared) Trapped(f Flavor) error {
	for _, g := range f.use {
		if _, isFlag := d.Flags[g.Name]; isFlag {
			continue
		}
		if name := d.ArchitectureOf(g.Name); name != "" {
			return fault.Newf(fault.Usage, "%q is an architecture and stands where flags do", g.Name).
				WithHint("architectures stand behind is:, as in \"is: %s\"", name)
		}
	}
	for _, as := range f.archs {
		for _, a := range as {
			if name := d.ArchitectureOf(a.name); name != "" && name != a.name {
				return fault.Newf(fault.Usage, "%q is Debian's name for an architecture", a.name).
					WithHint("in flavors it is called %s", name)
			}
		}
	}
	return nil
}

// ArchitectureOf is the declared architecture of a name, ours or Debian's, or empty.
func (d Declared) ArchitectureOf(name string) string {
	if _, ok := d.Architectures[name]; ok {
		return name
	}
	for _, n := range slices.Sorted(maps.Keys(d.Architectures)) {
		if d.Architectures[n].Debian == name {
			return n
		}
	}
	return ""
}

func (d Declared) unknownFlag(g Flag, among []string) error {
	e := fault.Newf(fault.NotFound, "no flag %q", g.Name)
	if name := d.ArchitectureOf(g.Name); name != "" {
		return e.WithHint("an architecture stands behind is:, as in \"is: %s\"", name)
	}
	if near := spell.Nearest(g.Name, among); near != "" {
		return e.WithHint("did you mean %s?", near)
	}
	return e.WithHint("flags are %s", listed(among))
}

func (d Declared) unknownArchitecture(name string) error {
	e := fault.Newf(fault.NotFound, "no architecture %q", name)
	if other := d.ArchitectureOf(name); other != "" {
		return e.WithHint("it is called %s here", other)
	}
	among := slices.Sorted(maps.Keys(d.Architectures))
	if near := spell.Nearest(name, among); near != "" {
		return e.WithHint("did you mean %s?", near)
	}
	return e.WithHint("architectures are %s", listed(among))
}

// listed is a list that fits a hint.
func listed(names []string) string {
	const most = 12
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + " and others"
	default:
		return strings.Join(names, ", ")
	}
}

// Undeclared are the names in a flavor that nothing declares, as they are written:
// "foo", "is: x87", "x86(i886)". A package's own flags are not among them.
func (d Declared) Undeclared(f Flavor) []string {
	var out []string
	for _, g := range f.use {
		if _, ok := d.Flags[g.Name]; !ok && !strings.Contains(g.Name, ".") {
			out = append(out, g.Name)
		}
	}
	for class, word := range []string{is: "is: ", target: "target: "} {
		for _, a := range f.archs[class] {
			known, ok := d.Architectures[a.name]
			if !ok {
				out = append(out, word+a.name)
				continue
			}
			for _, g := range a.flags {
				if _, ok := known.Flags[g.Name]; !ok {
					out = append(out, a.name+"("+g.Name+")")
				}
			}
		}
	}
	return out
}
