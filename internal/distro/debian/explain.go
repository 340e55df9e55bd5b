package debian

import (
	"fmt"
	"strings"

	"ingot/internal/fault"
)

func (s *solver) unknown(name string, cause error) error {
	if cause != nil {
		return fault.Newf(fault.NotFound, "no package matches %q: %w", name, cause)
	}
	return fault.Newf(fault.NotFound, "no package %q", name)
}

func (s *solver) noCandidate(p pkgID) error {
	return fault.Newf(fault.NotFound, "package %q cannot be had", s.name(p))
}

func (s *solver) noVersion(p pkgID, want string, release bool) error {
	return fault.Newf(fault.NotFound, "package %q has no version %q", s.name(p), want)
}

// explain says what is broken.
func (s *solver) explain(_ *wish) error {
	var lines []string
	for p := range s.pkg {
		if !s.has(pkgID(p), badDeps) {
			continue
		}
		v := s.pkg[p].install
		for d := s.vers[v].deps; d < s.vers[v].depEnd; {
			end := s.alternatives(d)
			if s.deps[d].critical() && !s.met(d, end) {
				lines = append(lines, fmt.Sprintf("%s %s %s %s", s.name(pkgID(p)), s.version(v), s.deps[d].kind, s.relation(&s.deps[d])))
			}
			d = end
		}
	}
	return fault.Newf(fault.NotFound, "unmet dependencies: %s", strings.Join(lines, "; "))
}
