package debian

import "testing"

func TestPlaced(t *testing.T) {
	for address, want := range map[string]string{
		"http://ftp.debian.org/debian/dists/trixie/InRelease":                           "debian dists/trixie/InRelease",
		"http://ftp.de.debian.org/debian/pool/main/b/bash/bash_5.2.15-2%2bb7_amd64.deb": "debian pool/main/b/bash/bash_5.2.15-2%2bb7_amd64.deb",
		"http://security.debian.org/debian-security/dists/trixie-security/InRelease":    "debian-security dists/trixie-security/InRelease",
		"http://security.debian.org/dists/trixie-security/InRelease":                    "debian-security dists/trixie-security/InRelease",
		"http://ftp.debian.org/dists/trixie/InRelease":                                  " ",
		"http://ftp.debian.org/debian/":                                                 "debian ",
		"http://archive.debian.org/debian/dists/x":                                      " ",
		"http://example.org/debian/dists/trixie/InRelease":                              " ",
		"%": " ",
	} {
		archive, place, ok := Placed(address)
		if got := archive + " " + place; got != want || ok != (archive != "" && place != "") {
			t.Errorf("%s: %q (%v), want %q", address, got, ok, want)
		}
	}
}
