package repository

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/element"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/lock"
	"ingot/internal/tree"
)

// A source is what a group keeps of a definition: its file, what that includes and names, and
// the elements that it is made of.
type source struct {
	members map[string]member // by path, below the definition's directory
	total   int64             // bytes
}

type member struct {
	header tar.Header
	data   []byte
}

// maxSource bounds the files of a definition together.
const maxSource = 256 << 20

func (s *source) add(name string, mode fs.FileMode, data []byte) error {
	if s.total += int64(len(data)); s.total > maxSource {
		return tooLarge()
	}
	s.members[name] = member{tar.Header{Typeflag: tar.TypeReg, Mode: int64(mode.Perm())}, data}
	return nil
}

func tooLarge() error {
	return fault.Newf(fault.Preflight, "the files of the definition and its elements are larger than %d MiB together", maxSource>>20).
		WithHint("let a script download what is large: that is locked by its digest")
}

// pack writes a definition and all that it names as a tar: the same files give the same
// bytes.
func pack(def *definition.Definition, l *lock.Lock) ([]byte, error) {
	root, err := os.OpenRoot(def.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the definition's directory: %w", err)
	}
	defer root.Close() //nolint:errcheck // only read from
	s := &source{members: map[string]member{}}
	for _, in := range def.Inputs {
		rel, err := filepath.Rel(def.Dir, in.Path)
		if err != nil || !filepath.IsLocal(rel) {
			return nil, fault.Newf(fault.Definition, "%s lies outside of the definition's directory", in.Path)
		}
		if err := s.add(filepath.ToSlash(rel), 0o644, in.Data); err != nil {
			return nil, err
		}
	}
	for _, f := range l.Files {
		switch {
		case strings.HasPrefix(f.Path, lock.ElementsDir+"/"), strings.HasPrefix(f.Path, lock.OwnDir+"/"): // of which below
		case f.Link != "":
			s.members[f.Path] = member{header: tar.Header{Typeflag: tar.TypeSymlink, Mode: 0o777, Linkname: f.Link}}
		case f.EmptyDir:
			s.members[f.Path] = member{header: tar.Header{Typeflag: tar.TypeDir, Mode: 0o755}}
		default:
			data, err := input.ReadIn(root, f.Path, maxSource)
			if err != nil {
				return nil, fmt.Errorf("cannot read what the definition names: %w", err)
			}
			if digest.Of(data) != f.SHA256 {
				return nil, fault.Newf(fault.Verification, "%s is not the file that the lock names", f.Path).WithHint("it changed since; run 'ingot build' again")
			}
			mode := fs.FileMode(0o644)
			if f.Executable {
				mode = 0o755
			}
			if err := s.add(f.Path, mode, data); err != nil {
				return nil, err
			}
		}
	}
	if err := s.elements(def); err != nil {
		return nil, err
	}
	return s.tar()
}

func (s *source) tar() ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, n := range slices.Sorted(maps.Keys(s.members)) {
		m := s.members[n]
		m.header.Name, m.header.Size, m.header.Format = n, int64(len(m.data)), tar.FormatPAX
		if err := w.WriteHeader(&m.header); err != nil {
			return nil, err
		}
		if _, err := w.Write(m.data); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

// elements adds the elements that the flavors of a definition are made of, but those that are
// inside ingot and those that come in a package of the lock. Wherever they lie, they go
// where the definition's own do: that is looked at first.
func (s *source) elements(def *definition.Definition) error {
	kept := map[string]map[string]element.File{} // element, path in it
	for _, v := range def.Variants() {
		if v.Elements == nil {
			continue
		}
		for _, e := range v.Elements.Hooks.Set.Elements {
			if kept[e.Name] != nil || !slices.Contains(v.Elements.Path, e.Source) {
				continue
			}
			files, err := s.element(e)
			if err != nil {
				return err
			}
			kept[e.Name] = files
		}
		// What was merged, and so what the lock names, is what is kept.
		for _, f := range v.Elements.Hooks.Files {
			if of := kept[f.Element]; of != nil && f.Mode.IsRegular() && of[f.Path].Digest != f.Digest {
				return fault.Newf(fault.Verification, "%s of element %s is not the file that the lock names", f.Path, f.Element).
					WithHint("it changed since; run 'ingot build' again")
			}
		}
	}
	return nil
}

// element adds an element's files, and gives them by their paths in it.
func (s *source) element(e *element.Element) (map[string]element.File, error) {
	list, err := e.Files()
	if err != nil {
		return nil, err
	}
	files := map[string]element.File{}
	for _, f := range list {
		files[f.Path] = f
		name := path.Join(definition.ElementsDir, e.Name, f.Path)
		switch {
		case f.Mode.IsDir():
			s.members[name] = member{header: tar.Header{Typeflag: tar.TypeDir, Mode: int64(f.Mode.Perm())}}
		case f.Mode&fs.ModeSymlink != 0:
			s.members[name] = member{header: tar.Header{Typeflag: tar.TypeSymlink, Mode: 0o777, Linkname: f.Target}}
		default:
			if f.Size > maxSource {
				return nil, tooLarge()
			}
			r, err := f.Open()
			if err != nil {
				return nil, fmt.Errorf("cannot read element %s: %w", e.Name, err)
			}
			data, err := io.ReadAll(io.LimitReader(r, f.Size+1))
			if err = errors.Join(err, r.Close()); err != nil {
				return nil, fmt.Errorf("cannot read element %s: %w", e.Name, err)
			}
			if digest.Of(data) != f.Digest {
				return nil, fault.Newf(fault.Verification, "%s changes while it is read", e.At(f.Path))
			}
			if err := s.add(name, f.Mode, data); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

// unpack reads what pack wrote. What a signer put there is believed; that it stays
// within the directory is held all the same.
func unpack(root *os.Root, source []byte) error {
	bad := func(format string, args ...any) error {
		return fault.Newf(fault.Verification, "its archive "+format, args...)
	}
	type dir struct {
		name string
		mode fs.FileMode
	}
	var dirs []dir // which get their permissions when all is in them
	r := tar.NewReader(bytes.NewReader(source))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return bad("is damaged: %w", err)
		}
		if err := tree.CheckPath(h.Name); err != nil || h.Name == "" {
			return bad("has the path %q", h.Name)
		}
		if err := root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
			return err
		}
		mode := element.Checked(fs.FileMode(h.Mode)) //nolint:gosec // permissions alone
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(h.Name, 0o755)
			dirs = append(dirs, dir{h.Name, mode})
		case tar.TypeSymlink:
			err = root.Symlink(h.Linkname, h.Name)
		case tar.TypeReg:
			err = write(root, h.Name, mode, r)
		default:
			return bad("has %q, which is neither file, link nor directory", h.Name)
		}
		if err != nil {
			return err
		}
	}
	for _, d := range slices.Backward(dirs) {
		if err := root.Chmod(d.name, d.mode); err != nil {
			return err
		}
	}
	return nil
}

// write writes a file with exactly these permissions: elements hand theirs on to the image.
func write(root *os.Root, name string, mode fs.FileMode, from io.Reader) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Chmod(mode), f.Close())
}
