package server

import (
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/token"
)

// tokens makes tokens for a tree, and makes it private.
func (s *stage) tokens(expires time.Time) (reader, writer, late string) {
	s.t.Helper()
	reader, r := token.New("reader", token.Read, s.clock, time.Time{})
	writer, w := token.New("writer", token.Publish, s.clock, time.Time{})
	late, l := token.New("late", token.Read, s.clock, expires)
	err := s.Place.(*Dir).SetAccess(s.t.Context(), func(token.List) (token.List, error) {
		return token.List{Private: true, Tokens: []token.Token{r, w, l}}, nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return reader, writer, late
}

// TestPrivate: without a token a private tree gives nothing out, and does not say what it has; and
// the tree beside it does not know of it.
func TestPrivate(t *testing.T) {
	open, h := served(t)
	secret, hidden := served(t)
	lxcPair(t, t.TempDir(), "web", "one")
	art := t.TempDir()
	lxcPair(t, art, "plans", "nobody knows")
	secret.publish(art, "")
	reader, writer, late := secret.tokens(time.Now().Add(-time.Second))
	site := &Site{Top: h, Under: map[string]http.Handler{"team": hidden}}

	all := secret.names(".")
	if len(all) < 20 {
		t.Fatal(all)
	}
	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+reader))
	for _, name := range append(all, "nothing", ".tokens", "") {
		path := "/team/" + name
		for what, fields := range map[string][]string{"nobody": nil, "a wrong token": {"Authorization: Bearer ingot_x"}, "an old token": {"Authorization: Bearer " + late}, "no token": {"Authorization: Bearer "}} {
			r := ask(site, "GET "+path, fields...)
			if text := body(r); r.StatusCode != 401 || text != "a token is needed\n" || len(r.Header.Values("WWW-Authenticate")) != 2 || r.Header.Get("ETag") != "" {
				t.Errorf("%s gets %s: %d %.40q %v", what, path, r.StatusCode, text, r.Header)
			}
		}
		want := 200
		if name == "nothing" || name == ".tokens" || name == "" {
			want = 404
		}
		for _, field := range []string{"Authorization: Bearer " + reader, "Authorization: bearer " + writer, basic} {
			r := ask(site, "GET "+path, field)
			if got := body(r); r.StatusCode != want || want == 200 && got != secret.read(name) {
				t.Errorf("%s gets %s: %d", field, path, r.StatusCode)
			}
			if cache := r.Header.Get("Cache-Control"); strings.Contains(cache, "public") || r.Header.Get("Vary") == "" {
				t.Errorf("%s may be kept for others: %q", path, cache)
			}
		}
	}
	if r := ask(site, "POST /team/key.asc"); r.StatusCode != 401 {
		t.Errorf("a POST of nobody gets %d", r.StatusCode)
	}
	for _, name := range open.names(".") {
		r := ask(site, "GET //"+name)
		if text := body(r); r.StatusCode != 200 || strings.Contains(text, "plans") {
			t.Errorf("%s: %d, or it tells of the private image", name, r.StatusCode)
		}
	}
	// A token that was taken back is good no more, at once.
	if err := secret.Place.(*Dir).SetAccess(t.Context(), func(l token.List) (token.List, error) { l, _ = l.Remove("reader"); return l, nil }); err != nil {
		t.Fatal(err)
	}
	if r := ask(site, "GET /team/key.asc", "Authorization: Bearer "+reader); r.StatusCode != 401 {
		t.Errorf("a token that was taken back gets %d", r.StatusCode)
	}
	// A list that cannot be read opens nothing.
	if err := os.WriteFile(filepath.Join(secret.dir, token.Path), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := ask(site, "GET /team/key.asc"); r.StatusCode != 500 {
		t.Errorf("with a broken list it is %d", r.StatusCode)
	}
}

// TestTokenInPlain: where clients come by TLS, a token in plain opens nothing.
func TestTokenInPlain(t *testing.T) {
	s, h := served(t)
	reader, _, _ := s.tokens(time.Time{})
	h.Secure = true
	if r := ask(h, "GET /key.asc", "Authorization: Bearer "+reader); r.StatusCode != 403 || !strings.Contains(body(r), "https") {
		t.Errorf("in plain it is %d", r.StatusCode)
	}
	r := httptest.NewRequest("GET", "https://host/key.asc", nil)
	r.TLS = &tls.ConnectionState{}
	r.Header.Set("Authorization", "Bearer "+reader)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 200 {
		t.Errorf("by TLS it is %d", w.Code)
	}
}

func TestSiteName(t *testing.T) {
	for name, ok := range map[string]bool{"team": true, "blobs": false, "key.asc": false, "": false, "a/b": false, ".x": false, "ingot": false} {
		if err := SiteName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
