package advisory

import (
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
			// Events stand in the order of versions; each "introduced" begins a span.
			var open *span
			for _, e := range r.Events {
				if from, ok := e["introduced"]; ok {
					c.spans = append(c.spans, span{from: from})
					open = &c.spans[len(c.spans)-1]
				}
				if fixed, ok := e["fixed"]; ok && open != nil {
					open.fixed, c.Fixed = fixed, fixed
				}
				if last, ok := e["last_affected"]; ok && open != nil {
					open.last = last
				}
			}
		}
		for _, id := range v.names() {
			c.ID = id
			f.by[source] = append(f.by[source], c)
		}
	}
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
