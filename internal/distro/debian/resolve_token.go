package debian

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// A wish is what a request's tokens come to: versions to install, in order, and
// packages to keep out.
type wish struct {
	install, remove []verID
	// switched are the versions that were asked for by release: what they need is
	// taken from there too.
	switched []switched
}

type switched struct {
	version verID
	release string
}

// A selector says which version of a package a name without one means.
type selector uint8

const (
	theCandidate selector = iota
	theNewest
)

// read takes one token apart as apt-get does: a name, a glob, a regular
// expression, a pattern such as ?essential or a task^, with =VERSION or /RELEASE
// and with + or - at the end to install it or keep it out. A name that really
// ends in + or - is taken as it is.
func (s *solver) read(token string, w *wish) error {
	into, sel, bare := &w.install, theCandidate, token
	switch {
	case len(token) > 1 && strings.HasSuffix(token, "+"):
		bare = token[:len(token)-1]
	case len(token) > 1 && strings.HasSuffix(token, "-"):
		bare, into, sel = token[:len(token)-1], &w.remove, theNewest
	}
	if bare != token {
		if found, err := s.versions(token, true, sel, w); err == nil && len(found) > 0 {
			w.install = append(w.install, found...)
			return nil
		}
	}
	found, err := s.versions(bare, false, sel, w)
	*into = append(*into, found...)
	return err
}

// versions are what a token without its sign means.
func (s *solver) versions(token string, nameOnly bool, sel selector, w *wish) ([]verID, error) {
	name, want, release := token, "", false
	if i := strings.LastIndexAny(token, "/="); i >= 0 {
		name, want, release = token[:i], token[i+1:], token[i] == '/'
	}
	pkgs, many, err := s.packages(name, nameOnly)
	if err != nil {
		return nil, err
	}
	var out []verID
	for _, p := range pkgs {
		v, err := s.pick(p, want, release, sel, w)
		if err != nil && !many {
			return out, err
		}
		if v != none {
			out = append(out, v)
		}
	}
	return out, nil
}

// pick is the version of a package that a token means.
func (s *solver) pick(p pkgID, want string, release bool, sel selector, w *wish) (verID, error) {
	newest := s.pkgs[p].vers
	if want == "" || want == "candidate" || want == "newest" {
		v := s.pkg[p].candidate
		if want == "newest" || want == "" && sel == theNewest {
			v = newest
		}
		if v == none && want == "" && sel == theNewest {
			return none, nil // a virtual package cannot be kept out
		}
		if v == none {
			v = s.provider(p, func(pr *prov) bool { return s.pkg[s.vers[pr.owner].pkg].candidate == pr.owner })
		}
		if v == none {
			return none, s.noCandidate(p)
		}
		return v, nil
	}
	matches := func(v verID) bool { return matchVersion(want, s.version(v)) }
	if release {
		matches = func(v verID) bool { return s.inRelease(v, want) }
	}
	v := newest
	for v != none && !matches(v) {
		v = s.vers[v].next
	}
	if v == none && !release {
		// A package may provide itself in another version.
		for i := s.pkgs[p].provs; i != none && v == none; i = s.provs[i].ofPkg {
			pr := &s.provs[i]
			if given := s.provided(pr); given != "" && s.vers[pr.owner].pkg == p && matchVersion(want, given) {
				v = pr.owner
			}
		}
	}
	if v == none {
		v = s.provider(p, func(pr *prov) bool {
			if release {
				return s.inSuite(pr.owner, want)
			}
			return s.provided(pr) == want
		})
		if v != none {
			s.setCandidate(v) // at once, and not when all is read as of the package's own: apt's way
		}
	}
	if v == none {
		return none, s.noVersion(p, want, release)
	}
	if release || want != s.version(v) {
		w.switched = append(w.switched, switched{v, want})
	}
	return v, nil
}

// provider is the one version that stands for a virtual package, if there is only
// one package that provides it.
func (s *solver) provider(p pkgID, counts func(*prov) bool) verID {
	best := verID(none)
	for i := s.pkgs[p].provs; i != none; i = s.provs[i].ofPkg {
		pr := &s.provs[i]
		if !counts(pr) {
			continue
		}
		if best == none {
			best = pr.owner
			continue
		}
		a, b := &s.pkgs[s.vers[best].pkg], &s.pkgs[s.vers[pr.owner].pkg]
		if a.name != b.name {
			return none
		}
		if a.arch != s.pkgs[p].arch && b.arch < a.arch {
			best = pr.owner
		}
	}
	return best
}

// matchVersion compares a version with a wanted one, which may be a glob.
func matchVersion(want, version string) bool {
	if prefix, ok := strings.CutSuffix(want, "*"); ok && len(version) >= len(prefix) &&
		strings.EqualFold(version[:len(prefix)], prefix) {
		return true
	}
	return strings.EqualFold(want, version) || matchExpression(want, version)
}

