package element

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/spell"
)

// Rules of [Lint]; those about package lists stand with them.
const (
	RuleNotExecutable  = "not-executable"
	RuleName           = "name"
	RuleLink           = "dead-link"
	RuleHiddenFile     = "hidden-file"
	RuleBlank          = "blank-in-name"
	RuleMisspelt       = "misspelt"
	RuleOverwritten    = "overwritten"
	RuleClash          = "clash"
	RuleNoElement      = "no-element"
	RuleInvalid        = "invalid"
	RuleHelper         = "missing-helper"
	RuleNeverReaches   = "never-reaches"
	RuleNotSet         = "not-set"
	RuleDSA            = "dsa"
	RuleDropped        = "not-copied"
	RuleUnknownSection = "unknown-section"
	RuleEquals         = "double-equals"
	RuleDeprecated     = "deprecated"
)

// A Rule is a word that warnings have, and what it is about.
type Rule struct{ Name, About string }

// Rules are all rules, by name.
var Rules = []Rule{
	{RuleArchBlanks, "blanks in arch or not-arch become part of the names"},
	{RuleBlank, "names with blanks fall apart when hooks are merged"},
	{RuleClash, "two elements have the same script, or a file for a directory"},
	{RuleComment, "a comment where there are none is taken for names"},
	{RuleLink, "a symbolic link leads nowhere"},
	{RuleDeprecated, "an element that no longer works"},
	{RuleEquals, "== in a condition compares with a text that begins with ="},
	{RuleDSA, "ssh-keygen of OpenSSH 10 makes no DSA keys"},
	{RuleHiddenFile, "files whose names begin with a dot are not merged"},
	{RuleInvalid, "a list cannot be read"},
	{RuleHelper, "files for a helper element that is not depended on"},
	{RuleMisspelt, "a name that is nearly one that has a meaning"},
	{RuleName, "a file of a phase never runs, for its name"},
	{RuleNeverReaches, "environment.d sets a variable that only the driver reads"},
	{RuleNoElement, "element-deps names what is nowhere and nobody provides"},
	{RuleDropped, "install-static does not copy the file, for its name"},
	{RuleNotExecutable, "a file of a phase never runs, as nobody may execute it"},
	{RuleNotSet, "a variable or function that is not there in that phase"},
	{RuleHiddenList, "packages of an overridden element are installed too"},
	{RuleOverwritten, "a file takes the place of another element's"},
	{RuleUnfinished, "the last line of package-installs-NAME is not read"},
	{RuleUninstallNo, "uninstall: false and build-only: false remove all the same"},
	{RuleUnknownKey, "a key of a package that means nothing"},
	{RuleUnknownPhase, "a phase in which no packages are installed"},
	{RuleUnknownSection, "a section or family of a pkg-map that is never looked at"},
}

// Lint looks at some elements of a path for what diskimage-builder silently ignores
// or gets wrong: each by itself, and together with those that it depends on. It gives
// warnings by file and line; an error is only what keeps it from looking.
func Lint(p *Path, names []string) ([]Warning, error) {
	l := linter{path: p, providers: map[string][]string{}}
	for _, name := range p.Names() {
		e, err := p.Load(name)
		if err != nil {
			continue // said when the element is looked at
		}
		for _, w := range e.Provides {
			l.providers[w.Text] = append(l.providers[w.Text], name)
		}
	}
	for _, name := range names {
		if p.found[name] == nil {
			return nil, p.missing(name, "")
		}
		e, err := p.Load(name)
		if err != nil {
			l.invalid(&Element{Name: name}, "element-deps", err)
			continue
		}
		l.element(e)
	}
	return sortWarnings(l.out), nil
}

type linter struct {
	path      *Path
	providers map[string][]string // who provides a name
	out       []Warning
}

func (l *linter) add(e *Element, file string, line int, rule, message, hint string) {
	l.out = append(l.out, Warning{File: e.At(file), Line: line, Element: e.Name, Rule: rule, Message: message, Hint: hint})
}

var placed = regexp.MustCompile(`^(.+?):(\d+)(?::(\d+))?: (.*)$`)

// invalid is an error about a list as a warning.
func (l *linter) invalid(e *Element, file string, err error) {
	w := Warning{File: e.At(file), Element: e.Name, Rule: RuleInvalid, Message: err.Error(), Hint: fault.HintOf(err)}
	if m := placed.FindStringSubmatch(w.Message); m != nil {
		w.File, w.Message = m[1], m[4]
		w.Line, _ = strconv.Atoi(m[2])
		w.Column, _ = strconv.Atoi(m[3])
	}
	l.out = append(l.out, w)
}

