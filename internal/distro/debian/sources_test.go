package debian

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/fetch"
	"ingot/internal/lock"
)

// machine makes a root directory of files given as text: "path:" lines, contents
// indented by a tab below them.
func machine(t *testing.T, files string) string {
	t.Helper()
	root := t.TempDir()
	var name, text string
	write := func() {
		if name == "" {
			return
		}
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(files) {
		if rest, ok := strings.CutPrefix(line, "\t"); ok {
			text += rest
		} else if line != "\n" {
			write()
			name, text = strings.TrimSuffix(line, ":\n"), ""
		}
	}
	write()
	return root
}

func TestAptSources(t *testing.T) {
	for _, test := range []struct{ summary, files, want string }{
		{summary: "nothing"},
		{summary: "one-line entries", files: `
etc/apt/sources.list:
	# a comment
	deb http://a.example/debian bookworm main contrib # more
	deb-src http://a.example/debian bookworm main
	debug http://a.example/debian bookworm main
	deb	[ arch=amd64 signed-by=/k.gpg ]  https://b.example/debian/	trixie  main
	deb [arch=amd64 http://c.example/debian trixie main
	deb http://d.example/debian
	deb http://e.example/flat ./
`, want: `
http://a.example/debian | bookworm | main contrib |
https://b.example/debian | trixie | main | /k.gpg
http://e.example/flat | ./ |  |
`},
		{summary: "stanzas", files: `
etc/apt/sources.list.d/x.sources:
	# first
	Types: deb deb-src
	URIs: http://a.example/debian
	 http://b.example/debian/
	# within
	Suites: trixie trixie-updates
	Components: main
	Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	
	Types: deb
	Enabled: no
	URIs: http://off.example/debian
	Suites: trixie
	Components: main
	
	Types: deb-src
	URIs: http://source.example/debian
	Suites: trixie
	
	types: deb
	uris: http://c.example/debian
	suites: sid
	components: main
`, want: `
http://a.example/debian http://b.example/debian | trixie trixie-updates | main | /usr/share/keyrings/debian-archive-keyring.gpg
http://c.example/debian | sid | main |
`},
		{summary: "files by name, other suffixes left alone", files: `
etc/apt/sources.list.d/b.list:
	deb http://b.example/debian sid main
etc/apt/sources.list.d/a.list:
	deb http://a.example/debian sid main
etc/apt/sources.list.d/a.list.save:
	deb http://no.example/debian sid main
etc/apt/sources.list:
	deb http://first.example/debian sid main
`, want: `
http://first.example/debian | sid | main |
http://a.example/debian | sid | main |
http://b.example/debian | sid | main |
`},
		{summary: "what cannot be fetched from is left out, lists are read", files: `
etc/apt/sources.list:
	deb cdrom:[Debian] bookworm main
	deb tor+http://onion.example/debian bookworm main
	deb file:/srv/debian bookworm main
	deb mirror+file:/etc/apt/mirrors/debian.list bookworm main
	deb mirror+file:/etc/apt/mirrors/none.list bookworm main
	deb mirror+file:/../../../etc/hostname bookworm main
etc/apt/mirrors/debian.list:
	https://m.example/debian	priority:1
	
	https://n.example/debian
`, want: `
file:///srv/debian | bookworm | main |
https://m.example/debian https://n.example/debian | bookworm | main |
`},
		{summary: "nonsense", files: "etc/apt/sources.list:\n\t\x00\xff\n\tdeb\n\tdeb [\n\tdeb []\n\tdeb ] x y\n" +
			"etc/apt/sources.list.d/x.sources:\n\tTypes\n\t: deb\n\t\n\tTypes: deb\n\tURIs:\n\tSuites: a\n", want: ""},
	} {
		t.Run(test.summary, func(t *testing.T) {
			var got strings.Builder
			for _, s := range AptSources(machine(t, test.files)) {
				line := fmt.Sprint(strings.Join(s.URIs, " "), " | ", strings.Join(s.Suites, " "), " | ", strings.Join(s.Components, " "), " | ", s.SignedBy)
				got.WriteString(strings.TrimRight(line, " ") + "\n")
			}
			if want := strings.TrimPrefix(test.want, "\n"); got.String() != want {
				t.Errorf("got:\n%swant:\n%s", &got, want)
			}
		})
	}
}

func TestAptSourcesBounded(t *testing.T) {
	root := machine(t, "etc/apt/sources.list:\n\tdeb http://a.example/debian sid main\n")
	big := strings.Repeat("deb http://big.example/debian sid main\n", maxSourcesFile/30)
	dir := filepath.Join(root, "etc/apt/sources.list.d")
	if err := os.MkdirAll(filepath.Join(dir, "dir.list"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "big.list"), []byte(big), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "out.list")); err != nil {
		t.Fatal(err)
	}
	if got := AptSources(root); len(got) != 1 {
		t.Errorf("got %d entries, want that of sources.list alone", len(got))
	}
	if got := AptSources(filepath.Join(root, "none")); got != nil {
		t.Errorf("got %v for no machine at all", got)
	}
}

