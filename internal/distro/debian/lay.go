package debian

import (
	"slices"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/tree"
)

// Lay is the files of packages on the ground that every Debian tree has, with
// conffiles under their own names and the merged directories in /usr.
func (Debian) Lay(us []distro.Unpacked, arch string, epoch int64) (tree.Tree, error) {
	var pkgs []*deb
	for _, u := range us {
		p, err := newDeb(u.Package)
		if err != nil {
			return tree.Tree{}, err
		}
		p.Unpacked = u // conffiles go by their own names
		pkgs = append(pkgs, p)
	}
	slices.SortFunc(pkgs, func(a, b *deb) int { return strings.Compare(a.Ref.Name, b.Ref.Name) })
	entries, err := ground{}.merge(pkgs, func(*deb) func(tree.Entry) string {
		return func(e tree.Entry) string { return merged(e.Path, arch) }
	}, nil)
	if err != nil {
		return tree.Tree{}, err
	}
	at := map[string]bool{}
	var out []tree.Entry
	for _, e := range append(skeleton(arch, epoch), entries...) {
		if at[e.Path] {
			continue
		}
		at[e.Path] = true
		out = append(out, e)
	}
	return tree.New(out)
}

// merged is where a path lies when the top directories are in /usr.
func merged(path, arch string) string {
	for _, dir := range mergedDirs(arch) {
		if strings.HasPrefix(path, dir+"/") {
			return "usr/" + path
		}
	}
	return path
}