func (l *linter) element(e *Element) {
	l.dependencies(e)
	l.top(e)
	for _, p := range Phases {
		l.phase(e, p)
	}
	l.environment(e)
	l.lists(e)
	l.static(e)
	l.together(e)
}

// dependencies looks at element-deps and element-provides.
func (l *linter) dependencies(e *Element) {
	for file, list := range map[string][]Word{"element-deps": e.Deps, "element-provides": e.Provides} {
		for _, w := range list {
			switch {
			case strings.Contains(w.Text, "#"):
				l.add(e, file, w.Line, RuleComment, strconv.Quote(w.Text)+" is taken for a name: "+file+" has no comments", "leave the comment out")
			case file == "element-provides":
			case w.Text == "dib-python" || w.Text == "dib-run-parts":
				l.add(e, file, w.Line, RuleDeprecated, w.Text+" works on no release of today", "leave it out")
			case l.path.found[w.Text] == nil && len(l.providers[w.Text]) == 0:
				hint := "nobody provides it either"
				if near := spell.Nearest(w.Text, l.path.Names()); near != "" {
					hint = "did you mean " + near + "?"
				}
				l.add(e, file, w.Line, RuleNoElement, "there is no element "+strconv.Quote(w.Text), hint)
			}
		}
	}
}

// known are the files and directories of an element that have a meaning.
var known = []string{
	"element-deps", "element-provides", "package-installs.yaml", "package-installs.json", "pkg-map", "svc-map",
	"bin", "static", "init-scripts", EnvironmentDir, "modprobe.d", "dracut.conf.d", "dracut-drivers.d", "yum.repos.d",
	"containerfiles", "binary-deps.d", "init.d", "udev.d", "ramdisk-install.d", "os-refresh-config", "os-apply-config",
	"test-elements", "tests", "__pycache__", "__init__.py", "README.rst", "README.md", "README",
	"block-device-default.yaml",
}

// telling are the files that nothing but an element has.
var telling = []string{"element-deps", "element-provides", "package-installs.yaml", "package-installs.json", "pkg-map", "svc-map"}

// Is says whether a directory looks like an element: it has a phase, or a file that
// only elements have.
func Is(dir fs.FS) bool {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(d fs.DirEntry) bool {
		name := d.Name()
		return isPhase(name) || name == EnvironmentDir || slices.Contains(telling, name) || nearly[name] == "element-deps"
	})
}

// nearly are names that are too far from the right one for [spell.Nearest], or for
// which it could find the wrong one.
var nearly = map[string]string{
	"elements-deps": "element-deps", "elements-provides": "element-provides", "deps": "element-deps",
	"package-installs.yml": "package-installs.yaml", "package-installs": "package-installs.yaml",
	"packages.yaml": "package-installs.yaml", "pkg-map.json": "pkg-map", "svc-map.yaml": "svc-map", "pkg-map.yaml": "pkg-map",
	"finalize.d": "finalise.d", "pre-finalize.d": "pre-finalise.d", "env.d": EnvironmentDir,
	"sbin": "bin", "init-script": "init-scripts",
}

// top looks at the names in the element's directory.
func (l *linter) top(e *Element) {
	all := slices.Clone(known)
	for _, p := range Phases {
		all = append(all, p.Name)
	}
	entries, err := fs.ReadDir(e.FS, ".")
	if err != nil {
		l.invalid(e, ".", err)
		return
	}
	for _, d := range entries {
		name := d.Name()
		if strings.Contains(name, " ") {
			l.add(e, name, 0, RuleBlank, "a name with a blank is not merged", "call it "+strings.ReplaceAll(name, " ", "-"))
		}
		if slices.Contains(all, name) || strings.HasPrefix(name, sourcePrefix) || strings.HasPrefix(name, "block-device-") || strings.HasPrefix(name, ".") {
			continue
		}
		near := nearly[name]
		if near == "" {
			near = spell.Nearest(name, all)
			if near != "" && (near[0] != name[0] || !strings.ContainsAny(name, ".-") || spell.Distance(name, near, 2) > 2) {
				near = "" // "data" is no "bin", and "element-notes" may well be meant
			}
		}
		if near != "" {
			l.add(e, name, 0, RuleMisspelt, "nothing reads "+name, "did you mean "+near+"?")
		}
	}
}

