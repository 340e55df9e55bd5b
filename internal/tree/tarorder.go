package tree

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// An Order is the order of entries in a tar archive. Parents come before their
// children and a file before its hard links in both.
type Order int

const (
	// ByPath is the order of walking the tree, names sorted by bytes. Every
	// program that unpacks it gets the times of directories right.
	ByPath Order = iota
	// ByOwner has all directories first and then the files, package by package
	// and step by step, so that what a change of one package leaves alone is
	// the same bytes in both archives. GNU tar then gives shared directories
	// the time of unpacking, unless told --delay-directory-restore.
	ByOwner
)

// A Member is a part of a tar archive that is made, compressed and cached on its
// own: the archive is its members' bytes in order, and [TarEnd].
type Member struct {
	Name        string // for people: "directories", "deb:bash", "small 7"
	entries     []Entry
	nanoseconds bool
}

// Entries are the member's entries in the archive's order. Where a tree names
// the path that sorts first as the file of several hard links, a member names
// the one that it writes first.
func (m Member) Entries() []Entry { return slices.Clone(m.entries) }

const (
	smallOwner  = 1 << 20 // owners of fewer bytes share members
	sharing     = 16      // how many members they share
	leastOfPath = 1 << 20 // bytes of a member by path
	mostOfPath  = 8 << 20
)

// Members cuts a tree into the members of its tar archive. How depends on the
// tree alone, and a change in one place of the tree changes few members.
func Members(t Tree, o TarOptions) []Member {
	entries := slices.Clone(t.entries)
	slices.SortStableFunc(entries, func(a, b Entry) int { return comparePaths(a.Path, b.Path) })
	var members []Member
	if o.Order == ByOwner {
		members = byOwner(entries)
	} else {
		writeLinks(entries)
		members = byPath(entries)
	}
	for i := range members {
		members[i].nanoseconds = o.Nanoseconds
	}
	return members
}

// comparePaths orders paths as a walk does: what is below "a" comes before "a-b",
// though "-" sorts before "/". Programs that unpack rely on it to know that they
// are done with a directory.
func comparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		switch {
		case a[i] == b[i]:
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		default:
			return int(a[i]) - int(b[i])
		}
	}
	return len(a) - len(b)
}

// writeLinks makes the first of each file's several names, in the order of
// entries, the file and the others links to it.
func writeLinks(entries []Entry) {
	var groups map[string][]int // by the tree's first path, the hard links
	for i := range entries {
		if entries[i].Kind == Hardlink {
			if groups == nil {
				groups = map[string][]int{}
			}
			groups[entries[i].Link] = append(groups[entries[i].Link], i)
		}
	}
	for i := range entries {
		links := groups[entries[i].Path]
		if len(links) == 0 || entries[i].Kind == Hardlink {
			continue
		}
		first := min(i, slices.Min(links))
		file := entries[i]
		for _, j := range append(links, i) {
			e := file
			e.Path, e.Owner = entries[j].Path, entries[j].Owner
			if j != first {
				e.Kind, e.Link, e.Content, e.Major, e.Minor = Hardlink, entries[first].Path, Content{}, 0, 0
				e.Xattrs = nil // they are the file's, which has them already
			}
			entries[j] = e
		}
	}
}

func weight(e *Entry) int64 { return 512 + e.Content.Size + padding(e.Content.Size) }

// byPath cuts a walk where a name says so, once there is enough since the cut
// before, so that the cuts of two trees meet again after a difference.
func byPath(entries []Entry) []Member {
	var members []Member
	start, size := 0, int64(0)
	for i := range entries {
		size += weight(&entries[i])
		last := i == len(entries)-1
		if last || size >= mostOfPath || size >= leastOfPath && sha256.Sum256([]byte(entries[i].Path))[0]%8 == 0 {
			members = append(members, Member{Name: "/" + entries[start].Path, entries: entries[start : i+1]})
			start, size = i+1, 0
		}
	}
	return members
}

// byOwner gathers directories, then what each owner has; a hard link is with
// its file.
func byOwner(entries []Entry) []Member {
	owner := map[string]string{} // of files that others link to
	for i := range entries {
		if entries[i].Kind == Hardlink {
			owner[entries[i].Link] = ""
		}
	}
	size := map[string]int64{}
	for i := range entries {
		e := &entries[i]
		size[e.Owner] += weight(e)
		if _, linked := owner[e.Path]; linked {
			owner[e.Path] = e.Owner
		}
	}
	groups := map[string][]Entry{}
	for i := range entries {
		e := entries[i]
		of := e.Owner
		if e.Kind == Hardlink {
			of = owner[e.Link]
		}
		// The first letter orders the groups.
		switch {
		case e.Kind == Dir:
			of = "0directories"
		case size[of] < smallOwner:
			of = fmt.Sprintf("2small %02d", sha256.Sum256([]byte(of))[0]%sharing)
		default:
			of = "1" + of
		}
		groups[of] = append(groups[of], e)
	}
	var names []string
	for n := range groups {
		names = append(names, n)
	}
	slices.Sort(names)
	var members []Member
	for _, n := range names {
		writeLinks(groups[n])
		members = append(members, Member{Name: strings.TrimSpace(n[1:]), entries: groups[n]})
	}
	return members
}
