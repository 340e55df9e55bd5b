package etc

import (
	"slices"

	"ingot/internal/tree"
)

// same says whether two entries are the same configuration, whenever they were written.
func same(a, b tree.Entry) bool {
	return sameContent(a, b) && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && slices.Equal(attributes(a), attributes(b))
}

// sameContent says whether two entries are of one kind and hold the same.
func sameContent(a, b tree.Entry) bool {
	return a.Kind == b.Kind && a.Link == b.Link && a.Major == b.Major && a.Minor == b.Minor && a.Content.Digest == b.Content.Digest && a.Content.Size == b.Content.Size
}

// attributes are the extended ones but for SELinux's, which follow from the path.
func attributes(e tree.Entry) []tree.Xattr {
	return slices.DeleteFunc(slices.Clone(e.Xattrs), func(x tree.Xattr) bool { return x.Name == "security.selinux" })
}

// fields merges two changed entries where no field was changed by both, as when one side
// changed the text and the other the mode.
func fields(o, n, h tree.Entry) (tree.Entry, bool) {
	e := h
	switch {
	case sameContent(h, o):
		e = n
	case !sameContent(n, o) && !sameContent(n, h):
		return e, false
	}
	var ok [4]bool
	e.Mode, ok[0] = field(o.Mode, n.Mode, h.Mode)
	e.UID, ok[1] = field(o.UID, n.UID, h.UID)
	e.GID, ok[2] = field(o.GID, n.GID, h.GID)
	switch oa, na, ha := attributes(o), attributes(n), attributes(h); {
	case slices.Equal(ha, oa):
		e.Xattrs, ok[3] = n.Xattrs, true
	case slices.Equal(na, oa), slices.Equal(na, ha):
		e.Xattrs, ok[3] = h.Xattrs, true
	}
	return e, ok == [4]bool{true, true, true, true}
}

// field merges one: what one side changed counts.
func field[T comparable](o, n, h T) (T, bool) {
	switch {
	case h == o:
		return n, true
	case n == o, n == h:
		return h, true
	}
	return h, false
}