// listing is a directory of the element's own as phases see it, and what of it is not
// merged.
func (l *linter) listing(e *Element, dir string) (out []Listed) {
	entries, err := fs.ReadDir(e.FS, dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.invalid(e, dir, err)
		}
		return nil
	}
	for _, d := range entries {
		name := d.Name()
		at := path.Join(dir, name)
		if strings.HasPrefix(name, ".") {
			if !strings.HasPrefix(name, ".git") && name != ".keep" && name != ".placeholder" {
				l.add(e, at, 0, RuleHiddenFile, "names that begin with a dot are not merged", "call it "+strings.TrimLeft(name, "."))
			}
			continue
		}
		if strings.Contains(name, " ") {
			l.add(e, at, 0, RuleBlank, "a name with a blank is not merged", "call it "+strings.ReplaceAll(name, " ", "-"))
			continue
		}
		mode := d.Type()
		if info, err := fs.Stat(e.FS, at); err == nil {
			mode = info.Mode()
		}
		out = append(out, Listed{name, mode})
	}
	return out
}

// phase looks at the files of a phase.
func (l *linter) phase(e *Element, p Phase) {
	run, ignored := Scripts(l.listing(e, p.Name))
	for _, i := range ignored {
		at := path.Join(p.Name, i.Path)
		switch {
		case strings.HasPrefix(i.Path, legacyPrefix):
			l.legacy(e, at)
		case i.Path == "README" || strings.HasPrefix(i.Path, "README."):
		case strings.Contains(i.Why, "leads nowhere"):
			// Elements lie beside each other once they are merged, where the link may
			// lead somewhere: that is looked at below.
		default:
			l.never(e, at, i)
		}
	}
	for _, name := range run {
		l.script(e, path.Join(p.Name, name), p)
	}
	for _, d := range l.listing(e, p.Name) {
		if d.Mode.IsDir() && p.Name == "install.d" && strings.HasSuffix(d.Name, "-install") {
			l.installType(e, path.Join(p.Name, d.Name), p)
		}
	}
}

// installType looks at the scripts of an install type, which are linked into install.d.
func (l *linter) installType(e *Element, dir string, p Phase) {
	run, ignored := Scripts(l.listing(e, dir))
	for _, i := range ignored {
		if !strings.HasPrefix(i.Path, legacyPrefix) && !strings.Contains(i.Why, "leads nowhere") {
			l.never(e, path.Join(dir, i.Path), i)
		}
	}
	for _, name := range run {
		l.script(e, path.Join(dir, name), p)
	}
}

// never warns of a file that never runs, if it looks as if it should: it has a number
// in front, begins like a script or may be executed, and no script names it.
func (l *linter) never(e *Element, at string, i Ignored) {
	data, _ := readFile(e.FS, at) // what cannot be read is judged by its name
	info, err := fs.Stat(e.FS, at)
	if err != nil || !isDigit(i.Path[0]) && info.Mode().Perm()&0o111 == 0 && !strings.HasPrefix(string(data), "#!") || l.named(e, i.Path) {
		return
	}
	if strings.Contains(i.Why, "names of scripts") {
		l.add(e, at, 0, RuleName, "this never runs: "+i.Why, "call it "+plainName(i.Path))
		return
	}
	l.add(e, at, 0, RuleNotExecutable, "this never runs: "+i.Why, "chmod +x "+i.Path)
}

// named says whether a script of the element has a file's name in it, or the
// beginning of it with a variable behind, such as unit.$DIB_INIT_SYSTEM.
func (l *linter) named(e *Element, file string) bool {
	stem, _, _ := strings.Cut(file, ".")
	found := false
	left := maxFiles
	_ = fs.WalkDir(e.FS, ".", func(at string, d fs.DirEntry, err error) error {
		if left--; err != nil || left < 0 || found {
			return fs.SkipAll
		}
		if !d.Type().IsRegular() || path.Base(at) == file || !strings.Contains(path.Dir(at), ".d") {
			return nil
		}
		data, err := readFile(e.FS, at)
		if err == nil {
			found = strings.Contains(string(data), file) || stem != file && strings.Contains(string(data), stem+".$")
		}
		return nil
	})
	return found
}

var notPlain = regexp.MustCompile(`[^0-9A-Za-z_-]+`)

// plainName is a name that runs.
func plainName(name string) string {
	if base, _, ok := strings.Cut(name, "."); ok && base != "" {
		name = base
	}
	return strings.Trim(notPlain.ReplaceAllString(name, "-"), "-")
}

