package debian

import (
	"fmt"
	"strings"

	"ingot/internal/distro"
)

// StatusPath is where a tree has dpkg's records of its packages.
const StatusPath = statusPath

// Installed reads dpkg's records of a tree (dpkg-query(1)): the packages whose files are
// there, by name, version and architecture, with what their control files say. Where a
// package came from dpkg does not know.
func Installed(status []byte) ([]distro.Package, error) {
	var out []distro.Package
	for stanza := range Stanzas(status) {
		fields, err := parseControl(stanza)
		if err != nil {
			return nil, fmt.Errorf("dpkg's records cannot be read: %w", err)
		}
		state := strings.Fields(fields["Status"])
		if len(state) != 3 {
			return nil, fmt.Errorf("dpkg's records cannot be read: package %q is %q", fields["Package"], fields["Status"])
		}
		switch state[2] {
		case "not-installed", "config-files":
			continue
		}
		out = append(out, distro.Package{
			Ref:     distro.Ref{Name: fields["Package"], Version: fields["Version"], Arch: fields["Architecture"]},
			Control: map[string]distro.ControlFile{"control": {Data: stanza}},
		})
	}
	return out, nil
}
