package element

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"ingot/internal/fault"
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

// A Surrounding is what lists depend on beside themselves.
type Surrounding struct {
	// Env is the environment that scripts of the phase extra-data.d see, after
	// environment.d: ARCH, DISTRO_NAME, DIB_RELEASE, DIB_INSTALLTYPE_… and what
	// conditions name.
	Env map[string]string
	// Compat does as diskimage-builder does also where that is a mistake.
	Compat bool
}

// InstallType is how an element is installed: DIB_INSTALLTYPE_NAME, else
// DIB_DEFAULT_INSTALLTYPE, else "source".
func (s Surrounding) InstallType(element string) string {
	if t, ok := s.Env["DIB_INSTALLTYPE_"+strings.ReplaceAll(element, "-", "_")]; ok {
		return t
	}
	if t, ok := s.Env["DIB_DEFAULT_INSTALLTYPE"]; ok {
		return t
	}
	return "source"
}

// A Request is a package that an element asks for, by the element's name for it.
type Request struct {
	Package string
	Element string
}

// A PhasePackages is what is installed and removed in a phase: first all of Install,
// and at the phase's end all of Remove.
type PhasePackages struct {
	Phase   string
	Install []Request
	Remove  []Request
}

// Packages evaluates the package-installs.yaml and .json of all elements: the
// phases pre-install.d, install.d and post-install.d, in which requests stand by
// element and then as they are written.
//
// A plain request beats all removals of the same package in the same phase, whoever
// asks for them. A condition on a variable that is not set is an error (exit 3).
func Packages(s Set, around Surrounding) ([]PhasePackages, []Warning, error) {
	q := squasher{around: around}
	for _, e := range s.Elements {
		all := []*Element{e}
		if around.Compat {
			all = append(all, e.Hidden...)
		}
		for _, from := range e.Hidden {
			if !around.Compat && !e.inside() && (from.Has("package-installs.yaml") || from.Has("package-installs.json")) {
				q.warn(from.At("package-installs.yaml"), 0, e.Name, RuleHiddenList,
					"diskimage-builder installs the packages of an overridden element too: ingot does not", "")
			}
		}
		for _, from := range all {
			wishes, err := from.Packages()
			if err != nil {
				return nil, nil, err
			}
			for _, w := range wishes {
				if err := q.add(w, e.Name); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	return q.lists(), sortWarnings(q.warnings), nil
}

// A squasher puts the wishes of all elements together.
type squasher struct {
	around   Surrounding
	wishes   []wanted
	warnings []Warning
}

// A wanted is a wish and who has it.
type wanted struct {
	Wish
	element string
	applies bool
}

func (q *squasher) warn(file string, line int, element, rule, message, hint string) {
	q.warnings = append(q.warnings, Warning{File: file, Line: line, Element: element, Rule: rule, Message: message, Hint: hint})
}

// add takes a wish, if it applies here.
func (q *squasher) add(w Wish, element string) error {
	if q.around.Compat && len(w.Kept) > 0 {
		// Said is said: diskimage-builder looks whether the key is there.
		w.Remove = cmp.Or(w.Remove, w.Kept[0])
		if slices.Contains(w.Kept, "build-only") {
			w.Remove = "build-only"
		}
	}
	for _, found := range w.check(element) {
		switch found.Rule {
		case RuleArchBlanks, RuleUninstallNo, RuleUnknownPhase, RuleUnknownKey:
			q.warnings = append(q.warnings, found)
		}
	}
	applies, err := q.applies(w, element)
	if err != nil {
		return err
	}
	if applies || q.around.Compat {
		q.wishes = append(q.wishes, wanted{w, element, applies})
	}
	return nil
}

func (q *squasher) applies(w Wish, element string) (bool, error) {
	if w.InstallType != "" && w.InstallType != q.around.InstallType(element) {
		return false, nil
	}
	if w.Arch != "" && w.NotArch != "" {
		return false, fault.Newf(fault.Definition, "%s:%d:%d: package %s has both arch and not-arch", w.File, w.Line, w.Column, w.Package)
	}
	arch := q.around.Env["ARCH"]
	if w.Arch != "" && !q.inList(w.Arch, arch) || w.NotArch != "" && q.inList(w.NotArch, arch) {
		return false, nil
	}
	if w.Python != "" && w.Python != q.around.Env["DIB_PYTHON_VERSION"] {
		return false, nil
	}
	holds := true
	for _, c := range w.When {
		value, ok := q.around.Env[c.Variable]
		if !ok {
			return false, fault.Newf(fault.Definition, "%s:%d: package %s of element %s depends on the variable %s, which is not set",
				w.File, c.Line, w.Package, element, c.Variable).WithHint("set %s, or let the element's environment.d give it a value", c.Variable)
		}
		holds = holds && (value == c.Value) != c.Not
	}
	return holds, nil
}

func (q *squasher) inList(list, arch string) bool {
	for a := range strings.SplitSeq(list, ",") {
		if !q.around.Compat {
			a = strings.TrimSpace(a)
		}
		if a == arch {
			return true
		}
	}
	return false
}

// lists is the result, phase by phase.
func (q *squasher) lists() []PhasePackages {
	var out []PhasePackages
	for _, phase := range installPhases {
		p := PhasePackages{Phase: phase}
		if q.around.Compat {
			q.asUpstream(&p)
		} else {
			q.list(&p)
		}
		p.Install, p.Remove = once(p.Install), once(p.Remove)
		out = append(out, p)
	}
	return out
}

// list is the rule, whatever order the elements come in.
func (q *squasher) list(p *PhasePackages) {
	plain := map[string]bool{}
	for _, w := range q.wishes {
		if w.Phase == p.Phase && w.Remove == "" {
			plain[w.Package] = true
		}
	}
	for _, w := range q.wishes {
		if w.Phase != p.Phase {
			continue
		}
		r := Request{w.Package, w.element}
		if w.Remove != "uninstall" {
			p.Install = append(p.Install, r)
		}
		if w.Remove != "" && !plain[w.Package] {
			p.Remove = append(p.Remove, r)
		}
	}
}

// asUpstream goes through the wishes one by one, as diskimage-builder does: there a
// plain request undoes removals also where it does not apply, for being of another
// architecture for instance.
func (q *squasher) asUpstream(p *PhasePackages) {
	of := func(list []Request, name string) bool {
		return slices.ContainsFunc(list, func(r Request) bool { return r.Package == name })
	}
	for _, w := range q.wishes {
		if w.Phase != p.Phase {
			continue
		}
		install, remove := true, false
		if w.Remove == "" {
			p.Remove = slices.DeleteFunc(p.Remove, func(r Request) bool { return r.Package == w.Package })
		} else if of(p.Install, w.Package) && !of(p.Remove, w.Package) {
			if w.Remove == "uninstall" {
				continue
			}
		} else {
			install, remove = w.Remove == "build-only", true
		}
		r := Request{w.Package, w.element}
		if w.applies && install {
			p.Install = append(p.Install, r)
		}
		if w.applies && remove {
			p.Remove = append(p.Remove, r)
		}
	}
}

// once drops what was asked for before.
func once(list []Request) []Request {
	seen := map[Request]bool{}
	return slices.DeleteFunc(list, func(r Request) bool {
		again := seen[r]
		seen[r] = true
		return again
	})
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

// legacyPrefix begins the names of lists of packages that are plain text.
const legacyPrefix = "package-installs-"

// A LegacyLine is a line of a file PHASE/package-installs-NAME: packages that are
// installed when the phase begins and, where the line begins with "-", removed when
// it ends.
type LegacyLine struct {
	Packages []string
	Remove   bool
	Line     int
}

// ParseLegacy reads a list of packages in plain text. Lines that begin with "#" and
// empty ones are skipped. Whole is false where the last line has no end: bash's read
// passes over it.
func ParseLegacy(data []byte) (lines []LegacyLine, whole bool) {
	n := 0
	for text := range strings.Lines(string(data)) {
		n++
		l := LegacyLine{Line: n}
		text = strings.Trim(text, " \t\n")
		if text == "" || text[0] == '#' {
			continue
		}
		text, l.Remove = strings.CutPrefix(text, "-")
		if l.Packages = strings.Fields(text); len(l.Packages) > 0 {
			lines = append(lines, l)
		}
	}
	return lines, len(data) == 0 || data[len(data)-1] == '\n'
}

// A LegacyList is one such file: NAME is what its packages are mapped by.
type LegacyList struct {
	Phase string
	Name  string
	File  File
	Lines []LegacyLine
}

// Legacy are the lists in plain text that lie in the hooks now.
func (h *Hooks) Legacy(around Surrounding) ([]LegacyList, []Warning, error) {
	var out []LegacyList
	var warnings []Warning
	for _, phase := range installPhases {
		for _, l := range h.List(phase) {
			name, ok := strings.CutPrefix(l.Name, legacyPrefix)
			if !ok || !l.Mode.IsRegular() {
				continue
			}
			at := path.Join(phase, l.Name)
			data, err := h.Read(at, maxList)
			if err != nil {
				return nil, nil, fault.Newf(fault.Definition, "cannot read %s: %w", at, err)
			}
			own, _ := h.Get(at)
			lines, whole := ParseLegacy(data)
			if !whole && len(lines) > 0 {
				last := &lines[len(lines)-1]
				warnings = append(warnings, Warning{File: own.shown(), Line: last.Line, Element: own.Element, Rule: RuleUnfinished,
					Message: "the last line has no end: diskimage-builder does not read it", Hint: "end the file with an empty line"})
				if around.Compat {
					lines = lines[:len(lines)-1]
				}
			}
			out = append(out, LegacyList{phase, name, own, lines})
		}
	}
	return out, warnings, nil
}

// An InstallPhase is what packages a phase installs and removes, by the
// distribution's names for them, each once, in a fixed order.
type InstallPhase struct {
	Phase   string   `json:"phase"`
	Install []string `json:"install,omitempty"`
	Remove  []string `json:"remove,omitempty"`
}

// AllPackages are the packages of all lists of the hooks, mapped for the
// distribution: what a lock resolves before anything runs.
func (h *Hooks) AllPackages(around Surrounding) ([]InstallPhase, []Warning, error) {
	phases, warnings, err := Packages(h.Set, around)
	if err != nil {
		return nil, nil, err
	}
	legacy, more, err := h.Legacy(around)
	if err != nil {
		return nil, nil, err
	}
	maps := map[string]PackageMap{}
	get := func(name string) (PackageMap, error) {
		if m, ok := maps[name]; ok {
			return m, nil
		}
		m, err := h.packageMap(name)
		maps[name] = m
		return m, err
	}
	var out []InstallPhase
	for _, p := range phases {
		o := InstallPhase{Phase: p.Phase}
		put := func(into *[]string, name, element string) error {
			m, err := get(element)
			if err != nil {
				return err
			}
			for _, n := range m.For(around.Env["DISTRO_NAME"], around.Env["DIB_RELEASE"]).Names(name) {
				if !slices.Contains(*into, n) {
					*into = append(*into, n)
				}
			}
			return nil
		}
		for _, l := range legacy {
			if l.Phase != p.Phase {
				continue
			}
			for _, line := range l.Lines {
				for _, name := range line.Packages {
					err := put(&o.Install, name, l.Name)
					if err == nil && line.Remove {
						err = put(&o.Remove, name, l.Name)
					}
					if err != nil {
						return nil, nil, err
					}
				}
			}
		}
		for _, r := range p.Install {
			if err := put(&o.Install, r.Package, r.Element); err != nil {
				return nil, nil, err
			}
		}
		for _, r := range p.Remove {
			if err := put(&o.Remove, r.Package, r.Element); err != nil {
				return nil, nil, err
			}
		}
		out = append(out, o)
	}
	return out, sortWarnings(append(warnings, more...)), nil
}

// packageMap is an element's map; an element without one has an empty map.
func (h *Hooks) packageMap(element string) (PackageMap, error) {
	e := h.Set.Get(element)
	if e == nil {
		return PackageMap{}, nil
	}
	data, err := e.read("pkg-map")
	if err != nil || data == nil {
		return PackageMap{}, err
	}
	return ParsePackageMap(data, e.At("pkg-map"))
}