// legacy looks at a list of packages in plain text.
func (l *linter) legacy(e *Element, at string) {
	data, err := e.read(at)
	if err != nil {
		l.invalid(e, at, err)
		return
	}
	lines, whole := ParseLegacy(data)
	for i, line := range lines {
		if !whole && i == len(lines)-1 {
			l.add(e, at, line.Line, RuleUnfinished, "the last line has no end: it is not read", "end the file with an empty line")
		}
		if slices.ContainsFunc(line.Packages, func(p string) bool { return strings.HasPrefix(p, "#") }) {
			l.add(e, at, line.Line, RuleComment, "what follows # is taken for packages: only whole lines are comments", "put the comment on a line of its own")
		}
	}
}

// A scan is something to find in the lines of scripts.
type scan struct {
	re     *regexp.Regexp
	phases func(Phase) bool // where it is wrong
	rule   string
	text   string // what is wrong; $1 is what was found
	hint   string
}

func inHost(names ...string) func(Phase) bool {
	return func(p Phase) bool { return p.Side == Host && slices.Contains(names, p.Name) }
}

var scans = []scan{
	{regexp.MustCompile(`\$\{?(TARGET_ROOT)\b`), func(p Phase) bool { return p.Name != "root.d" && p.Name != "cleanup.d" },
		RuleNotSet, "$1 is set in root.d and cleanup.d alone", "on the host take TMP_MOUNT_PATH"},
	{regexp.MustCompile(`\$\{?(IMAGE_BLOCK_DEVICES?)\b`), func(p Phase) bool {
		return !slices.Contains([]string{"pre-finalise.d", "finalise.d", "cleanup.d"}, p.Name)
	}, RuleNotSet, "$1 is set from pre-finalise.d on", ""},
	{regexp.MustCompile(`\$\{?(DIB_DEFAULT_INSTALLTYPE)\b`), inHost("root.d"), RuleNotSet, "$1 is set from extra-data.d on", ""},
	{regexp.MustCompile(`\b(get_image_element_array)\b`), func(p Phase) bool { return p.Side == Target },
		RuleNotSet, "the function $1 is there on the host alone", "take IMAGE_ELEMENT"},
}

// dsa finds scripts that make DSA keys among others.
var dsa = regexp.MustCompile(`ssh-keygen\b.*-t\s*dsa\b|\bfor\s+\w+\s+in\b[^;]*\sdsa(?:\s|;|$)`)

// script looks at the lines of a script.
func (l *linter) script(e *Element, at string, p Phase) {
	data, err := readFile(e.FS, at)
	if err != nil {
		return // a program, too large for a text
	}
	keys := strings.Contains(string(data), "ssh-keygen")
	l.lines(data, func(n int, line string) {
		for _, s := range scans {
			m := s.re.FindStringSubmatch(line)
			if m == nil || !s.phases(p) || strings.Contains(line, m[1]+":-") || strings.Contains(line, m[1]+"-}") {
				continue
			}
			l.add(e, at, n, s.rule, strings.ReplaceAll(s.text, "$1", m[1]), s.hint)
		}
		if keys {
			l.keys(e, at, n, line)
		}
	})
}

func (l *linter) keys(e *Element, at string, n int, line string) {
	if dsa.MatchString(line) {
		l.add(e, at, n, RuleDSA, "ssh-keygen of OpenSSH 10 makes no DSA keys, and fails", "leave dsa out")
	}
}

// lines goes through the lines of a shell script that are no comments.
func (l *linter) lines(data []byte, f func(n int, line string)) {
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			f(n, line)
		}
	}
}

// driverVariables are read by disk-image-create itself, before or beside scripts.
var driverVariables = regexp.MustCompile(`^(?:export\s+|declare\s+-x\s+)*(FS_TYPE|DIB_IMAGE_SIZE|DIB_IMAGE_EXTRA_SIZE|DIB_BLOCK_DEVICE_CONFIG|DIB_CHECKSUM|DIB_DEFAULT_INSTALLTYPE|` +
	`DIB_JOURNAL_SIZE|DIB_BLOCK_SIZE|DIB_GZIP_BIN|DIB_NO_TMPFS|DIB_MIN_TMPFS|MAX_ONLINE_RESIZE|MKFS_OPTS|ROOT_LABEL|QEMU_IMG_OPTIONS|DOCKER_TARGET|IMAGE_NAME|RAMDISK_ELEMENT)=`)

