package element

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"ingot/internal/spell"
)

// Rules of [Warning]s about package lists.
const (
	RuleArchBlanks   = "arch-blanks"
	RuleUninstallNo  = "uninstall-false"
	RuleUnknownPhase = "unknown-phase"
	RuleUnknownKey   = "unknown-key"
	RuleHiddenList   = "overridden-list"
	RuleUnfinished   = "unfinished-line"
	RuleComment      = "comment"
)

// installPhases are those in which lists of packages are installed.
var installPhases = []string{"pre-install.d", "install.d", "post-install.d"}

// maxWishes bounds how many entries a list may have, aliases followed.
const maxWishes = 100_000

// A Wish is one alternative of a package in a package-installs.yaml or .json.
type Wish struct {
	Package     string
	Phase       string // "install.d" unless said
	Remove      string // "", "uninstall" or "build-only"
	InstallType string // any, where empty
	Arch        string // of these alone, with commas; any, where empty
	NotArch     string // not of these
	Python      string // dib_python_version
	When        []Condition

	Kept         []string      // keys that are there and mean nothing, because they say false
	Unknown      []UnknownWord // keys that there are not
	File         string
	Line, Column int
}

// An UnknownWord is a key that means nothing, and where it stands.
type UnknownWord struct {
	Word         string
	Line, Column int
}

// A Condition is one line of "when": a variable must have a value, or not have it.
type Condition struct {
	Variable string
	Not      bool
	Value    string
	Line     int
}

var condition = regexp.MustCompile(`^(\w+)\s*(=|!=)\s*(.*)`)

// wishKeys are the keys of a package.
var wishKeys = []string{"phase", "uninstall", "build-only", "installtype", "arch", "not-arch", "dib_python_version", "when"}

// ParsePackages reads a package-installs.yaml or .json; file is its name in messages.
func ParsePackages(data []byte, file string) ([]Wish, error) {
	l := list{file}
	top, err := l.parse(data)
	if err != nil || top == nil {
		return nil, err
	}
	names, err := l.pairs(top, "packages")
	if err != nil {
		return nil, err
	}
	var out []Wish
	for _, name := range names {
		if name.key == "" || strings.ContainsAny(name.key, " \t\n\r") {
			return nil, l.errorf(name.at, "%q is no package's name", name.key)
		}
		alternatives := []*yaml.Node{name.value}
		if name.value.Kind == yaml.SequenceNode && len(name.value.Content) > 0 {
			alternatives = name.value.Content
		}
		for _, a := range alternatives {
			w, err := l.wish(name, resolved(a))
			if err != nil {
				return nil, err
			}
			if out = append(out, w); len(out) > maxWishes {
				return nil, l.errorf(nil, "more than %d packages", maxWishes)
			}
		}
	}
	return out, nil
}

func (l list) wish(name pair, n *yaml.Node) (Wish, error) {
	w := Wish{Package: name.key, Phase: "install.d", File: l.file, Line: name.at.Line, Column: name.at.Column}
	if falsy(n) {
		return w, nil
	}
	if n.Kind != yaml.MappingNode {
		return w, l.errorf(n, "what is said of package %s is keys with values, such as phase: install.d", name.key)
	}
	params, err := l.pairs(n, "what is said of a package")
	if err != nil {
		return w, err
	}
	for _, p := range params {
		var err error
		switch p.key {
		case "phase":
			w.Phase, err = l.text(p.value, "phase")
		case "uninstall", "build-only":
			// Where both are said, build-only counts.
			switch {
			case p.value.Kind == yaml.ScalarNode && isNo(p.value.Value):
				w.Kept = append(w.Kept, p.key)
			case w.Remove == "" || p.key == "build-only":
				w.Remove = p.key
			}
		case "installtype":
			w.InstallType, err = l.text(p.value, "installtype")
		case "arch":
			w.Arch, err = l.text(p.value, "arch")
		case "not-arch":
			w.NotArch, err = l.text(p.value, "not-arch")
		case "dib_python_version":
			w.Python, err = l.text(p.value, "dib_python_version")
		case "when":
			w.When, err = l.conditions(p.value)
		default:
			w.Unknown = append(w.Unknown, UnknownWord{p.key, p.at.Line, p.at.Column})
		}
		if err != nil {
			return w, err
		}
	}
	return w, nil
}

