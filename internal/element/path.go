package element

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/spell"
)

// A Source is a place of elements: a directory of this machine, or a file system
// inside ingot. Each directory in it is an element.
type Source struct {
	Name string // what messages call it; of a directory, the directory as it was given
	Dir  string // a directory, or empty
	FS   fs.FS  // where Dir is empty

	known []*Element // where there is neither: see [Shipped]
}

// Dir is a directory of elements, an entry of ELEMENTS_PATH.
func Dir(dir string) Source { return Source{Name: dir, Dir: dir} }

// Dirs are the entries of a value of ELEMENTS_PATH. Empty ones are left out.
func Dirs(elementsPath string) []Source {
	var out []Source
	for _, dir := range filepath.SplitList(elementsPath) {
		if dir != "" {
			out = append(out, Dir(dir))
		}
	}
	return out
}

// A Path is an ordered list of sources, of which an earlier one overrides a later
// one. It is read once, when it is opened.
type Path struct {
	sources []Source
	found   map[string]*Element
}

// Open lists the elements of some sources. Every directory must be one (exit 3).
func Open(sources ...Source) (*Path, error) {
	p := &Path{sources: sources, found: map[string]*Element{}}
	for _, s := range sources {
		list, err := s.list()
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if first := p.found[e.Name]; first != nil {
				same := func(o *Element) bool { return o.Dir != "" && o.Dir == e.Dir }
				if !same(first) && !slices.ContainsFunc(first.Hidden, same) { // a directory may be named twice
					first.Hidden = append(first.Hidden, e)
				}
				continue
			}
			p.found[e.Name] = e
		}
	}
	return p, nil
}

// list is the elements of a source, by name. An element is called by the last name
// of its real path, so a symbolic link leads to an element of another name.
func (s Source) list() ([]*Element, error) {
	var out []*Element
	switch {
	case s.known != nil:
		return s.known, nil
	case s.Dir == "":
		entries, err := fs.ReadDir(s.FS, ".")
		if err != nil {
			return nil, fault.Newf(fault.Failed, "cannot list the elements of %s: %w", s.Name, err)
		}
		for _, d := range entries {
			if !d.IsDir() {
				continue
			}
			sub, err := fs.Sub(s.FS, d.Name())
			if err != nil {
				return nil, fault.Newf(fault.Failed, "cannot open element %s of %s: %w", d.Name(), s.Name, err)
			}
			out = append(out, &Element{Name: d.Name(), Source: s.Name, FS: sub})
		}
		return out, nil
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		f := fault.Newf(fault.Definition, "the entry %q of the elements' path is not a directory: %w", s.Dir, errors.Unwrap(err))
		return nil, f.WithHint("ELEMENTS_PATH and --elements-path are directories that hold elements, with colons between them")
	}
	seen := map[string]bool{}
	for _, d := range entries {
		at := filepath.Join(s.Dir, d.Name())
		if info, err := os.Stat(at); err != nil || !info.IsDir() {
			continue // a README, or a link that leads nowhere
		}
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			real, err = filepath.Abs(real)
		}
		if err != nil {
			return nil, fault.Newf(fault.Failed, "cannot tell where %s lies: %w", at, err)
		}
		if seen[real] {
			continue // the directory and a link to it
		}
		seen[real] = true
		out = append(out, &Element{Name: filepath.Base(real), Source: s.Name, Dir: real, FS: os.DirFS(real)})
	}
	return out, nil
}

// Sources are the path's sources, first those that override.
func (p *Path) Sources() []Source { return slices.Clone(p.sources) }

// Names are the names of all elements there are, sorted. Directories whose name
// begins with a dot are found by [Path.Load] but are not among them.
func (p *Path) Names() []string {
	var out []string
	for name := range p.found {
		if !strings.HasPrefix(name, ".") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Load finds an element. One that is missing is an error (exit 3) with the paths
// that were searched and the name that was probably meant.
func (p *Path) Load(name string) (*Element, error) {
	e := p.found[name]
	if e == nil {
		return nil, p.missing(name, "")
	}
	c := *e
	return &c, c.load()
}

// missing is the error of an element that is nowhere; wants says who wants it.
func (p *Path) missing(name, wants string) error {
	if wants != "" {
		wants = ", which " + wants
	}
	err := fault.Newf(fault.Definition, "there is no element %q%s", name, wants)
	var where []string
	for _, s := range p.sources {
		where = append(where, s.Name)
	}
	searched := "searched " + strings.Join(where, ", ")
	if len(where) == 0 {
		searched = "the elements' path is empty: set ELEMENTS_PATH or --elements-path"
	}
	if strings.Contains(name, "#") {
		return err.WithHint("element-deps and element-provides have no comments: each line is a name, all of it; %s", searched)
	}
	if near := spell.Nearest(name, p.Names()); near != "" {
		return err.WithHint("did you mean %q? %s", near, searched)
	}
	return err.WithHint("%s", searched)
}
