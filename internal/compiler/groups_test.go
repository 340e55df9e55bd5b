package compiler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/distro/debian/debtest"
	"ingot/internal/fault"
	"ingot/internal/lock"
)

// A stock is the versions of groups that there are, by spec, the newest last.
type stock map[string][]*Version

// add adds a version: a lock whose packages say what the archive was offered.
func (s stock) add(spec string, l *lock.Lock, offered []debtest.Deb) {
	s[spec] = append(s[spec], &Version{
		Version: fmt.Sprintf("/example.org@test:main/%d-1-1", len(s[spec])+1), Lock: l,
		Packages: func(_ context.Context, refs []distro.Ref) ([]distro.Package, error) {
			return slices.DeleteFunc(snapshot(l, offered).Packages, func(p distro.Package) bool { return !slices.Contains(refs, p.Ref) }), nil
		},
	})
}

func (s stock) find(_ context.Context, spec string, kept *lock.Group) (*Version, error) {
	for _, v := range slices.Backward(s[spec]) {
		if kept == nil || kept.Version == v.Version {
			return v, nil
		}
	}
	return nil, fault.Newf(fault.NotFound, "%s was not found", spec)
}

// commit compiles a definition and makes a version of it.
func (b *bench) commit(t *testing.T, s stock, spec string, offered []string, define ...string) *lock.Lock {
	t.Helper()
	l, err := b.compiler.Compile(t.Context(), b.define(t, define...), nil, Move{})
	if err != nil {
		t.Fatal(err)
	}
	s.add(spec, l, debs(offered...))
	return l
}

// attributed are the packages of a set, each with its group, and what was asked for.
func attributed(l *lock.Lock, s lock.Set) string {
	var out []string
	for _, r := range s.Refs {
		text := r.Name + " " + r.Version
		if g, ok := l.Group(s, r); ok {
			text += " of " + g.Label
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, ", ") + "; asked " + strings.Join(s.Asked, " ")
}

func TestGroups(t *testing.T) {
	first := []string{"aa 1 Depends: bb", "bb 1", "cc 1 Depends: ee", "ee 1", "vv 1"}
	second := []string{"aa 2 Depends: bb", "bb 2", "cc 2 Depends: ee", "ee 2", "vv 2"}
	b := newBench(t, first...)
	groups := stock{}
	b.compiler.Group = groups.find
	base := b.commit(t, groups, "base", first, "packages: [aa, cc]")
	b.commit(t, groups, "docs", first, "packages: [cc]")
	b.archive.Offer(t, then.Add(time.Minute), debs(second...)...)
	b.commit(t, groups, "fixes", second, "packages: [bb, vv]")
	b.archive.Offer(t, then.Add(time.Hour), debs("aa 3 Depends: bb", "bb 3", "cc 3 Depends: ee", "ee 3", "vv 3", "dd 3 Depends: ee", "xx 3 Conflicts: bb")...)
	for _, c := range []struct{ summary, define, want string }{
		{"all of a group, weak references too", "groups: [base]", "aa 1 of base, base-files 12 of base, bb 1 of base, cc 1 of base, ee 1 of base; asked aa cc"},
		{"with packages of the archives", "groups: [base]\npackages: [dd]", "aa 1 of base, base-files 12 of base, bb 1 of base, cc 1 of base, dd 3, ee 1 of base; asked aa cc dd"},
		{"own words win", `groups: [base]` + "\n" + `packages: ["bb=3"]`, "aa 1 of base, base-files 12 of base, bb 3, cc 1 of base, ee 1 of base; asked aa bb=3 cc"},
		{"a patch adds nothing", "groups: [{spec: fixes, use: patch}]\npackages: [aa]", "aa 3, base-files 12 of fixes, bb 2 of fixes; asked aa"},
		{"a patch of a group", "groups: [base, {spec: fixes, use: patch}]", "aa 1 of base, base-files 12 of fixes, bb 2 of fixes, cc 1 of base, ee 1 of base; asked aa cc"},
		{"in any order", "groups: [{spec: fixes, use: patch}, base]", "aa 1 of base, base-files 12 of fixes, bb 2 of fixes, cc 1 of base, ee 1 of base; asked aa cc"},
		{"less another", "groups: [base, {spec: docs, use: subtract}]", "aa 1 of base, base-files 12 of base, bb 1 of base; asked aa"},
		{"less what nothing else needs", "groups: [base, {spec: docs, use: subtract}]\npackages: [dd]", "aa 1 of base, base-files 12 of base, bb 1 of base, dd 3, ee 1 of base; asked aa dd"},
		{"less what nobody asks for himself", "groups: [base, {spec: docs, use: subtract}]\npackages: [ee]", "aa 1 of base, base-files 12 of base, bb 1 of base, ee 1 of base; asked aa ee"},
		{"less what is removed", "groups: [base]\nremove: [cc]", "aa 1 of base, base-files 12 of base, bb 1 of base, ee 1 of base; asked aa"},
	} {
		l, err := b.compiler.Compile(t.Context(), b.define(t, strings.Split(c.define, "\n")...), nil, Move{})
		if err != nil {
			t.Errorf("%s: %v", c.summary, err)
			continue
		}
		if d := diff.Diff(c.want, attributed(l, l.Sets[0])); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.summary, d)
		}
		again, err := lock.Decode(lock.Encode(*l))
		if err != nil || again.Digest() != l.Digest() || attributed(again, again.Sets[0]) != attributed(l, l.Sets[0]) {
			t.Errorf("%s: its lock is read as %+v, %v", c.summary, again, err)
		}
		for _, r := range l.Sets[0].Refs {
			if g, ok := l.Group(l.Sets[0], r); ok && g.Label == "base" && !slices.Contains(base.Sets[0].Refs, r) {
				t.Errorf("%s: %+v is not the group's", c.summary, r)
			}
		}
		if l.Epoch != then.Add(time.Hour).Unix() {
			t.Errorf("%s: its clock is %d", c.summary, l.Epoch)
		}
	}
	for _, c := range []struct {
		define, want string
		code         fault.Code
	}{
		{"groups: [base, fixes]", "groups have different packages of one name: bb (1 of base, 2 of fixes)", fault.Choice},
		{"groups: [none]", "group none: none was not found", fault.NotFound},
		{"groups: [base]\npackages: [xx]", "", fault.NotFound},
		{"groups: [{spec: base, purpose: machine}]", "it has no packages for a machine", fault.NotFound},
	} {
		_, err := b.compiler.Compile(t.Context(), b.define(t, strings.Split(c.define, "\n")...), nil, Move{})
		if fault.CodeOf(err) != c.code || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v", c.define, err)
		}
	}
	groups["base"][0].Lock.Release = "other"
	if _, err := b.compiler.Compile(t.Context(), b.define(t, "groups: [base]"), nil, Move{}); fault.CodeOf(err) != fault.Definition {
		t.Errorf("of another release: %v", err)
	}
}

