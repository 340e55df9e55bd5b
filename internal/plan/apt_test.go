package plan

import "testing"

// What a line of apt's configuration says of choosing needs no other lists; all else may.
func TestLinesThatChoose(t *testing.T) {
	for _, c := range []struct{ text, rest string }{
		{"APT::Install-Recommends \"0\";\nApt::Install-Suggests \"0\";\n", ""},
		{"  APT::Periodic::Enable 0 ;\n", ""},
		{"APT::Install-Recommends \"0\"; Acquire::Languages \"none\";\n", "APT::Install-Recommends \"0\"; Acquire::Languages \"none\";\n"},
		{"APT::Architectures \"i386\";\n", "APT::Architectures \"i386\";\n"},
		{"Acquire::Languages \"none\";\nAPT::Install-Recommends \"0\";\n", "Acquire::Languages \"none\";\n"},
		{"APT { Install-Recommends \"0\"; };\n", "APT { Install-Recommends \"0\"; };\n"},
	} {
		if got := string(chooses.ReplaceAll([]byte(c.text), nil)); got != c.rest {
			t.Errorf("%q: %q is left, want %q", c.text, got, c.rest)
		}
	}
}
