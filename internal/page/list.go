package page

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/catalog"
)

// perPage is how many images one page lists.
const perPage = 100

// A filter is one thing that images are chosen by.
type filter struct {
	Name, Label, Chosen string
	Options             []string
}

type listView struct {
	head
	Search       string
	Filters      []filter
	Rows         []row
	Found, Total int
	Filtered     bool
	Prev, Next   string // queries, or ""
	First, Last  int
}

// A row is an image, for all its architectures.
type row struct {
	Name, Distro, Release string
	Arches, Formats       []string
	Channels              []catalog.Channel
	Version               string
	Published             time.Time
	Size                  int64
	Versions              int
	Health                health
}

// Health is how an image stands.
type health struct {
	Class, Text string // Class is good, stale or bad
}

// staleAfter is after how long an image is called old: distributions fix something every week.
const staleAfter = 30 * 24 * time.Hour

func healthOf(v catalog.Version, now time.Time) health {
	switch age := now.Sub(v.Published); {
	case !v.Expires.IsZero() && !now.Before(v.Expires):
		return health{"bad", "expired"}
	case !v.Expires.IsZero() && v.Expires.Sub(now) < 7*24*time.Hour:
		return health{"stale", "expires in " + span(v.Expires.Sub(now))}
	case age > staleAfter:
		return health{"stale", "built " + span(age) + " ago"}
	}
	return health{"good", "current"}
}

// shown is the version that stands for an image: the stable one, else the newest.
func shown(i catalog.Image) catalog.Version {
	if v, ok := i.Channel(catalog.Stable); ok {
		return v
	}
	return i.Versions[len(i.Versions)-1]
}

// list are the images that a query asks for.
func (p *Pages) list(h head, c catalog.Catalog, q url.Values) listView {
	v := listView{head: h, Search: short(q.Get("q"))}
	options := map[string]map[string]bool{"distro": {}, "release": {}, "arch": {}, "format": {}, "channel": {}}
	chosen := map[string]string{}
	for name := range options {
		chosen[name] = short(q.Get(name))
		v.Filtered = v.Filtered || chosen[name] != ""
	}
	v.Filtered = v.Filtered || v.Search != ""
	var rows []row
	at := map[string]int{}
	all := map[string]bool{}
	for _, i := range c.Images {
		s := shown(i)
		has := map[string][]string{"distro": {s.Distro}, "release": {s.Release}, "arch": {i.Arch}}
		for _, a := range s.Artifacts {
			has["format"] = append(has["format"], a.Format)
		}
		for _, k := range i.Channels {
			has["channel"] = append(has["channel"], k.Name)
		}
		all[i.Name] = true
		ok := v.Search == "" || strings.Contains(strings.ToLower(i.Name+" "+s.Distro+" "+s.Release), strings.ToLower(v.Search))
		for name, values := range has {
			for _, value := range values {
				options[name][value] = true
			}
			ok = ok && (chosen[name] == "" || slices.Contains(values, chosen[name]))
		}
		if !ok {
			continue
		}
		n, there := at[i.Name]
		if !there {
			n, at[i.Name] = len(rows), len(rows)
			rows = append(rows, row{Name: i.Name, Distro: s.Distro, Release: s.Release, Version: s.Version, Published: s.Published, Size: s.Size(), Channels: i.Channels, Versions: len(i.Versions), Health: healthOf(s, h.Now)})
		}
		r := &rows[n]
		r.Arches = append(r.Arches, i.Arch)
		for _, f := range has["format"] {
			if !slices.Contains(r.Formats, f) {
				r.Formats = append(r.Formats, f)
			}
		}
	}
	v.Total, v.Found = len(all), len(rows)
	for _, name := range []string{"distro", "release", "arch", "format", "channel"} {
		f := filter{Name: name, Label: map[string]string{"distro": "Distribution", "release": "Release", "arch": "Architecture", "format": "Format", "channel": "Channel"}[name], Chosen: chosen[name]}
		for o := range options[name] {
			f.Options = append(f.Options, o)
		}
		slices.SortFunc(f.Options, cmp.Compare)
		v.Filters = append(v.Filters, f)
	}
	page, err := strconv.Atoi(q.Get("page"))
	if err != nil || page < 1 || page > 1+len(rows)/perPage {
		page = 1
	}
	from, to := min((page-1)*perPage, len(rows)), min(page*perPage, len(rows))
	v.Rows, v.First, v.Last = rows[from:to], from+1, to
	turn := func(n int) string {
		u := url.Values{"page": {strconv.Itoa(n)}}
		if v.Search != "" {
			u.Set("q", v.Search)
		}
		for name, value := range chosen {
			if value != "" {
				u.Set(name, value)
			}
		}
		return "?" + u.Encode()
	}
	if page > 1 {
		v.Prev = turn(page - 1)
	}
	if to < len(rows) {
		v.Next = turn(page + 1)
	}
	return v
}

// short bounds what a query gives back.
func short(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "") }
