// Package etc carries a host's configuration over to a new image: /etc merged three ways,
// and users and groups reconciled.
//
// [Merge] is a function of three trees: what the old image came with, what the new one comes
// with, and what the host has made of the old. All are rooted at /etc. What only one side
// changed is taken; of what both changed the host's is kept, the new is laid beside it as
// NAME.ingot-new, and the conflict is listed. A deletion is a change like any. There is no
// guessing by times: content, kind, mode, owner and attributes are compared.
package etc

import (
	"maps"
	"slices"
	"strings"

	"ingot/internal/tree"
)

// Aside is what the name of a new image's file ends in where the host's was kept.
const Aside = ".ingot-new"

// A Choice says whose file is taken where both sides changed it.
type Choice string

// The choices.
const (
	Ask  Choice = ""     // the host's, with the new one aside, and listed
	Host Choice = "host" // the host's
	New  Choice = "new"  // the new image's
)

// A Kind is how two sides contradict each other.
type Kind string

// The kinds of conflicts.
const (
	Changed Kind = "changed" // both changed it
	Added   Kind = "added"   // both added it, and not the same
	Deleted Kind = "deleted" // the host deleted it, the new image changed it or has more in it
	Removed Kind = "removed" // the new image has it no more, the host changed it
	Type    Kind = "type"    // to one side it is a directory, to the other it is none
)

// A Conflict is a path about which the new image and the host contradict each other. The
// host's is kept.
type Conflict struct {
	Path  string `json:"path"` // below /etc
	Kind  Kind   `json:"kind"`
	Aside string `json:"aside,omitempty"` // where the new image's lies, if it has one
}

// Result is what a merge comes to.
type Result struct {
	Tree      tree.Tree
	Conflicts []Conflict // by path
	Skipped   []string   // pipes that the host had
}

// alwaysNew are files that programs of the image make of other files.
var alwaysNew = map[string]Choice{"ld.so.cache": New}

