package compiler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ingot/internal/distro"
	"ingot/internal/distro/debian/debtest"
	"ingot/internal/fault"
	"ingot/internal/lock"
)

// snapshot is one of a lock, whose packages say what the archive was offered.
func snapshot(l *lock.Lock, offered []debtest.Deb) *Snapshot {
	s := &Snapshot{Lock: l}
	for _, ref := range Refs(l) {
		for _, d := range offered {
			if d.Name == ref.Name && d.Version == ref.Version {
				text := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\n%s\n", d.Name, d.Version, d.Arch, d.Fields)
				s.Packages = append(s.Packages, distro.Package{Ref: ref, Control: map[string]distro.ControlFile{"control": {Data: []byte(text)}}})
			}
		}
	}
	return s
}

// TestChooseFrom: what a group has is all that there is to choose from, to the digest, whatever the
// archives have by now, and nobody asks them.
func TestChooseFrom(t *testing.T) {
	offered := []string{"aa 1 Depends: bb | dd", "bb 1", "cc 3"}
	b := newBench(t, offered...)
	base, err := b.compiler.Compile(t.Context(), b.define(t, "packages: [aa, cc]"), nil, Move{})
	if err != nil {
		t.Fatal(err)
	}
	from := Move{From: snapshot(base, debs(offered...))}
	b.archive.Offer(t, then.Add(time.Minute), debs("aa 2 Depends: dd", "bb 2", "dd 4", "cc 4")...)
	b.compiler.Offline = true
	l, err := b.compiler.Compile(t.Context(), b.define(t, "packages: [aa]"), nil, from)
	if err != nil {
		t.Fatal(err)
	}
	if got := packages(l); got != "aa 1, base-files 12, bb 1" {
		t.Errorf("chose %s", got)
	}
	for _, ref := range l.Sets[0].Refs {
		found := false
		for _, r := range base.Sets[0].Refs {
			found = found || r == ref
		}
		if !found {
			t.Errorf("%+v is not the group's", ref)
		}
	}
	if l.Epoch != base.Epoch || len(l.Indexes) != 1 || l.Indexes[0] != base.Indexes[0] {
		t.Errorf("its indexes are %+v", l.Indexes)
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	if _, err := b.compiler.Compile(t.Context(), b.define(t, "packages: [dd]"), nil, from); fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "dd") {
		t.Errorf("what the group does not have: %v", err)
	}
	from.From.Packages = from.From.Packages[1:]
	if _, err := b.compiler.Compile(t.Context(), b.define(t, "packages: [aa]"), nil, from); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("what nobody could read: %v", err)
	}
	base.Release = "other"
	if _, err := b.compiler.Compile(t.Context(), b.define(t, "packages: [aa]"), nil, from); fault.CodeOf(err) != fault.Definition {
		t.Errorf("of another release: %v", err)
	}
}

// TestLike: versions of what both have are another lock's, and nothing comes because that has it.
func TestLike(t *testing.T) {
	b := newBench(t, "aa 2", "bb 2", "cc 2")
	like, err := b.compiler.Compile(t.Context(), b.define(t, "packages: [aa, bb, cc]"), nil, Move{})
	if err != nil {
		t.Fatal(err)
	}
	b.archive.Offer(t, then.Add(time.Minute), debs("aa 1", "aa 2", "aa 3", "bb 1", "bb 3", "dd 1", "dd 3")...)
	old, err := b.compiler.Compile(t.Context(), b.define(t, `packages: ["aa=1", "bb=1", "dd=1"]`), nil, Move{})
	if err != nil {
		t.Fatal(err)
	}
	def := b.define(t, "packages: [aa, bb, dd]")
	l, err := b.compiler.Compile(t.Context(), def, old, Move{Like: like})
	if err != nil {
		t.Fatal(err)
	}
	// bb 2 is gone.
	if got := packages(l); got != "aa 2, base-files 12, bb 3, dd 3" {
		t.Errorf("chose %s", got)
	}

	// Neither old versions nor those that are asked for are the newest.
	for _, c := range []struct {
		define string
		old    *lock.Lock
		move   Move
		want   string
	}{
		{"packages: [aa, bb, dd]", nil, Move{}, ""},
		{"packages: [aa, bb, dd]", old, Move{}, "aa 1 (3), bb 1 (3), dd 1 (3)"},
		{"packages: [aa, bb, dd]", old, Move{All: true}, ""},
		{"packages: [aa, bb, dd]", old, Move{Packages: []string{"aa"}}, "bb 1 (3), dd 1 (3)"},
		{`packages: ["aa=2", bb]`, nil, Move{}, "aa 2 (3)"},
	} {
		c.move.Latest = true
		_, err := b.compiler.Compile(t.Context(), b.define(t, c.define), c.old, c.move)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.define, err)
			}
		} else if fault.CodeOf(err) != fault.Choice || !strings.Contains(err.Error(), "not the newest there are: "+c.want) || strings.Count(err.Error(), "(") != strings.Count(c.want, "(") {
			t.Errorf("%s: %v", c.define, err)
		}
	}
}
