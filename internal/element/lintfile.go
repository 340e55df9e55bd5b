package element

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"ingot/internal/spell"
)

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
