package debian

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
)

const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParseRelease(t *testing.T) {
	const good = `Origin: Debian
Label: Debian
Suite: stable
Version: 13.7
Codename: trixie
Changelogs: https://example.org/@CHANGEPATH@
Date: Sat, 12 Sep 2026 07:55:41 UTC
Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC
Acquire-By-Hash: yes
No-Support-for-Architecture-all: Packages
Architectures: all amd64 arm64
Components: main contrib
MD5Sum:
 d41d8cd98f00b204e9800998ecf8427e 0 main/binary-amd64/Packages
SHA256:
 ` + sum + `        0 main/binary-amd64/Packages
 ` + sum + ` 12345678 main/binary-amd64/Packages.xz
`
	const want = `Debian Debian stable 13.7 trixie 2026-09-12T07:55:41Z 2026-09-19T07:55:41Z [all amd64 arm64] [main contrib] auto hash together 2`
	show := func(r *Release) string {
		is := func(b bool, yes, no string) string {
			if b {
				return yes
			}
			return no
		}
		return fmt.Sprint(r.Origin, " ", r.Label, " ", r.Suite, " ", r.Version, " ", r.Codename, " ", r.Date.Format(time.RFC3339), " ",
			r.ValidUntil.Format(time.RFC3339), " ", r.Architectures, r.Components, " ", is(r.NotAutomatic, "notautomatic", "auto"), " ",
			is(r.ByHash, "hash", "nohash"), " ", is(r.AllApart, "apart", "together"), " ", len(r.files))
	}
	file := func(line string) func(string) string {
		return func(s string) string { return s + " " + line + "\n" }
	}
	swap := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	for _, test := range []struct {
		summary string
		change  func(string) string
		want    string // "" is want
		err     string
	}{
		{summary: "as Debian writes it", change: func(s string) string { return s }},
		{summary: "field names in any case", change: swap("Codename", "codeName")},
		{summary: "an empty line at the end", change: func(s string) string { return s + "\n\n" }},
		{summary: "no index for all", change: swap("No-Support-for-Architecture-all: Packages\n", ""), want: strings.Replace(want, "together", "apart", 1)},
		{summary: "not automatic", change: swap("Origin", "NotAutomatic: yes\nOrigin"), want: strings.Replace(want, "auto", "notautomatic", 1)},
		{summary: "a day of one digit, GMT", change: swap("Sat, 12 Sep 2026 07:55:41 UTC", "Wed, 2 Sep 2026 07:55:41 GMT"), want: strings.Replace(want, "09-12", "09-02", 1)},
		{summary: "another time zone", change: swap("41 UTC", "41 CET"), err: "field date: \"Sat, 12 Sep 2026 07:55:41 CET\" is not a date in universal time"},
		{summary: "no time zone", change: swap("41 UTC", "41"), err: "field date"},
		{summary: "no date", change: swap("Date: Sat, 12 Sep 2026 07:55:41 UTC\n", ""), err: "has no Date"},
		{summary: "a broken date of expiry", change: swap("19 Sep", "39 Sep"), err: "field valid-until"},
		{summary: "no digests", change: swap("SHA256:", "SHA512:"), err: "has no SHA256 digests"},
		{summary: "a field twice", change: swap("Label:", "suite: x\nLabel:"), err: "field Suite stands twice"},
		{summary: "two stanzas", change: swap("MD5Sum", "\nMD5Sum"), err: "has more than one stanza"},
		{summary: "an unknown field with a strange name", change: swap("Label", "\x00"), want: strings.Replace(want, "Debian Debian", "Debian ", 1)},
		{summary: "not a field", change: swap("Label: Debian", "Label Debian"), err: "is not a field"},
		{summary: "a suite of two lines", change: swap("stable", "stable\n evil"), err: "several lines"},
		{summary: "a path up", change: file(sum + " 1 ../x"), err: `path "../x" leads elsewhere`},
		{summary: "a path up within", change: file(sum + " 1 main/../../x"), err: "leads elsewhere"},
		{summary: "an absolute path", change: file(sum + " 1 /etc/passwd"), err: "leads elsewhere"},
		{summary: "a path of dots", change: file(sum + " 1 ."), err: "leads elsewhere"},
		{summary: "a path with a control character", change: file(sum + " 1 a\x1b[0m"), err: "leads elsewhere"},
		{summary: "the same file again", change: file(sum + " 0 main/binary-amd64/Packages")},
		{summary: "the same file, another size", change: file(sum + " 1 main/binary-amd64/Packages"), err: "stands twice, with different digests"},
		{summary: "a negative size", change: file(sum + " -1 x"), err: `x has the size "-1"`},
		{summary: "a size out of bounds", change: file(sum + " 99999999999999999999 x"), err: "has the size"},
		{summary: "a short digest", change: file(sum[1:] + " 1 x"), err: "want 64 hexadecimal digits"},
		{summary: "a line of two", change: file(sum + " 1"), err: "is not a digest, a size and a path"},
		{summary: "a line of four", change: file(sum + " 1 a b"), err: "is not a digest, a size and a path"},
		{summary: "too big", change: func(s string) string { return s + strings.Repeat(" ", maxRelease) }, err: "bytes"},
		{summary: "empty", change: func(string) string { return "" }, err: "has no Date"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			text := test.change(good)
			r, err := ParseRelease([]byte(text))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			expect := test.want
			if expect == "" {
				expect = want
			}
			if got := show(r); got != expect {
				t.Errorf("got  %s\nwant %s", got, expect)
			}
		})
	}
}

