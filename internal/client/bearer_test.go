package client

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/fetch"
)

// TestBearer: a token goes to the server it is for, and nowhere that it redirects to.
func TestBearer(t *testing.T) {
	got := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		_, _ = w.Write([]byte("other"))
	}))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hush" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusFound)
	}))
	defer first.Close()
	show, err := Bearer([]string{first.URL}, "hush")
	if err != nil {
		t.Fatal(err)
	}
	var b fetch.Buffer
	if _, err := (&fetch.Client{Bearer: show}).Get(t.Context(), fetch.Want{Name: "x", URLs: []string{first.URL + "/x"}, Max: 100}, &b); err != nil || string(b.Bytes()) != "other" {
		t.Fatal(err)
	}
	if leaked := <-got; leaked != "" {
		t.Errorf("the other server got %q", leaked)
	}
	_, err = (&fetch.Client{Attempts: 1}).Get(t.Context(), fetch.Want{Name: "x", URLs: []string{first.URL + "/x"}, Max: 100}, &b)
	if !fetch.IsRefused(err) || fault.CodeOf(err) != fault.Unreachable {
		t.Errorf("without a token: %v", err)
	}
}

// TestBearerInPlain: no token goes over a network in plain.
func TestBearerInPlain(t *testing.T) {
	for mirror, ok := range map[string]bool{"https://host": true, "http://host": false, "http://127.0.0.1:80": true, "http://[::1]": true, "http://localhost": true, "file:///x": true} {
		_, err := Bearer([]string{"https://first", mirror}, "hush")
		if (err == nil) != ok || err != nil && (strings.Contains(err.Error(), "hush") || fault.CodeOf(err) != fault.Usage) {
			t.Errorf("%s: %v", mirror, err)
		}
	}
}
