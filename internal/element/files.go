package element

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// Files are all files, directories and links of an element's directory that its scripts can
// read: what another machine must have for the same build. Left out are its tests and what Python
// compiled. Paths are those in the element; directories that are links are followed as [Merge]
// follows them, and a directory stands before what is in it.
//
// A link that leads to another place of this machine is refused (exit 3): whoever has the
// files would not have what is behind it. One to an absolute path below a directory is meant for the
// image, and is kept as it is.
func (e *Element) Files() ([]File, error) {
	entries, err := fs.ReadDir(e.FS, ".")
	if err != nil {
		return nil, fault.Newf(fault.Definition, "cannot read element %s: %w", e.Name, err)
	}
	m := merger{h: &Hooks{}, files: map[string]File{}}
	left := maxFiles
	for _, d := range entries {
		name := d.Name()
		info, err := fs.Stat(e.FS, name)
		switch {
		case err != nil || !info.IsDir() && !info.Mode().IsRegular() || strings.HasSuffix(name, ".pyc") && !info.IsDir():
			continue
		case info.IsDir() && (name == "tests" || name == "__pycache__"):
			continue
		case !info.IsDir():
			err = m.put(e, name, 0, true, &left)
		default:
			err = m.all(e, name, info.Mode(), &left)
		}
		if err != nil {
			return nil, err
		}
	}
	out := make([]File, 0, len(m.files))
	for _, f := range m.files {
		if out = append(out, f); f.Mode&fs.ModeSymlink == 0 {
			continue
		}
		abs := path.IsAbs(f.Target)
		if abs && !strings.Contains(f.Path, "/") || !abs && !filepath.IsLocal(path.Join(path.Dir(f.Path), f.Target)) {
			return nil, fault.Newf(fault.Definition, "%s is a link that leads out of element %s, to %s", e.At(f.Path), e.Name, f.Target).
				WithHint("put a copy in its place")
		}
	}
	slices.SortFunc(out, func(a, b File) int { return comparePaths(a.Path, b.Path) })
	return out, nil
}

// all puts a directory with all that is in it.
func (m *merger) all(e *Element, name string, mode fs.FileMode, left *int) error {
	m.makeDir(e, name, mode)
	entries, err := fs.ReadDir(e.FS, name)
	if err != nil {
		return fault.Newf(fault.Definition, "element %s: cannot read %s: %w", e.Name, e.At(name), err)
	}
	for _, d := range entries {
		if err := m.put(e, path.Join(name, d.Name()), 1, true, left); err != nil {
			return err
		}
	}
	return nil
}
