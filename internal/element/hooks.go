package element

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/fault"
)

// A File is an entry of the hooks tree: a regular file, a directory or a symbolic
// link, which is kept as one.
type File struct {
	Path    string      // in the hooks, with slashes: "install.d/10-nginx"
	Mode    fs.FileMode // type and permissions
	Target  string      // of a symbolic link
	Size    int64       // of a regular file
	Digest  digest.Digest
	Element string // whose it is; empty for what [Prepare] computes. Of a directory, whose it was first

	from fs.FS // where the content lies
	name string
	host string // the element's directory, or empty
	data []byte // the content, where it lies in memory
}

// Open opens a regular file's content.
func (f File) Open() (io.ReadCloser, error) {
	if f.from == nil {
		return io.NopCloser(strings.NewReader(string(f.data))), nil
	}
	return openFile(f.from, f.name)
}

// Host is where the content lies on this machine, or empty for what is inside ingot.
func (f File) Host() string {
	if f.host == "" {
		return ""
	}
	return filepath.Join(f.host, filepath.FromSlash(f.name))
}

// shown is the file as messages call it.
func (f File) shown() string {
	if f.host != "" {
		return f.Host()
	}
	return path.Join(f.Element, f.name)
}

// Hooks are the files of all elements of a build in one tree, which scripts know as
// $TMP_HOOKS_PATH on the host and as /tmp/in_target.d in the target.
type Hooks struct {
	Set   Set
	Files []File // by path; a directory stands before what is in it

	// Pattern, if not empty, says which names of scripts run: RUN_PARTS_REGEX, which
	// [Hooks.Match] sets.
	Pattern string

	at          map[string]int
	overwritten []overwriting
	skipped     []Ignored // what the merge left out
}

// An overwriting is a file that took the place of another element's.
type overwriting struct{ by, of File }

// Merge puts the files of all elements together.
//
// Directories of the same name are one; a script or other direct entry of a phase's
// directory that two elements have is an error (exit 3), and so is a file where
// another has a directory. Files deeper down and files beside the directories (pkg-map,
// element-deps) overwrite each other, the last element by name wins. Left out are
// directories named tests and __pycache__, compiled Python beside the directories, and
// what begins with a dot in an element's directories.
func Merge(s Set) (*Hooks, error) {
	m := merger{h: &Hooks{Set: s}, files: map[string]File{}}
	for _, e := range s.Elements {
		if err := m.element(e); err != nil {
			return nil, err
		}
	}
	for _, f := range m.files {
		m.h.Files = append(m.h.Files, f)
	}
	m.h.index()
	slices.SortFunc(m.h.skipped, func(a, b Ignored) int { return strings.Compare(a.Path, b.Path) })
	return m.h, nil
}

// index sorts the files and notes where each stands.
func (h *Hooks) index() {
	slices.SortFunc(h.Files, func(a, b File) int { return comparePaths(a.Path, b.Path) })
	h.at = make(map[string]int, len(h.Files))
	for i, f := range h.Files {
		h.at[f.Path] = i
	}
}

// comparePaths orders paths so that a directory's content follows it at once.
func comparePaths(a, b string) int {
	return strings.Compare(strings.ReplaceAll(a, "/", "\x00"), strings.ReplaceAll(b, "/", "\x00"))
}

// A merger puts elements into hooks.
type merger struct {
	h     *Hooks
	files map[string]File
}

