package repository

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/group"
)

// TestFresh: an index is signed by nobody, so what was seen of it before is held against it.
func TestFresh(t *testing.T) {
	key, ring := newKey(t, "ours")
	_, other := newKey(t, "theirs")
	r := directory(t)
	publish := func(packages string, change func(*Candidate)) Record {
		t.Helper()
		c := candidate(t, packages)
		c.Key = key
		if change != nil {
			change(&c)
		}
		return commit(t, r, c)
	}
	reader := &Repository{Place: r.Place, Keys: ring, Now: r.Now, Seen: filepath.Join(t.TempDir(), "seen")}
	at := filepath.Join(strings.TrimPrefix(r.Place.String(), "file://"), "groups", "web", "index")
	state := func() []byte {
		t.Helper()
		b, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	play := func(index []byte) {
		t.Helper()
		if err := os.WriteFile(at, index, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// look takes the version of a branch that stands so far from the newest one.
	look := func(what string, back int, named bool, code fault.Code, says string) {
		t.Helper()
		x, err := reader.Index(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		on := x.on(branch(t, "/images.example@acme:main"))
		g, err := reader.Load(t.Context(), "web", on[len(on)-1-back])
		if err != nil {
			t.Fatal(err)
		}
		err = reader.Fresh(t.Context(), x, g, named)
		if fault.CodeOf(err) != code || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: exit code %d, %v", what, fault.CodeOf(err), err)
		}
	}

	publish("a", nil)
	first := state()
	look("the first", 0, false, fault.Done, "")
	publish("b", nil)
	second := state()
	look("an older one that was asked for", 1, true, fault.Done, "")
	play(first)
	look("the second is not yet known", 0, false, fault.Done, "")
	play(second)
	look("the second", 0, false, fault.Done, "")
	look("the first beside the second", 1, true, fault.Done, "")
	play(first)
	look("an old state", 0, false, fault.Verification, "lacks the newest version")
	look("an old state, of which a version is named", 0, true, fault.Verification, "lacks the newest version")

	// Another reader, who has seen nothing; one who believes nobody in particular; one who is told to.
	seen := reader.Seen
	reader.Seen = filepath.Join(t.TempDir(), "other")
	look("seen for the first time", 0, false, fault.Done, "")
	reader.Seen, reader.Keys = seen, nil
	look("no keys", 0, false, fault.Done, "")
	reader.Keys = ring
	play(second)
	look("whole again", 0, false, fault.Done, "")
	play(first)
	reader.Accept = true
	look("accepted", 0, false, fault.Done, "")
	reader.Accept = false
	look("and so from then on", 0, false, fault.Done, "")

	// A version that is gone because newer ones followed; one that the reader removed himself.
	play(second)
	look("the second", 0, false, fault.Done, "")
	second2 := publish("c", nil)
	publish("d", nil)
	x, err := r.Index(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(t.Context(), "web", []group.Version{x.Records[1].Version}); err != nil {
		t.Fatal(err)
	}
	look("an old one where what was seen is gone and newer ones are there", 2, true, fault.Done, "")
	look("the newest", 0, false, fault.Done, "")
	x, err = reader.Index(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Remove(t.Context(), "web", []group.Version{x.Records[len(x.Records)-1].Version}); err != nil {
		t.Fatal(err)
	}
	look("what was removed here", 0, false, fault.Done, "")

	// A newer line of the index whose statement nobody believes does not stand for what is gone.
	now := state()
	strange, _ := newKey(t, "strange")
	publish("e", func(c *Candidate) { c.Key = strange })
	r.Keys = nil
	if err := r.Remove(t.Context(), "web", []group.Version{second2.Version}); err != nil {
		t.Fatal(err)
	}
	look("behind a line of somebody else's", 1, true, fault.Verification, "lacks the newest version")
	reader.Keys = other
	play(now)
	reader.Keys = ring

	// Dates.
	later := r.Now().Add(36 * time.Hour)
	publish("f", func(c *Candidate) { c.Statement.Expires = later })
	look("before its date", 0, false, fault.Done, "")
	reader.Now = func() time.Time { return later.Add(time.Hour) }
	look("past its date", 0, false, fault.Verification, "is past its date")
	look("past its date, named", 0, true, fault.Done, "")
	reader.Accept = true
	look("past its date, accepted", 0, false, fault.Done, "")
}