// TestGroupsStay: a lock keeps the version of a group that it has, until that is to move.
func TestGroupsStay(t *testing.T) {
	b := newBench(t, "aa 1", "bb 1")
	groups := stock{}
	b.compiler.Group = groups.find
	b.commit(t, groups, "base", []string{"aa 1"}, "packages: [aa]")
	b.commit(t, groups, "more", []string{"bb 1"}, "packages: [bb]")
	def := b.define(t, "groups: [base, more]")
	old, err := b.compiler.Compile(t.Context(), def, nil, Move{})
	if err != nil {
		t.Fatal(err)
	}
	b.archive.Offer(t, then.Add(time.Minute), debs("aa 2", "bb 2")...)
	b.commit(t, groups, "base", []string{"aa 2"}, "packages: [aa]")
	b.commit(t, groups, "more", []string{"bb 2"}, "packages: [bb]")
	def = b.define(t, "groups: [base, more]")
	if s, err := Compare(def, old); s != Fits || err != nil {
		t.Errorf("a lock without its repository: %v %v", s, err)
	}
	if s, err := Compare(b.define(t, "groups: [base, {spec: more, use: patch}]"), old); s != Stale || err != nil {
		t.Errorf("a lock of another use: %v %v", s, err)
	}
	def = b.define(t, "groups: [base, more]")
	for _, c := range []struct {
		move Move
		want string
	}{
		{Move{}, "aa 1, base-files 12, bb 1"},
		{Move{Packages: []string{"base"}}, "aa 2, base-files 12, bb 1"},
		{Move{Packages: []string{"aa"}}, "aa 1, base-files 12, bb 1"}, // which the group holds
		{Move{All: true}, "aa 2, base-files 12, bb 2"},
		{Move{All: true, Latest: true}, "aa 2, base-files 12, bb 2"},
	} {
		l, err := b.compiler.Compile(t.Context(), def, old, c.move)
		if err != nil {
			t.Fatal(err)
		}
		if got := packages(l); got != c.want {
			t.Errorf("%+v: chose %s", c.move, got)
		}
	}
	_, err = b.compiler.Compile(t.Context(), def, old, Move{Latest: true})
	if fault.CodeOf(err) != fault.Choice || !strings.Contains(err.Error(), "group base=/example.org@test:main/1-1-1 (/example.org@test:main/2-1-1), group more=") {
		t.Errorf("not the newest: %v", err)
	}
	moved, err := b.compiler.Compile(t.Context(), def, old, Move{Packages: []string{"base"}})
	if err != nil {
		t.Fatal(err)
	}
	if text := lock.Compare(old, moved).Text(); !strings.Contains(text, "group base /example.org@test:main/1-1-1 -> /example.org@test:main/2-1-1\n") {
		t.Errorf("it says:\n%s", text)
	}
	// Somebody put another version in its place.
	old.Groups[0].Lock = digest.Of([]byte("other"))
	if _, err := b.compiler.Compile(t.Context(), def, old, Move{}); fault.CodeOf(err) != fault.Verification {
		t.Errorf("another version: %v", err)
	}
}

