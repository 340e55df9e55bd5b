package debian

import (
	"os"
	"strings"
	"testing"

	"ingot/internal/digest"
)

// TestArchiveKeys holds the built-in keys: a change must be seen in a review.
func TestArchiveKeys(t *testing.T) {
	const want = `
1F89983E0081FDE018F3CC9673A4F27B8DD47936
AC530D520F2F3269F5E98313A48449044AAD5C5D
A4285295FC7B1A81600062A9605C66F00D6C9793
4D64FEC119C2029067D6E791F8D2585B8783D481
B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8
05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0
04B54C3CDCA79751B16BC6B5225629DF75B188BD
5E04A1E3223A19A20706E20F9904613D4CCE68C6
41587F7DB8C774BCCF131416762F67A0B2C39DE4
`
	ring, err := ArchiveKeys()
	if err != nil {
		t.Fatal(err)
	}
	if got := "\n" + strings.Join(ring.Fingerprints(), "\n") + "\n"; got != want {
		t.Errorf("fingerprints:%s\nwant:%s", got, want)
	}
	if got, want := digest.Of(archiveKeys).String(), "506b815cbb32d9b6066b4a2aa524071e071761e7e7f68c3ac74f3061ba852017"; got != want {
		t.Errorf("SHA-256 %s, want that of Debian's package, %s", got, want)
	}
	readme, err := os.ReadFile("keys/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(want) {
		if !strings.Contains(string(readme), strings.TrimSpace(line)) {
			t.Errorf("keys/README.md does not name %s", line)
		}
	}
}
