package debian

import (
	"maps"
	"slices"
	"strings"

	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/tree"
)

// newSuffix is what dpkg calls a conffile until the package is configured.
const newSuffix = ".dpkg-new"

// A diversion is dpkg-divert's: files at from, of any package but one, go to to.
type diversion struct{ from, to, pkg string }

// parseDiversions reads /var/lib/dpkg/diversions: three lines each; the package
// ":" is the administrator.
func parseDiversions(text []byte) []diversion {
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	var out []diversion
	for ; len(lines) >= 3; lines = lines[3:] {
		out = append(out, diversion{strings.TrimPrefix(lines[0], "/"), strings.TrimPrefix(lines[1], "/"), lines[2]})
	}
	return out
}

// A ground is what packages have put into the tree so far, by path.
type ground map[string]placed

type placed struct {
	entry tree.Entry
	by    *deb
	path  string // in the package
}

// A naming says where an entry of a package goes.
type naming func(p *deb) func(e tree.Entry) string

// merge is what unpacking more packages puts into the tree, sorted by path,
// directories once. Of two packages that bring one file, the one that says
// Replaces wins; without that dpkg would refuse, and so does merge.
// Where somebody said whose file stays, that one does. All that is refused is said at once.
func (g ground) merge(pkgs []*deb, names naming, keep []distro.Keep) ([]tree.Entry, error) {
	changed := map[string]bool{}
	var clashes []clash
	linked := map[inode]bool{}
	for _, p := range pkgs {
		name := names(p)
		for e := range p.Tree.All() {
			original := e.Path
			e.Path = name(e)
			if e.Kind == tree.Hardlink {
				linked[inode{p, e.Link}] = true
			}
			won, refused := g.place(p, e, original, keep)
			if refused {
				clashes = append(clashes, clashOf(g[e.Path], p, e))
			}
			if won {
				changed[e.Path] = true
			}
		}
	}
	if len(clashes) > 0 {
		return nil, clashError(clashes)
	}
	out := make([]tree.Entry, 0, len(changed))
	first := map[inode]string{}
	for _, path := range slices.Sorted(maps.Keys(changed)) {
		out = append(out, g[path].whole(linked, first))
	}
	return out, nil
}

// An inode is a file of a package, whatever its names: the package and the first
// path in it.
type inode struct {
	by   *deb
	path string
}

// whole is an entry as it stands among those before it: of a file with several
// names, the first that was placed is the file, and all others are links to it. In
// the package it may have been another one, which is renamed or another package's
// now.
func (x placed) whole(linked map[inode]bool, first map[inode]string) tree.Entry {
	e := x.entry
	of := inode{x.by, x.path}
	if e.Kind == tree.Hardlink {
		of.path = e.Link
	}
	if !linked[of] {
		return e
	}
	if to, ok := first[of]; ok {
		e.Kind, e.Link, e.Content = tree.Hardlink, to, tree.Content{}
		return e
	}
	first[of] = e.Path
	file, _ := x.by.Tree.Lookup(of.path)
	file.Path = e.Path
	return file
}

// unpackedNames are those that dpkg gives when it unpacks: diversions applied,
// conffiles under a name of their own until the package is configured.
func unpackedNames(diversions []diversion) naming {
	return func(p *deb) func(tree.Entry) string {
		renamed := map[string]string{}
		for _, d := range diversions {
			if d.pkg != p.Ref.Name {
				renamed[d.from] = d.to
			}
		}
		for _, c := range p.conffiles {
			to, ok := renamed[c.path]
			if !ok {
				to = c.path
			}
			renamed[c.path] = to + newSuffix
		}
		return func(e tree.Entry) string {
			if to, ok := renamed[e.Path]; ok && e.Kind != tree.Dir {
				return to
			}
			return e.Path
		}
	}
}

// place puts an entry of a package where no other package has one, or where it
// prevails, and says whether it did, or whether two packages would have it.
func (g ground) place(p *deb, e tree.Entry, original string, keep []distro.Keep) (won, refused bool) {
	old, ok := g[e.Path]
	files := old.entry.Kind != tree.Dir && e.Kind != tree.Dir
	stays := ""
	if ok && files && len(keep) > 0 {
		stays = kept(keep, inImage(e.Path))
	}
	isDir := old.entry.Kind == tree.Dir || old.entry.Kind == tree.Symlink && e.Kind == tree.Dir
	switch {
	case !ok:
	case isDir && (e.Kind == tree.Dir || e.Kind == tree.Symlink):
		return false, false // the first one's metadata count, and a link to a directory stays
	case p.Ref.Name == old.by.Ref.Name && e.Content.Digest == old.entry.Content.Digest:
		return false, false // one package for several architectures
	case p.over(old.by), !old.by.over(p) && stays == p.Ref.Name && stays != old.by.Ref.Name:
		old.by.lost[old.path] = true
	case old.by.over(p), stays == old.by.Ref.Name && stays != p.Ref.Name:
		p.lost[original] = true
		return false, false
	default:
		return false, true
	}
	g[e.Path] = placed{e, p, original}
	return true, false
}

