package compiler

import (
	"slices"

	"ingot/internal/definition"
	"ingot/internal/distro"
	"ingot/internal/distro/debian"
	"ingot/internal/fault"
	"ingot/internal/lock"
)

// A Snapshot is what packages are chosen from in place of archives' indexes: those of another
// lock, and no others.
type Snapshot struct {
	Lock     *lock.Lock
	Packages []distro.Package // those of Refs, with what they say of themselves
}

// Refs are the packages of a lock that a snapshot of it is made of: of its sets, and its tools.
func Refs(l *lock.Lock) []distro.Ref {
	var out []distro.Ref
	for _, s := range l.Sets {
		out = append(out, s.Refs...)
	}
	return append(out, l.Tools...)
}

// indexes are those that would have offered the snapshot's packages, for each architecture. What else
// a lock says of where packages come from is the other lock's.
func (s *Snapshot) indexes(def *definition.Definition, hostArch string, l *lock.Lock) ([]debian.IndexFile, map[string]*debian.Index, error) {
	from := s.Lock
	if from.Distro != def.Distro || from.Release != def.Release {
		return nil, nil, fault.Newf(fault.Definition, "the packages to choose from are of %s %s, and the definition's are of %s %s", from.Distro, from.Release, def.Distro, def.Release)
	}
	l.Archives, l.Indexes, l.Epoch = slices.Clone(from.Archives), slices.Clone(from.Indexes), from.Epoch
	for i, a := range l.Archives {
		l.Archives[i].URL = a.Address()
	}
	type place struct{ archive, arch string }
	offered := map[place][]distro.Ref{}
	offer := func(arch string, refs []distro.Ref) {
		for _, r := range refs {
			at := place{r.Archive, arch}
			if !slices.Contains(offered[at], r) {
				offered[at] = append(offered[at], r)
			}
		}
	}
	for _, set := range from.Sets {
		offer(set.Arch, set.Refs)
	}
	offer(hostArch, from.Tools)
	about := map[distro.Ref]distro.Package{}
	for _, p := range s.Packages {
		about[p.Ref] = p
	}
	var files []debian.IndexFile
	read := map[string]*debian.Index{}
	for _, a := range from.Archives {
		for _, arch := range slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(def.Arch), hostArch)))) {
			var list []distro.Package
			for _, r := range offered[place{a.Name, arch}] {
				p, ok := about[r]
				if !ok {
					return nil, nil, fault.Newf(fault.NotFound, "package %s %s is not here", r.Name, r.Version)
				}
				list = append(list, p)
			}
			if len(list) == 0 {
				continue
			}
			x, err := debian.IndexOf(debian.Source{Archive: a.Name, Asked: def.Release, Codename: def.Release, Component: "main", Arch: arch}, list)
			if err != nil {
				return nil, nil, err
			}
			file := debian.IndexFile{Source: x.Source, File: a.Name + " " + arch}
			files, read[file.File] = append(files, file), x
		}
	}
	return files, read, nil
}
