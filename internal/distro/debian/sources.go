package debian

import (
	"bufio"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Bounds on a machine's apt sources.
const (
	maxSourcesFile  = 1 << 20 // bytes
	maxSourcesFiles = 256
	maxSourceURIs   = 64
)

// An AptSource is one entry of a machine's apt sources (sources.list(5)): a
// one-line entry, or a stanza of a .sources file.
type AptSource struct {
	URIs       []string
	Suites     []string
	Components []string
	SignedBy   string // path of a keyring, fingerprints, or an embedded key; "" is any
}

// AptSources reads the apt sources of the machine whose root directory is given:
// /etc/apt/sources.list, then the files of /etc/apt/sources.list.d by name. It gives the enabled
// entries for binary packages, and leaves out what it cannot read: the aim is to find a
// mirror, and apt will tell of mistakes. Mirror lists (mirror+file:) are resolved.
func AptSources(root string) []AptSource {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil
	}
	defer func() { _ = r.Close() }()
	const dir = "etc/apt/sources.list.d"
	names := []string{"etc/apt/sources.list"}
	if d, err := r.Open(dir); err == nil {
		entries, _ := d.ReadDir(-1) // as much as can be read
		_ = d.Close()
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
		for _, e := range entries {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	var all []AptSource
	for _, name := range names[:min(len(names), maxSourcesFiles)] {
		text := readBounded(r, name)
		switch path.Ext(name) {
		case ".list":
			all = append(all, parseSourcesList(text)...)
		case ".sources":
			all = append(all, parseSourcesStanzas(text)...)
		}
	}
	for i := range all {
		all[i].URIs = resolveURIs(r, all[i].URIs)
	}
	return slices.DeleteFunc(all, func(s AptSource) bool { return len(s.URIs) == 0 })
}

// readBounded is a file's text, or nothing where it cannot be read.
func readBounded(r *os.Root, name string) []byte {
	f, err := r.Open(name)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSourcesFile+1))
	if err != nil || len(b) > maxSourcesFile {
		return nil
	}
	return b
}

// parseSourcesList reads one-line entries: "deb [OPTION=VALUE…] URI SUITE [COMPONENT…]".
func parseSourcesList(text []byte) []AptSource {
	var all []AptSource
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '\t' {
			continue // also deb-src
		}
		rest = strings.TrimSpace(rest)
		var s AptSource
		if strings.HasPrefix(rest, "[") {
			options, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				continue
			}
			rest = after
			for _, o := range strings.Fields(options) {
				if v, ok := strings.CutPrefix(o, "signed-by="); ok {
					s.SignedBy = v
				}
			}
		}
		f := strings.Fields(rest)
		if len(f) < 2 {
			continue
		}
		s.URIs, s.Suites, s.Components = f[:1], f[1:2], f[2:]
		all = append(all, s)
	}
	return all
}

// parseSourcesStanzas reads the stanzas of a .sources file.
func parseSourcesStanzas(text []byte) []AptSource {
	// Comments may stand anywhere, also within a field.
	var kept []byte
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte("#")) {
			kept = append(kept, line...)
		}
	}
	var all []AptSource
	for stanza := range Stanzas(kept) {
		field := func(name string) string {
			v, _ := stanza.Field(name)
			return v
		}
		if !slices.Contains(strings.Fields(field("Types")), "deb") {
			continue
		}
		switch strings.ToLower(field("Enabled")) {
		case "no", "false", "without", "off", "disable":
			continue
		}
		s := AptSource{
			URIs:       strings.Fields(field("URIs")),
			Suites:     strings.Fields(field("Suites")),
			Components: strings.Fields(field("Components")),
			SignedBy:   strings.TrimSpace(field("Signed-By")),
		}
		if len(s.URIs) > 0 && len(s.Suites) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// resolveURIs keeps the URIs that packages can be fetched from, and replaces lists of
// mirrors in files by what they list (apt-transport-mirror(1)).
func resolveURIs(r *os.Root, uris []string) []string {
	var all []string
	add := func(uri string) {
		for _, scheme := range []string{"http://", "https://", "file:/"} {
			if strings.HasPrefix(uri, scheme) && len(all) < maxSourceURIs {
				all = append(all, cleanRoot(uri))
				return
			}
		}
	}
	for _, uri := range uris {
		list, ok := strings.CutPrefix(uri, "mirror+file:")
		if !ok {
			add(uri)
			continue
		}
		for lines := bufio.NewScanner(bytes.NewReader(readBounded(r, strings.TrimLeft(list, "/")))); lines.Scan(); {
			if f := strings.Fields(lines.Text()); len(f) > 0 {
				add(f[0]) // what follows are priorities and restrictions
			}
		}
	}
	return all
}

// debianSuites are the suites whose names a release's suites are made of. A codename that
// is not here yet is found by the others.
var debianSuites = []string{
	"stable", "oldstable", "oldoldstable", "testing", "unstable", "sid", "experimental", "rc-buggy",
	"buster", "bullseye", "bookworm", "trixie", "forky", "duke",
}

// isDebianSuite knows the suites of Debian's archives: "bookworm", "stable-updates",
// "trixie-security", "buster/updates".
func isDebianSuite(s string) bool {
	s, _, _ = strings.Cut(s, "/")
	for _, more := range []string{"-updates", "-security", "-backports", "-backports-sloppy", "-proposed-updates"} {
		s = strings.TrimSuffix(s, more)
	}
	return slices.Contains(debianSuites, s)
}

// isDebian says whether an entry is for Debian's own packages. Others have "debian" in
// their URIs too; what tells them apart is what they are signed by, or a suite or component
// that Debian has not.
func (s AptSource) isDebian() bool {
	if s.SignedBy != "" {
		return strings.Contains(path.Base(s.SignedBy), "debian-archive")
	}
	for _, c := range s.Components {
		if !slices.Contains([]string{"main", "contrib", "non-free", "non-free-firmware"}, c) {
			return false
		}
	}
	return slices.ContainsFunc(s.Suites, isDebianSuite)
}
