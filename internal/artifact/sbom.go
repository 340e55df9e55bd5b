package artifact

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/distro"
)

// An SBOM is an SPDX 2.3 document (https://spdx.github.io/spdx-spec/v2.3/), as
// far as it is used here: the image, its packages, and that the one contains the
// others.
type SBOM struct {
	SPDXVersion       string             `json:"spdxVersion"`
	DataLicense       string             `json:"dataLicense"`
	SPDXID            string             `json:"SPDXID"`
	Name              string             `json:"name"`
	DocumentNamespace string             `json:"documentNamespace"`
	CreationInfo      SPDXCreation       `json:"creationInfo"`
	Packages          []SPDXPackage      `json:"packages"`
	Relationships     []SPDXRelationship `json:"relationships"`
}

// An SPDXCreation says when a document was made, and by what. The time is the
// image's clock: an SBOM of the same image is the same SBOM.
type SPDXCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

// An SPDXPackage is the image or one of its packages.
type SPDXPackage struct {
	Name             string            `json:"name"`
	SPDXID           string            `json:"SPDXID"`
	VersionInfo      string            `json:"versionInfo,omitempty"`
	PackageFileName  string            `json:"packageFileName,omitempty"`
	Supplier         string            `json:"supplier"`
	Originator       string            `json:"originator,omitempty"`
	DownloadLocation string            `json:"downloadLocation"`
	FilesAnalyzed    bool              `json:"filesAnalyzed"`
	Checksums        []SPDXChecksum    `json:"checksums,omitempty"`
	Homepage         string            `json:"homepage,omitempty"`
	SourceInfo       string            `json:"sourceInfo,omitempty"`
	LicenseConcluded string            `json:"licenseConcluded"`
	LicenseDeclared  string            `json:"licenseDeclared"`
	CopyrightText    string            `json:"copyrightText"`
	Summary          string            `json:"summary,omitempty"`
	ExternalRefs     []SPDXExternalRef `json:"externalRefs,omitempty"`
	Purpose          string            `json:"primaryPackagePurpose,omitempty"`
}

// An SPDXChecksum is a digest of a package's file.
type SPDXChecksum struct {
	Algorithm string        `json:"algorithm"`
	Value     digest.Digest `json:"checksumValue"`
}

// An SPDXExternalRef names a package in another system: here by its purl.
type SPDXExternalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

// An SPDXRelationship ties two elements.
type SPDXRelationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const (
	noAssertion  = "NOASSERTION"
	spdxDocument = "SPDXRef-DOCUMENT"
	spdxImage    = "SPDXRef-Image"
)

// SBOM lists an artifact's packages, with what each of them is.
func (i Image) SBOM(o Output) SBOM {
	file := o.Files[0]
	purpose := "OPERATING_SYSTEM"
	if i.Purpose != "machine" {
		purpose = "CONTAINER"
	}
	doc := SBOM{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: spdxDocument,
		Name:              file.Name,
		DocumentNamespace: i.namespace(file),
		CreationInfo:      SPDXCreation{i.stamp(), []string{"Tool: ingot-" + i.version()}},
		Packages: []SPDXPackage{{
			Name: i.Name, SPDXID: spdxImage, VersionInfo: i.Lock.Digest().Short(), PackageFileName: file.Name,
			Supplier: noAssertion, DownloadLocation: noAssertion,
			Checksums:        []SPDXChecksum{{"SHA256", file.SHA256}},
			LicenseConcluded: noAssertion, LicenseDeclared: noAssertion, CopyrightText: noAssertion,
			Summary: fmt.Sprintf("%s %s for %s, locked as %s", i.Lock.Distro, i.Lock.Release, i.Arch, i.Lock.Digest()),
			Purpose: purpose,
		}},
		Relationships: []SPDXRelationship{{spdxDocument, "DESCRIBES", spdxImage}},
	}
	for _, r := range i.refs() {
		p := spdxPackage(r, i.describe(r))
		doc.Packages = append(doc.Packages, p)
		doc.Relationships = append(doc.Relationships, SPDXRelationship{spdxImage, "CONTAINS", p.SPDXID})
	}
	return doc
}

func (i Image) version() string {
	if i.Version == "" {
		return "devel"
	}
	return i.Version
}

// namespace is the URI that makes the document's identifiers unique: a UUID of
// version 8 (RFC 9562, section 5.8) out of the lock and the artifact.
func (i Image) namespace(f File) string {
	b := sha256.Sum256(fmt.Appendf(nil, "ingot SPDX document\n%s\n%s\n%s\n", i.Lock.Digest(), f.Name, f.SHA256))
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

var notIDString = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// spdxPackage is one package. Where it was fetched from is nobody's business: a
// mirror is no property of an image.
func spdxPackage(r distro.Ref, d distro.Description) SPDXPackage {
	p := SPDXPackage{
		Name: r.Name, VersionInfo: r.Version, PackageFileName: r.Location,
		SPDXID:   "SPDXRef-Package-" + notIDString.ReplaceAllString(r.Name+"-"+r.Arch, "-") + "-" + r.SHA256.Short(),
		Supplier: noAssertion, Originator: person(d.Maintainer), DownloadLocation: noAssertion,
		Checksums:        checksums(r.SHA256),
		LicenseConcluded: noAssertion, LicenseDeclared: declared(d.Licences), CopyrightText: noAssertion,
		Summary: d.Summary,
	}
	if strings.HasPrefix(d.Homepage, "http://") || strings.HasPrefix(d.Homepage, "https://") {
		p.Homepage = d.Homepage
	}
	if d.Source != "" {
		p.SourceInfo = "built from " + d.Source
	}
	if d.Purl != "" {
		p.ExternalRefs = []SPDXExternalRef{{"PACKAGE-MANAGER", "purl", d.Purl}}
	}
	return p
}

// checksums are those of a file, if it is known.
func checksums(sum digest.Digest) []SPDXChecksum {
	if sum.IsZero() {
		return nil
	}
	return []SPDXChecksum{{"SHA256", sum}}
}

var licenceID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+-]*$`)

// declared joins licences to an expression, or asserts nothing.
func declared(licences []string) string {
	for _, l := range licences {
		if !licenceID.MatchString(l) {
			return noAssertion
		}
	}
	if len(licences) == 0 {
		return noAssertion
	}
	return strings.Join(licences, " AND ")
}

// person turns "Name <mail>" into SPDX's form, or nothing.
func person(maintainer string) string {
	name, mail, ok := strings.Cut(maintainer, "<")
	name = strings.Trim(strings.TrimSpace(name), `"`)
	mail, closed := strings.CutSuffix(strings.TrimSpace(mail), ">")
	switch {
	case name == "" || strings.ContainsAny(maintainer, "()\n"):
		return ""
	case ok && closed && mail != "":
		return fmt.Sprintf("Person: %s (%s)", name, mail)
	}
	return "Person: " + name
}