func TestCheckSuite(t *testing.T) {
	for _, test := range []struct {
		suite, codename string
		asked           string
		ok              bool
	}{
		{"stable", "trixie", "trixie", true},
		{"stable", "trixie", "stable", true},
		{"stable", "trixie", "bookworm", false},
		{"stable", "trixie", "trix", false},
		{"oldstable-security", "bookworm-security", "bookworm-security", true},
		{"oldstable", "buster", "buster/updates", true},
		{"oldstable", "buster", "stretch/updates", false},
		{"", "", "anything", true},
		{"x", "", "x", true},
		{"x", "", "", false},
		{"x", "y", "./", true},
	} {
		r := Release{Suite: test.suite, Codename: test.codename}
		if err := r.checkSuite(test.asked); (err == nil) != test.ok {
			t.Errorf("%q of %q (%q): %v", test.asked, test.suite, test.codename, err)
		}
	}
}

func TestFresh(t *testing.T) {
	now := time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		summary     string
		date, until time.Duration // from now; until 0 is none
		accept      bool
		expired     bool
		err, hint   string
	}{
		{summary: "today's, for ever", date: -time.Hour},
		{summary: "old, for ever", date: -1000 * 24 * time.Hour},
		{summary: "valid", date: -time.Hour, until: time.Hour},
		{summary: "valid for this second", date: -time.Hour, until: 1},
		{summary: "expired", date: -48 * time.Hour, until: -time.Second, err: "R expired on 2026-11-21 00:59:59 UTC, 1 seconds ago", hint: "check-valid-until: false"},
		{summary: "long expired", date: -48 * time.Hour, until: -15 * 24 * time.Hour, err: "R expired on 2026-11-06 01:00:00 UTC, 15 days ago", hint: "--accept-expired"},
		{summary: "expired and accepted", date: -48 * time.Hour, until: -time.Hour, accept: true, expired: true},
		{summary: "valid, though an expired one would be accepted", date: -time.Hour, until: time.Hour, accept: true},
		{summary: "a clock that is a little slow", date: 9 * time.Second, until: time.Hour},
		{summary: "of the future", date: 11 * time.Second, until: time.Hour, err: "R is dated 2026-11-21 01:00:11, which is 11 seconds ahead", hint: "is this machine's clock right? it says 2026-11-21 01:00:00 UTC"},
		{summary: "of the future, whatever is accepted", date: 3 * time.Hour, accept: true, err: "3 hours ahead", hint: "clock"},
	} {
		t.Run(test.summary, func(t *testing.T) {
			r := Release{Date: now.Add(test.date)}
			if test.until != 0 {
				r.ValidUntil = now.Add(test.until)
			}
			expired, err := r.checkFresh("R", now, test.accept)
			if test.err == "" {
				if err != nil || expired != test.expired {
					t.Errorf("got %v, %v", expired, err)
				}
				return
			}
			if fault.CodeOf(err) != fault.Verification || !strings.Contains(err.Error(), test.err) || !strings.Contains(fault.HintOf(err), test.hint) {
				t.Errorf("got %v; %s", err, fault.HintOf(err))
			}
		})
	}
}

