package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"ingot/internal/page"
)

// TestPage: people see a tree with their browser, under its name, and a private one with a token alone;
// files stay files.
func TestPage(t *testing.T) {
	s, h := served(t)
	h.Page = &page.Pages{Source: h, Base: "/team"}
	site := &Site{Top: http.NotFoundHandler(), Under: map[string]http.Handler{"team": h}}
	for _, path := range []string{"/team", "/team/", "/team//", "/team/image/web", "/team/?q=web"} {
		r := ask(site, "GET "+path)
		text := body(r)
		if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") || !strings.Contains(text, "/team/static/style.css") || !strings.Contains(text, s.Key.Fingerprint()) {
			t.Errorf("%s: %d %v", path, r.StatusCode, r.Header)
		}
	}
	for path, code := range map[string]int{"/team/image/..": 404, "/team/static/style.css": 200, "/team/static/": 404, "/team/images/": 404, "/team/images": 404, "/team/.state": 404, "/team/key.asc": 200} {
		if r := ask(site, "GET "+path); r.StatusCode != code || strings.Contains(r.Header.Get("Content-Type"), "html") && path != "/team/image/.." {
			t.Errorf("%s: %d %v", path, r.StatusCode, r.Header)
		}
	}
	if r := ask(site, "POST /team/"); r.StatusCode != 405 {
		t.Errorf("a POST is %d", r.StatusCode)
	}
	reader, _, _ := s.tokens(time.Time{})
	if r := ask(site, "GET /team/"); r.StatusCode != 401 || strings.Contains(body(r), "web") {
		t.Errorf("a private tree shows itself: %d", r.StatusCode)
	}
	if r := ask(site, "GET /team/", "Authorization: Bearer "+reader); r.StatusCode != 200 || r.Header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("with a token: %d %v", r.StatusCode, r.Header)
	}
}
