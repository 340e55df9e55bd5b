// Package element is diskimage-builder's element contract as a value: which
// elements a build is made of, what their merged hooks are, which scripts run in
// which order, and which packages, services and sources they name.
//
// An element is a directory of phase scripts (install.d and friends), files that
// scripts use, and lists: element-deps, package-installs.yaml, pkg-map, svc-map,
// source-repository-NAME. A [Path] finds elements by name, [Expand] adds those that
// the named ones depend on, [Merge] puts the files of all of them into one tree of
// hooks, and [Hooks.Phase] says what of it runs, in what order:
//
//	path, err := element.Open(element.Own(), element.Dir("/srv/elements"))
//	set, err := element.Expand(path, []string{"debian-minimal", "vm"}, element.Options{Arch: "amd64"})
//	hooks, err := element.Merge(set)
//	for _, phase := range element.Phases {
//		for _, script := range hooks.Phase(phase.Name) { … }
//	}
//
// Nothing here runs a program. The one thing that only a shell can know, what the
// snippets of environment.d leave in the environment, is given by the caller as a
// map.
//
// Where diskimage-builder's result depends on the order of a hash table, ours goes
// by name. Where it is wrong in a way that nobody can want (docs/reference/element.md
// lists each case), ours is right and says so in a [Warning]; [Compat] brings the
// old ways back.
package element

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"ingot/internal/fault"
)

// Bounds on what is read of an element. The elements that exist stay below a
// hundredth of them.
const (
	maxList  = 1 << 20 // bytes of a list: element-deps, package-installs.yaml, pkg-map
	maxFiles = 200_000 // files and directories of one element
	maxDepth = 40      // directories in directories
	maxNames = 10_000  // elements of one build
)

// An Element is one directory of elements, found by its name.
type Element struct {
	Name   string
	Source string // what the place that it was found in is called
	Dir    string // the real directory on this machine; empty for one that is inside ingot
	FS     fs.FS  // its files; nil of one that is only known (see [Shipped])

	Deps     []Word // element-deps: elements that it needs
	Provides []Word // element-provides: names that it stands for

	// Hidden are the elements of the same name in later sources, which this one
	// overrides.
	Hidden []*Element
}

// A Word is one entry of a list and where it stands.
type Word struct {
	Text string
	File string // as a person would name it
	Line int    // from 1
}

// At is a file of the element as messages call it.
func (e *Element) At(name string) string {
	if e.Dir != "" {
		return path.Join(e.Dir, name)
	}
	return path.Join(e.Source, e.Name, name)
}

// Has says whether the element has a regular file or a directory of that name.
func (e *Element) Has(name string) bool {
	_, err := fs.Stat(e.FS, name)
	return err == nil
}

// read reads one of the element's lists; a missing one is nil.
func (e *Element) read(name string) ([]byte, error) {
	data, err := readFile(e.FS, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fault.Newf(fault.Definition, "element %s: cannot read %s: %w", e.Name, e.At(name), err)
	}
	if data == nil {
		data = []byte{}
	}
	return data, nil
}

// load reads what the element says of other elements.
func (e *Element) load() error {
	if e.FS == nil {
		return nil // of what is known by its name, that is known too
	}
	for _, l := range []struct {
		name string
		into *[]Word
	}{{"element-deps", &e.Deps}, {"element-provides", &e.Provides}} {
		data, err := e.read(l.name)
		if err != nil {
			return err
		}
		if *l.into, err = words(data, e.At(l.name)); err != nil {
			return fault.Wrap(fault.Definition, err)
		}
	}
	return nil
}

// words reads a list with one entry a line. White space around an entry is
// stripped, empty lines are skipped, and nothing else has a meaning: a comment is an
// entry like any other.
func words(data []byte, file string) ([]Word, error) {
	if bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data) {
		return nil, fmt.Errorf("%s: not a text", file)
	}
	var out []Word
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	line := 0
	for l := range strings.Lines(text) {
		line++
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, Word{Text: l, File: file, Line: line})
		}
	}
	return out, nil
}

// readFile reads a regular file that is no larger than a list. Pipes and devices are not
// waited for.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := openFile(fsys, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxList+1))
	if err == nil && len(data) > maxList {
		err = fmt.Errorf("it is larger than %d KiB", maxList>>10)
	}
	return data, err
}

// openFile opens a regular file.
func openFile(fsys fs.FS, name string) (io.ReadCloser, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("it is not a file")}
	}
	return fsys.Open(name)
}
