package blockdevice

import (
	"path"
	"slices"
	"strings"
)

// point makes a mount's path clean, for the order of mounts.
func (l *linker) point(m *Mount) {
	h := &m.Header
	s := m.Point
	if f, ok := l.byName[first(h.bases)].(*Mkfs); ok && f.Type == "swap" {
		if strings.HasPrefix(s, "/") {
			l.suggest(h, "mount_point", "none", "mount_point %s is for file systems, and %s is swap", quote(s), printable(f.Name))
		}
		m.Point = "none"
		return
	}
	switch {
	case s == "" || !strings.HasPrefix(s, "/"):
		if h.values["mount_point"] != nil && s != "" {
			l.suggest(h, "mount_point", map[bool]string{true: "", false: path.Clean("/" + s)}[s == "none"], "mount_point %s is not an absolute path", quote(s))
		}
	case path.Clean(s) != s:
		l.suggest(h, "mount_point", path.Clean(s), "mount_point %s is not in its shortest form", quote(s))
	case len(s) > 1024 || slices.ContainsFunc(strings.Split(s, "/"), func(part string) bool { return len(part) > 255 }):
		l.problem(h, "mount_point", "mount_point %s is too long", quote(s))
	default:
		for _, r := range rooted {
			if s == r.point || strings.HasPrefix(s, r.point+"/") {
				l.problem(h, "mount_point", "mount_point %s cannot be a file system of its own: %s %s", quote(s), r.point, r.why)
				break
			}
		}
	}
}

// rooted are the places of a tree that belong to the root, or to nobody, with all below
// them, and why.
var rooted = []struct{ point, why string }{
	{"/etc", "says what is mounted"},
	{"/proc", "is the kernel's"}, {"/sys", "is the kernel's"}, {"/dev", "is the kernel's"}, {"/run", "lies in memory"},
	{"/bin", "is a link to /usr/bin"}, {"/sbin", "is a link to /usr/sbin"}, {"/lib", "is a link to /usr/lib"},
	{"/lib32", "is a link to /usr/lib32"}, {"/lib64", "is a link to /usr/lib64"}, {"/libx32", "is a link to /usr/libx32"},
	{"/usr/bin", "is needed before anything else than / and /usr is mounted"}, {"/usr/sbin", "is needed before anything else than / and /usr is mounted"},
	{"/usr/lib", "is needed before anything else than / and /usr is mounted"},
	{"/boot/grub", "is where GRUB looks, on the file system of /boot"},
	{"/var/run", "is a link to /run"}, {"/var/lock", "is a link to /run/lock"},
}
