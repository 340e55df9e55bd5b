package advisory

import (
	"archive/zip"
	"bytes"
	"fmt"
	"strings"
	"testing"

	"ingot/internal/distro/debian"
	"ingot/internal/fault"
)

// As Debian's tracker publishes it (https://security-tracker.debian.org/tracker/data/json).
const trackerText = `{
 "curl": {
  "CVE-2023-38545": {"description": "SOCKS5 heap buffer overflow", "debianbug": 1, "scope": "remote", "releases": {
   "bookworm": {"status": "resolved", "repositories": {"bookworm": "7.88.1-10+deb12u4", "bookworm-security": "7.88.1-10+deb12u5"}, "fixed_version": "7.88.1-10+deb12u4", "urgency": "not yet assigned"},
   "sid": {"status": "resolved", "repositories": {"sid": "8.4.0-2"}, "fixed_version": "8.4.0-1", "urgency": "not yet assigned"}}},
  "CVE-2024-0001": {"releases": {"bookworm": {"status": "open", "repositories": {"bookworm": "7.88.1-10"}, "urgency": "unimportant", "nodsa": "Minor issue"}}},
  "CVE-2024-0002": {"releases": {"bookworm": {"status": "resolved", "repositories": {}, "fixed_version": "0", "urgency": "low"}}},
  "CVE-2024-0003": {"releases": {"bookworm": {"status": "undetermined", "repositories": {}, "urgency": "low"}}},
  "CVE-2024-0004": {"releases": {"trixie": {"status": "open", "repositories": {}, "urgency": "low"}}}
 },
 "id": {"CVE-2020-9999": {"releases": {"bookworm": {"status": "open", "urgency": "low"}}}},
 "other": {"CVE-1999-0001": {"releases": {"bookworm": {"status": "open", "urgency": "low"}}}}
}`

// As OSV publishes Debian's advisories.
const osvText = `{"schema_version": "1.7.0", "id": "DSA-5523-1", "summary": "curl - security update", "aliases": [], "upstream": ["CVE-2023-38545", "CVE-2023-38546"],
 "affected": [{"package": {"ecosystem": "Debian:12", "name": "curl"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "7.88.1-10+deb12u4"}]}], "versions": []},
  {"package": {"ecosystem": "Debian:11", "name": "curl"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}]}]}
{"id": "DEBIAN-CVE-2024-1", "affected": []}
{"id": "DEBIAN-CVE-2024-7777", "affected": [{"package": {"ecosystem": "Debian:12", "name": "curl"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "7.88.1-10+deb12u5"}, {"last_affected": "7.88.1-10+deb12u6"}, {"introduced": "8"}]}], "ecosystem_specific": {"urgency": "high"}}]}
{"id": "DEBIAN-CVE-2024-8888", "affected": [{"package": {"ecosystem": "Debian", "name": "curl"}, "versions": ["7.88.1-10+deb12u9"]}]}
{"id": "DEBIAN-CVE-2024-9999", "withdrawn": "2024-01-01T00:00:00Z", "affected": [{"package": {"ecosystem": "Debian:12", "name": "curl"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]}
{"id": "DLA-1-1", "affected": [{"package": {"ecosystem": "Debian:12", "name": "curl"}, "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}, {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "7.88.1-10"}]}]}]}
`

func zipped(t *testing.T, texts ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i, text := range texts {
		w, err := z.Create(fmt.Sprintf("%d.json", i))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte(text))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHas(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(osvText, "\n  {", " {"), "\n \"", " \"")), "\n")
	osvWant := map[string]string{
		"7.88.1-10~": "CVE-2023-38545 CVE-2023-38546 DLA-1-1", "7.88.1-10": "CVE-2023-38545 CVE-2023-38546", "7.88.1-10+deb12u4": "",
		"7.88.1-10+deb12u5": "CVE-2024-7777", "7.88.1-10+deb12u6": "CVE-2024-7777", "7.88.1-10+deb12u7": "", "7.88.1-10+deb12u9": "CVE-2024-8888", "8.1-1": "CVE-2024-7777",
	}
	for _, c := range []struct {
		name, text, format string
		want               map[string]string
	}{
		{"tracker", trackerText, "debian", map[string]string{"7.88.1-10": "CVE-2023-38545 CVE-2024-0001", "7.88.1-10+deb12u4": "CVE-2024-0001", "7.88.1-10+deb12u4~1": "CVE-2023-38545 CVE-2024-0001", "1:1": "CVE-2024-0001"}},
		{"osv, lines", osvText, "osv", osvWant},
		{"osv, a list", "[" + strings.Join(lines, ",") + "]", "osv", osvWant},
		{"osv, vulns", `{"vulns": [` + strings.Join(lines, ",") + "]}", "osv", osvWant},
		{"osv, zip", zipped(t, lines...), "osv", osvWant},
	} {
		f, err := Read(c.name, []byte(c.text), Release{"debian", "bookworm"}, debian.CompareVersions, func(s string) bool { return s == "curl" })
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if f.Format != c.format {
			t.Errorf("%s is %q", c.name, f.Format)
		}
		for version, want := range c.want {
			var got []string
			for _, v := range f.Has("curl", version) {
				got = append(got, v.ID)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s: %s has %q, want %q", c.name, version, got, want)
			}
		}
		if len(f.Has("other", "1")) > 0 {
			t.Errorf("%s: sources are kept that nobody asked for", c.name)
		}
	}
}

