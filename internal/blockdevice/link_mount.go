package blockdevice

import (
	"path"
	"slices"
	"strings"
)

func (l *linker) mount(m *Mount) {
	if m.Point != "none" && m.Point != "" {
		for _, other := range l.c.Mounts {
			if other.Point == m.Point && other.index < m.index {
				l.problem(&m.Header, "mount_point", "mount_point %s is used more than once: %s has it too", quote(m.Point), printable(other.Name))
				break
			}
		}
	}
	if m.FS == nil {
		return
	}
	is, name := &m.FS.Mount, m.FS.Name
	if m.Sub != nil {
		is, name = &m.Sub.Mount, m.Sub.Name
	}
	if *is != nil {
		l.problem(&m.Header, "base", "base %s is mounted already, at %s", printable(name), quote((*is).Point))
		return
	}
	*is = m
}

// subvolume checks a subvolume.
func (l *linker) subvolume(s *Subvolume) {
	h := &s.Header
	if s.Path == "" {
		s.Path = s.Name
	}
	if s.FS.Type != "btrfs" && s.FS.Type != "" {
		l.problem(h, "", "subvolumes are for btrfs, and %s is %s", printable(s.FS.Name), s.FS.Type)
	}
	if path.Clean("/"+s.Path) != "/"+s.Path || s.Path == "" || len(s.Path) > 1024 || strings.ContainsAny(s.Path, ", \t\\") {
		key := "path"
		if h.values[key] == nil {
			key = "name"
		}
		l.problem(h, key, "%s %s is no relative path in its shortest form, without commas and blanks", key, quote(s.Path))
	}
	for _, other := range s.FS.Subvolumes {
		if other.Path == s.Path && other.index < s.index {
			l.problem(h, "path", "path %s is that of %s", quote(s.Path), printable(other.Name))
		}
	}
}

// lines finishes fstab, in mount order.
func (l *linker) lines() {
	for _, m := range l.c.Mounts {
		f := m.Fstab
		if f == nil {
			continue
		}
		if m.FS != nil && m.FS.Type == "swap" {
			f.Options, f.Dump, f.Pass = "sw", 0, 0
		}
		if f.discard && !slices.Contains(strings.Split(f.Options, ","), "discard") {
			f.Options += ",discard"
		}
		if m.Sub != nil {
			f.Options += ",subvol=" + m.Sub.Path
		}
		l.c.Fstab = append(l.c.Fstab, f)
	}
}
