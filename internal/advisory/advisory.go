// Package advisory reads what is known of vulnerabilities, and says which of them a
// source package of some version has.
//
// Two published formats are read: OSV (https://ossf.github.io/osv-schema/), one advisory
// or many, as JSON, as lines of JSON, as a list, as the zip of an ecosystem; and the JSON of Debian's security
// tracker. Both speak of source packages and of versions that are compared as the distribution
// does; nothing is guessed from names of files.
package advisory

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// A Feed is what was read, of the sources that were asked for.
type Feed struct {
	Format  string // "osv" or "debian"
	compare func(a, b string) int
	release Release
	speaks  bool // of the release, whatever it says
	by      map[string][]claim
}

// A Release is what versions are looked at for.
type Release struct {
	Distro  string // "debian"
	Release string // "bookworm"
}

// A Vulnerability is one that a source package has.
type Vulnerability struct {
	ID      string `json:"id"` // CVE-…, or an advisory's own where it names no CVE
	Source  string `json:"source"`
	Fixed   string `json:"fixed,omitempty"`   // the first version without it, if there is one
	Urgency string `json:"urgency,omitempty"` // as the feed says it
	Summary string `json:"summary,omitempty"`
}

// A claim is what a feed says of one source: versions in one of the spans have it.
type claim struct {
	Vulnerability
	spans    []span
	versions []string // that have it too
}

// A span is from a version on, up to another: without that (fixed) or with it (last).
type span struct{ from, fixed, last string }

func (s span) has(v string, compare func(a, b string) int) bool {
	switch {
	case s.from != "" && s.from != "0" && compare(v, s.from) < 0:
		return false
	case s.fixed != "":
		return compare(v, s.fixed) < 0
	case s.last != "":
		return compare(v, s.last) <= 0
	}
	return true
}

// Bounds of a feed: Debian's whole tracker has some 70 MB, an ecosystem's zip some 100.
const (
	maxFeed     = 1 << 30 // bytes, unpacked
	maxAdvisory = 64 << 20
)

// Read reads a feed. Only what it says of sources that want takes is kept. One that never
// speaks of the release is an error: it does not say that all is well.
func Read(name string, data []byte, release Release, compare func(a, b string) int, want func(source string) bool) (*Feed, error) {
	f := &Feed{compare: compare, release: release, by: map[string][]claim{}}
	var err error
	if bytes.HasPrefix(data, []byte("PK\x03\x04")) {
		err = f.readZip(data, want)
	} else {
		err = f.read(bytes.NewReader(data), want)
	}
	if err != nil {
		return nil, fault.Newf(fault.Verification, "feed %s: %w", name, err).
			WithHint("a feed is OSV (JSON or zip) or the JSON of Debian's security tracker")
	}
	if !f.speaks { // which is not that it has none
		return nil, fault.Newf(fault.NotFound, "feed %s says nothing of %s %s", name, release.Distro, release.Release).
			WithHint("take one that speaks of that release: OSV's of its distribution, or for Debian the tracker's")
	}
	return f, nil
}

func (f *Feed) readZip(data []byte, want func(string) bool) error {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	var total uint64
	for _, m := range z.File {
		if !strings.HasSuffix(m.Name, ".json") {
			continue
		}
		if total += m.UncompressedSize64; total > maxFeed {
			return fmt.Errorf("it is larger than %d MiB", maxFeed>>20)
		}
		r, err := m.Open()
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		err = f.read(io.LimitReader(r, int64(m.UncompressedSize64)), want)
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}

// read reads JSON: objects one after the other, or a list of them.
func (f *Feed) read(r io.Reader, want func(string) bool) error {
	b := bufio.NewReaderSize(r, 1<<16)
	d := json.NewDecoder(b)
	first := true
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && !first {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is no JSON: %w", err)
		}
		switch {
		case token == json.Delim('['):
			for d.More() {
				var v osv
				if err := d.Decode(&v); err != nil {
					return fmt.Errorf("it is no OSV: %w", err)
				}
				f.addOSV(v, want)
			}
			_, err = d.Token()
		case token == json.Delim('{'):
			err = f.object(d, want)
		default:
			return errors.New("it is neither an object nor a list")
		}
		if err != nil {
			return err
		}
		first = false
	}
}

// object reads an object that has begun: an OSV advisory, a list of them, or sources of the
// tracker. Which it is its first keys say.
func (f *Feed) object(d *json.Decoder, want func(string) bool) error {
	one := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return fmt.Errorf("it is no JSON: %w", err)
		}
		key, _ := token.(string)
		if key == "vulns" && len(one) == 0 {
			var list []osv
			if err := d.Decode(&list); err != nil {
				return fmt.Errorf("it is no OSV: %w", err)
			}
			for _, v := range list {
				f.addOSV(v, want)
			}
			continue
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("it is no JSON: %w", err)
		}
		if len(value) > maxAdvisory {
			return fmt.Errorf("%q has %d bytes", key, len(value))
		}
		if isOSV(key, value) || len(one) > 0 {
			one[key] = value
			continue
		}
		if err := f.addTracked(key, value, want); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	if len(one) == 0 {
		return nil
	}
	if _, ok := one["id"]; !ok {
		return errors.New("it has an advisory without an id")
	}
	text, err := json.Marshal(one)
	if err != nil {
		return err
	}
	var v osv
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("it is no OSV: %w", err)
	}
	f.addOSV(v, want)
	return nil
}

// isOSV says whether it is an advisory that has such a key: values of source packages are
// objects, whatever they are called.
func isOSV(key string, value json.RawMessage) bool {
	object := len(value) > 0 && value[0] == '{'
	switch key {
	case "database_specific":
		return true
	case "id", "schema_version", "modified", "published", "withdrawn", "aliases", "related", "upstream", "summary", "details", "severity", "affected", "references", "credits":
		return !object
	}
	return false
}

var cve = regexp.MustCompile(`CVE-[0-9]{4}-[0-9]{4,}`)

// CVEs are the numbers that a text mentions, each once, in order.
func CVEs(text string) []string {
	list := cve.FindAllString(text, -1)
	slices.SortFunc(list, Compare)
	return slices.Compact(list)
}

// Compare orders names of vulnerabilities: CVEs by year and number.
func Compare(a, b string) int {
	if c := strings.Compare(prefix(a), prefix(b)); c != 0 {
		return c
	}
	if len(a) != len(b) && cve.MatchString(a) && cve.MatchString(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// prefix is a name up to its number.
func prefix(id string) string { return id[:strings.LastIndexByte(id, '-')+1] }

// Has are the vulnerabilities that a version of a source has, by name.
func (f *Feed) Has(source, version string) []Vulnerability {
	var out []Vulnerability
	for _, c := range f.by[source] {
		if slices.Contains(c.versions, version) || slices.ContainsFunc(c.spans, func(s span) bool { return s.has(version, f.compare) }) {
			out = append(out, c.Vulnerability)
		}
	}
	slices.SortFunc(out, func(a, b Vulnerability) int { return Compare(a.ID, b.ID) })
	// Two advisories may name one CVE.
	return slices.CompactFunc(out, func(a, b Vulnerability) bool { return a.ID == b.ID })
}

// Len is how many claims are kept.
func (f *Feed) Len() int {
	n := 0
	for _, list := range f.by {
		n += len(list)
	}
	return n
}
