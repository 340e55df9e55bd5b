package debian

import (
	"net/url"
	"path"
	"slices"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/fetch"
	"ingot/internal/lock"
)

// The URLs of Debian's own archives, as images name them, and of a public mirror that
// carries many distributions, for machines that reach nothing else.
const (
	mainURL     = "http://ftp.debian.org/debian"
	securityURL = "http://security.debian.org/debian-security"
	publicURL   = "https://mirrors.kernel.org/debian"
)

// DefaultArchives are the archives of a release of Debian that a definition means when
// it names none: for a stable release its main archive with updates, and its security
// archive; for testing and unstable the main archive alone (testing's security suite
// is normally empty).
func DefaultArchives(release string) []lock.Archive {
	main := lock.Archive{Name: "debian", URL: mainURL, Suites: []string{release}, Components: []string{"main"}}
	if slices.Contains(rolling, release) {
		return []lock.Archive{main}
	}
	main.Suites = append(main.Suites, release+"-updates")
	return []lock.Archive{main, {
		Name: "debian-security", URL: securityURL,
		Suites: []string{release + "-security"}, Components: []string{"main"},
	}}
}

// rolling are the suites that have neither updates nor a security archive of use.
// A codename joins them until its release: whoever asks for that by name wants the suite.
var rolling = []string{"testing", "unstable", "sid", "experimental", "rc-buggy", "forky", "duke"}

// Mirrors says where Debian's packages may be fetched from. [Mirrors.Roots] gives the
// places for one archive, in this order:
//
//   - Flag, what --mirror said; else
//   - Env, the value of INGOT_MIRROR_DEBIAN; else
//   - what the apt sources of this machine (Host) name for Debian;
//   - the archive's own URL;
//   - a public mirror that carries many distributions.
//
// The first two stand alone: who names a mirror wants that one. Of the others the first is
// used, and the next ones where it does not answer.
//
// Flag, Env and Host apply to Debian's own archives: such as have no key of their own,
// and a URL that ends in /debian or /debian-security. An archive at another URL
// (a snapshot, a third party's) is fetched from there. The machine's sources and the public mirror,
// moreover, stand in only for the archive's well-known URL; an archive that a definition
// places elsewhere is fetched from where it is placed unless Flag or Env say otherwise.
//
// An archive's own URL may be that of such a mirror without the name and password that it
// takes, as locks have it: those are added where Flag, Env or Host have them.
//
// The security archive is looked for beside the main one: …/debian-security for
// …/debian. A machine's sources name it themselves. Since not every mirror carries it, the
// archive's own URL follows even where Flag or Env is given.
type Mirrors struct {
	Flag string
	Env  string
	Host []AptSource
}

// An archiveKind tells Debian's own archives apart.
type archiveKind int

const (
	foreign archiveKind = iota
	mainArchive
	securityArchive
)

// kindOf judges an archive by its URL's last part and the suites asked of it.
func kindOf(root string, suites []string) archiveKind {
	security := slices.ContainsFunc(suites, func(s string) bool {
		return strings.HasSuffix(s, "-security") || strings.HasSuffix(s, "/updates")
	})
	switch base := path.Base(root); {
	case base == "debian-security", security && wellKnown(root):
		return securityArchive
	case base == "debian":
		return mainArchive
	}
	return foreign
}

// Roots are the URLs at which an archive can be found, best first; never none.
func (m Mirrors) Roots(a lock.Archive) []string {
	own := m.opened(cleanRoot(a.URL))
	kind := kindOf(own, a.Suites)
	if a.Key != "" || kind == foreign || !slices.ContainsFunc(a.Suites, isDebianSuite) && !wellKnown(own) {
		return []string{own}
	}
	named := m.Flag
	if named == "" {
		named = m.Env
	}
	var all []string
	add := func(root string) {
		if root != "" && !slices.Contains(all, root) {
			all = append(all, root)
		}
	}
	switch {
	case named != "" && kind == mainArchive:
		return []string{cleanRoot(named)}
	case named != "":
		named = cleanRoot(named)
		if path.Base(named) != "debian-security" {
			named += "-security"
		}
		add(named)
		fallthrough
	default:
		if wellKnown(own) {
			for _, root := range m.host(kind) {
				add(root)
			}
		}
		add(own)
		if wellKnown(own) && kind == mainArchive {
			add(publicURL)
		}
		if wellKnown(own) && kind == securityArchive {
			add(publicURL + "-security")
		}
	}
	return all
}