func TestRoots(t *testing.T) {
	const host = `
etc/apt/sources.list:
	deb [signed-by=/usr/share/keyrings/docker.gpg] https://docker.example/linux/debian bookworm stable
	deb https://unsigned.example/linux/debian bookworm stable
	deb https://pgdg.example/pub/repos/apt bookworm-pgdg main
	deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://m.example/debian bookworm main
	deb http://m.example/debian bookworm-updates main
	deb http://m.example/debian-security bookworm-security main
`
	const mainOnly = "etc/apt/sources.list:\n\tdeb http://m.example/pub/debian/ trixie main contrib\n"
	const private = "etc/apt/sources.list:\n\tdeb https://u:p@p.example/debian bookworm main\n"
	const own, security = mainURL, securityURL
	frozen := strings.Replace(mainURL, "//deb.", "//snapshot.", 1) + "/20250101T000000Z"
	old := strings.Replace(strings.TrimSuffix(securityURL, "/debian-security"), "//deb.", "//security.", 1)
	stable := []string{"bookworm", "bookworm-updates"}
	for _, test := range []struct {
		summary   string
		flag, env string
		host      string
		archive   lock.Archive
		want      string
	}{
		{summary: "nothing known", archive: lock.Archive{URL: own, Suites: stable}, want: own + " PUBLIC"},
		{summary: "nothing known, security", archive: lock.Archive{URL: security, Suites: []string{"bookworm-security"}}, want: security + " PUBLIC-security"},
		{summary: "the machine's sources", host: host, archive: lock.Archive{URL: own, Suites: stable}, want: "http://m.example/debian " + own + " PUBLIC"},
		{summary: "the machine's sources, another release", host: host, archive: lock.Archive{URL: own, Suites: []string{"sid"}}, want: "http://m.example/debian " + own + " PUBLIC"},
		{summary: "the machine's sources, security", host: host, archive: lock.Archive{URL: security, Suites: []string{"bookworm-security"}},
			want: "http://m.example/debian-security " + security + " PUBLIC-security"},
		{summary: "security beside what the machine names", host: mainOnly, archive: lock.Archive{URL: security, Suites: []string{"trixie-security"}},
			want: "http://m.example/pub/debian-security " + security + " PUBLIC-security"},
		{summary: "environment before the machine", env: "http://e.example/debian", host: host, archive: lock.Archive{URL: own, Suites: stable}, want: "http://e.example/debian"},
		{summary: "flag before environment", flag: "http://f.example/d/", env: "http://e.example/debian", archive: lock.Archive{URL: own, Suites: stable}, want: "http://f.example/d"},
		{summary: "flag, security", flag: "http://f.example/debian/", host: host, archive: lock.Archive{URL: security, Suites: []string{"bookworm-security"}},
			want: "http://f.example/debian-security http://m.example/debian-security " + security + " PUBLIC-security"},
		{summary: "flag that is a directory", flag: "/srv/mirror/debian", archive: lock.Archive{URL: own, Suites: stable}, want: "file:///srv/mirror/debian"},
		{summary: "an archive placed elsewhere", host: host, archive: lock.Archive{URL: "http://corp.example/debian", Suites: stable}, want: "http://corp.example/debian"},
		{summary: "an archive placed elsewhere, but a flag", flag: "http://f.example/debian", archive: lock.Archive{URL: "http://corp.example/debian", Suites: stable}, want: "http://f.example/debian"},
		{summary: "a snapshot stays", flag: "http://f.example/debian", host: host,
			archive: lock.Archive{URL: frozen, Suites: stable}, want: frozen},
		{summary: "a third party's stays", flag: "http://f.example/debian", host: host,
			archive: lock.Archive{URL: "https://docker.example/linux/debian", Suites: []string{"bookworm"}, Key: "docker.asc"}, want: "https://docker.example/linux/debian"},
		{summary: "a third party's without suites of Debian", flag: "http://f.example/debian",
			archive: lock.Archive{URL: "https://x.example/debian", Suites: []string{"nodistro"}}, want: "https://x.example/debian"},
		{summary: "security at its old place", env: "http://e.example/debian",
			archive: lock.Archive{URL: old, Suites: []string{"bullseye-security"}},
			want:    "http://e.example/debian-security " + old + " PUBLIC-security"},
		// Locks have addresses without passwords; who knows the password still gets in.
		{summary: "a lock's mirror, by the machine's sources", host: private, archive: lock.Archive{URL: "https://p.example/debian", Suites: stable}, want: "https://u:p@p.example/debian"},
		{summary: "a lock's mirror, security", host: private, archive: lock.Archive{URL: "https://p.example/debian-security", Suites: []string{"bookworm-security"}},
			want: "https://u:p@p.example/debian-security"},
		{summary: "a lock's mirror of another name", env: "https://u:p@p.example/mine", archive: lock.Archive{URL: "https://p.example/mine", Suites: stable}, want: "https://u:p@p.example/mine"},
		{summary: "a lock's mirror, without a password for it", host: private, archive: lock.Archive{URL: "http://p.example/debian", Suites: stable}, want: "http://p.example/debian"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			m := Mirrors{Flag: test.flag, Env: test.env, Host: AptSources(machine(t, test.host))}
			got := strings.Join(m.Roots(test.archive), " ")
			if want := strings.ReplaceAll(test.want, "PUBLIC", publicURL); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestIsAddress(t *testing.T) {
	for place, want := range map[string]bool{
		"http://mirror.example/debian": true, "https://me@mirror.example:8080/debian/": true, "file:///srv/mirror": true,
		"file:/srv/mirror": true, "/srv/mirror": true, "http://[::1]/debian": true,
		"": false, "foo": false, "mirror.example/debian": false, "ftp://mirror.example/debian": false, "http://": false,
		"http:///debian": false, "file:///": false, "./mirror": false, "http://mirror.example/?x": false, "http://a b/": false,
	} {
		if IsAddress(place) != want {
			t.Errorf("%q: %v, want %v", place, !want, want)
		}
	}
}

func TestLocate(t *testing.T) {
	got := Locate([]string{"http://m.example/debian", "file:///srv"}, "pool/main/g/g++/g++_1%3a2~3+b1 x_amd64.deb")
	want := "[http://m.example/debian/pool/main/g/g++/g++_1%253a2~3+b1%20x_amd64.deb file:///srv/pool/main/g/g++/g++_1%253a2~3+b1%20x_amd64.deb]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}

// TestRealFetch asks a real mirror for what it has and what it has not.
func TestRealFetch(t *testing.T) {
	a := located(t, "trixie")[0]
	ref := distro.Ref{Location: "pool/main/h/hostname/none.deb", Size: 1}
	_, err := (&fetch.Client{Backoff: time.Millisecond}).Get(t.Context(), Want(a.Roots[:1], ref), &fetch.Buffer{})
	if !fetch.IsMissing(err) || fault.CodeOf(err) != fault.Unreachable || !strings.Contains(err.Error(), ref.Location) {
		t.Errorf("a package that is not there: %v", err)
	}
	name := "dists/trixie/Release.gpg"
	if _, err := (&fetch.Client{}).Get(t.Context(), fetch.Want{Name: name, URLs: Locate(a.Roots, name), Max: 1 << 20}, &fetch.Buffer{}); err != nil {
		t.Error(err)
	}
}

func TestDefaultArchives(t *testing.T) {
	for _, test := range []struct{ release, want string }{
		{"bookworm", "debian: bookworm bookworm-updates; debian-security: bookworm-security; "},
		{"stable", "debian: stable stable-updates; debian-security: stable-security; "},
		{"testing", "debian: testing; "},
		{"sid", "debian: sid; "},
	} {
		got := ""
		for _, a := range DefaultArchives(test.release) {
			got += a.Name + ": " + strings.Join(a.Suites, " ") + "; "
			if strings.Join(a.Components, " ") != "main" || a.Key != "" || !wellKnown(a.URL) {
				t.Errorf("%s: %+v", test.release, a)
			}
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.release, got, test.want)
		}
	}
}

func FuzzAptSources(f *testing.F) {
	f.Add([]byte("deb [signed-by=/k] http://a.example/debian bookworm main\n"))
	f.Add([]byte("Types: deb\nURIs: http://a.example/debian\n mirror+file:/x\nSuites: sid\n\nTypes: deb\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		for _, s := range append(parseSourcesList(text), parseSourcesStanzas(text)...) {
			if len(s.URIs) == 0 || len(s.Suites) == 0 {
				t.Errorf("an entry without URI or suite: %+v", s)
			}
			m := Mirrors{Host: []AptSource{s}}
			for _, a := range DefaultArchives("bookworm") {
				if len(m.Roots(a)) == 0 {
					t.Error("no root")
				}
			}
		}
	})
}
