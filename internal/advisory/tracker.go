package advisory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// tracked is what Debian's tracker says of a vulnerability of a source.
type tracked struct {
	Description string `json:"description"`
	Releases    map[string]struct {
		Status  string `json:"status"` // "open", "resolved" or "undetermined"
		Fixed   string `json:"fixed_version"`
		Urgency string `json:"urgency"`
	} `json:"releases"`
}

func (f *Feed) addTracked(source string, text json.RawMessage, want func(string) bool) error {
	f.Format = "debian"
	if !want(source) {
		// Not read, but it may show that the feed has the release.
		f.speaks = f.speaks || bytes.Contains(text, []byte(strconv.Quote(f.release.Release)))
		return nil
	}
	var list map[string]tracked
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("it is not the tracker's: source %q: %w", source, err)
	}
	for id, t := range list {
		r, ok := t.Releases[f.release.Release]
		if !ok {
			continue
		}
		f.speaks = true
		c := claim{Vulnerability: Vulnerability{ID: id, Source: source, Urgency: r.Urgency, Summary: t.Description}}
		switch {
		case r.Status == "open":
			c.spans = []span{{}}
		case r.Status == "resolved" && r.Fixed != "" && r.Fixed != "0": // 0: it never had it
			c.Fixed = r.Fixed
			c.spans = []span{{fixed: r.Fixed}}
		default:
			continue
		}
		f.by[source] = append(f.by[source], c)
	}
	return nil
}
