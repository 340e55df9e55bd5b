package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ingot/internal/catalog"
	"ingot/internal/fault"
)

// A Site is several trees on one address: one at its top, others each under a name.
type Site struct {
	Top   http.Handler
	Under map[string]http.Handler
}

// SiteName refuses names under which a tree would cover what is at the top.
func SiteName(name string) error {
	taken := []string{"blobs", "images", "ingot", "meta", "streams", "pks", "key.asc", "index.asc", "static"}
	if !catalog.IsName(name) || slices.Contains(taken, name) {
		return fault.Newf(fault.Usage, "a tree cannot lie under %q", name).WithHint("choose a name of letters, digits and . _ + - that is none of a tree's: %s", strings.Join(taken, ", "))
	}
	return nil
}

// ServeHTTP passes a request on to the tree that it is for.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first, rest, _ := strings.Cut(strings.TrimLeft(r.URL.Path, "/"), "/")
	h, ok := s.Under[first]
	if !ok {
		s.Top.ServeHTTP(w, r)
		return
	}
	u := new(url.URL)
	*u = *r.URL
	u.Path, u.RawPath = "/"+rest, ""
	inner := new(http.Request)
	*inner = *r
	inner.URL = u
	h.ServeHTTP(w, inner)
}