// environment looks at the snippets of environment.d.
func (l *linter) environment(e *Element) {
	source, ignored := Snippets(l.listing(e, EnvironmentDir))
	for _, i := range ignored {
		if strings.Contains(i.Why, "names in") {
			l.add(e, path.Join(EnvironmentDir, i.Path), 0, RuleName, "this is never sourced: "+i.Why, "")
		}
	}
	for _, name := range source {
		at := path.Join(EnvironmentDir, name)
		data, err := readFile(e.FS, at)
		if err != nil {
			continue
		}
		l.lines(data, func(n int, line string) {
			if m := driverVariables.FindStringSubmatch(line); m != nil {
				l.add(e, at, n, RuleNeverReaches, m[1]+" reaches scripts alone, and not what reads it", "set it where the build is started")
			}
		})
	}
}

// lists looks at package lists, maps and sources.
func (l *linter) lists(e *Element) {
	for _, name := range packageLists {
		data, err := e.read(name)
		var wishes []Wish
		if err == nil {
			wishes, err = ParsePackages(data, e.At(name))
		}
		if err != nil {
			l.invalid(e, name, err)
		}
		for _, w := range wishes {
			l.out = append(l.out, w.check(e.Name)...)
			for _, c := range w.When {
				if strings.HasPrefix(c.Value, "=") {
					l.add(e, name, c.Line, RuleEquals, "the condition compares with "+strconv.Quote(c.Value), "write one =")
				}
			}
		}
	}
	for _, h := range e.Hidden {
		if !e.inside() && (h.Has("package-installs.yaml") || h.Has("package-installs.json")) {
			l.add(e, "", 0, RuleHiddenList, "this overrides "+h.At("")+", whose packages diskimage-builder installs too", "")
		}
	}
	if data, err := e.read("pkg-map"); err != nil {
		l.invalid(e, "pkg-map", err)
	} else if m, err := ParsePackageMap(data, e.At("pkg-map")); err != nil {
		l.invalid(e, "pkg-map", err)
	} else {
		l.packageMap(e, m)
	}
	if data, err := e.read("svc-map"); err != nil {
		l.invalid(e, "svc-map", err)
	} else if _, err := ParseServices(data, e.At("svc-map")); err != nil {
		l.invalid(e, "svc-map", err)
	}
}

var (
	sections = []string{"release", "distro", "family", "default"}
	families = []string{"redhat", "debian", "suse", "gentoo"}
)

func (l *linter) packageMap(e *Element, m PackageMap) {
	for _, u := range m.Unknown {
		l.out = append(l.out, Warning{e.At("pkg-map"), u.Line, u.Column, e.Name, RuleUnknownSection,
			"the section " + u.Word + " is never looked at", "the sections are " + strings.Join(sections, ", ")})
	}
	for family := range m.Family {
		if !slices.Contains(families, family) {
			l.add(e, "pkg-map", 0, RuleUnknownSection, "the family "+family+" is never looked at: no distribution is of it", "the families are "+strings.Join(families, ", "))
		}
	}
}

// dropped are the names that rsync -C leaves out (rsync(1), --cvs-exclude).
var dropped = []string{
	"RCS", "SCCS", "CVS", "CVS.adm", "RCSLOG", "cvslog.*", "tags", "TAGS", ".make.state", ".nse_depinfo", "*~", "#*", ".#*",
	",*", "_$*", "*$", "*.old", "*.bak", "*.BAK", "*.orig", "*.rej", ".del-*", "*.a", "*.olb", "*.o", "*.obj", "*.so", "*.exe",
	"*.Z", "*.elc", "*.ln", "core", ".svn", ".git", ".hg", ".bzr",
}

// static looks at the trees that are copied into the image.
func (l *linter) static(e *Element) {
	for _, top := range []string{"static", "init-scripts"} {
		left := maxFiles
		_ = fs.WalkDir(e.FS, top, func(at string, d fs.DirEntry, err error) error {
			if left--; err != nil || left < 0 {
				return fs.SkipAll // said when the element is merged
			}
			if top == "static" && at != top {
				for _, pattern := range dropped {
					if ok, _ := path.Match(pattern, d.Name()); ok {
						l.add(e, at, 0, RuleDropped, "install-static leaves out what is called "+pattern, "")
						if d.IsDir() {
							return fs.SkipDir
						}
					}
				}
			}
			if d.Type().IsRegular() {
				if data, err := readFile(e.FS, at); err == nil && strings.Contains(string(data), "ssh-keygen") {
					l.lines(data, func(n int, line string) { l.keys(e, at, n, line) })
				}
			}
			return nil
		})
	}
}

