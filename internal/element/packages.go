package element

import (
	"cmp"
	"slices"
	"strings"

	"ingot/internal/fault"
)

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