// matchExpression matches a glob, or a regular expression between slashes.
func matchExpression(pattern, s string) bool {
	if len(pattern) > 1 && pattern[0] == '/' && pattern[len(pattern)-1] == '/' {
		re, err := regexp.Compile("(?i)" + pattern[1:len(pattern)-1])
		return err == nil && re.MatchString(s)
	}
	return matchGlob(pattern, s)
}

// matchGlob is fnmatch without case and without special slashes.
func matchGlob(pattern, s string) bool {
	clean := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "/", "\x00") }
	pattern = strings.ReplaceAll(clean(pattern), "[!", "[^")
	ok, err := path.Match(pattern, clean(s))
	return ok && err == nil
}

// inRelease says whether a version lies in an index of the named release: a
// suite, a codename or, where it begins with a digit, a version; or in the form
// "a=stable,n=bookworm,v=12*,o=Debian,l=Debian,c=main,b=amd64".
func (s *solver) inRelease(v verID, want string) bool {
	for f := s.vers[v].files; f != none; f = s.files[f].next {
		if s.indexes[s.files[f].index].Source.matches(want) {
			return true
		}
	}
	return false
}

func (s *solver) inSuite(v verID, want string) bool {
	for f := s.vers[v].files; f != none; f = s.files[f].next {
		if src := &s.indexes[s.files[f].index].Source; src.Suite == want || src.Codename == want {
			return true
		}
	}
	return false
}

func (x *Source) matches(want string) bool {
	switch {
	case want == "*":
		return true
	case want == "":
		return false
	case !strings.Contains(want, "="):
		if isDigit(want[0]) {
			return matchVersion(want, x.Version)
		}
		return matchExpression(want, x.Suite) || matchExpression(want, x.Codename)
	}
	any := false
	for part := range strings.SplitSeq(want, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if value == "" || len(key) != 1 {
			continue
		}
		any = true
		have := map[string]string{"v": x.Version, "o": x.Origin, "a": x.Suite, "n": x.Codename,
			"l": x.Label, "c": x.Component, "b": x.Arch}[strings.ToLower(key)]
		if !matchVersion(value, have) {
			return false
		}
	}
	return any
}

// packages are what a name in a token means, and whether it may mean many, of
// which those that cannot be had are passed over.
func (s *solver) packages(name string, nameOnly bool) (pkgs []pkgID, many bool, err error) {
	if name == "" {
		return nil, false, fault.Newf(fault.NotFound, "a package without a name was asked for")
	}
	if !nameOnly && (name[0] == '?' || name[0] == '~') {
		match, err := parsePattern(name)
		if err != nil {
			return nil, false, fault.Newf(fault.NotFound, "package pattern %q: %w", name, err)
		}
		for p := range s.pkgs {
			if match(s, pkgID(p)) {
				pkgs = append(pkgs, pkgID(p))
			}
		}
		return pkgs, false, nil
	}
	if found := s.named(name); len(found) > 0 || nameOnly {
		return found, false, nil
	}
	for _, by := range [...]func(string) ([]pkgID, error){s.byTask, s.byGlob, s.byRegexp} {
		found, e := by(name)
		if len(found) > 0 {
			return found, true, nil
		}
		err = errors.Join(err, e)
	}
	return nil, false, s.unknown(name, err)
}

