package debian

import (
	"fmt"
	"slices"
	"strings"

	"ingot/internal/tree"
)

// A conffile is a file that dpkg puts in place when it configures the package.
type conffile struct {
	path   string
	remove bool // it is not in the package, and dpkg is to remove it (deb-conffiles(5))
}

const removeOnUpgrade = "remove-on-upgrade"

// parseConffiles reads a package's list of conffiles as dpkg does (deb_parse_conffiles
// in its unpacking), and refuses what dpkg refuses; a path that leads up too, which no
// file of a package has.
func parseConffiles(text []byte) ([]conffile, error) {
	var out []conffile
	for line := range strings.Lines(string(text)) {
		name, whole := strings.CutSuffix(line, "\n")
		if !whole {
			return nil, fmt.Errorf("%w: conffile name %q lacks its newline", errPackage, clip([]byte(name)))
		}
		if name = strings.TrimRight(name, " \t\r\v\f"); name == "" {
			continue
		}
		var c conffile
		if flag, rest, ok := strings.Cut(name, " "); ok && name[0] != '/' {
			if flag != removeOnUpgrade {
				return nil, fmt.Errorf("%w: unknown flag %q for conffile %q", errPackage, clip([]byte(flag)), clip([]byte(rest)))
			}
			name, c.remove = rest, true
		}
		path, absolute := strings.CutPrefix(name, "/")
		switch {
		case !absolute:
			return nil, fmt.Errorf("%w: conffile name %q is not an absolute pathname", errPackage, clip([]byte(name)))
		case slices.Contains(strings.Split(path, "/"), ".."):
			return nil, fmt.Errorf("%w: conffile name %q leads up", errPackage, clip([]byte(name)))
		case strings.IndexByte(path, 0) >= 0:
			return nil, fmt.Errorf("%w: conffile name %q has a NUL byte", errPackage, clip([]byte(name)))
		}
		c.path = path
		out = append(out, c)
	}
	return out, nil
}

// checkConffiles refuses conffiles that cannot be what their package holds at their
// paths. One that it does not hold at all is none of these: dpkg keeps it on record.
func checkConffiles(list []conffile, files tree.Tree) error {
	for _, c := range list {
		e, ok := files.Lookup(c.path)
		switch {
		case !ok:
		case c.remove:
			return fmt.Errorf("%w: conffile %q is marked for removal on upgrade and is in the package", errPackage, "/"+c.path)
		case e.Kind == tree.Dir:
			return fmt.Errorf("%w: conffile %q is a directory", errPackage, "/"+c.path)
		}
	}
	return nil
}