// helpers are the elements that read files of other elements.
var helpers = []struct {
	name string
	uses func(e *Element) string // what of the element the helper reads, or empty
}{
	{"dib-init-system", has("init-scripts")},
	{"install-static", has("static")},
	{"install-bin", has("bin")},
	{"package-installs", has("package-installs.yaml", "package-installs.json")},
	{"pkg-map", has("pkg-map")},
	{"svc-map", has("svc-map")},
	{"modprobe", has("modprobe.d")},
	{"source-repositories", func(e *Element) string { return first(e, ".", sourcePrefix, "") }},
	{"install-types", func(e *Element) string { return first(e, "install.d", "", "-install") }},
}

func has(names ...string) func(*Element) string {
	return func(e *Element) string {
		i := slices.IndexFunc(names, e.Has)
		if i < 0 {
			return ""
		}
		return names[i]
	}
}

func first(e *Element, dir, prefix, suffix string) string {
	entries, _ := fs.ReadDir(e.FS, dir) // none is none
	for _, d := range entries {
		if strings.HasPrefix(d.Name(), prefix) && strings.HasSuffix(d.Name(), suffix) && (suffix == "" || d.IsDir()) {
			return path.Join(dir, d.Name())
		}
	}
	return ""
}

// together looks at an element with all that it depends on.
func (l *linter) together(e *Element) {
	set, err := Expand(l.path, []string{e.Name}, Options{SkipBase: true, AnyOS: true})
	if err != nil {
		// A virtual name that the build has to choose a provider for is as it should be,
		// and a missing element is said above.
		set = l.reachable(e)
	}
	for _, h := range helpers {
		if used := h.uses(e); used != "" && set.Get(h.name) == nil && e.Name != h.name {
			l.add(e, used, 0, RuleHelper, "nothing reads this unless the element "+h.name+" is in the build, on which "+e.Name+" does not depend", "add "+h.name+" to element-deps")
		}
	}
	hooks, err := Merge(set)
	if err != nil {
		f, _ := errors.AsType[*fault.Error](err)
		l.add(e, "", 0, RuleClash, err.Error(), f.Hint)
		return
	}
	for _, o := range hooks.overwritten {
		if (o.by.Element == e.Name || o.of.Element == e.Name) && !o.same() {
			l.add(e, o.by.Path, 0, RuleOverwritten, "the elements "+o.of.Element+" and "+o.by.Element+" both have this file, with different content", "")
		}
	}
	for _, f := range hooks.Files {
		if f.Element != e.Name || f.Mode&fs.ModeSymlink == 0 {
			continue
		}
		if dir := path.Dir(f.Path); path.IsAbs(f.Target) || dir != EnvironmentDir && dir != "bin" && !isPhase(dir) {
			continue // of the image, or of whoever copies it
		}
		if _, ok := hooks.follow(f.Path); !ok {
			l.add(e, f.Path, 0, RuleLink, "the link to "+f.Target+" leads nowhere among the merged hooks", "")
		}
	}
}

func isPhase(name string) bool {
	_, ok := SideOf(name)
	return ok
}

// perElement are files that are read from the elements and not from the hooks.
var perElement = []string{"element-deps", "element-provides", "package-installs.yaml", "package-installs.json", "pkg-map", "svc-map", "__init__.py", "LICENSE"}

// same says whether it does not matter which of the files is there.
func (o overwriting) same() bool {
	return o.by.Digest == o.of.Digest && o.by.Target == o.of.Target && o.by.Mode == o.of.Mode ||
		slices.Contains(perElement, o.by.Path) || strings.HasPrefix(o.by.Path, "README") || strings.HasPrefix(o.by.Path, "block-device-") ||
		strings.HasPrefix(o.by.Path, "test-elements/") || strings.HasPrefix(o.by.Path, ".")
}

// reachable is an element with those that it depends on, as far as they are there.
func (l *linter) reachable(e *Element) Set {
	seen := map[string]*Element{e.Name: e}
	queue := []*Element{e}
	for len(queue) > 0 {
		e := queue[0]
		queue = queue[1:]
		for _, w := range e.Deps {
			if seen[w.Text] != nil || l.path.found[w.Text] == nil {
				continue
			}
			if d, err := l.path.Load(w.Text); err == nil {
				seen[w.Text] = d
				queue = append(queue, d)
			}
		}
	}
	var s Set
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		s.Elements = append(s.Elements, seen[name])
	}
	return s
}