// opened is a root with the name and password that a mirror of the same address was given
// with, itself or for the archive beside it.
func (m Mirrors) opened(root string) string {
	given := []string{cleanRoot(m.Flag), cleanRoot(m.Env)}
	for _, s := range m.Host {
		given = append(given, s.URIs...)
	}
	for _, g := range given {
		for _, g := range []string{g, g + "-security"} {
			if u, err := url.Parse(g); err == nil && u.User != nil && identity(g) == root {
				return g
			}
		}
	}
	return root
}

// wellKnown says whether a URL is Debian's own for an archive, and so stands for all
// its mirrors.
func wellKnown(root string) bool {
	u, err := url.Parse(root)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return strings.HasSuffix(host, ".debian.org") && !strings.HasPrefix(host, "snapshot.") && !strings.HasPrefix(host, "archive.")
}

// Placed finds what part of Debian's own archives an address names, by any of the names
// that they have: "debian" or "debian-security", and the place below its root.
func Placed(address string) (archive, place string, ok bool) {
	u, err := url.Parse(address)
	if err != nil || !wellKnown(address) {
		return "", "", false
	}
	top, rest, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	switch {
	case top == "debian" || top == "debian-security":
		return top, rest, rest != ""
	case strings.HasPrefix(u.Hostname(), "security.") && (top == "dists" || top == "pool"):
		return "debian-security", top + "/" + rest, true
	}
	return "", "", false
}

// host is what this machine's apt sources name for an archive: first what they name
// outright, then, for security, what lies beside the main archive.
func (m Mirrors) host(kind archiveKind) []string {
	var outright, beside []string
	for _, s := range m.Host {
		if !s.isDebian() {
			continue
		}
		for _, root := range s.URIs {
			switch k := kindOf(root, s.Suites); { //nolint:staticcheck // kind is no constant
			case k == kind:
				outright = append(outright, root)
			case k == mainArchive:
				beside = append(beside, root+"-security")
			}
		}
	}
	return append(outright, beside...)
}

// IsAddress says whether a mirror can be at a place that a user named: an address
// by http or https, or a directory.
func IsAddress(place string) bool {
	u, err := url.Parse(cleanRoot(place))
	if err != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	switch u.Scheme {
	case "http", "https":
		return u.Hostname() != ""
	case "file":
		return len(u.Path) > 1
	}
	return false
}

// cleanRoot brings an archive's URL to one form: no slash at the end, file URLs with
// three slashes. A path alone becomes a file URL.
func cleanRoot(raw string) string {
	raw = strings.TrimSpace(raw)
	if strings.HasPrefix(raw, "/") {
		raw = "file://" + raw
	}
	if p, ok := strings.CutPrefix(raw, "file:"); ok {
		raw = "file:///" + strings.TrimLeft(p, "/")
	}
	for len(raw) > len("file:///") && strings.HasSuffix(raw, "/") {
		raw = raw[:len(raw)-1]
	}
	return raw
}

// identity is an archive's URL without what may differ between users: who knows it by
// another password knows the same archive.
func identity(raw string) string {
	u, err := url.Parse(cleanRoot(raw))
	if err != nil {
		return raw
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// Locate makes URLs of a path below an archive's root, one for each root.
func Locate(roots []string, location string) []string {
	escaped := (&url.URL{Path: "/" + location}).EscapedPath()
	all := make([]string, len(roots))
	for i, r := range roots {
		all[i] = r + escaped
	}
	return all
}

// Want is how to fetch a package of an archive that has these roots.
func Want(roots []string, ref distro.Ref) fetch.Want {
	return fetch.Want{Name: ref.Location, URLs: Locate(roots, ref.Location), Size: ref.Size, SHA256: ref.SHA256}
}