func TestSeen(t *testing.T) {
	s := seen{filepath.Join(t.TempDir(), "seen")}
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	const url = "http://m.example/debian"
	for i, step := range []struct {
		url, suite string
		day        int
		ok         bool
	}{
		{url, "sid", 5, true},
		{url, "sid", 5, true},
		{url, "sid", 4, false},
		{url, "sid", 6, true},
		{url + "/", "sid", 5, false},                     // the same archive
		{"http://u:p@m.example/debian", "sid", 5, false}, // the same archive
		{url, "testing", 1, true},                        // another suite
		{"http://n.example/debian", "sid", 1, true},      // another archive
		{"http://m.example/debian/si", "d", 1, true},     // no confusion of names
		{"http://m.example/" + strings.Repeat("x", 300), "sid", 1, true},
	} {
		err := s.check("R", step.url, step.suite, day(step.day))
		if (err == nil) != step.ok || err != nil && fault.CodeOf(err) != fault.Verification {
			t.Errorf("step %d: %v", i, err)
		}
		if err == nil {
			if err := s.keep(step.url, step.suite, day(step.day)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// An older date never replaces a newer one, whoever comes last.
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			if err := s.keep(url, "race", day(1+n*7%20)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := readSeen(s.file(url, "race")); err != nil || !got.Equal(day(20)) {
		t.Errorf("got %v, %v; want %v", got, err, day(20))
	}
	// A broken file does not stop all builds.
	if err := os.WriteFile(s.file(url, "sid"), []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.check("R", url, "sid", day(1)); err != nil {
		t.Error(err)
	}
	// What a killed process left goes.
	if err := os.WriteFile(filepath.Join(s.dir, ".ingot-draft-0123456789abcdef"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.keep(url, "sid", day(7)); err != nil {
		t.Fatal(err)
	}
	// Who only looks where nothing was ever built makes no place for it.
	looking := seen{filepath.Join(t.TempDir(), "home", "seen")}
	if err := looking.keep(url, "sid", day(1)); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Dir(looking.dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it made %s: %v", filepath.Dir(looking.dir), err)
	}
	left, _ := filepath.Glob(filepath.Join(s.dir, ".*"))
	if len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func FuzzParseRelease(f *testing.F) {
	f.Add([]byte("Suite: a\nDate: Sat, 12 Sep 2026 07:55:41 UTC\nSHA256:\n " + sum + " 1 main/x\n"))
	f.Add([]byte("Date: Sat, 12 Sep 2026 07:55:41 UTC\r\nSHA256:\n\t" + sum + " 0 ./x\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		r, err := ParseRelease(text)
		if err != nil {
			return
		}
		if r.Date.IsZero() {
			t.Error("no date")
		}
		for p, file := range r.files {
			if file.Path != p || file.Size < 0 || strings.HasPrefix(filepath.Join("/r", p), "/r/") != true || filepath.Join("/r", p) != "/r/"+p {
				t.Errorf("file %q: %+v", p, file)
			}
		}
	})
}
