package debian

import (
	"net/url"
	"slices"
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
		Starts:     startsWith(u.Ref.Name, f),
		Needs:      needs(f),
		Provides:   provided(f),
	}
}

// startsWith are the starting sets that have a package by themselves ([starts]).
func startsWith(name string, f map[string]string) []string {
	essential, apt := f["Essential"] == "yes", name == "apt"
	var out []string
	if essential {
		out = append(out, "essential")
	}
	if essential || apt || f["Priority"] == "required" {
		out = append(out, "minbase")
	}
	if essential || apt || slices.Contains([]string{"required", "important", "standard"}, f["Priority"]) {
		out = append(out, "standard")
	}
	return out
}

// needs are a control file's relations that ask for other packages. One that cannot be
// read asks for none: dpkg has the last word of it.
func needs(f map[string]string) []distro.Need {
	var out []distro.Need
	for _, kind := range []struct{ name, field string }{
		{distro.PreDepends, "Pre-Depends"}, {distro.Depends, "Depends"}, {distro.Recommends, "Recommends"}, {distro.Suggests, "Suggests"},
	} {
		list, err := ParseRelations(f[kind.field])
		if err != nil {
			continue
		}
		for _, any := range list {
			n := distro.Need{Kind: kind.name}
			for _, r := range any {
				n.Any = append(n.Any, distro.Choice{Name: r.Name, Text: r.String(), Met: r.Satisfied})
			}
			out = append(out, n)
		}
	}
	return out
}

func provided(f map[string]string) []distro.Provided {
	list, err := ParseRelations(f["Provides"])
	if err != nil {
		return nil
	}
	var out []distro.Provided
	for _, any := range list {
		out = append(out, distro.Provided{Name: any[0].Name, Version: any[0].Version})
	}
	return out
}

// purl is the package URL of a Debian package (the purl specification, type deb). Of
// the characters that names and versions have, it leaves letters, digits, ".", "-", "_" and "~" as they
// are; a plus becomes %2B, in names too.
func purl(ref distro.Ref) string {
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%2B") }
	return "pkg:deb/debian/" + escape(ref.Name) + "@" + escape(ref.Version) + "?arch=" + ref.Arch
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
