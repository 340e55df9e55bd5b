package advisory

import (
	"cmp"
	"slices"
	"strings"
)

// An osv is an advisory, as far as it is used here.
type osv struct {
	ID        string   `json:"id"`
	Aliases   []string `json:"aliases"`
	Upstream  []string `json:"upstream"`
	Related   []string `json:"related"`
	Withdrawn string   `json:"withdrawn"`
	Summary   string   `json:"summary"`
	Affected  []struct {
		Package struct {
			Ecosystem string `json:"ecosystem"`
			Name      string `json:"name"`
		} `json:"package"`
		Ranges []struct {
			Type   string              `json:"type"`
			Events []map[string]string `json:"events"`
		} `json:"ranges"`
		Versions          []string `json:"versions"`
		EcosystemSpecific struct {
			Urgency string `json:"urgency"`
		} `json:"ecosystem_specific"`
	} `json:"affected"`
}

// numbers are releases as OSV calls them, by distribution.
var numbers = map[string]map[string]string{
	"debian": {"buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14"},
	"ubuntu": {"bionic": "18.04", "focal": "20.04", "jammy": "22.04", "noble": "24.04"},
}

// isOf says whether an ecosystem is the release: "Debian:12", or "Debian" for all.
func (r Release) isOf(ecosystem string) bool {
	name, number, ok := strings.Cut(ecosystem, ":")
	if !strings.EqualFold(name, r.Distro) {
		return false
	}
	number, _, _ = strings.Cut(number, ":") // "22.04:LTS"
	return !ok || number == r.Release || number != "" && number == numbers[r.Distro][r.Release]
}

func (f *Feed) addOSV(v osv, want func(string) bool) {
	f.Format = "osv"
	for _, a := range v.Affected {
		f.speaks = f.speaks || f.release.isOf(a.Package.Ecosystem)
	}
	if v.Withdrawn != "" || v.ID == "" {
		return
	}
	for _, a := range v.Affected {
		source := a.Package.Name
		if !f.release.isOf(a.Package.Ecosystem) || !want(source) {
			continue
		}
		c := claim{versions: a.Versions, Vulnerability: Vulnerability{Source: source, Urgency: a.EcosystemSpecific.Urgency, Summary: v.Summary}}
		for _, r := range a.Ranges {
			if r.Type != "ECOSYSTEM" {
				continue
			}
			c.spans = append(c.spans, f.spans(r.Events)...)
		}
		for _, s := range c.spans {
			c.Fixed = cmp.Or(s.fixed, c.Fixed)
		}
		for _, id := range v.names() {
			c.ID = id
			f.by[source] = append(f.by[source], c)
		}
	}
}

// spans are the versions that events tell of. Each event counts from its version on, in
// whatever order they stand (https://ossf.github.io/osv-schema/#evaluation sorts them); of the same version
// they stay as they stand.
func (f *Feed) spans(events []map[string]string) []span {
	type event struct{ kind, version string }
	var list []event
	for _, e := range events {
		for _, kind := range []string{"introduced", "fixed", "last_affected"} {
			if v, ok := e[kind]; ok {
				list = append(list, event{kind, v})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b event) int {
		switch zero := "0"; { // which is before all versions
		case a.version == b.version:
			return 0
		case a.version == zero:
			return -1
		case b.version == zero:
			return 1
		}
		return f.compare(a.version, b.version)
	})
	var out []span
	open := false
	for _, e := range list {
		switch {
		case e.kind == "introduced" && !open:
			out, open = append(out, span{from: e.version}), true
		case e.kind == "fixed" && open:
			out[len(out)-1].fixed, open = e.version, false
		case e.kind == "last_affected" && open:
			out[len(out)-1].last, open = e.version, false
		}
	}
	return out
}

// names are the CVEs that an advisory is about, else its own.
func (v osv) names() []string {
	for _, list := range [][]string{{v.ID}, v.Aliases, v.Upstream, v.Related} {
		if found := CVEs(strings.Join(list, " ")); len(found) > 0 {
			return found
		}
	}
	return slices.Clone([]string{v.ID})
}
