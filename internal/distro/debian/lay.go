package debian

import (
	"slices"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/tree"
)

// Lay is the files of packages on the ground that every Debian tree has, with
// conffiles under their own names.
func (Debian) Lay(us []distro.Unpacked, arch string, epoch int64) ([]tree.Entry, error) {
	var pkgs []*deb
	for _, u := range us {
		p, err := newDeb(u)
		if err != nil {
			return nil, err
		}
		p.conffiles = nil
		pkgs = append(pkgs, p)
	}
	slices.SortFunc(pkgs, func(a, b *deb) int { return strings.Compare(a.Ref.Name, b.Ref.Name) })
	entries, err := merge(pkgs, nil)
	if err != nil {
		return nil, err
	}
	return append(skeleton(arch, epoch), entries...), nil
}
