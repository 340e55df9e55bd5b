package debian

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseChangelog(t *testing.T) {
	text := `; an editor's note
curl (7.88.1-10+deb12u2) bookworm-security; urgency=high

  * CVE-2023-1 and
    CVE-2023-2.

 -- A B <a@b.example>  Thu, 01 Jun 2023 10:00:00 +0000

curl (1:7.88.1-10) unstable; urgency=medium, binary-only=yes

  [ Somebody ]
  * Older.
 -- A B <a@b.example>  Thu, 01 May 2023 10:00:00 +0000

Old Changelog:
Mon, 1 Jan 1996 somebody
  * nothing of the form
`
	var got strings.Builder
	for _, e := range ParseChangelog(text) {
		fmt.Fprintf(&got, "%s %s %q\n", e.Source, e.Version, e.Text)
	}
	want := `curl 7.88.1-10+deb12u2 "  * CVE-2023-1 and\n    CVE-2023-2."
curl 1:7.88.1-10 "  [ Somebody ]\n  * Older.\n\n  * nothing of the form"
`
	if got.String() != want {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
}

func FuzzParseChangelog(f *testing.F) {
	f.Add("curl (7.88.1-10) unstable; urgency=high\n\n  * x\n\n -- A  Thu\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range ParseChangelog(text) {
			if _, err := ParseVersion(e.Version); err != nil || e.Source == "" && !strings.Contains(text, " (") {
				t.Errorf("%+v", e)
			}
		}
	})
}
