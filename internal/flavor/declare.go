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
