package debian

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"ingot/internal/digest"
)

// Bounds of a Release file. Debian's largest has 0.2 MiB and 2000 files.
const (
	maxRelease      = 16 << 20 // bytes
	maxReleaseFiles = 200_000
	maxIndex        = 1 << 31 // bytes of one index
)

// A Release is what a suite's Release file says: which indexes it has, of what digest,
// and for how long. The format is that of
// https://wiki.debian.org/DebianRepository/Format.
type Release struct {
	Origin, Label, Suite, Codename, Version string

	Date                 time.Time
	ValidUntil           time.Time // zero: for ever
	Architectures        []string
	Components           []string
	NotAutomatic         bool
	ButAutomaticUpgrades bool
	// ByHash says that indexes can also be fetched under their digest, so that an
	// archive that changes meanwhile does no harm.
	ByHash bool
	// AllApart says that packages of architecture all have an index of their own,
	// which those of the other architectures do not contain.
	AllApart bool

	files map[string]ReleaseFile
}

// A ReleaseFile is one file that a Release names.
type ReleaseFile struct {
	Path   string // below the Release file's directory
	Size   int64
	SHA256 digest.Digest
}

// File is a file of the release by its path below the Release file's directory.
func (r *Release) File(path string) (ReleaseFile, bool) {
	f, ok := r.files[path]
	return f, ok
}

// ParseRelease reads the text of a Release file whose signature was verified. It is
// strict: one stanza, no field twice, every path and digest sound; fields that it does not
// know are left alone.
func ParseRelease(text []byte) (*Release, error) {
	if len(text) > maxRelease {
		return nil, fmt.Errorf("has more than %d bytes", maxRelease)
	}
	r := &Release{files: map[string]ReleaseFile{}}
	all := ""
	stanza, rest := cutStanza(text)
	if len(trimBlanks(rest)) > 0 {
		return nil, errors.New("has more than one stanza")
	}
	seen := map[string]bool{}
	err := stanza.Fields(func(key, value []byte) error {
		name := strings.ToLower(string(key))
		if seen[name] {
			return fmt.Errorf("field %s stands twice", clip(key))
		}
		seen[name] = true
		if name == "no-support-for-architecture-all" {
			all = string(value)
		}
		return r.field(name, string(value))
	})
	if err != nil {
		return nil, err
	}
	switch {
	case r.Date.IsZero():
		return nil, errors.New("has no Date")
	case !seen["sha256"]:
		return nil, errors.New("has no SHA256 digests")
	}
	for _, a := range r.Architectures {
		if a == "all" && all != "Packages" {
			r.AllApart = true
		}
	}
	return r, nil
}

// field takes one field; the name is in lower case.
func (r *Release) field(name, value string) (err error) {
	line := func(to *string) error {
		if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return fmt.Errorf("field %s has control characters or several lines", name)
		}
		*to = value
		return nil
	}
	switch name {
	case "origin":
		return line(&r.Origin)
	case "label":
		return line(&r.Label)
	case "suite":
		return line(&r.Suite)
	case "codename":
		return line(&r.Codename)
	case "version":
		return line(&r.Version)
	case "date":
		r.Date, err = parseDate(value)
	case "valid-until":
		r.ValidUntil, err = parseDate(value)
	case "architectures":
		r.Architectures = strings.Fields(value)
	case "components":
		r.Components = strings.Fields(value)
	case "notautomatic":
		r.NotAutomatic = value == "yes"
	case "butautomaticupgrades":
		r.ButAutomaticUpgrades = value == "yes"
	case "acquire-by-hash":
		r.ByHash = value == "yes"
	case "sha256":
		err = r.list(value)
	}
	if err != nil {
		return fmt.Errorf("field %s: %w", name, err)
	}
	return nil
}

// list reads the lines "DIGEST SIZE PATH" of the SHA256 field.
func (r *Release) list(value string) error {
	for line := range strings.Lines(value) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 3 {
			return fmt.Errorf("line %.80q is not a digest, a size and a path", strings.TrimSpace(line))
		}
		sum, err := digest.Parse(f[0])
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil || size < 0 {
			return fmt.Errorf("%.80s has the size %.30q", f[2], f[1])
		}
		if !soundPath(f[2]) {
			return fmt.Errorf("path %.80q leads elsewhere", f[2])
		}
		file := ReleaseFile{Path: f[2], Size: size, SHA256: sum}
		if old, ok := r.files[file.Path]; ok && old != file {
			return fmt.Errorf("%.80s stands twice, with different digests", f[2])
		}
		if r.files[file.Path] = file; len(r.files) > maxReleaseFiles {
			return fmt.Errorf("more than %d files", maxReleaseFiles)
		}
	}
	return nil
}

// soundPath says whether a path stays below the directory that it is relative to, and is
// written in the only way that it can be.
func soundPath(p string) bool {
	return p != "" && p != "." && path.Clean(p) == p && !strings.HasPrefix(p, "/") &&
		p != ".." && !strings.HasPrefix(p, "../") &&
		!strings.ContainsFunc(p, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '\\' || c == 0xfffd })
}

// parseDate reads the dates of Release files: RFC 1123, in universal time only,
// which may be called UTC, GMT, Z or +0000.
func parseDate(s string) (time.Time, error) {
	for _, zone := range []string{" UTC", " GMT", " Z", " +0000"} {
		if at, ok := strings.CutSuffix(s, zone); ok {
			t, err := time.Parse("Mon, 2 Jan 2006 15:04:05", at)
			if err != nil {
				return time.Time{}, fmt.Errorf("%.60q is not a date", s)
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%.60q is not a date in universal time", s)
}

// checkSuite says whether the release is the suite that was asked for, as apt judges
// it: by its Suite or its Codename, where a suite such as "buster/updates" is asked for
// by what stands before the slash. A release that names neither is believed.
func (r *Release) checkSuite(asked string) error {
	if strings.HasSuffix(asked, "/") || r.Suite == "" && r.Codename == "" {
		return nil
	}
	name, _, _ := strings.Cut(asked, "/")
	for _, is := range []string{r.Suite, r.Codename} {
		if is != "" && (is == asked || is == name) {
			return nil
		}
	}
	return fmt.Errorf("is of suite %q (%q)", r.Suite, r.Codename)
}

// hasComponent says whether the release has a component. It may list components with a
// directory before them ("updates/main", Debian's security archive).
func (r *Release) hasComponent(name string) bool {
	for _, c := range r.Components {
		if c == name || path.Base(c) == name {
			return true
		}
	}
	return false
}
