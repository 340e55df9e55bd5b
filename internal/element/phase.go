package element

import (
	"cmp"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// A Side is where a phase's scripts run.
type Side int

// The sides.
const (
	Host   Side = iota // beside the image's tree, which they know as $TMP_MOUNT_PATH
	Target             // inside the image's tree, as root, with the hooks at /tmp/in_target.d
)

func (s Side) String() string {
	if s == Target {
		return "target"
	}
	return "host"
}

// MarshalText makes a side a word in JSON.
func (s Side) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Phase is one of the steps of a build that elements have scripts for.
type Phase struct {
	Name string // "install.d"
	Side Side
}

// Phases are all of them, in the order in which they run.
var Phases = []Phase{
	{"root.d", Host},
	{"extra-data.d", Host},
	{"pre-install.d", Target},
	{"install.d", Target},
	{"post-install.d", Target},
	{"post-root.d", Host},
	{"block-device.d", Host},
	{"pre-finalise.d", Host},
	{"finalise.d", Target},
	{"cleanup.d", Host},
}

// EnvironmentDir holds the snippets that are sourced before the scripts of every
// phase.
const EnvironmentDir = "environment.d"

// SideOf is where a phase runs; ok is false for what is no phase.
func SideOf(phase string) (side Side, ok bool) {
	i := slices.IndexFunc(Phases, func(p Phase) bool { return p.Name == phase })
	if i < 0 {
		return 0, false
	}
	return Phases[i].Side, true
}

// A Listed is an entry of a directory of hooks.
type Listed struct {
	Name string
	// Mode has the type and the permissions of what the name leads to: symbolic links
	// are followed, and one that leads nowhere has fs.ModeSymlink.
	Mode fs.FileMode
}

// An Ignored is a file that diskimage-builder passes over without a word.
type Ignored struct {
	Path string // in the hooks
	Why  string
}

var scriptName = regexp.MustCompile(`^[0-9A-Za-z_-]+$`)

// Scripts chooses and sorts what runs of a phase's directory, and says what does not
// and looks as if it should. It is a function of names and modes, since scripts add
// scripts while a build runs: list the directory when its phase begins.
//
// What runs is a regular file that somebody may execute and whose name has only
// letters, digits, "_" and "-". The order is by the number that a name begins with,
// then by bytes.
func Scripts(entries []Listed) (run []string, ignored []Ignored) {
	return scripts(entries, scriptName.MatchString)
}

// ScriptsMatching is [Scripts] with other names: pattern is RUN_PARTS_REGEX, an
// extended regular expression that is looked for in each name.
func ScriptsMatching(entries []Listed, pattern string) (run []string, ignored []Ignored, err error) {
	re, err := regexp.CompilePOSIX(pattern)
	if err != nil {
		return nil, nil, fmt.Errorf("RUN_PARTS_REGEX: %w", err)
	}
	run, ignored = scripts(entries, re.MatchString)
	return run, ignored, nil
}

func scripts(entries []Listed, allowed func(string) bool) (run []string, ignored []Ignored) {
	for _, e := range entries {
		executable := e.Mode.Perm()&0o111 != 0
		switch {
		case e.Mode.IsDir():
		case e.Mode&fs.ModeSymlink != 0:
			ignored = append(ignored, Ignored{e.Name, "the link leads nowhere"})
		case !e.Mode.IsRegular():
			ignored = append(ignored, Ignored{e.Name, "it is not a file"})
		case !allowed(e.Name) && executable:
			ignored = append(ignored, Ignored{e.Name, "names of scripts have only letters, digits, _ and -" + dotted(e.Name)})
		case !allowed(e.Name):
			ignored = append(ignored, Ignored{e.Name, "it is not executable, and names of scripts have only letters, digits, _ and -"})
		case !executable:
			ignored = append(ignored, Ignored{e.Name, "it is not executable"})
		default:
			run = append(run, e.Name)
		}
	}
	slices.SortFunc(run, CompareScripts)
	slices.SortFunc(ignored, func(a, b Ignored) int { return strings.Compare(a.Path, b.Path) })
	return run, ignored
}

func dotted(name string) string {
	if base, _, ok := strings.Cut(name, "."); ok && base != "" {
		return ": call it " + base
	}
	return ""
}

// CompareScripts orders scripts as they run, which is that of sort -n in the C
// locale: by the number in front, of any length (names without one have 0, and a "-"
// in front makes it negative), then by bytes.
func CompareScripts(a, b string) int {
	return cmp.Or(compareNumbers(numberOf(a), numberOf(b)), strings.Compare(a, b))
}

// A number is what a name begins with, as digits without zeros that say nothing.
// Fractions there are in names that RUN_PARTS_REGEX allows.
type number struct {
	negative        bool
	whole, fraction string
}

func numberOf(name string) number {
	rest, negative := strings.CutPrefix(name, "-")
	whole, rest := digits(rest)
	var fraction string
	if after, ok := strings.CutPrefix(rest, "."); ok {
		fraction, _ = digits(after)
	}
	n := number{negative, strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")}
	n.negative = negative && n.whole+n.fraction != "" // there is no -0
	return n
}

// digits cuts a text behind its first digits.
func digits(s string) (first, rest string) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func compareNumbers(a, b number) int {
	if a.negative != b.negative {
		if a.negative {
			return -1
		}
		return 1
	}
	c := cmp.Or(cmp.Compare(len(a.whole), len(b.whole)), strings.Compare(a.whole, b.whole), strings.Compare(a.fraction, b.fraction))
	if a.negative {
		return -c
	}
	return c
}

var snippetName = regexp.MustCompile(`^[0-9A-Za-z_.-]+$`)

// Snippets chooses and sorts the files of environment.d that are sourced: dots in
// names are fine, nothing need be executable, and the order is by bytes, so that
// 100-x comes before 9-x.
func Snippets(entries []Listed) (source []string, ignored []Ignored) {
	for _, e := range entries {
		switch {
		case e.Mode.IsDir():
		case e.Mode&fs.ModeSymlink != 0:
			ignored = append(ignored, Ignored{e.Name, "the link leads nowhere"})
		case !e.Mode.IsRegular():
			ignored = append(ignored, Ignored{e.Name, "it is not a file"})
		case !snippetName.MatchString(e.Name):
			ignored = append(ignored, Ignored{e.Name, "names in environment.d have only letters, digits, _, - and ."})
		default:
			source = append(source, e.Name)
		}
	}
	slices.Sort(source)
	slices.SortFunc(ignored, func(a, b Ignored) int { return strings.Compare(a.Path, b.Path) })
	return source, ignored
}