// named are the packages of a name, perhaps with an architecture behind it.
func (s *solver) named(name string) []pkgID {
	bare, arch, qualified := cutLast(name, ":")
	if qualified && (arch == "all" || arch == "native") {
		arch = s.archs[native]
	}
	if g, ok := s.group(bare); ok {
		if !qualified {
			if p := s.preferred(g, true); p != none {
				return []pkgID{p}
			}
		} else {
			var all []pkgID
			for p := s.groups[g].first; p != none; p = s.pkgs[p].next {
				if have := s.archs[s.pkgs[p].arch]; have == arch || arch == "any" || strings.Contains(arch, "*") && matchGlob(arch, have) {
					all = append(all, p)
					if !strings.Contains(arch, "*") {
						break
					}
				}
			}
			if len(all) > 0 {
				return all
			}
		}
	}
	// The name with an architecture may itself be one that others depend on.
	if qualified {
		if g, ok := s.group(bare + ":" + arch); ok {
			return []pkgID{s.groups[g].first}
		}
		return nil
	}
	first := pkgID(none)
	for _, a := range s.archs[:s.configured] {
		if g, ok := s.group(bare + ":" + a); ok {
			p := s.groups[g].first
			if s.pkgs[p].provs != none {
				return []pkgID{p}
			}
			if first == none {
				first = p
			}
		}
	}
	if first != none {
		return []pkgID{first}
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// byTask are the packages of a task: "web-server^".
func (s *solver) byTask(name string) ([]pkgID, error) {
	task, ok := strings.CutSuffix(name, "^")
	if !ok || task == "" {
		return nil, nil
	}
	var all []pkgID
	for g := range s.groups {
		p := s.inGroup(uint32(g), native)
		if p == none || s.pkg[p].candidate == none {
			continue
		}
		_, stanza := s.stanza(s.pkg[p].candidate)
		if tasks, ok := stanza.Field("Task"); ok &&
			slices.Contains(strings.FieldsFunc(tasks, func(r rune) bool { return r == ',' || r == ' ' }), task) {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all, nil
}

// byGlob are the packages whose names match a glob.
func (s *solver) byGlob(name string) ([]pkgID, error) {
	if !strings.ContainsAny(name, ".?*[]!") {
		return nil, nil
	}
	return s.byName(name, ".?*[]!", func(pattern string) (func(string) bool, error) {
		return func(n string) bool { return matchGlob(pattern, n) }, nil
	})
}

// byRegexp are the packages whose names match a regular expression somewhere.
func (s *solver) byRegexp(name string) ([]pkgID, error) {
	const special = ".?+*|[^$"
	if !strings.ContainsAny(name, special) {
		return nil, nil
	}
	return s.byName(name, special, func(pattern string) (func(string) bool, error) {
		re, err := regexp.Compile("(?i)" + pattern)
		if err != nil {
			return nil, fmt.Errorf("regular expression: %w", err)
		}
		return re.MatchString, nil
	})
}

func (s *solver) byName(name, special string, compile func(string) (func(string) bool, error)) ([]pkgID, error) {
	arch, qualified := native, false
	if bare, a, ok := cutLast(name, ":"); ok && !strings.ContainsAny(a, special) {
		i := slices.Index(s.archs, a)
		if i < 0 {
			return nil, nil
		}
		name, arch, qualified = bare, archID(i), true
	}
	match, err := compile(name)
	if err != nil {
		return nil, err
	}
	var all []pkgID
	for g := range s.groups {
		if s.groups[g].first == none || !match(s.nameText(uint32(g))) {
			continue
		}
		p := s.inGroup(uint32(g), arch)
		if p == none && !qualified {
			p = s.preferred(uint32(g), true)
		}
		if p != none {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all, nil
}

// follow switches the candidates of what a version needs to the release that it
// was asked for from, where their present ones would not do. It says whether that
// made the version installable.
func (s *solver) follow(v verID, release string, changed *[]verID) bool {
	s.setCandidate(v)
	if release == "installed" || release == "candidate" {
		return true
	}
	undo := len(*changed)
	for d := s.vers[v].deps; d < s.vers[v].depEnd; {
		end := s.alternatives(d)
		k := s.deps[d].kind & kindMask
		if k != preDepends && k != depends && (k != recommends || !s.recommends) || s.fine(d, end) {
			d = end
			continue
		}
		if !s.switchOne(d, end, release, changed) && k != recommends {
			for _, c := range (*changed)[undo:] {
				s.setCandidate(c)
			}
			*changed = (*changed)[:undo]
			return false
		}
		d = end
	}
	return true
}

// fine says whether the present candidates meet a group of alternatives.
func (s *solver) fine(d, end depID) bool {
	good := func(v verID) bool { return v != none && s.fault(v)&badDeps == 0 }
	for ; d < end; d++ {
		dep := &s.deps[d]
		t := &s.pkgs[dep.target]
		cand := s.pkg[dep.target].candidate
		switch {
		case t.provs == none && t.vers == none:
		case dep.op == OpAny && t.provs != none:
			for i := t.provs; i != none; i = s.provs[i].ofPkg {
				o := s.provs[i].owner
				if s.pkg[s.vers[o].pkg].candidate == o && good(o) {
					return true
				}
			}
		case good(cand) && s.satisfied(dep, s.version(cand)):
			return true
		}
	}
	return false
}

// switchOne switches the candidate of one of several alternatives.
func (s *solver) switchOne(d, end depID, release string, changed *[]verID) bool {
	for ; d < end; d++ {
		dep := &s.deps[d]
		if dep.op == OpAny {
			continue
		}
		v := s.pkgs[dep.target].vers
		for release != "newest" && v != none && !s.inRelease(v, release) {
			v = s.vers[v].next
		}
		if v == none || !s.satisfied(dep, s.version(v)) {
			continue
		}
		old := s.pkg[dep.target].candidate
		if v == old && slices.ContainsFunc(*changed, func(c verID) bool { return s.vers[c].pkg == dep.target }) {
			return true
		}
		*changed = append(*changed, v)
		if s.follow(v, release, changed) {
			return true
		}
		if d+1 < end && old != none {
			s.setCandidate(old)
			*changed = (*changed)[:len(*changed)-1]
		}
	}
	return false
}
