package lock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/draft"
	"ingot/internal/fault"
	"ingot/internal/input"
	"ingot/internal/sparse"
)

// FileName is what a lock's file is called, beside its definition.
const FileName = "ingot.lock"

// Read reads a lock's file. A file that is not there is fs.ErrNotExist; one that is
// no file or that [Decode] refuses is named in the error, with Decode's exit code.
func Read(path string) (*Lock, error) {
	f, err := input.Open(path)
	if errors.Is(err, input.ErrKind) {
		return nil, fault.Newf(fault.Verification, "cannot read the lock: %w", err).WithHint("move it away; 'ingot lock' writes a lock there")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadFrom(f, path)
}

// ReadFrom reads a lock to the end of r, which errors call by a name.
func ReadFrom(r io.Reader, name string) (*Lock, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	l, err := Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// Write writes a lock's file, whole or not at all; of a symbolic link, the file that it
// leads to. A lock that would not be read again is refused and the old file stays.
func Write(path string, l Lock) error {
	return exclusively(path, func(file string) error { return write(path, file, l) })
}

// Update replaces a lock by what change makes of the one that is there now, nil if none
// is. Nobody else writes it meanwhile. Where change gives nil, the file stays.
func Update(path string, change func(now *Lock) *Lock) error {
	return exclusively(path, func(file string) error {
		now, err := Read(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l := change(now)
		if l == nil {
			return nil
		}
		return write(path, file, *l)
	})
}

// probeSize is more than most locks have, in bytes.
const probeSize = 256 << 10

// CheckWrite says, before any work, whether a lock could be written at a path. A disk
// that is full, read-only or somebody else's is a fault.Preflight.
func CheckWrite(path string) error {
	return exclusively(path, func(file string) error {
		size := int64(probeSize)
		if info, err := os.Stat(file); err == nil {
			size = max(size, info.Size()+info.Size()/8)
		}
		f, err := draft.CreateOutput(file)
		if err != nil {
			return fmt.Errorf("cannot write %s: %w", path, err)
		}
		defer f.Discard()
		// Written and not truncated to size: that would take no room.
		if _, err = f.Write(make([]byte, min(size, maxFile))); err != nil {
			return fmt.Errorf("cannot write %s: %w", path, err)
		}
		return nil
	})
}

// exclusively calls f with the file that a path leads to, while the directory of it is
// locked.
func exclusively(path string, f func(file string) error) error {
	return draft.Explain(locked(path, f), "a copy of the definition elsewhere")
}

func locked(path string, f func(file string) error) error {
	file := path
	for links := 0; ; links++ {
		to, err := os.Readlink(file)
		if err != nil { // no link, or not there yet
			break
		}
		if links == 40 {
			return fmt.Errorf("cannot write %s: %w", path, unix.ELOOP)
		}
		if !filepath.IsAbs(to) {
			to = filepath.Dir(file) + "/" + to // what ".." means, a link before it may say
		}
		file = to
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer dir.Close() //nolint:errcheck // and so the lock
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("cannot write %s: cannot lock its directory: %w", path, err)
	}
	return f(file)
}

func write(path, file string, l Lock) error {
	if err := l.Check(); err != nil {
		return fmt.Errorf("cannot write %s: the lock %w", path, err)
	}
	draft.Sweep(filepath.Dir(file))
	f, err := draft.CreateOutput(file)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer f.Discard()
	_, err = f.Write(Encode(l))
	if err == nil {
		err = f.Publish()
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// Files reads and hashes all that a definition names beside packages. A file
// that has changed its kind since the definition was loaded is an error.
func Files(def *definition.Definition) ([]File, error) {
	root, err := os.OpenRoot(def.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the definition's directory: %w", err)
	}
	defer root.Close() //nolint:errcheck // only read from
	var out []File
	for _, s := range def.SourceEntries() {
		f := File{Path: s.Path, Executable: s.Executable, Link: s.Link, EmptyDir: s.EmptyDir}
		if s.Link == "" && !s.EmptyDir {
			if f.SHA256, err = hash(root, s.Path); err != nil {
				if pe, ok := errors.AsType[*fs.PathError](err); ok {
					err = pe.Err // which may name the path otherwise
				}
				return nil, fault.Newf(fault.Definition, "cannot read %s, which the definition names: %w", s.Path, err)
			}
		}
		out = append(out, f)
	}
	known := map[string]File{}
	for _, v := range def.Variants() {
		if v.Elements == nil {
			continue
		}
		if v.Elements.Hooks == nil {
			return nil, errors.New("the definition's elements were not looked for yet")
		}
		files, err := elements(v.Elements)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			// What is another file in another flavor stands below that one's name.
			if first, ok := known[f.Path]; ok && first != f {
				dir, rest, _ := strings.Cut(f.Path, "/")
				f.Path = dir + "/" + v.Arch[0] + v.FlavorLabel() + "/" + rest
			}
			if _, ok := known[f.Path]; !ok {
				known[f.Path] = f
				out = append(out, f)
			}
		}
	}
	if len(known) > 0 { // as a lock has them
		slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	}
	return out, nil
}

// ElementsDir is where a lock lists the merged files of elements, which lie in many
// places.
const ElementsDir = ".elements"

// OwnDir is where it lists those that are not merged, or in whose place another element's
// came, by element: scripts find each element's own directory too.
const OwnDir = ".element"

// LentDir is where it lists the files that are lent to elements' scripts.
const LentDir = ".lent"

// elements are the files of a definition's elements.
func elements(e *definition.Elements) ([]File, error) {
	var out []File
	for _, f := range e.Hooks.Files {
		name := ElementsDir + "/" + f.Path
		switch {
		case f.Mode.IsRegular():
			out = append(out, File{Path: name, SHA256: f.Digest, Executable: f.Mode&0o100 != 0})
		case f.Mode&fs.ModeSymlink != 0:
			out = append(out, File{Path: name, Link: f.Target})
		}
	}
	for _, one := range e.Hooks.Set.Elements {
		own, err := one.OwnFiles()
		if err != nil {
			return nil, fault.Newf(fault.Definition, "element %s: %w", one.Name, err)
		}
		for _, f := range own {
			merged, _ := e.Hooks.Get(f.Path)
			if f.Mode.IsRegular() && (merged.Element != one.Name || merged.Digest != f.Digest) {
				out = append(out, File{Path: OwnDir + "/" + one.Name + "/" + f.Path, SHA256: f.Digest, Executable: f.Mode&0o100 != 0})
			}
		}
	}
	for _, f := range e.Lent {
		out = append(out, File{Path: LentDir + f.Path, SHA256: f.SHA256, Executable: f.Mode&0o100 != 0})
	}
	return out, nil
}

func hash(root *os.Root, path string) (digest.Digest, error) {
	f, err := input.OpenIn(root, path)
	if err != nil {
		return digest.Digest{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return digest.Digest{}, err
	}
	return sparse.Digest(f, 0, info.Size())
}
