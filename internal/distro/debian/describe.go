package debian

import (
	"net/url"
	"strconv"
	"strings"

	"ingot/internal/distro"
)

// Describe says what a package is, from its control file (deb-control(5)).
func (Debian) Describe(u distro.Package) distro.Description {
	f, err := parseControl(u.Control["control"].Data)
	if err != nil {
		f = map[string]string{}
	}
	installed, err := strconv.ParseUint(f["Installed-Size"], 10, 50) // in KiB
	if err != nil {
		installed = 0 // absent, or nonsense
	}
	summary, _, _ := strings.Cut(f["Description"], "\n")
	return distro.Description{
		Purl:       purl(u.Ref),
		Source:     source(f, u.Ref),
		Maintainer: f["Maintainer"],
		Homepage:   f["Homepage"],
		Summary:    summary,
		Installed:  int64(installed) << 10,
	}
}

// purl is the package URL of a Debian package (the purl specification, type deb).
func purl(ref distro.Ref) string {
	return "pkg:deb/debian/" + url.PathEscape(ref.Name) + "@" + strings.ReplaceAll(url.QueryEscape(ref.Version), "+", "%2B") + "?arch=" + ref.Arch
}

// source is the source package and its version: "Source: name (version)", each
// part left out where it is the binary package's.
func source(f map[string]string, ref distro.Ref) string {
	name, version := ref.Name, ref.Version
	if s := f["Source"]; s != "" {
		var bracket string
		name, bracket, _ = strings.Cut(s, " ")
		if v := strings.Trim(bracket, "() "); v != "" {
			version = v
		}
	}
	return name + " " + version
}
