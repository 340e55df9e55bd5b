package difference

import (
	"strings"
	"testing"

	"ingot/internal/advisory"
	"ingot/internal/lock"
)

// sample has texts of others that would be more than text.
func sample() *Report {
	return &Report{
		Schema: 1, Old: "web=/a@b:c/1-1-1", New: "web=/a@b:c/2-1-1",
		Changes:         []lock.Change{{Part: "epoch", Action: "changed", Old: "1", New: "2"}},
		Packages:        []Package{{Action: "changed", Name: "curl", Old: "7.88-1", New: "7.88-2", OldSize: 10, NewSize: 2058}, {Action: "added", Name: "new", New: "1", Sets: []string{"amd64 machine"}}, {Action: "removed", Name: "old", Old: "1", OldSize: 5}},
		Sources:         []Source{{Name: "curl", Old: "7.88-1", New: "7.88-2", CVEs: []string{"CVE-2024-1234"}, Entries: []Entry{{"7.88-2", "  * <script>alert(1)</script> \x1b[31m CVE-2024-1234\n  ``` | **"}}}},
		Trees:           []Tree{{Name: "amd64 machine", Action: "changed", OldFiles: 10, NewFiles: 11, OldBytes: 100, NewBytes: 200}, {Name: "amd64 container", Action: "same"}},
		Files:           []File{{Action: "changed", Path: "/etc/x_y", Owner: "deb:curl", Config: true, OldSize: 1, NewSize: 1}, {Action: "added", Path: "/usr/bin/<b>", Owner: "step:script setup", NewSize: 7}},
		Sizes:           []Size{{"amd64 machine", "deb:curl", 100, 200}},
		Vulnerabilities: &Vulnerabilities{Fixed: []advisory.Vulnerability{{ID: "CVE-2024-1234", Source: "curl", Fixed: "7.88-2", Urgency: "high", Summary: "a <b>bad</b> thing"}}},
	}
}

func TestText(t *testing.T) {
	var b strings.Builder
	if err := sample().Text(&b); err != nil {
		t.Fatal(err)
	}
	want := `web=/a@b:c/1-1-1 → web=/a@b:c/2-1-1
3 packages, 2 files, vulnerabilities: 1 fixed, 0 introduced, 0 remaining

Vulnerabilities fixed
  - CVE-2024-1234  curl, fixed in 7.88-2, high
      a <b>bad</b> thing

Lock
  ~ epoch 1 -> 2

Packages
  ~ curl  7.88-1 → 7.88-2 (+2.0 KiB)
  + new  1 (+0 B; amd64 machine)
  - old  1 (−5 B)

Changelogs
  ~ curl  7.88-1 → 7.88-2, CVE-2024-1234
      7.88-2
          * <script>alert(1)</script> �[31m CVE-2024-1234
          ` + "```" + ` | **

Images
  ~ amd64 machine  changed: 10 → 11 paths, 100 B → 200 B
    amd64 container  same: 0 → 0 paths, 0 B → 0 B

Configuration files
  ~ /etc/x_y  package curl

Files
  + /usr/bin/<b>  script setup, +7 B

Sizes
  ~ package curl  100 B → 200 B (+100 B) in amd64 machine
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestForeignTexts(t *testing.T) {
	var md, page strings.Builder
	if err := sample().Markdown(&md); err != nil {
		t.Fatal(err)
	}
	if err := sample().HTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## Packages\n\n- `curl` 7.88-1 → 7.88-2", "- **new** `new` 1", "- **gone** `CVE-2024-1234` curl, fixed in", "  7.88-2\n      * <script>alert(1)</script>", "  ```text\n", "- `/etc/x_y` package curl", "'''"} {
		if !strings.Contains(md.String(), want) {
			t.Errorf("Markdown has no %q:\n%s", want, md.String())
		}
	}
	if strings.Count(md.String(), "```") != 4 || strings.Contains(md.String(), "\x1b") {
		t.Errorf("a changelog gets out of its block:\n%s", md.String())
	}
	for _, bad := range []string{"<script>", "<b>"} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if !strings.Contains(page.String(), "&lt;script&gt;alert(1)") || !strings.Contains(page.String(), "CVE-2024-1234") {
		t.Errorf("the page lacks the changelog:\n%s", page.String())
	}
}
