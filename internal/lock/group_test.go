package lock

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// grouped is a lock of flavors whose packages are of groups: bash of one in all of them, curl of
// another one in one of them.
func grouped() Lock {
	l := flavored()
	l.Archives[1].Beside = true
	l.Groups = []Group{
		{Label: "fixes", Use: "patch", Spec: "fixes=:stable[~!xen is: x86_64]", Version: "/images.example@acme:stable/7-1-1", Lock: of("fixes")},
		{Label: "base", Use: "include", Spec: "base", Version: "/images.example@acme:devel/4-1-1", Lock: of("base")},
	}
	for i := range l.Sets {
		s := &l.Sets[i]
		for _, r := range s.Refs {
			switch {
			case r.Name == "bash", r.Name == "curl" && s.Flavor == "~kernel,vmware":
				s.SetGroup(r, "base")
			case r.Name == "curl" && s.Flavor == "kernel,~!vmware":
				s.SetGroup(r, "fixes")
			}
		}
	}
	return l
}

// TestGroups: groups are lines of their own, and words behind packages.
func TestGroups(t *testing.T) {
	l := grouped()
	text := Encode(l)
	for _, line := range []string{
		"\ngroup base include base /images.example@acme:devel/4-1-1 " + of("base").String() + "\ngroup fixes patch \"fixes=:stable[~!xen is: x86_64]\" /images.example@acme:stable/7-1-1 " + of("fixes").String() + "\n\n",
		"bash_5.2.15-2+b7_amd64.deb base\n", "\n  beside\n",
		// A package that is only of another group is a line of a set that is written as what differs.
		"  - curl amd64\n  + curl 7.88.1-10 amd64 1234 " + of("curl7.88.1-10amd64").String() + " debian pool/main/c/curl/curl_7.88.1-10_amd64.deb fixes\n",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("it lacks %q:\n%s", line, text)
		}
	}
	read, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if again := Encode(*read); !bytes.Equal(again, text) {
		t.Errorf("read and written again:\n%s", cmp.Diff(string(text), string(again)))
	}
	for _, s := range l.Sets {
		got, _ := read.Set(s.Arch, s.Purpose, s.Flavor)
		for _, r := range s.Refs {
			want, ok := l.Group(s, r)
			if g, there := read.Group(got, r); g != want || there != ok {
				t.Errorf("%s of %s is of %v, want %v", r.Name, s.Name(), g, want)
			}
		}
	}
	other := grouped()
	other.Sets[0].SetGroup(other.Sets[0].Refs[2], "fixes")
	if other.Digest() == l.Digest() {
		t.Error("whose a package is, is no part of the digest")
	}
}

func TestGroupsAreChecked(t *testing.T) {
	for says, change := range map[string]func(l *Lock){
		`of group "nothing", which it does not have`:     func(l *Lock) { l.Sets[0].SetGroup(l.Sets[0].Refs[0], "nothing") },
		"has group base twice, or under":                 func(l *Lock) { l.Groups[0] = l.Groups[1] },
		`for a use that is none: "merge"`:                func(l *Lock) { l.Groups[0].Use = "merge" },
		"of a version that is none: \"/a@b:c\"":          func(l *Lock) { l.Groups[0].Version = "/a@b:c" },
		"of a version that is none: \"4\"":               func(l *Lock) { l.Groups[0].Version = "4" },
		"has a group that is none":                       func(l *Lock) { l.Groups[0].Spec = "a=b=c" },
		"without a digest":                               func(l *Lock) { l.Groups[0].Lock = Group{}.Lock },
		`has group base twice, or under the label "a b"`: func(l *Lock) { l.Groups[1].Label = "a b" },
	} {
		l := grouped()
		change(&l)
		if err := l.Check(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

func TestGroupsAreCompared(t *testing.T) {
	before, after := grouped(), grouped()
	after.Groups = slices.Clone(after.Groups)
	after.Groups[0].Use = "include"
	after.Groups[1].Version, after.Groups[1].Lock = "/images.example@acme:devel/5-1-1", of("five")
	after.Groups = append(after.Groups, Group{Label: "docs", Use: "subtract", Spec: "docs", Version: "/images.example@acme:devel/1-1-1", Lock: of("docs")})
	want := `group base /images.example@acme:devel/4-1-1 -> /images.example@acme:devel/5-1-1
added group docs /images.example@acme:devel/1-1-1 (subtract)
group fixes /images.example@acme:stable/7-1-1 (patch -> include)
`
	if d := cmp.Diff(want, Compare(&before, &after).Text()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}
