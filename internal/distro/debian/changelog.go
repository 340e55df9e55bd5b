package debian

import (
	"bytes"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"

	"ingot/internal/distro"
	"ingot/internal/tree"
)

// Changelog is the path of a package's changelog in its tree (Debian policy 12.7), or ""
// where it has none: a documentation directory may be a link to that of another package
// of the same source.
func Changelog(u distro.Unpacked) string {
	dir := "usr/share/doc/" + u.Ref.Name + "/"
	for _, name := range []string{"changelog.Debian.gz", "changelog.Debian." + u.Ref.Arch + ".gz", "changelog.gz"} {
		e, ok := u.Tree.Lookup(dir + name)
		for links := 0; ok && e.Kind == tree.Hardlink && links < 2; links++ {
			e, ok = u.Tree.Lookup(e.Link)
		}
		if ok && e.Kind == tree.File {
			return e.Path
		}
	}
	return ""
}

// A ChangelogEntry is one version of a source package, as its changelog tells.
type ChangelogEntry struct {
	Source  string
	Version string
	Text    string // the lines of its changes, with their indentation
}

// ParseChangelog reads a changelog (deb-changelog(5)), newest first, as far as it is one:
// what comes before the first entry, and old forms at its end, are left out.
func ParseChangelog(text string) []ChangelogEntry {
	var out []ChangelogEntry
	var lines []string
	end := func() {
		if len(out) > 0 {
			out[len(out)-1].Text = strings.Trim(strings.Join(lines, "\n"), "\n")
		}
		lines = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		switch {
		case line != "" && line[0] != ' ' && line[0] != '\t':
			source, rest, ok := strings.Cut(line, " (")
			version, rest, closed := strings.Cut(rest, ")")
			if !ok || !closed || strings.ContainsAny(source, " \t") || !strings.Contains(rest, ";") {
				continue // a note of an editor
			}
			if _, err := ParseVersion(version); err != nil {
				continue
			}
			end()
			out = append(out, ChangelogEntry{Source: source, Version: version})
		case strings.HasPrefix(line, " -- "):
		case len(out) > 0:
			lines = append(lines, line)
		}
	}
	end()
	return out
}

// maxChangelog bounds a changelog, unpacked: the kernel's has a few MiB.
const maxChangelog = 64 << 20

// ReadChangelog reads a changelog as packages have it, compressed by gzip.
func ReadChangelog(compressed []byte) ([]ChangelogEntry, error) {
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(z, maxChangelog))
	return ParseChangelog(string(text)), err
}
