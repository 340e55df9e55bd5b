package server

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/upstream"
)

// TestTake copies a tree by what others read of it, and signs it anew.
func TestTake(t *testing.T) {
	theirs := newStage(t)
	art := t.TempDir()
	lxcPair(t, art, "web", "one")
	theirs.publish(art, "")
	theirs.clock = theirs.clock.Add(time.Minute)
	art = t.TempDir()
	lxcPair(t, art, "web", "two")
	theirs.publish(art, "testing")
	h, err := NewHandler(theirs.dir)
	if err != nil {
		t.Fatal(err)
	}
	change := func(_ string, b []byte) []byte { return b }
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		w.WriteHeader(rec.Code)
		_, _ = w.Write(change(r.URL.Path, rec.Body.Bytes()))
	}))
	t.Cleanup(func() { srv.Close(); _ = h.Close() })

	source := func() *upstream.Source {
		return &upstream.Source{URL: srv.URL, Fetch: &fetch.Client{Attempts: 1}, Keys: theirs.ring(), Now: theirs.Now}
	}
	mine := newStage(t)
	mine.clock = theirs.clock
	take := func(o upstream.Offer) error {
		dir := t.TempDir()
		v, err := o.Bring(t.Context(), o.Version, dir)
		if err != nil {
			return err
		}
		_, err = mine.Take(t.Context(), Incoming{catalog.Image{Name: o.Name, Arch: o.Arch, Variant: o.Variant}, o.Channels, v, dir})
		return err
	}
	offers, err := source().List(t.Context(), "lxc")
	if err != nil || len(offers) != 2 || offers[0].Name != "debian-bookworm-web" || offers[1].Variant != "web@testing" {
		t.Fatalf("%+v, %v", offers, err)
	}
	for _, o := range offers {
		if err := take(o); err != nil {
			t.Fatal(err)
		}
		there, err := mine.Has(catalog.Image{Name: o.Name, Arch: o.Arch}, o.Channels, o.Version)
		if !there || err != nil {
			t.Errorf("%s is not there, %v", o.Name, err)
		}
	}
	mine.sound()
	// Its clients find each where they found it there.
	where := func(index string) string {
		var out []string
		for line := range strings.Lines(index) {
			c := strings.Split(line, ";")
			out = append(out, strings.Join(c[:5], ";"))
		}
		return strings.Join(out, "\n")
	}
	if a, b := where(theirs.read("meta/1.0/index-user")), where(mine.read("meta/1.0/index-user")); a != b {
		t.Errorf("LXC finds\n%s\nand there\n%s", b, a)
	}
	// Once more, nothing changes.
	before := mine.read(catalog.Path)
	if err := take(offers[0]); err != nil || mine.read(catalog.Path) != before {
		t.Errorf("a second time: %v", err)
	}

	// What does not hold is not taken.
	fresh := func() { mine = newStage(t); mine.clock = theirs.clock }
	refused := func(summary string, code fault.Code, err error) {
		t.Helper()
		if fault.CodeOf(err) != code {
			t.Errorf("%s: code %d, %v", summary, fault.CodeOf(err), err)
		}
	}
	fresh()
	change = func(name string, b []byte) []byte {
		if strings.HasSuffix(name, "/rootfs.tar.xz") {
			return append(bytes.Clone(b), 'x')
		}
		return b
	}
	refused("another file", fault.Verification, take(offers[0]))
	if _, err := os.Stat(filepath.Join(mine.dir, catalog.Path)); err == nil {
		t.Error("something was published all the same")
	}
	change = func(name string, b []byte) []byte {
		if strings.HasSuffix(name, "/index-system") {
			return append(bytes.Clone(b), "debian;x;amd64;default;20260930_0607;/images/x/\n"...)
		}
		return b
	}
	_, err = source().List(t.Context(), "lxc")
	refused("another index", fault.Verification, err)
	change = func(_ string, b []byte) []byte { return b }
	other := source()
	other.Keys = mine.ring()
	_, err = other.List(t.Context(), "lxc")
	refused("another key", fault.Verification, err)
	other.Keys = nil
	_, err = other.List(t.Context(), "lxc")
	refused("no key", fault.Verification, err)
	other.Plain = true
	_, err = other.List(t.Context(), "lxc")
	refused("neither key nor TLS", fault.Verification, err)
}
