package debian

import (
	"strings"
	"testing"

	"ingot/internal/distro"
)

// chosen is what a request comes to, as text.
func chosen(t *testing.T, u *Universe, req distro.Request) string {
	t.Helper()
	req.Arch = "amd64"
	refs, err := u.Resolve(req)
	if err != nil {
		return "error: " + err.Error()
	}
	var all []string
	for _, r := range refs {
		s := r.Name
		if r.Arch != "amd64" && r.Arch != "all" {
			s += ":" + r.Arch
		}
		if r.Version != "1" {
			s += "=" + r.Version
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

func TestResolve(t *testing.T) {
	const base = `
Package: base
Essential: yes
Pre-Depends: libc

Package: libc
Priority: optional
Multi-Arch: same

Package: init
Priority: required
Depends: libc

Package: apt
Priority: important

Package: editor
Priority: standard

Package: web
Depends: libc, server | httpd
Recommends: certs
Suggests: manual

Package: server
Priority: optional
Provides: httpd

Package: other
Priority: standard
Provides: httpd
Conflicts: server

Package: certs
Architecture: all

Package: manual

Package: page
Depends: httpd

Package: picky
Depends: libc (>= 2) | certs

Package: scripts
Depends: interpreter:any

Package: interpreter
Multi-Arch: allowed

Package: g++
Depends: libc

Package: old
Depends: gone

Package: loop-a
Depends: loop-b

Package: loop-b
Depends: loop-a
`
	const foreign = `#stable i386
Package: libc
Multi-Arch: same

Package: game
Depends: libc, web
`
	tests := []struct {
		summary string
		req     distro.Request
		want    string
	}{
		{"nothing", distro.Request{}, ""},
		{"a package and what it needs", distro.Request{Packages: []string{"web"}}, "libc server web"},
		{"and what it recommends", distro.Request{Packages: []string{"web"}, Recommends: true}, "certs libc server web"},
		{"a recommendation that must stay out", distro.Request{Packages: []string{"web"}, Recommends: true, Remove: []string{"certs"}}, "libc server web"},
		{"an alternative that must stay out", distro.Request{Packages: []string{"web"}, Remove: []string{"server"}}, "libc other web"},
		{"the same with a minus", distro.Request{Packages: []string{"web", "server-"}}, "libc other web"},
		{"a need that must stay out", distro.Request{Packages: []string{"web"}, Remove: []string{"libc"}}, "error: web 1 needs libc: libc is to stay out"},
		{"the provider of higher priority", distro.Request{Packages: []string{"page"}}, "other page"},
		{"the one asked for beside", distro.Request{Packages: []string{"page", "server"}}, "page server"},
		{"in whatever order", distro.Request{Packages: []string{"web", "other"}}, "libc other web"},
		{"a bound that sends to the next", distro.Request{Packages: []string{"picky"}}, "certs picky"},
		{"any architecture", distro.Request{Packages: []string{"scripts"}}, "interpreter scripts"},
		{"a name that ends in +", distro.Request{Packages: []string{"g++"}}, "g++ libc"},
		{"a plus", distro.Request{Packages: []string{"certs+"}}, "certs"},
		{"a circle", distro.Request{Packages: []string{"loop-a"}}, "loop-a loop-b"},
		{"a foreign package", distro.Request{Packages: []string{"game:i386"}}, "error: game:i386 1 needs web:i386: web:i386 is not in stable"},
		{"two architectures of one", distro.Request{Packages: []string{"libc", "libc:i386"}}, "libc libc:i386"},
		{"essential", distro.Request{Start: "essential"}, "base libc"},
		{"minbase", distro.Request{Start: "minbase"}, "apt base init libc"},
		{"standard", distro.Request{Start: "standard"}, "apt base editor init libc other"},
		{"start and more", distro.Request{Start: "essential", Packages: []string{"certs"}}, "base certs libc"},
		{"a glob", distro.Request{Packages: []string{"loop-*"}}, "loop-a loop-b"},
		{"an expression", distro.Request{Packages: []string{"^cert"}}, "certs"},
		{"what cannot be had is no part of a glob", distro.Request{Packages: []string{"gon*", "certs"}}, "certs"},
		{"no such start", distro.Request{Start: "tiny"}, `error: start "tiny": want essential, minbase or standard`},
	}
	u := world(t, Options{Arch: "amd64", Foreign: []string{"i386"}}, base, foreign)
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			if got := chosen(t, u, tt.req); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestResolveSuites(t *testing.T) {
	stable := "#stable\nPackage: app\nDepends: lib\n\nPackage: lib\n\nPackage: twice\nVersion: 1\n\nPackage: twice\nVersion: 1.5\n"
	backports := "#backports not-automatic but-upgrades\nPackage: app\nVersion: 2\nDepends: lib (>= 2)\n\nPackage: lib\nVersion: 2\n\nPackage: extra\nVersion: 2\n"
	wild := "#wild not-automatic\nPackage: app\nVersion: 3\n\nPackage: extra\nVersion: 3\n"
	tests := []struct {
		summary, target, packages, want string
	}{
		{"the normal suite", "", "app", "app lib"},
		{"the newest of one suite", "", "twice", "twice=1.5"},
		{"only in a last choice", "", "extra", "extra=2"},
		{"by release, with what it needs", "", "app/backports", "app=2 lib=2"},
		{"by codename", "", "app/wild-code", "app=3"},
		{"by version, which takes nothing along", "", "app=2", "error: app 2 needs lib (>= 2): stable, backports, wild has only lib 1"},
		{"by version, with what it needs", "", "app=2 lib=2", "app=2 lib=2"},
		{"a target release", "backports", "app", "app=2 lib=2"},
		{"a version by glob", "", "twice=1.*", "twice=1.5"},
		{"the newest", "", "app/newest", "app=3"},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			u := world(t, Options{Arch: "amd64", TargetRelease: tt.target}, stable, backports, wild)
			got := chosen(t, u, distro.Request{Packages: strings.Fields(tt.packages)})
			// What is offered is listed from all suites.
			if got != tt.want && !strings.HasPrefix(tt.want, "error: app 2 needs lib (>= 2)") ||
				strings.HasPrefix(tt.want, "error") && !strings.HasPrefix(got, "error: app 2 needs lib (>= 2)") {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestRef(t *testing.T) {
	x, err := ReadIndex(strings.NewReader(`Package: tool
Version: 1:2-3
Architecture: all
Filename: pool/main/t/tool/tool_2-3_all.deb
Size: 1234
SHA256: 00000000000000000000000000000000000000000000000000000000000000ff
`), Source{Archive: "debian", Suite: "stable", Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := NewUniverse(Options{Arch: "amd64"}, x)
	if err != nil {
		t.Fatal(err)
	}
	refs, err := u.Resolve(distro.Request{Arch: "amd64", Packages: []string{"tool"}})
	if err != nil || len(refs) != 1 {
		t.Fatal(refs, err)
	}
	want := distro.Ref{Name: "tool", Version: "1:2-3", Arch: "all", Archive: "debian",
		Location: "pool/main/t/tool/tool_2-3_all.deb", Size: 1234}
	want.SHA256[31] = 0xff
	if refs[0] != want {
		t.Errorf("got  %+v\nwant %+v", refs[0], want)
	}
}

// TestSortAsApt holds what a program with libstdc++'s std::sort made of the same
// pairs (key, place), sorted by key alone: the places, digested, tell what became
// of equals. The rows without a number of keys are made to drive quicksort to its
// limit, so that heapsort takes over.
func TestSortAsApt(t *testing.T) {
	type pair struct{ key, place int }
	for _, tt := range []struct {
		n, keys int
		want    uint32
	}{
		{17, 1, 1498360072},
		{17, 2, 325529230},
		{17, 7, 2333660510},
		{17, 1073741824, 1134447668},
		{100, 1, 4083244630},
		{100, 2, 1171558954},
		{100, 7, 3397840304},
		{100, 1073741824, 19802584},
		{5000, 1, 240560316},
		{5000, 2, 1101148376},
		{5000, 7, 2652702416},
		{5000, 1073741824, 319180070},
		{400, 0, 288780318},
		{4000, 0, 1041086750},
	} {
		a := make([]pair, tt.n)
		h := uint32(tt.n*31 + tt.keys)
		for i := range a {
			h = h*1664525 + 1013904223
			a[i].place = i
			if tt.keys > 0 {
				a[i].key = int(h>>8) % tt.keys
			}
		}
		if k := tt.n / 2; tt.keys == 0 {
			for i := 1; i <= k; i++ {
				if i%2 == 1 {
					a[i-1].key, a[i].key = i/4, (k+i)/4
				}
				a[k+i-1].key = 2 * i / 4
			}
		}
		sortAsApt(a, func(x, y pair) bool { return x.key < y.key })
		got := uint32(0)
		for i := range a {
			got = got*31 + uint32(a[i].place)
			if i > 0 && a[i].key < a[i-1].key {
				t.Fatalf("%d with %d keys: not in order at %d", tt.n, tt.keys, i)
			}
		}
		if got != tt.want {
			t.Errorf("%d with %d keys: places digest to %d, want %d", tt.n, tt.keys, got, tt.want)
		}
	}
}
