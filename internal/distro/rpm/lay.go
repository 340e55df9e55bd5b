package rpm

import (
	"maps"
	"path"
	"slices"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

// Lay is the files of packages, all root's, on the ground that programs need.
// What lies below one package's link to a directory, as /bin is one, goes where
// the link leads.
func (Family) Lay(us []distro.Unpacked, _ string, epoch int64) (tree.Tree, error) {
	links := map[string]string{}
	for _, u := range us {
		for e := range u.Tree.All() {
			if e.Kind == tree.Symlink {
				links[e.Path] = e.Link
			}
		}
	}
	at := map[string]tree.Entry{}
	for _, e := range skeleton(epoch) {
		at[e.Path] = e
	}
	for _, u := range us {
		explicit := map[string]bool{}
		for _, p := range u.Order {
			explicit[p] = true
		}
		for e := range u.Tree.All() {
			own := explicit[e.Path]
			e.Path = follow(e.Path, links, e.Kind == tree.Dir, maxLinks)
			if e.Kind == tree.Hardlink {
				e.Link = follow(e.Link, links, false, maxLinks)
			}
			old, ok := at[e.Path]
			switch {
			case ok && e.Kind == tree.Dir && !own:
				continue // the package only lies in it
			case ok && old.Kind == tree.Dir && e.Kind == tree.Dir:
			case ok && (e.Kind != old.Kind || e.Content.Digest != old.Content.Digest || e.Link != old.Link):
				return tree.Tree{}, fault.Newf(fault.Choice, "packages %s and %s both bring /%s, and it is not the same", old.Owner, e.Owner, e.Path)
			}
			at[e.Path] = e
		}
	}
	return tree.New(slices.Collect(maps.Values(at)))
}

const maxLinks = 40 // as the kernel (path_resolution(7))

// follow gives where a path leads when its parents, and with last itself, may be
// links. One that leads nowhere stays as it is.
func follow(p string, links map[string]string, last bool, left int) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		if i == len(parts)-1 && !last {
			break
		}
		here := strings.Join(parts[:i+1], "/")
		target, ok := links[here]
		if !ok || left == 0 {
			continue
		}
		if !strings.HasPrefix(target, "/") {
			target = "/" + tree.Parent(here) + "/" + target
		}
		whole := path.Join(append([]string{path.Clean(target)}, parts[i+1:]...)...)
		return follow(strings.TrimPrefix(whole, "/"), links, last, left-1)
	}
	return p
}
