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
func (f File) Size() int64 {
	if f.Kind != "file" {
		return 0
	}
	if quoted, err := strconv.QuotedPrefix(afterWords(f.Line, 3)); err == nil {
		rest := strings.TrimPrefix(afterWords(f.Line, 3)[len(quoted):], " ")
		size, _, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseInt(size, 10, 64)
		if err == nil {
			return n
		}
	}
	return 0
}

// afterWords is a line behind some of its words.
func afterWords(line string, n int) string {
	for range n {
		_, line, _ = strings.Cut(line, " ")
	}
	return line
}

// pathOf is the path of a line; most are quoted and hold nothing that quotes change.
func pathOf(line string) (string, bool) {
	rest := afterWords(line, 3)
	if len(rest) < 2 || rest[0] != '"' {
		return "", false
	}
	if i := strings.IndexByte(rest[1:], '"'); i >= 0 && strings.IndexByte(rest[1:1+i], '\\') < 0 {
		return rest[1 : 1+i], true
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return "", false
	}
	path, err := strconv.Unquote(quoted)
	return path, err == nil
}

// Files goes through a list of files with its owners; owners may be nil. A list that is
// none, or owners of another one, end it with an error.
func Files(files, owners []byte) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		run, owner, left := 0, "", string(owners)
		for line := range strings.Lines(string(files)) {
			line = strings.TrimSuffix(line, "\n")
			path, ok := pathOf(line)
			if !ok {
				yield(File{}, fault.Newf(fault.Verification, "a list of files has a line that is none: %.100q", line))
				return
			}
			if run == 0 && owners != nil {
				var count string
				count, left, _ = strings.Cut(left, " ")
				owner, left, ok = strings.Cut(left, "\n")
				n, err := strconv.Atoi(count)
				if err != nil || n < 1 || !ok || owner == "" {
					yield(File{}, fault.Newf(fault.Verification, "nobody owns %s", path))
					return
				}
				run = n
			}
			run--
			kind, _, _ := strings.Cut(line, " ")
			if !yield(File{path, kind, line, owner}, nil) {
				return
			}
		}
		if owners != nil && (run > 0 || left != "") {
			yield(File{}, fault.Newf(fault.Verification, "a list of owners is of another list of files: %w", io.ErrUnexpectedEOF))
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
