package repository

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/tree"
)

// A list of files is the text of a seal; a list of owners says of each of its lines whose
// it is, as runs: "COUNT OWNER". An owner is
//
//	deb:NAME          a package
//	step:script NAME  a script of the definition, or of an element
//	step:install      the scripts of packages, together, and dpkg
//	step:NAME         a step that does what the definition says: "users", "files"

// Lists writes a tree's list of files and that of their owners. An entry that nobody owns is
// an error: each file of an image is somebody's.
func Lists(t tree.Tree) (files, owners []byte, err error) {
	var f, o bytes.Buffer
	if err := t.WriteSeal(&f); err != nil {
		return nil, nil, err
	}
	run, owner := 0, ""
	end := func() {
		if run > 0 {
			fmt.Fprintf(&o, "%d %s\n", run, owner)
		}
	}
	for e := range t.All() {
		now := ownerOf(e)
		kind, name, ok := strings.Cut(now, ":")
		if !ok || kind == "" || name == "" || strings.Contains(now, "\n") {
			return nil, nil, fault.Newf(fault.Failed, "nobody owns /%s: %q", e.Path, now)
		}
		if now != owner {
			end()
			run, owner = 0, now
		}
		run++
	}
	end()
	return f.Bytes(), o.Bytes(), nil
}

// ownerOf is an entry's owner. What dpkg records of a package is the package's.
func ownerOf(e tree.Entry) string {
	if e.Owner != "step:install" {
		return e.Owner
	}
	if name, ok := strings.CutPrefix(e.Path, "var/lib/dpkg/info/"); ok {
		if i := strings.LastIndexByte(name, '.'); i > 0 {
			name, _, _ = strings.Cut(name[:i], ":")
			return "deb:" + name
		}
	}
	return e.Owner
}

// A File is a line of a list of files.
type File struct {
	Path  string
	Kind  string // "file", "dir", "symlink", …
	Line  string // all of it, without its end
	Owner string // "" where owners were not given
}

// Size is how many bytes a file has; others have none.
func (f File) Size() int64 { return sizeOf([]byte(f.Line)) }

// sizeOf is what a line says of a file's size; others have none.
func sizeOf(line []byte) int64 {
	if !bytes.HasPrefix(line, []byte("file ")) {
		return 0
	}
	_, rest, ok := pathOf(line)
	if !ok {
		return 0
	}
	size, _, _ := bytes.Cut(bytes.TrimPrefix(rest, []byte(" ")), []byte(" "))
	n, err := strconv.ParseInt(string(size), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// pathOf is the path of a line, and what stands behind it; most are quoted and hold nothing that
// quotes change.
func pathOf(line []byte) (path string, rest []byte, ok bool) {
	rest = line
	for range 3 {
		_, rest, _ = bytes.Cut(rest, []byte(" "))
	}
	if len(rest) < 2 || rest[0] != '"' {
		return "", nil, false
	}
	if i := bytes.IndexByte(rest[1:], '"'); i >= 0 && bytes.IndexByte(rest[1:1+i], '\\') < 0 {
		return string(rest[1 : 1+i]), rest[2+i:], true
	}
	quoted, err := strconv.QuotedPrefix(string(rest))
	if err != nil {
		return "", nil, false
	}
	path, err = strconv.Unquote(quoted)
	return path, rest[len(quoted):], err == nil
}

// Lines goes through a list of files with its owners, and reads of a line only what is asked for.
// The zero Line is before the first one.
type Lines struct {
	Line  []byte // without its end
	Owner []byte // nil where owners were not given
	// At is where the line begins in the list.
	At int

	files, owners, rest []byte
	run                 int
}

// NewLines begins to go through a list; owners may be nil.
func NewLines(files, owners []byte) *Lines { return &Lines{files: files, owners: owners, rest: owners} }

// Next goes to the next line, and says whether there is one. A list of owners that is none, or of another
// list of files, is an error.
func (l *Lines) Next() (bool, error) {
	if l.Line != nil {
		l.At += len(l.Line) + 1
	}
	if l.At >= len(l.files) {
		l.Line = nil
		if l.owners != nil && (l.run > 0 || len(l.rest) > 0) {
			return false, fault.Newf(fault.Verification, "a list of owners is of another list of files: %w", io.ErrUnexpectedEOF)
		}
		return false, nil
	}
	l.Line = l.files[l.At:]
	if i := bytes.IndexByte(l.Line, '\n'); i >= 0 {
		l.Line = l.Line[:i]
	}
	if l.owners == nil {
		return true, nil
	}
	if l.run == 0 {
		count, rest, _ := bytes.Cut(l.rest, []byte(" "))
		owner, rest, ok := bytes.Cut(rest, []byte("\n"))
		n, err := strconv.Atoi(string(count))
		if err != nil || n < 1 || !ok || len(owner) == 0 {
			return false, fault.Newf(fault.Verification, "nobody owns %.100q", l.Line)
		}
		l.run, l.Owner, l.rest = n, owner, rest
	}
	l.run--
	return true, nil
}

// File reads the line.
func (l *Lines) File() (File, error) {
	path, _, ok := pathOf(l.Line)
	if !ok {
		return File{}, fault.Newf(fault.Verification, "a list of files has a line that is none: %.100q", l.Line)
	}
	line := string(l.Line)
	kind, _, _ := strings.Cut(line, " ")
	return File{path, kind, line, string(l.Owner)}, nil
}

// SizeOf is how many bytes the files have whose lines stand in a part of a list.
func SizeOf(part []byte) int64 {
	var n int64
	for line := range bytes.Lines(part) {
		n += sizeOf(line)
	}
	return n
}

// Files goes through a list of files with its owners; owners may be nil. A list that is
// none, or owners of another one, end it with an error.
func Files(files, owners []byte) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		for l := NewLines(files, owners); ; {
			ok, err := l.Next()
			var f File
			if ok && err == nil {
				f, err = l.File()
			}
			if err != nil {
				yield(File{}, err)
				return
			}
			if !ok || !yield(f, nil) {
				return
			}
		}
	}
}

// OwnerName says an owner in words.
func OwnerName(owner string) string {
	kind, name, _ := strings.Cut(owner, ":")
	switch {
	case kind == "step" && strings.HasPrefix(name, "script "):
		return name
	case owner == "step:install":
		return "scripts of packages"
	case kind == "step":
		return "definition, step " + name
	default:
		return "package " + name
	}
}
