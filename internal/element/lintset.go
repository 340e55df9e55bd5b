package element

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"ingot/internal/fault"
)

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
