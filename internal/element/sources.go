package element

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"ingot/internal/fault"
)

// sourcePrefix begins the names of the files that name sources to fetch.
const sourcePrefix = "source-repository-"

// A SourceLine is a line of a source-repository-NAME as it is written. A shell
// expands the variables in it: see [SourceLine.Expand].
type SourceLine struct {
	Raw     string
	Element string
	File    string
	Line    int
}

// A Repository is a source that the element source-repositories fetches and puts
// into the image.
type Repository struct {
	Name     string `json:"name"`
	Type     string `json:"type"`               // git, tar, file or package
	Path     string `json:"path,omitempty"`     // where in the image
	Location string `json:"location,omitempty"` // a URL
	Ref      string `json:"ref,omitempty"`      // of git what to check out, of tar what to unpack
	// Install is how it is installed. What is not "source" is not fetched.
	Install string `json:"install"`
}

var repositoryLine = regexp.MustCompile(`^([^ ]+) (git|tar|file|package) ?(/[^ ]+)? ?([^ ]+)? ?([^ ]*)$`)

// Sources are the lines of all source-repository files of the hooks, by file. Empty
// lines and comments are left out.
func (h *Hooks) Sources() ([]SourceLine, error) {
	var out []SourceLine
	for _, f := range h.Files {
		if strings.Contains(f.Path, "/") || !strings.HasPrefix(f.Path, sourcePrefix) || strings.HasSuffix(f.Path, "~") {
			continue
		}
		data, err := h.Read(f.Path, maxList)
		if err != nil {
			return nil, fault.Newf(fault.Definition, "cannot read %s: %w", f.shown(), err)
		}
		for _, l := range ParseSources(data, f.shown()) {
			l.Element = f.Element
			out = append(out, l)
		}
	}
	return out, nil
}

// ParseSources reads a source-repository file; file is its name in messages.
func ParseSources(data []byte, file string) []SourceLine {
	var out []SourceLine
	n := 0
	for text := range strings.Lines(string(data)) {
		n++
		if text = strings.Trim(text, " \t\r\n"); text != "" && text[0] != '#' {
			out = append(out, SourceLine{Raw: text, File: file, Line: n})
		}
	}
	return out
}

// Expand is what a line says in an environment, with what DIB_REPOTYPE_NAME,
// DIB_REPOLOCATION_NAME, DIB_REPOREF_NAME, DIB_GITREPOBASE and the install types
// change of it. A line that takes a shell to read is an error, and so is one of
// another form (exit 3).
func (l SourceLine) Expand(env map[string]string) (Repository, error) {
	fail := func(err error) (Repository, error) {
		return Repository{}, fault.Newf(fault.Definition, "%s:%d: %w", l.File, l.Line, err)
	}
	text, err := Substitute(uncommented(l.Raw), env)
	if err != nil {
		return fail(err)
	}
	text = strings.Join(strings.Fields(text), " ")
	m := repositoryLine.FindStringSubmatch(text)
	if m == nil {
		return fail(fmt.Errorf("%q is not NAME TYPE PATH LOCATION [REF], of the types git, tar, file and package", text))
	}
	r := Repository{Name: m[1], Type: m[2], Path: m[3], Location: m[4], Ref: m[5]}
	if r.Ref == "" {
		r.Ref = map[string]string{"git": "master", "tar": "*"}[r.Type]
	}
	suffix := variableName(r.Name)
	r.Type = cmp.Or(env["DIB_REPOTYPE_"+suffix], r.Type)
	moved := env["DIB_REPOLOCATION_"+suffix]
	r.Location = cmp.Or(moved, r.Location)
	r.Ref = cmp.Or(env["DIB_REPOREF_"+suffix], r.Ref)
	r.Install = cmp.Or(env["DIB_INSTALLTYPE_"+suffix], env["DIB_DEFAULT_INSTALLTYPE"], "source")
	if base := env["DIB_GITREPOBASE"]; base != "" && moved == "" && r.Type == "git" {
		if m := gitLocation.FindStringSubmatch(r.Location); m != nil {
			r.Location = base + m[1]
		}
	}
	return r, nil
}

// gitLocation is a URL whose host, and the user's directory on it, may be replaced.
var gitLocation = regexp.MustCompile(`^[^:]+://[^/]+/(?:~[^/]+)?(.*)$`)

// uncommented is a line without what a shell takes for a comment.
func uncommented(line string) string {
	for i := 1; i < len(line); i++ {
		if line[i] == '#' && (line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

// variableName is a name as it stands in names of variables.
func variableName(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 128 && (isLetter(byte(r)) || isDigit(byte(r))) {
			return r
		}
		return '_'
	}, name)
}
