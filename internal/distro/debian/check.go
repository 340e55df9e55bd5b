package debian

import (
	"fmt"
	"slices"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/tree"
)

// checkControl holds the package's own words against what the lock asked for, and
// reads all that is read of them later: what dpkg would refuse while it installs is
// refused before anything is unpacked.
func checkControl(p distro.Package) error {
	text := p.Control["control"].Data
	if len(text) == 0 {
		return fmt.Errorf("%w: it has no control file", errPackage)
	}
	d, err := newDeb(p)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if n, v, a := d.control["Package"], d.control["Version"], d.control["Architecture"]; n != p.Ref.Name || v != p.Ref.Version || a != p.Ref.Arch {
		return fmt.Errorf("%w: it says that it is %s %s %s", errPackage, n, v, a)
	}
	if err := checkFields(text); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if d.control["Multi-Arch"] == "same" && p.Ref.Arch == "all" {
		return fmt.Errorf("%w: it is Multi-Arch: same, and of no architecture", errPackage)
	}
	if _, err := parseConffiles(p.Control["conffiles"].Data); err != nil {
		return fmt.Errorf("conffiles: %w", err)
	}
	return checkTriggers(p.Control["triggers"].Data)
}

// statusFields are those of dpkg's own records (dpkg's lib/dpkg/parse.c): a package that
// brings one would say that it is installed. dpkg says "not allowed in this context" of
// all but Conffiles, which it drops.
var statusFields = []string{"status", "config-version", "conffiles", "triggers-pending", "triggers-awaited"}

// checkFields refuses fields that dpkg cannot read in a control file.
func checkFields(text []byte) error {
	seen := map[string]bool{}
	for s := range Stanzas(text) {
		if err := s.Fields(func(name, value []byte) error {
			key := strings.ToLower(string(name))
			switch {
			case seen[key]:
				return fmt.Errorf("%w: field %s is there twice", errPackage, clip(name))
			case slices.Contains(statusFields, key):
				return fmt.Errorf("%w: field %s is not allowed in this context", errPackage, name)
			case (key == "essential" || key == "protected") && string(value) != "yes" && string(value) != "no":
				return fmt.Errorf("%w: field %s is %q, neither yes nor no", errPackage, name, clip(value))
			case key == "multi-arch" && !slices.Contains([]string{"no", "same", "allowed", "foreign"}, string(value)):
				return fmt.Errorf("%w: field %s has the unknown value %q", errPackage, name, clip(value))
			}
			seen[key] = true
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// triggerWords are the directives of deb-triggers(5).
var triggerWords = []string{"interest", "interest-await", "interest-noawait", "activate", "activate-await", "activate-noawait"}

// checkTriggers refuses directives that dpkg does not know, and triggers that are neither
// a path nor a name in the form of a package's, whose records would lie elsewhere.
func checkTriggers(text []byte) error {
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case !slices.Contains(triggerWords, f[0]):
			return fmt.Errorf("%w: triggers has the unknown directive %q", errPackage, clip([]byte(f[0])))
		case len(f) != 2 || !isTrigger(f[1]):
			return fmt.Errorf("%w: triggers has the line %q", errPackage, clip([]byte(strings.TrimSpace(line))))
		}
	}
	return nil
}

// isTrigger says whether a word names a trigger: printable, and a path or what could be a
// package's name (pkg_name_is_illegal in dpkg's lib/dpkg/parsehelp.c).
func isTrigger(word string) bool {
	for n, c := range []byte(word) {
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		switch {
		case c <= ' ' || c > '~':
			return false
		case word[0] == '/' || alphanumeric:
		case n == 0 || !strings.ContainsRune("-+._", rune(c)):
			return false
		}
	}
	return word != ""
}

// maxID is the greatest number of a user or group that a package's file may have: those
// above do not exist in a sandbox, and none of Debian's are there (policy 9.2.2).
const maxID = 65535

// checkFile refuses a file of a package that no package may bring.
func checkFile(e tree.Entry) error {
	switch {
	case strings.Contains(e.Path, "\n"):
		// dpkg's lists of files have one a line.
		return fmt.Errorf("%w: newline not allowed in the name %q", errPackage, e.Path)
	case e.UID > maxID || e.GID > maxID:
		return fmt.Errorf("%w: %q belongs to user %d and group %d, and numbers end at %d", errPackage, e.Path, e.UID, e.GID, maxID)
	case tree.Reserved(e.Path):
		return fmt.Errorf("%w: %q has a name that is ingot's own while it builds", errPackage, e.Path)
	case e.Kind != tree.Dir && isRecord(e.Path):
		return fmt.Errorf("%w: %q is a record of dpkg's own database, which no package may bring", errPackage, e.Path)
	}
	return nil
}

// isRecord says whether a path is one of dpkg's database: dpkg alone writes those. Debian's
// packages have directories there, and other files beside the records.
func isRecord(path string) bool {
	rest, ok := strings.CutPrefix(path, adminDir)
	if !ok {
		return false
	}
	top, below, _ := strings.Cut(rest, "/")
	switch top {
	case "status", "available", "diversions", "statoverride":
		return below == ""
	case "status-old", "available-old", "diversions-old", "statoverride-old", "lock", "lock-frontend", "arch", "arch-new":
		return below == ""
	case "info", "triggers", "updates", "parts", "tmp.ci":
		return true
	}
	return false
}
