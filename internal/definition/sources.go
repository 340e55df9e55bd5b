package definition

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
	"golang.org/x/sys/unix"

	"ingot/internal/input"
	"ingot/internal/tree"
)

// A Source is something that a build reads beside packages: what the definition
// names as a file's source, a script, what a script reads, an archive's key; of
// directories all that is in them.
type Source struct {
	Path       string // relative to the definition's directory, with slashes
	Executable bool   // a file that its owner may execute; no other mode bit counts, as a checkout's umask makes them
	Link       string // what a symbolic link in a directory says; it stays inside the definition's directory
	EmptyDir   bool   // a directory with nothing in it; others follow from what they hold
}

// maxSources bounds how many files a definition may drag in.
const maxSources = 200_000

// Sources is the path of every file, link and empty directory that a build reads
// beside packages, relative to Dir, with slashes, sorted. See
// [Definition.SourceEntries].
func (d *Definition) Sources() []string {
	out := make([]string, len(d.entries))
	for i, e := range d.entries {
		out[i] = e.Path
	}
	return out
}

// SourceEntries says of each path of [Definition.Sources] what it is, as it was
// when the definition was loaded. A link that the definition names itself is
// followed and counts as what it leads to; one met within a directory is a link.
func (d *Definition) SourceEntries() []Source { return slices.Clone(d.entries) }

// named resolves a path that a file of the definition names, notes what there is
// for Sources and gives the absolute path. dirs says whether it may be a directory.
func (l *loading) named(key string, t text[localPath], dirs bool) (abs string, isDir bool) {
	if t.Value == "" {
		return "", false
	}
	src := l.origin[t.At]
	if src == nil {
		return "", false
	}
	rel := beside(src, t.Value)
	if rel == "." {
		l.problem(t.At, "%s %s is the definition's own directory, where lock and artifacts lie too; name something in it", key, quote(t.Value))
		return "", false
	}
	info, err := l.root.Stat(rel)
	if err != nil {
		l.missing(t.At, key, t.Value, rel, err)
		return "", false
	}
	abs = filepath.Join(l.dir, filepath.FromSlash(rel))
	switch {
	case info.IsDir() && dirs:
		l.walk(key, t.At, rel, 0)
		return abs, true
	case info.IsDir():
		l.problem(t.At, "%s %s is a directory, not a file", key, quote(t.Value))
	case !info.Mode().IsRegular():
		l.problem(t.At, "%s %s is neither a file nor a directory", key, quote(t.Value))
	case strings.HasSuffix(t.Value, "/"):
		l.problem(t.At, "%s %s is a file, not a directory", key, quote(t.Value))
	default:
		if err := l.readable(rel); err != nil {
			l.missing(t.At, key, t.Value, rel, err)
			return "", false
		}
		l.keepFile(key, t.At, rel, info)
		return abs, false
	}
	return "", false
}

// readable opens a file and reads nothing: a build would only find out late.
func (l *loading) readable(rel string) error {
	f, err := input.OpenIn(l.root, rel)
	if err != nil {
		return err
	}
	return f.Close()
}

func (l *loading) keepFile(key string, n *yaml.Node, p string, info fs.FileInfo) {
	if info.Size() > tree.MaxFile {
		l.problem(n, "%s %s leads to %s, which has %d bytes: more than %d", key, quote(n.Value), quote(p), info.Size(), int64(tree.MaxFile))
	}
	l.keep(key, n, Source{Path: p, Executable: info.Mode()&0o100 != 0})
}

func (l *loading) keep(key string, n *yaml.Node, s Source) {
	if l.entries == nil {
		l.entries = map[string]Source{}
	}
	if len(l.entries) == maxSources {
		l.problem(n, "%s brings the definition's files to more than %d", key, maxSources)
	}
	if len(l.entries) <= maxSources {
		l.entries[s.Path] = s
	}
}

