package element

import (
	"maps"
	"slices"
	"strings"
)

// Family is the family of a distribution, by which maps of packages and services
// may go; empty where there is none.
func Family(distro string) string {
	switch distro {
	case "almalinux", "centos", "fedora", "openeuler", "rhel", "rocky":
		return "redhat"
	case "debian", "ubuntu":
		return "debian"
	case "opensuse":
		return "suse"
	case "gentoo":
		return "gentoo"
	}
	return ""
}

// majorRelease is the release that maps know a release by.
func majorRelease(release string) string {
	if release == "8-stream" {
		return "8"
	}
	return release
}

// A PackageMap is an element's pkg-map: what a distribution calls the packages that
// the element names. A value may be several packages with blanks between them, or
// empty where the distribution needs none.
type PackageMap struct {
	Release map[string]map[string]NameMap // by distribution, then release
	Distro  map[string]NameMap
	Family  map[string]NameMap
	Default NameMap

	Unknown []UnknownWord // sections that there are not
}

// A NameMap is names and what they stand for.
type NameMap map[string]string

// ParsePackageMap reads a pkg-map; file is its name in messages.
func ParsePackageMap(data []byte, file string) (PackageMap, error) {
	var m PackageMap
	l := list{file}
	top, err := l.parse(data)
	if err != nil || top == nil {
		return m, err
	}
	keys, err := l.pairs(top, "a pkg-map's sections")
	if err != nil {
		return m, err
	}
	for _, k := range keys {
		switch k.key {
		case "default":
			m.Default, err = l.names(k)
		case "family":
			m.Family, err = l.groups(k)
		case "distro":
			m.Distro, err = l.groups(k)
		case "release":
			m.Release = map[string]map[string]NameMap{}
			var distros []pair
			if null(k.value) {
				break
			}
			if distros, err = l.pairs(k.value, "the distributions of release"); err != nil {
				break
			}
			for _, d := range distros {
				if m.Release[d.key], err = l.groups(d); err != nil {
					break
				}
			}
		default:
			m.Unknown = append(m.Unknown, UnknownWord{k.key, k.at.Line, k.at.Column})
		}
		if err != nil {
			return PackageMap{}, err
		}
	}
	return m, nil
}

func (l list) groups(p pair) (map[string]NameMap, error) {
	out := map[string]NameMap{}
	if null(p.value) {
		return out, nil
	}
	keys, err := l.pairs(p.value, "what stands in "+p.key)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if out[k.key], err = l.names(k); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (l list) names(p pair) (NameMap, error) {
	out := NameMap{}
	if null(p.value) {
		return out, nil
	}
	keys, err := l.pairs(p.value, "the names in "+p.key)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if out[k.key], err = l.text(k.value, "what "+k.key+" stands for"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// For is the map for one release of a distribution: what a release says counts more
// than its distribution, that more than the family, and that more than the default.
func (m PackageMap) For(distro, release string) NameMap {
	out := NameMap{}
	maps.Copy(out, m.Default)
	maps.Copy(out, m.Family[Family(distro)])
	maps.Copy(out, m.Distro[distro])
	maps.Copy(out, m.Release[distro][majorRelease(release)])
	return out
}

// Names is what a name stands for: itself where the map does not have it (which the
// command pkg-map does with --missing-ok), and nothing where the map says nothing.
func (m NameMap) Names(name string) []string {
	to, ok := m[name]
	if !ok {
		return []string{name}
	}
	return strings.Fields(to)
}

// Missing are the names that the map does not have, for which the command pkg-map
// fails without --missing-ok.
func (m NameMap) Missing(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { _, ok := m[n]; return ok })
}