// Merge merges. The choices, by path, settle conflicts at or below them.
func Merge(old, fresh, host tree.Tree, choices map[string]Choice) (Result, error) {
	m := merger{old: side(old), fresh: side(fresh), host: side(host), choices: choices, out: map[string]tree.Entry{}}
	for _, s := range []map[string]tree.Entry{m.old, m.fresh, m.host} {
		if _, ok := s[""]; !ok {
			s[""] = tree.Entry{Kind: tree.Dir, Mode: 0o755}
		}
	}
	for path, e := range m.host {
		if e.Kind == tree.Fifo {
			delete(m.host, path)
			m.skipped = append(m.skipped, path)
		}
	}
	m.children = map[string][]string{}
	all := map[string]bool{}
	for _, s := range []map[string]tree.Entry{m.old, m.fresh, m.host} {
		for path := range s {
			if path != "" && !all[path] {
				all[path] = true
				m.children[tree.Parent(path)] = append(m.children[tree.Parent(path)], path)
			}
		}
	}
	m.visit("", Ask)
	// What lay aside from before gives way.
	for path := range m.out {
		for at := path; at != ""; at = tree.Parent(at) {
			if _, ok := m.aside[at]; ok {
				delete(m.out, path)
			}
		}
	}
	maps.Copy(m.out, m.aside)
	entries := make([]tree.Entry, 0, len(m.out))
	for path, e := range m.out {
		e.Path = path
		entries = append(entries, e)
	}
	merged, err := tree.New(entries)
	slices.SortFunc(m.conflicts, func(a, b Conflict) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(m.skipped)
	return Result{merged, m.conflicts, m.skipped}, err
}

// side is a tree by path. A hard link is a file like any: what shares bytes is no
// configuration.
func side(t tree.Tree) map[string]tree.Entry {
	out := make(map[string]tree.Entry, t.Len())
	for e := range t.All() {
		if e.Kind == tree.Hardlink {
			first := out[e.Link]
			first.Path = e.Path
			e = first
		}
		out[e.Path] = e
	}
	return out
}

type merger struct {
	old, fresh, host map[string]tree.Entry
	children         map[string][]string // of all three
	choices          map[string]Choice
	out              map[string]tree.Entry
	aside            map[string]tree.Entry
	conflicts        []Conflict
	skipped          []string
}

// choice is what was said of a path, or of a directory that it lies in.
func (m *merger) choice(path string, above Choice) Choice {
	if c := m.choices[path]; c != Ask {
		return c
	}
	if c := alwaysNew[path]; c != Ask {
		return c
	}
	return above
}

// visit decides one path and what is below it, and says whether anything is there then.
func (m *merger) visit(path string, above Choice) bool {
	choice := m.choice(path, above)
	o, inOld := m.old[path]
	n, inNew := m.fresh[path]
	h, inHost := m.host[path]
	oldDir, newDir, hostDir := inOld && o.Kind == tree.Dir, inNew && n.Kind == tree.Dir, inHost && h.Kind == tree.Dir
	switch {
	case newDir && hostDir:
		m.out[path] = m.attributes(path, o, n, h, oldDir, choice)
		for _, c := range m.children[path] {
			m.visit(c, choice)
		}
		return true
	case !newDir && !hostDir:
		return m.leaf(path, choice)
	case !inNew && hostDir && oldDir:
		// The image has this directory no more: what the host has of its own stays in it.
		kept := !same(o, h) && choice != New
		if kept && choice == Ask {
			m.conflict(path, Removed)
		}
		for _, c := range m.children[path] {
			kept = m.visit(c, choice) || kept
		}
		if kept {
			m.out[path] = h
		}
		return kept
	case m.equal(path, m.host, m.old):
		return m.take(path, path, m.fresh, m.out)
	case m.equal(path, m.fresh, m.old), m.equal(path, m.fresh, m.host):
		return m.take(path, path, m.host, m.out)
	case choice == New:
		return m.take(path, path, m.fresh, m.out)
	}
	if choice == Ask {
		m.conflict(path, kindOf(inOld, inNew, inHost, newDir != hostDir))
	}
	return m.take(path, path, m.host, m.out)
}

func kindOf(inOld, inNew, inHost, dirs bool) Kind {
	switch {
	case !inHost:
		return Deleted
	case !inNew:
		return Removed
	case dirs:
		return Type
	case !inOld:
		return Added
	}
	return Changed
}

// leaf decides a path that is no directory to either side.
func (m *merger) leaf(path string, choice Choice) bool {
	o, inOld := m.old[path]
	n, inNew := m.fresh[path]
	h, inHost := m.host[path]
	put := func(e tree.Entry, there bool) bool {
		if there {
			m.out[path] = e
		}
		return there
	}
	switch {
	case inHost == inOld && (!inHost || same(h, o)):
		return put(n, inNew)
	case inNew == inOld && (!inNew || same(n, o)), inNew == inHost && (!inNew || same(n, h)):
		return put(h, inHost)
	}
	if inOld && inNew && inHost {
		if e, ok := fields(o, n, h); ok {
			return put(e, true)
		}
	}
	if choice == New {
		return put(n, inNew)
	}
	if choice == Ask {
		m.conflict(path, kindOf(inOld, inNew, inHost, false))
	}
	return put(h, inHost)
}

// conflict lists a conflict, and lays the new side beside the host's.
func (m *merger) conflict(path string, kind Kind) {
	c := Conflict{Path: path, Kind: kind}
	if _, ok := m.fresh[path]; ok && kind != Deleted && len(path)-strings.LastIndexByte(path, '/')-1+len(Aside) <= 255 {
		c.Aside = path + Aside
		if m.aside == nil {
			m.aside = map[string]tree.Entry{}
		}
		m.take(path, c.Aside, m.fresh, m.aside)
	}
	m.conflicts = append(m.conflicts, c)
}

// take puts a path with all that is below it to where it is to be.
func (m *merger) take(path, to string, from, out map[string]tree.Entry) bool {
	e, ok := from[path]
	if !ok {
		return false
	}
	out[to] = e
	for _, c := range m.children[path] {
		m.take(c, to+c[len(path):], from, out)
	}
	return true
}

// equal says whether two sides have the same at a path and below it.
func (m *merger) equal(path string, a, b map[string]tree.Entry) bool {
	x, inA := a[path]
	y, inB := b[path]
	if inA != inB || inA && !same(x, y) {
		return false
	}
	for _, c := range m.children[path] {
		if !m.equal(c, a, b) {
			return false
		}
	}
	return true
}

// attributes merges those of a directory that both sides have.
func (m *merger) attributes(path string, o, n, h tree.Entry, inOld bool, choice Choice) tree.Entry {
	switch {
	case inOld && same(h, o):
		return n
	case same(n, h), inOld && same(n, o):
		return h
	}
	if inOld {
		if e, ok := fields(o, n, h); ok {
			return e
		}
	}
	if choice == New {
		return n
	}
	if choice == Ask {
		kind := Changed
		if !inOld {
			kind = Added
		}
		m.conflicts = append(m.conflicts, Conflict{Path: path, Kind: kind})
	}
	return h
}
