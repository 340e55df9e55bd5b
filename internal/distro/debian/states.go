package debian

import (
	"bytes"
	"fmt"
	"strings"
)

// extendedStatesPath is apt's record of packages that were installed only because
// another one needs them (apt-mark(8)).
const extendedStatesPath = "var/lib/apt/extended_states"

// extendedStates is that record of a new tree. The start set counts as asked for.
func extendedStates(pkgs []*deb, asked map[string]bool, native string) []byte {
	var b bytes.Buffer
	for _, p := range pkgs {
		if asked[p.Ref.Name] || p.essential || p.control["Priority"] == "required" || p.Ref.Name == "apt" {
			continue
		}
		b.Write(p.automatic(native))
	}
	return b.Bytes()
}

// mergeStates is the record when packages have come on top: all of them that nobody asked
// for are in it, and what was in it before is not automatic any more when it was asked for.
func mergeStates(old []byte, fresh []*deb, asked map[string]bool, native string) []byte {
	var b bytes.Buffer
	known := map[string]bool{}
	for s := range Stanzas(old) {
		name, _ := s.Field("Package")
		arch, _ := s.Field("Architecture")
		known[name+":"+arch] = true
		text := string(s) + "\n\n"
		if auto, _ := s.Field("Auto-Installed"); auto == "1" && asked[name] {
			if strings.Count(text, "\n") <= 4 {
				continue // it says nothing else
			}
			text = strings.Replace(text, "Auto-Installed: 1\n", "Auto-Installed: 0\n", 1)
		}
		b.WriteString(text)
	}
	for _, p := range fresh {
		if !asked[p.Ref.Name] && !known[p.Ref.Name+":"+p.shownArch(native)] {
			b.Write(p.automatic(native))
		}
	}
	return b.Bytes()
}

// automatic is apt's note that nobody asked for a package.
func (p *deb) automatic(native string) []byte {
	return fmt.Appendf(nil, "Package: %s\nArchitecture: %s\nAuto-Installed: 1\n\n", p.Ref.Name, p.shownArch(native))
}

// shownArch is what apt calls the architecture of a package: never "all".
func (p *deb) shownArch(native string) string {
	if p.Ref.Arch == "all" {
		return native
	}
	return p.Ref.Arch
}
