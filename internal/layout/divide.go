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
	moved := map[string]string{}                       // by path, what it is called in its file system
	home := map[string]*blockdevice.Mkfs{}             // by path
	first := map[*blockdevice.Mkfs]map[string]string{} // by path of a file's first name, its first name here
	point := map[string]*blockdevice.Mount{}
	for _, m := range r.Mounts {
		if m.Point != "none" {
			point[strings.Trim(m.Point, "/")] = m
			first[m.FS] = map[string]string{}
		}
	}
	for e := range t.All() {
		m, path := r.holding("/" + e.Path)
		path = strings.TrimPrefix(path, "/")
		if own := point[e.Path]; own != nil && e.Path != "" {
			// The directory itself is the top of one file system and a mount point in
			// another, whose owner and mode nobody sees.
			above, in := r.holding(parentPath(e.Path))
			under := e
			under.Path = strings.TrimPrefix(strings.TrimSuffix(in, "/")+"/"+base(e.Path), "/")
			parts[above.FS] = append(parts[above.FS], under)
			path = ""
		}
		moved[e.Path], home[e.Path] = path, m.FS
		if e.Kind == tree.Hardlink {
			original, _ := t.Lookup(e.Link)
			if to, ok := first[m.FS][e.Link]; ok {
				e.Link = to
			} else if home[e.Link] == m.FS {
				first[m.FS][e.Link] = moved[e.Link]
				e.Link = moved[e.Link]
			} else {
				first[m.FS][e.Link] = path
				original.Path = path
				e = original
			}
		}
		e.Path = path
		parts[m.FS] = append(parts[m.FS], e)
	}
	out := map[*blockdevice.Mkfs]tree.Tree{}
	for fs, entries := range parts {
		part, err := tree.New(entries)
		if err != nil {
			return nil, err
		}
		out[fs] = part
	}
	return out, nil
}

func parentPath(path string) string { return "/" + tree.Parent(path) }

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