// walk notes all that is in a directory.
func (l *loading) walk(key string, n *yaml.Node, dir string, depth int) {
	if len(l.entries) > maxSources {
		return
	}
	if depth > 64 {
		l.problem(n, "%s %s leads to %s, more than 64 directories deep", key, quote(n.Value), quote(dir))
		return
	}
	list, err := fs.ReadDir(l.root.FS(), dir)
	if err != nil {
		l.problem(n, "%s %s leads to %s, which cannot be read: %v", key, quote(n.Value), quote(dir), reason(err))
		return
	}
	if len(list) == 0 {
		l.keep(key, n, Source{Path: dir, EmptyDir: true})
	}
	for _, e := range list {
		p := path.Join(dir, e.Name())
		switch {
		case e.IsDir():
			l.walk(key, n, p, depth+1)
		case e.Type()&fs.ModeSymlink != 0:
			l.link(key, n, p)
		case e.Type().IsRegular():
			info, err := e.Info()
			if err == nil {
				err = l.readable(p)
			}
			if err != nil {
				l.problem(n, "%s %s leads to %s, which cannot be read: %v", key, quote(n.Value), quote(p), reason(err))
				continue
			}
			l.keepFile(key, n, p, info)
		default:
			l.problem(n, "%s %s leads to %s, which is neither a file, a directory nor a link", key, quote(n.Value), quote(p))
		}
	}
}

// link notes a symbolic link inside a directory, which must stay inside the
// definition's directory: what lies outside is in no lock.
func (l *loading) link(key string, n *yaml.Node, p string) {
	target, err := l.root.Readlink(p)
	if err != nil {
		l.problem(n, "%s %s leads to %s, which cannot be read: %v", key, quote(n.Value), quote(p), reason(err))
		return
	}
	if _, err := l.root.Stat(p); err != nil {
		why := "leads nowhere"
		if errors.Is(err, unix.ELOOP) {
			why = "leads in a circle"
		} else if l.leaves(p) {
			why = "leads out of the definition's directory"
		}
		l.problem(n, "%s %s leads to %s, a symbolic link to %s that %s", key, quote(n.Value), quote(p), quote(target), why)
		return
	}
	l.keep(key, n, Source{Path: p, Link: target})
}

// closed notes links among what a script reads that lead to what it does not:
// where it runs, nothing else of the definition's directory is there.
func (l *loading) closed(s scriptDoc) {
	there, links := map[string]bool{}, map[string]string{}
	below := func(t text[localPath], visit func(Source)) {
		src := l.origin[t.At]
		if t.Value == "" || src == nil {
			return
		}
		top := beside(src, t.Value)
		for p, e := range l.entries {
			if p == top || strings.HasPrefix(p, top+"/") {
				visit(e)
			}
		}
	}
	for _, t := range append([]text[localPath]{s.Run}, s.Reads...) {
		below(t, func(e Source) {
			for p := e.Path; p != "."; p = path.Dir(p) {
				there[p] = true
			}
			if e.Link != "" {
				links[e.Path] = e.Link
			}
		})
	}
	for _, r := range s.Reads {
		var astray []string
		below(r, func(e Source) {
			if e.Link != "" && !arrives(e.Path, there, links) {
				astray = append(astray, e.Path)
			}
		})
		slices.Sort(astray)
		for _, p := range astray {
			l.problem(r.At, "reads %s leads to %s, a symbolic link to %s, which the script does not read: name that in reads too", quote(r.At.Value), quote(p), quote(links[p]))
		}
	}
}

// arrives follows a path through links and says whether it ends at something that
// is there.
func arrives(p string, there map[string]bool, links map[string]string) bool {
	at, todo := ".", strings.Split(p, "/")
	for hops := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return false
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		target, link := links[next]
		switch {
		case !there[next], path.IsAbs(target), hops > 40:
			return false
		case link:
			hops++
			todo = append(strings.Split(target, "/"), todo...)
		default:
			at = next
		}
	}
	return true
}

// reason is an error without the path that the message names already.
func reason(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}