func (l list) conditions(n *yaml.Node) ([]Condition, error) {
	if null(n) {
		return nil, nil
	}
	lines := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		lines = n.Content
	}
	var out []Condition
	for _, n := range lines {
		text, err := l.text(n, "a condition")
		if err != nil {
			return nil, err
		}
		m := condition.FindStringSubmatch(text)
		if m == nil {
			return nil, l.errorf(n, "malformed condition %q: want VARIABLE = value or VARIABLE != value", text)
		}
		if out = append(out, Condition{m[1], m[2] == "!=", m[3], resolved(n).Line}); len(out) > maxWishes {
			return nil, l.errorf(n, "more than %d conditions", maxWishes)
		}
	}
	return out, nil
}

// Where is on what a wish depends, in words; empty if on nothing.
func (w Wish) Where() string {
	var out []string
	add := func(key, value string) {
		if value != "" {
			out = append(out, key+" "+value)
		}
	}
	add("arch", w.Arch)
	add("not arch", w.NotArch)
	add("installtype", w.InstallType)
	add("Python", w.Python)
	for _, c := range w.When {
		op := " = "
		if c.Not {
			op = " != "
		}
		out = append(out, c.Variable+op+c.Value)
	}
	return strings.Join(out, ", ")
}

// Packages are the element's own package-installs.json and .yaml as they are written.
func (e *Element) Packages() ([]Wish, error) {
	var out []Wish
	for _, name := range packageLists {
		data, err := e.read(name)
		if err != nil {
			return nil, err
		}
		wishes, err := ParsePackages(data, e.At(name))
		if err != nil {
			return nil, err
		}
		out = append(out, wishes...)
	}
	return out, nil
}

// packageLists are the names of an element's lists, in the order in which they count.
var packageLists = []string{"package-installs.json", "package-installs.yaml"}

// check is what is wrong with a wish wherever it stands.
func (w Wish) check(element string) []Warning {
	var out []Warning
	add := func(line, column int, rule, message, hint string) {
		out = append(out, Warning{w.File, line, column, element, rule, message, hint})
	}
	for _, l := range [][2]string{{"arch", w.Arch}, {"not-arch", w.NotArch}} {
		for a := range strings.SplitSeq(l[1], ",") {
			if a != strings.TrimSpace(a) {
				add(w.Line, w.Column, RuleArchBlanks, "package "+w.Package+": diskimage-builder takes the blanks in "+l[0]+": \""+l[1]+"\" for parts of the names",
					"write it without blanks")
				break
			}
		}
	}
	if w.Arch != "" && w.NotArch != "" {
		add(w.Line, w.Column, RuleInvalid, "package "+w.Package+" has both arch and not-arch", "leave one of them out")
	}
	for _, k := range w.Kept {
		add(w.Line, w.Column, RuleUninstallNo, "package "+w.Package+": diskimage-builder looks whether "+k+" is there, not what it says: this removes the package", "leave "+k+" out")
	}
	if !slices.Contains(installPhases, w.Phase) {
		hint := "the phases are " + strings.Join(installPhases, ", ")
		if near := spell.Nearest(w.Phase, installPhases); near != "" {
			hint = "did you mean " + near + "?"
		}
		add(w.Line, w.Column, RuleUnknownPhase, "package "+w.Package+" is never installed: no packages are installed in phase "+w.Phase, hint)
	}
	for _, u := range w.Unknown {
		hint := "the keys are " + strings.Join(wishKeys, ", ")
		if near := spell.Nearest(u.Word, wishKeys); near != "" {
			hint = "did you mean " + near + "?"
		}
		add(u.Line, u.Column, RuleUnknownKey, "package "+w.Package+": the key "+u.Word+" means nothing", hint)
	}
	return out
}
