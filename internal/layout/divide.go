package layout

import (
	"strings"

	"ingot/internal/blockdevice"
	"ingot/internal/tree"
)

// divide gives each mounted file system its part of a tree, under its own paths.
// Mount points stay as empty directories in the file system that they are in. Of a file
// with names in two file systems each gets a copy.
func (r Resolved) divide(t tree.Tree) (map[*blockdevice.Mkfs]tree.Tree, error) {
	parts := map[*blockdevice.Mkfs][]tree.Entry{}
	moved := map[string]string{}           // by path, what it is called in its file system
	home := map[string]place{}             // by path
	first := map[place]map[string]string{} // by path of a file's first name, its first name here
	point := map[string]*blockdevice.Mount{}
	for _, m := range r.Mounts {
		if m.Point != "none" {
			point[strings.Trim(m.Point, "/")] = m
		}
	}
	for e := range t.All() {
		m, path := r.inside("/" + e.Path)
		if own := point[e.Path]; own != nil && e.Path != "" {
			// The directory itself is the top of one file system and a mount point in
			// another, whose owner and mode nobody sees.
			above, in := r.inside(parentPath(e.Path))
			under := e
			under.Path = strings.TrimPrefix(in+"/"+base(e.Path), "/")
			if above.FS != m.FS || under.Path != path { // a subvolume may lie where it is mounted
				parts[above.FS] = append(parts[above.FS], under)
			}
		}
		in := placeOf(m.FS, path)
		moved[e.Path], home[e.Path] = path, in
		if e.Kind == tree.Hardlink {
			original, _ := t.Lookup(e.Link)
			if first[in] == nil {
				first[in] = map[string]string{}
			}
			if to, ok := first[in][e.Link]; ok {
				e.Link = to
			} else if home[e.Link] == in {
				first[in][e.Link] = moved[e.Link]
				e.Link = moved[e.Link]
			} else {
				first[in][e.Link] = path
				original.Path = path
				e = original
			}
		}
		e.Path = path
		parts[m.FS] = append(parts[m.FS], e)
	}
	out := map[*blockdevice.Mkfs]tree.Tree{}
	for _, fs := range r.Filesystems {
		entries := parts[fs]
		if len(entries)+len(fs.Subvolumes) == 0 {
			continue
		}
		part, err := tree.New(r.between(fs, entries))
		if err != nil {
			return nil, err
		}
		out[fs] = part
	}
	return out, nil
}

// A place is where a file can have several names: a file system, or a subvolume of one,
// whether something mounts it or not.
type place struct {
	fs  *blockdevice.Mkfs
	sub string // its path, or "" for what lies in none
}

// placeOf is where a path of a file system lies.
func placeOf(fs *blockdevice.Mkfs, path string) place {
	in := place{fs: fs}
	for _, s := range fs.Subvolumes {
		if (path == s.Path || strings.HasPrefix(path, s.Path+"/")) && len(s.Path) > len(in.sub) {
			in.sub = s.Path
		}
	}
	return in
}

// inside is the mount that a path of the tree lies in, and the path in its file system.
func (r Resolved) inside(path string) (*blockdevice.Mount, string) {
	m, path := r.holding(path)
	path = strings.Trim(path, "/")
	if m.Sub != nil {
		path = strings.TrimSuffix(m.Sub.Path+"/"+path, "/")
	}
	return m, path
}

// between adds the directories that lead to subvolumes, where nothing else has them.
func (r Resolved) between(fs *blockdevice.Mkfs, entries []tree.Entry) []tree.Entry {
	there := map[string]bool{}
	for _, e := range entries {
		there[e.Path] = true
	}
	for _, s := range fs.Subvolumes {
		for dir := tree.Parent(s.Path); !there[dir]; dir = tree.Parent(dir) {
			there[dir] = true
			entries = append(entries, tree.Entry{Path: dir, Kind: tree.Dir, Mode: 0o755})
		}
	}
	return entries
}

func parentPath(path string) string { return "/" + tree.Parent(path) }

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
