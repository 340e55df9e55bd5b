package element

import (
	"embed"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"ingot/internal/fault"
)

//go:embed all:starter
var starter embed.FS

var elementName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// Starter are the files of a first element of some name, with comments on what else
// there can be, by path below the element's directory.
func Starter(name string) ([]File, error) {
	if !elementName.MatchString(name) || len(name) > 64 {
		return nil, fault.Newf(fault.Usage, "%q is no name for an element", name).
			WithHint("a name has lower-case letters, digits, and in between also - . and _")
	}
	variable := strings.ToUpper(strings.TrimRight(variableName(name), "_"))
	replace := strings.NewReplacer("DIB_VARIABLE_", "DIB_"+variable+"_", "NAME", name)
	var out []File
	err := fs.WalkDir(starter, "starter", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := starter.ReadFile(at)
		text := replace.Replace(string(data))
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		// Names of scripts have no dots.
		base := strings.ReplaceAll(name, ".", "-")
		to := strings.ReplaceAll(strings.TrimPrefix(at, "starter/"), "NAME", base)
		if to == "README.rst" {
			text = strings.Replace(text, "\n====\n", "\n"+strings.Repeat("=", len(name))+"\n", 1)
		}
		out = append(out, NewFile(to, mode, []byte(text)))
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}