// TestGroupFlavors: of a group each flavor of an image gets the one that suits it.
func TestGroupFlavors(t *testing.T) {
	b := newBench(t, "aa 1", "vm 1", "web 1")
	groups := stock{}
	b.compiler.Group = groups.find
	flavored := `flavors: {vmware: {packages: [vm]}}`
	b.commit(t, groups, "base", []string{"aa 1", "vm 1"}, "packages: [aa]", flavored)
	base := groups["base"][0]
	groups["base[vmware]"], groups["base[!vmware]"] = stock{"": {base}}[""], stock{"": {base}}[""]
	for _, c := range []struct{ define, want string }{
		{"groups: [base]", "aa 1 of base, base-files 12 of base; asked aa"},
		{`groups: ["base[vmware]"]`, "aa 1 of base, base-files 12 of base, vm 1 of base; asked aa vm"},
		{"groups: [base]\nflavors: {vmware: {packages: [web]}}", "aa 1 of base, base-files 12 of base; asked aa\naa 1 of base, base-files 12 of base, vm 1 of base, web 1; asked aa vm web"},
		{"groups: [{spec: base, when: vmware}]\nflavors: {vmware: {packages: [web]}}", "base-files 12; asked \naa 1 of base, base-files 12 of base, vm 1 of base, web 1; asked aa vm web"},
		{"groups: [base]\nflavors: {vmware: {without: {groups: [base]}}}", "aa 1 of base, base-files 12 of base; asked aa\nbase-files 12; asked "},
	} {
		l, err := b.compiler.Compile(t.Context(), b.define(t, strings.Split(c.define, "\n")...), nil, Move{})
		if err != nil {
			t.Errorf("%s: %v", c.define, err)
			continue
		}
		var got []string
		for _, s := range l.Sets {
			got = append(got, attributed(l, s))
		}
		if d := diff.Diff(c.want, strings.Join(got, "\n")); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.define, d)
		}
		if _, err := lock.Decode(lock.Encode(*l)); err != nil {
			t.Errorf("%s: %v", c.define, err)
		}
	}
	_, err := b.compiler.Compile(t.Context(), b.define(t, `groups: ["base[!vmware]"]`, `flavors: {vmware: {packages: [web]}}`), nil, Move{})
	if err != nil { // it takes the one that was asked for
		t.Error(err)
	}
	base.Lock.Sets = slices.DeleteFunc(base.Lock.Sets, func(s lock.Set) bool { return s.Flavor == "~!vmware" })
	_, err = b.compiler.Compile(t.Context(), b.define(t, "groups: [base]"), nil, Move{})
	if fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "no flavor that suits [!vmware is: x86_64]") || !strings.Contains(fault.HintOf(err), "vmware") {
		t.Errorf("no flavor suits: %v, %s", err, fault.HintOf(err))
	}
}

// TestGroupArchives: packages of a group may be of an archive that the image does not have.
func TestGroupArchives(t *testing.T) {
	b := newBench(t, "aa 1")
	groups := stock{}
	b.compiler.Group = groups.find
	l := b.commit(t, groups, "base", []string{"aa 1"}, "packages: [aa]")
	other := newBench(t, "cc 1", "dd 1")
	other.compiler.Group = groups.find
	other.dir = b.dir
	b.write(t, "key.asc", string(other.archive.Signer.Key))
	got, err := other.compiler.Compile(t.Context(), other.define(t, "packages: [cc]", "groups: [base]"), nil, Move{})
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
	want := []lock.Archive{
		{Name: "debian", URL: other.archive.URL, Suites: []string{"test"}, Components: []string{"main"}, Key: "key.asc"},
		{Name: "debian-2", URL: b.archive.URL, Suites: []string{"test"}, Components: []string{"main"}, Beside: true},
	}
	if d := diff.Diff(want, got.Archives); d != "" {
		t.Errorf("archives (-want +got):\n%s", d)
	}
	for _, r := range got.Sets[0].Refs {
		archive := map[bool]string{true: "debian-2", false: "debian"}[r.Name != "cc"]
		if r.Archive != archive {
			t.Errorf("%s is of %s", r.Name, r.Archive)
		}
		if r.Archive = "debian"; r.Name != "cc" && !slices.Contains(l.Sets[0].Refs, r) {
			t.Errorf("%+v is not the group's", r)
		}
	}
}