func TestBad(t *testing.T) {
	for _, text := range []string{"", "x", "1", `{"curl": 1}`, `{"curl": {"CVE-1": []}}`, `[1]`, `{"id": "x", "affected": 1}`, `{"affected": []}`, `{"curl": {`, "PK\x03\x04xx"} {
		if _, err := Read("bad", []byte(text), Release{"debian", "bookworm"}, debian.CompareVersions, func(string) bool { return true }); fault.CodeOf(err) != fault.Verification || fault.HintOf(err) == "" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestSilent: a feed that does not speak of the release says nothing, and not that all is well.
func TestSilent(t *testing.T) {
	const ubuntu = `{"id": "UBUNTU-CVE-2024-1", "affected": [{"package": {"ecosystem": "Ubuntu:22.04:LTS", "name": "other"}, "ranges": []}]}`
	for _, c := range []struct {
		text    string
		release Release
		speaks  bool
	}{
		{trackerText, Release{"debian", "trixie"}, true},
		{trackerText, Release{"debian", "bullseye"}, false},
		{trackerText, Release{"debian", "stable"}, false},
		{osvText, Release{"debian", "bullseye"}, true},
		{osvText, Release{"ubuntu", "jammy"}, false},
		{ubuntu, Release{"ubuntu", "jammy"}, true},
		{ubuntu, Release{"ubuntu", "noble"}, false},
		{"[]", Release{"debian", "bookworm"}, false},
	} {
		_, err := Read("feed", []byte(c.text), c.release, debian.CompareVersions, func(s string) bool { return s == "none" })
		if c.speaks && err != nil || !c.speaks && (fault.CodeOf(err) != fault.NotFound || fault.HintOf(err) == "") {
			t.Errorf("%.20q of %s: %v", c.text, c.release.Release, err)
		}
	}
}

func TestCVEs(t *testing.T) {
	if got := fmt.Sprint(CVEs("CVE-2024-10000, CVE-2024-9999 CVE-2023-1234567 CVE-2024-9999 CVE-24-1 CVE-2024-123")); got != "[CVE-2023-1234567 CVE-2024-9999 CVE-2024-10000]" {
		t.Error(got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(trackerText))
	f.Add([]byte(osvText))
	f.Fuzz(func(t *testing.T, text []byte) {
		feed, err := Read("fuzz", text, Release{"debian", "bookworm"}, debian.CompareVersions, func(string) bool { return true })
		if err == nil {
			feed.Has("curl", "7.88.1-10")
		}
	})
}

// TestEventsInAnyOrder: an advisory says which versions are affected, not in which order its
// events stand.
func TestEventsInAnyOrder(t *testing.T) {
	events := []string{`{"introduced": "0"}`, `{"fixed": "2"}`, `{"introduced": "3"}`, `{"last_affected": "4"}`, `{"introduced": "10"}`}
	var turn func(done, left []string)
	turn = func(done, left []string) {
		for i, e := range left {
			rest := append(append([]string{}, left[:i]...), left[i+1:]...)
			turn(append(append([]string{}, done...), e), rest)
		}
		if len(left) > 0 {
			return
		}
		text := `{"id": "CVE-2024-0001", "affected": [{"package": {"ecosystem": "Debian:12", "name": "a"}, "ranges": [{"type": "ECOSYSTEM", "events": [` + strings.Join(done, ", ") + `]}]}]}`
		f, err := Read("osv", []byte(text), Release{"debian", "bookworm"}, debian.CompareVersions, func(string) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		for version, want := range map[string]int{"1": 1, "2": 0, "2.5": 0, "3": 1, "4": 1, "5": 0, "9": 0, "10": 1, "11": 1} {
			if got := len(f.Has("a", version)); got != want {
				t.Fatalf("%s: version %s has %d", done, version, got)
			}
		}
	}
	turn(nil, events)
}
