package repository

import (
	"strings"

	"ingot/internal/distro"
)

// An Installed is a package that an image has by its own records. Of one whose file is
// unknown, size and digest are zero.
type Installed struct {
	Package
	Archive  string `json:"archive,omitempty"`
	Location string `json:"location,omitempty"`
}

// InstalledOf is a package of an image, with what it says of itself.
func InstalledOf(r distro.Ref, d distro.Description) Installed {
	p := describedAs(r, d)
	return Installed{p, r.Archive, r.Location}
}

// Ref is the package as locks name it.
func (i Installed) Ref() distro.Ref {
	return distro.Ref{Name: i.Name, Version: i.Version, Arch: i.Arch, Archive: i.Archive, Location: i.Location, Size: i.Size, SHA256: i.SHA256}
}

// describedAs is a package with what it says of itself.
func describedAs(r distro.Ref, d distro.Description) Package {
	p := Package{
		Blob: Blob{r.SHA256, r.Size}, Name: r.Name, Version: r.Version, Arch: r.Arch,
		Installed: d.Installed, Purl: d.Purl, Maintainer: d.Maintainer, Homepage: d.Homepage, Summary: d.Summary, Licences: d.Licences,
	}
	p.Source, p.SourceVersion, _ = strings.Cut(d.Source, " ")
	return p
}
