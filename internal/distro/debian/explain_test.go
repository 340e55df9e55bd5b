package debian

import (
	"strings"
	"testing"

	"ingot/internal/distro"
	"ingot/internal/fault"
)

// world makes a universe of stanzas that leave out what tests do not care for.
func world(t *testing.T, o Options, texts ...string) *Universe {
	t.Helper()
	var all []*Index
	for i, text := range texts {
		from := Source{Archive: "debian", Suite: "stable", Component: "main", Arch: o.Arch}
		// A first line "#suite pin-fields…" names the suite.
		if head, rest, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(head, "#") {
			f := strings.Fields(head[1:])
			from.Suite, from.Codename, text = f[0], f[0]+"-code", rest
			for _, word := range f[1:] {
				switch word {
				case "not-automatic":
					from.NotAutomatic = true
				case "but-upgrades":
					from.ButAutomaticUpgrades = true
				default:
					if name, ok := strings.CutPrefix(word, "asked="); ok {
						from.Asked = name
						continue
					}
					from.Arch = word
				}
			}
		}
		var full strings.Builder
		for s := range Stanzas([]byte(text)) {
			name, _ := s.Field("Package")
			full.WriteString(strings.TrimRight(string(s), "\n") + "\n")
			if _, ok := s.Field("Version"); !ok {
				full.WriteString("Version: 1\n")
			}
			if _, ok := s.Field("Architecture"); !ok {
				full.WriteString("Architecture: " + from.Arch + "\n")
			}
			full.WriteString("Filename: pool/" + name + ".deb\nSize: 1\nSHA256: " + strings.Repeat("0a", 32) + "\n\n")
		}
		x, err := ReadIndex(strings.NewReader(full.String()), from)
		if err != nil {
			t.Fatalf("index %d: %v", i, err)
		}
		all = append(all, x)
	}
	u, err := NewUniverse(o, all...)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestExplain(t *testing.T) {
	const stanzas = `
Package: app
Depends: lib (>= 2)

Package: lib

Package: lonely
Depends: nothing-like-it

Package: chain
Depends: link

Package: link
Depends: lonely

Package: red
Conflicts: colour
Provides: colour

Package: blue
Conflicts: colour
Provides: colour

Package: painter
Depends: blue

Package: either
Depends: lonely | app

Package: fussy
Depends: brush

Package: brush
Breaks: red
`
	u := world(t, Options{Arch: "amd64"}, stanzas)
	tests := []struct {
		summary, packages, remove string
		want, hint                string
	}{
		{"a bound that nothing keeps", "app", "",
			"app 1 needs lib (>= 2): stable has only lib 1", ""},
		{"a name that nobody has", "lonely", "",
			"lonely 1 needs nothing-like-it: nothing-like-it is not in stable", ""},
		{"far down", "chain", "",
			"lonely 1 needs nothing-like-it: nothing-like-it is not in stable (chain was asked for and needs link, which needs lonely)", ""},
		{"two that exclude each other", "red blue", "",
			"blue 1 conflicts with colour, which red 1 provides, and both are needed (blue was asked for; red was asked for)", ""},
		{"one of them is only needed", "red painter", "",
			"painter 1 needs blue: blue is excluded by red 1 (red was asked for)", ""},
		{"all alternatives", "either", "",
			"either 1 needs lonely or app: lonely 1 needs nothing-like-it: nothing-like-it is not in stable (either was asked for and needs lonely); " +
				"app 1 needs lib (>= 2): stable has only lib 1 (either was asked for and needs app)", ""},
		{"it must stay out", "painter", "blue",
			"painter 1 needs blue: blue is to stay out", ""},
		{"it would break what is there", "red fussy", "",
			"fussy 1 needs brush: brush excludes red", ""},
		{"unknown", "ap", "", `no package "ap" in stable`, "did you mean app?"},
		{"unknown to be kept out", "app", "blu", `no package "blu" in stable`, "did you mean blue?"},
		{"several", "ap lib=9 red nosuchthing", "blu",
			"4 of the packages cannot be had:\n    no package \"blu\" in stable; did you mean blue?\n    no package \"ap\" in stable; did you mean app?\n" +
				"    package \"lib\" has no version \"9\"; stable offers 1\n    no package \"nosuchthing\" in stable", "correct packages and remove in the definition"},
		{"virtual with a choice", "colour", "", `package "colour" is virtual: 2 packages provide it`, "name the one you want: blue or red"},
		{"only spoken of", "nothing-like-it", "", `package "nothing-like-it" is in no archive`, ""},
		{"no such version", "lib=3", "", `package "lib" has no version "3"`, "stable offers 1"},
		{"no such release", "lib/sid", "", `package "lib" is not in the release "sid"`, "stable offers 1"},
		{"a bad regular expression", "^[", "", `no package matches "^["`, ""},
		{"a bad pattern", "?what", "", `package pattern "?what": unknown pattern ?what`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.summary, func(t *testing.T) {
			refs, err := u.Resolve(distro.Request{Arch: "amd64", Packages: strings.Fields(tt.packages), Remove: strings.Fields(tt.remove)})
			if err == nil {
				t.Fatalf("got %v, want an error", refs)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
			if fault.HintOf(err) != tt.hint {
				t.Errorf("got hint %q, want %q", fault.HintOf(err), tt.hint)
			}
			if fault.CodeOf(err) != fault.NotFound {
				t.Errorf("got code %d, want %d", fault.CodeOf(err), fault.NotFound)
			}
		})
	}
}

// A version that would do and is passed over is not said to be missing, and a suite
// is called what the user called it.
func TestExplainPassedOver(t *testing.T) {
	u := world(t, Options{Arch: "amd64"},
		"#stable asked=stable-code\nPackage: app\nDepends: lib (>= 2)\n\nPackage: lib\n\nPackage: old\nDepends: lib (<< 2)\n\nPackage: far\nDepends: lib (>= 9)\n",
		"#stable-backports asked=stable-backports-code not-automatic but-upgrades\nPackage: lib\nVersion: 2\n")
	for _, tt := range []struct{ packages, want string }{
		{"app", "app 1 needs lib (>= 2): stable-backports-code has lib 2, which is taken from there only where it is asked for: lib/stable-backports-code"},
		{"app lib=1", "app 1 needs lib (>= 2): stable-backports-code has lib 2, but it is to be 1 (lib was asked for)"},
		{"old lib/stable-backports-code", "old 1 needs lib (<< 2): stable-code has lib 1, but it is to be 2 (lib was asked for)"},
		{"far", "far 1 needs lib (>= 9): stable-code, stable-backports-code has only lib 2 or 1"},
		{"nothing", `no package "nothing" in stable-code, stable-backports-code`},
	} {
		_, err := u.Resolve(distro.Request{Arch: "amd64", Packages: strings.Fields(tt.packages)})
		if err == nil || err.Error() != tt.want || fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s:\ngot  %v\nwant %s", tt.packages, err, tt.want)
		}
	}
	// What the first of them recommends is what works.
	if _, err := u.Resolve(distro.Request{Arch: "amd64", Packages: []string{"app", "lib/stable-backports-code"}}); err != nil {
		t.Errorf("as it was told: %v", err)
	}
}