// over says whether p may overwrite files of q: dpkg looks at names alone, not at
// what q provides.
func (p *deb) over(q *deb) bool {
	for _, group := range p.replaces {
		for _, r := range group {
			if r.Name == q.Ref.Name && r.Satisfied(q.Ref.Version) {
				return true
			}
		}
	}
	return false
}

// records are the files of dpkg's database for packages that were just unpacked,
// but for the status file.
func records(pkgs []*deb) map[string]record {
	out := map[string]record{}
	for _, p := range pkgs {
		for name, f := range p.Control {
			if name != "control" && name != "" {
				out[infoDir+p.base()+"."+name] = record{f.Mode, f.Data}
			}
		}
	}
	maps.Copy(out, lists(pkgs))
	return out
}

// lists are the packages' lists of files.
func lists(pkgs []*deb) map[string]record {
	out := map[string]record{}
	for _, p := range pkgs {
		out[infoDir+p.base()+".list"] = record{0o644, p.list()}
	}
	return out
}

const infoDir = adminDir + "info/"

type record struct {
	mode uint32
	data []byte
}

// skeleton is what must be there before the first package: the directories of
// dpkg's database and, where the release merged /usr, the links that say so.
func skeleton(arch string, epoch int64) []tree.Entry {
	at := tree.Time{Sec: epoch}
	dir := func(path string) tree.Entry {
		return tree.Entry{Path: path, Kind: tree.Dir, Mode: 0o755, Mtime: at, Owner: "step:install"}
	}
	link := func(path string) tree.Entry {
		return tree.Entry{Path: path, Kind: tree.Symlink, Mode: 0o777, Link: "usr/" + path, Mtime: at, Owner: "step:install"}
	}
	out := []tree.Entry{dir(""), dir("dev"), dir("dev/pts"), dir("dev/shm"), dir("etc"), dir("etc/apt"), dir("usr")}
	for _, merged := range mergedDirs(arch) {
		out = append(out, dir("usr/"+merged), link(merged))
	}
	for _, d := range []string{"var", "var/lib", "var/lib/dpkg", "var/lib/dpkg/info", "var/lib/dpkg/triggers", "var/lib/dpkg/updates"} {
		out = append(out, dir(d))
	}
	for _, n := range devices {
		out = append(out, tree.Entry{Path: "dev/" + n.name, Kind: tree.Char, Mode: n.mode, Major: n.major, Minor: n.minor, Mtime: at, Owner: "step:install"})
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		out = append(out, tree.Entry{Path: "dev/" + name, Kind: tree.Symlink, Mode: 0o777, Link: target, Mtime: at, Owner: "step:install"})
	}
	slices.SortFunc(out, func(a, b tree.Entry) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// mergedDirs are the top directories that lie in /usr. Every release since
// bullseye is made that way when it is installed anew (Debian's release notes).
func mergedDirs(arch string) []string {
	switch arch {
	case "amd64", "loong64", "mips64el", "ppc64el": // whose loader is in /lib64
		return []string{"bin", "lib", "lib64", "sbin"}
	default:
		return []string{"bin", "lib", "sbin"}
	}
}

// devices are the nodes of a root file system that no devtmpfs is mounted on
// (Documentation/admin-guide/devices.txt of the kernel).
var devices = []struct {
	name         string
	mode         uint32
	major, minor uint32
}{
	{"console", 0o666, 5, 1}, {"full", 0o666, 1, 7}, {"null", 0o666, 1, 3}, {"ptmx", 0o666, 5, 2},
	{"random", 0o666, 1, 8}, {"tty", 0o666, 5, 0}, {"urandom", 0o666, 1, 9}, {"zero", 0o666, 1, 5},
}

// checkArch refuses what dpkg would: a package of an architecture that is not the
// image's. No resolver chooses one, so somebody wrote it into the lock.
func checkArch(p *deb, arch string) error {
	if p.Ref.Arch != arch && p.Ref.Arch != "all" {
		return fault.Newf(fault.Verification, "package %s is of architecture %s, the image of %s", p.Ref.Name, p.Ref.Arch, arch).
			WithHint("the lock was changed by hand; run 'ingot lock'")
	}
	return nil
}
