package debian

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

// A clash is a path that two packages bring, neither of which replaces the other.
type clash struct {
	a, b  string // the packages, the first by name first
	path  string // in the image, absolute
	alike bool   // what they bring is the same, to the byte and the mode
}

// clashOf is the clash of an entry with what is there.
func clashOf(old placed, p *deb, e tree.Entry) clash {
	x, y := old.entry, e
	x.Content.Pack, x.Content.Offset, x.Owner, x.Mtime = "", 0, "", tree.Time{}
	y.Content.Pack, y.Content.Offset, y.Owner, y.Mtime = "", 0, "", tree.Time{}
	c := clash{old.by.Ref.Name, p.Ref.Name, inImage(e.Path), x.Kind == y.Kind && x.Mode == y.Mode && x.Link == y.Link && x.Content == y.Content}
	if c.a > c.b {
		c.a, c.b = c.b, c.a
	}
	return c
}

// inImage is where an entry ends up once packages are configured.
func inImage(path string) string { return "/" + strings.TrimSuffix(path, newSuffix) }

// kept is the package whose file stays at a path, as it was asked for: of several wishes
// that of the longest path.
func kept(wishes []distro.Keep, path string) string {
	best := distro.Keep{}
	for _, k := range wishes {
		if (k.Path == path || strings.HasPrefix(path, k.Path+"/")) && len(k.Path) > len(best.Path) {
			best = k
		}
	}
	return best.Package
}

// clashShown is how many paths of two packages an error names.
const clashShown = 11

// clashError says all clashes at once, by pairs of packages.
func clashError(all []clash) error {
	slices.SortFunc(all, func(x, y clash) int {
		return cmp.Or(cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b), cmp.Compare(x.path, y.path))
	})
	first := all[0]
	hint := fmt.Sprintf("remove one of the packages from the definition, or say whose file stays: path-conflicts: [{path: %s, keep: %s}]", first.path, first.b)
	if len(all) == 1 {
		content := ""
		if first.alike {
			content = ", with the same content"
		}
		return fault.Newf(fault.Choice, "packages %s and %s both bring %s%s, and neither says that it replaces the other", first.a, first.b, first.path, content).WithHint("%s", hint)
	}
	var b strings.Builder
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].a == all[0].a && all[n].b == all[0].b {
			n++
		}
		fmt.Fprintf(&b, "\n    %s and %s both bring", all[0].a, all[0].b)
		for i, c := range all[:min(n, clashShown)] {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(" " + c.path)
			if c.alike {
				b.WriteString(" (the same content)")
			}
		}
		if n > clashShown {
			fmt.Fprintf(&b, " and %d more", n-clashShown)
		}
		all = all[n:]
	}
	return fault.Newf(fault.Choice, "packages bring the same paths, and none of them says that it replaces another:%s", b.String()).WithHint("%s", hint)
}