func (m *merger) element(e *Element) error {
	entries, err := fs.ReadDir(e.FS, ".")
	if err != nil {
		return fault.Newf(fault.Definition, "cannot read element %s: %w", e.Name, err)
	}
	left := maxFiles
	for _, d := range entries {
		name := d.Name()
		info, err := fs.Stat(e.FS, name) // links to directories and files are followed here
		switch {
		case err != nil || !info.IsDir() && !info.Mode().IsRegular():
			m.skip(e, name, "it leads to no file and no directory")
		case info.IsDir() && (name == "tests" || name == "__pycache__"):
		case info.IsDir():
			err = m.directory(e, name, info, &left)
		case strings.HasSuffix(name, ".pyc"):
		default:
			err = m.put(e, name, 0, true, &left)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// directory merges one of an element's direct directories.
func (m *merger) directory(e *Element, name string, info fs.FileInfo, left *int) error {
	if old, ok := m.files[name]; ok && !old.Mode.IsDir() {
		return m.clash(old, File{Path: name, Element: e.Name, name: name, host: e.Dir})
	}
	m.makeDir(e, name, info.Mode())
	entries, err := fs.ReadDir(e.FS, name)
	if err != nil {
		return fault.Newf(fault.Definition, "element %s: cannot read %s: %w", e.Name, e.At(name), err)
	}
	for _, d := range entries {
		at := path.Join(name, d.Name())
		if strings.HasPrefix(d.Name(), ".") {
			m.skip(e, at, "names that begin with a dot are not merged")
			continue
		}
		if err := m.put(e, at, 1, false, left); err != nil {
			return err
		}
	}
	return nil
}

func (m *merger) makeDir(e *Element, name string, mode fs.FileMode) {
	if _, ok := m.files[name]; !ok {
		m.files[name] = File{Path: name, Mode: fs.ModeDir | e.checked(mode), Element: e.Name, from: e.FS, name: name, host: e.Dir}
	}
}

// put merges a file, a link, or a directory with all that is in it. At depth 0 and
// from depth 2 on a file may take another's place.
func (m *merger) put(e *Element, name string, depth int, over bool, left *int) error {
	if *left--; *left < 0 {
		return fault.Newf(fault.Definition, "element %s has more than %d files", e.Name, maxFiles)
	}
	if depth > maxDepth {
		return fault.Newf(fault.Definition, "element %s: %s lies too deep", e.Name, e.At(name))
	}
	info, err := fs.Lstat(e.FS, name)
	if err != nil {
		return fault.Newf(fault.Definition, "element %s: cannot read %s: %w", e.Name, e.At(name), err)
	}
	f := File{Path: name, Mode: info.Mode().Type() | e.checked(info.Mode()), Element: e.Name, from: e.FS, name: name, host: e.Dir}
	old, exists := m.files[name]
	switch {
	case info.IsDir():
		if exists && !old.Mode.IsDir() {
			return m.clash(old, f)
		}
		m.makeDir(e, name, info.Mode())
		entries, err := fs.ReadDir(e.FS, name)
		if err != nil {
			return fault.Newf(fault.Definition, "element %s: cannot read %s: %w", e.Name, e.At(name), err)
		}
		for _, d := range entries {
			if err := m.put(e, path.Join(name, d.Name()), depth+1, true, left); err != nil {
				return err
			}
		}
		return nil
	case info.Mode()&fs.ModeSymlink != 0:
		f.Mode = fs.ModeSymlink | 0o777
		if f.Target, err = fs.ReadLink(e.FS, name); err != nil {
			return fault.Newf(fault.Definition, "element %s: %w", e.Name, err)
		}
	case info.Mode().IsRegular():
		if err := f.sum(); err != nil {
			return fault.Newf(fault.Definition, "element %s: cannot read %s: %w", e.Name, e.At(name), err)
		}
	default:
		return fault.Newf(fault.Definition, "element %s: %s is neither a file nor a directory nor a link", e.Name, e.At(name))
	}
	if exists {
		if !over || old.Mode.IsDir() {
			return m.clash(old, f)
		}
		m.h.overwritten = append(m.h.overwritten, overwriting{f, old})
	}
	m.files[name] = f
	return nil
}

// sum reads a regular file for its size and digest.
func (f *File) sum() error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	f.Digest, f.Size, err = digest.Reader(r)
	return errors.Join(err, r.Close())
}

func (m *merger) clash(old, f File) error {
	return fault.Newf(fault.Definition, "the elements %s and %s both have %s", old.Element, f.Element, f.Path).
		WithHint("%s, %s: rename one of them, or leave one element out", old.shown(), f.shown())
}

func (m *merger) skip(e *Element, name, why string) {
	m.h.skipped = append(m.h.skipped, Ignored{e.At(name), why})
}

// Get is an entry of the tree.
func (h *Hooks) Get(name string) (File, bool) {
	i, ok := h.at[name]
	if !ok {
		return File{}, false
	}
	return h.Files[i], true
}

// Read reads a regular file of the tree, following links inside it.
func (h *Hooks) Read(name string, limit int64) ([]byte, error) {
	f, ok := h.follow(name)
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d KiB", name, limit>>10)
	}
	return data, err
}

// follow is what a path leads to inside the tree.
func (h *Hooks) follow(name string) (File, bool) {
	for range 40 { // as many links as Linux follows
		f, ok := h.Get(name)
		if !ok || f.Mode&fs.ModeSymlink == 0 {
			return f, ok
		}
		if path.IsAbs(f.Target) {
			return File{}, false
		}
		// A relative link is of the place where it lies: one that leads out of the tree
		// leads nowhere here.
		name = path.Join(path.Dir(name), f.Target)
	}
	return File{}, false
}

// List lists a directory of the tree, links followed, for [Scripts] and [Snippets].
func (h *Hooks) List(dir string) []Listed {
	var out []Listed
	first, ok := h.at[dir]
	if !ok {
		return nil
	}
	for _, f := range h.Files[first+1:] {
		if !strings.HasPrefix(f.Path, dir+"/") {
			break
		}
		if path.Dir(f.Path) != dir {
			continue
		}
		l := Listed{Name: path.Base(f.Path), Mode: f.Mode}
		if f.Mode&fs.ModeSymlink != 0 {
			if to, ok := h.follow(f.Path); ok {
				l.Mode = to.Mode
			}
		}
		out = append(out, l)
	}
	return out
}

// A Script is one that runs.
type Script struct {
	Phase   string // "install.d"
	Side    Side
	Name    string // "10-nginx"
	Element string
	File    File // what the name leads to
}

// Path is where the script lies in the hooks.
func (s Script) Path() string { return s.Phase + "/" + s.Name }

// Phase is what runs of a phase, in order, as the tree is now. Scripts of earlier
// phases may change the tree: see [Scripts].
func (h *Hooks) Phase(name string) []Script {
	side, ok := SideOf(name)
	if !ok {
		return nil
	}
	run, _ := h.Scripts(h.List(name))
	out := make([]Script, len(run))
	for i, s := range run {
		f, _ := h.follow(path.Join(name, s))
		own, _ := h.Get(path.Join(name, s))
		out[i] = Script{Phase: name, Side: side, Name: s, Element: own.Element, File: f}
	}
	return out
}

// Environment is the paths in the hooks of the snippets that are sourced before the
// scripts of every phase, in order.
func (h *Hooks) Environment() []string {
	source, _ := Snippets(h.List(EnvironmentDir))
	for i, s := range source {
		source[i] = path.Join(EnvironmentDir, s)
	}
	return source
}

// Ignored is what diskimage-builder passes over without a word: files that the merge
// leaves out, by where they lie, and files of the phases that never run.
func (h *Hooks) Ignored() []Ignored {
	out := slices.Clone(h.skipped)
	in := func(dir string, list []Ignored) {
		for _, i := range list {
			f, _ := h.Get(path.Join(dir, i.Path))
			if dir != EnvironmentDir && strings.HasPrefix(i.Path, "package-installs-") {
				continue // a list of packages, and no script
			}
			out = append(out, Ignored{f.shown(), i.Why})
		}
	}
	for _, p := range Phases {
		_, list := h.Scripts(h.List(p.Name))
		in(p.Name, list)
	}
	_, list := Snippets(h.List(EnvironmentDir))
	in(EnvironmentDir, list)
	return out
}

// Match is the hooks with other names of scripts that run: a value of RUN_PARTS_REGEX, ""
// for the usual ones.
func (h *Hooks) Match(pattern string) (*Hooks, error) {
	if pattern != "" {
		if _, _, err := ScriptsMatching(nil, pattern); err != nil {
			return nil, fault.Wrap(fault.Definition, err)
		}
	}
	out := *h
	out.Pattern = pattern
	return &out, nil
}

// Scripts is what runs of some entries of a phase's directory, and what does not.
func (h *Hooks) Scripts(entries []Listed) (run []string, ignored []Ignored) {
	if h.Pattern == "" {
		return Scripts(entries)
	}
	run, ignored, _ = ScriptsMatching(entries, h.Pattern) // which Match has read
	return run, ignored
}

// With is the hooks with some more files, which take the place of those of the same
// path: what [Prepare] computes. Directories are made as they are needed.
func (h *Hooks) With(files []File) *Hooks {
	out := &Hooks{Set: h.Set, Pattern: h.Pattern, overwritten: h.overwritten, skipped: h.skipped}
	all := map[string]File{}
	for _, f := range h.Files {
		all[f.Path] = f
	}
	for _, f := range files {
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if _, ok := all[dir]; !ok {
				all[dir] = File{Path: dir, Mode: fs.ModeDir | 0o755}
			}
		}
		all[f.Path] = f
	}
	for _, f := range all {
		out.Files = append(out.Files, f)
	}
	out.index()
	return out
}

// NewFile is a regular file whose content is at hand.
func NewFile(name string, mode fs.FileMode, data []byte) File {
	return File{Path: name, Mode: mode.Perm(), Size: int64(len(data)), Digest: digest.Of(data), data: data}
}
