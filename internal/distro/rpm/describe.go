package rpm

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"ingot/internal/distro"
)

// Describe says what a package is, from its header.
func (f Family) Describe(u distro.Package) distro.Description {
	h, err := controlHeader(u)
	if err != nil {
		h = header{}
	}
	word := func(t tag) string {
		w, err := h.word(t)
		if err != nil {
			return ""
		}
		return w
	}
	installed, err := h.number(tagLongSize)
	if err != nil || installed == 0 {
		installed, _ = h.number(tagSize) // absent or broken is 0
	}
	d := distro.Description{
		Purl:       f.purl(u.Ref),
		Source:     source(word(tagSourceRPM), u.Ref),
		Maintainer: word(tagPackager),
		Homepage:   word(tagURL),
		Summary:    word(tagSummary),
		Licences:   licences(word(tagLicense)),
		Installed:  int64(min(installed, 1<<62)),
	}
	if d.Maintainer == "" {
		d.Maintainer = word(tagVendor)
	}
	return d
}

// purl is the package URL of an rpm (the purl specification, type rpm).
func (f Family) purl(ref distro.Ref) string {
	epoch, version, ok := strings.Cut(ref.Version, ":")
	if !ok {
		epoch, version = "", ref.Version
	}
	p := "pkg:rpm/"
	if f.Vendor != "" {
		p += url.PathEscape(f.Vendor) + "/"
	}
	p += url.PathEscape(ref.Name) + "@" + strings.ReplaceAll(url.QueryEscape(version), "+", "%2B") + "?arch=" + ref.Arch
	if epoch != "" {
		p += "&epoch=" + epoch
	}
	return p
}

// source reads the source package and its version from the name of its file,
// "bash-5.2.26-3.fc40.src.rpm".
func source(file string, ref distro.Ref) string {
	name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(file, ".rpm"), ".src"), ".nosrc")
	release := strings.LastIndexByte(name, '-')
	if release <= 0 {
		return ref.Name + " " + ref.Version
	}
	version := strings.LastIndexByte(name[:release], '-')
	if version <= 0 {
		return ref.Name + " " + ref.Version
	}
	return fmt.Sprintf("%s %s", name[:version], name[version+1:])
}

// spdx are SPDX identifiers that packages have most. Families used words of
// their own before ("ASL 2.0", "BSD", "GPLv2+"), and some still do.
var spdx = strings.Fields(`0BSD AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-2.0 BSD-2-Clause BSD-3-Clause BSD-4-Clause
	BSL-1.0 CC0-1.0 CC-BY-4.0 CC-BY-SA-4.0 curl FTL GFDL-1.3-or-later GPL-1.0-or-later GPL-2.0-only GPL-2.0-or-later
	GPL-3.0-only GPL-3.0-or-later ICU ISC LGPL-2.0-or-later LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only
	LGPL-3.0-or-later MIT MIT-0 MPL-1.1 MPL-2.0 OFL-1.1 OpenSSL PSF-2.0 Python-2.0 Unicode-3.0 Unlicense Vim X11 Zlib ZPL-2.1`)

// licences are the identifiers of a licence that is one, or several that all
// hold. Anything else, such as a choice, is more than a list can say.
func licences(text string) []string {
	if text == "" {
		return nil
	}
	out := strings.Split(text, " AND ")
	for _, l := range out {
		if !slices.Contains(spdx, l) {
			return nil
		}
	}
	return out
}
