package definition

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"ingot/internal/input"
	"ingot/internal/spell"
)

// defaultTimeout is how long a test's command may take: also on a machine
// without hardware virtualization.
const defaultTimeout = 60 * time.Second

var documentType = reflect.TypeFor[document]()

// build makes the definition of the merged document: what only the whole can
// tell is checked here, and defaults are filled in.
func (l *loading) build(top *yaml.Node, doc *document) *Definition {
	l.required(top)
	def := &Definition{
		Version: doc.Version.Value,
		Name:    doc.Name.Value,
		Distro:  doc.Distro.Value,
		Release: doc.Release.Value,

		Arch:       unique(l, "arch", doc.Arch),
		Start:      doc.Start.or("minbase"),
		Remove:     values(plain(doc.Remove)),
		Recommends: doc.Recommends.Value,
		Hostname:   doc.Hostname.or(strings.ReplaceAll(doc.Name.Value, "_", "-")),
		Locale:     doc.Locale.or("C.UTF-8"),
		Timezone:   doc.Timezone.or("Etc/UTC"),
		Dir:        l.dir,
		Inputs:     l.inputs,
	}
	if len(def.Arch) == 0 && doc.Arch == nil {
		if l.host == "" {
			l.at(l.main, 1, 1, 1, "", "arch is missing, and the host's architecture is not known")
		} else {
			def.Arch = []string{l.host}
		}
	}
	l.release(doc)
	def.Packages = l.packages(doc, def.Arch)
	for _, a := range doc.Archives {
		def.Archives = append(def.Archives, l.archive(doc, a))
	}
	l.groups(doc, def)
	l.accounts(doc, def)
	l.files(doc, def)
	def.Services = l.services(doc, def)
	l.ask(def, "locale", "", doc.Locale.At)
	l.ask(def, "timezone", "", doc.Timezone.At)
	conflicts := map[string]*yaml.Node{}
	for _, c := range doc.Conflicts {
		l.once(conflicts, c.Path.Value, c.Path.At, "path")
		def.Conflicts = append(def.Conflicts, PathConflict{c.Path.Value, c.Keep.Value})
	}
	l.scripts(doc, def)
	l.boot(doc, def)
	l.layout(doc, def)
	l.elements(doc, def)
	l.secure(doc, def)
	def.Kernel = Kernel{
		None: doc.Kernel.None, Package: doc.Kernel.Package.Value, Chosen: doc.Kernel.Package.Value != "",
		Arguments: values(doc.Kernel.Arguments), Console: doc.Kernel.Console.Value,
		// The controllers of VMware's and VirtualBox's machines have no driver in the
		// kernels for clouds.
		All: slices.ContainsFunc(doc.Outputs, func(o outputDoc) bool { return o.Format.Value == "vmdk" || o.Format.Value == "vdi" }),
	}
	if len(def.Arch) == 1 {
		def.Kernel = def.Kernel.On(def.Arch[0])
	}
	l.outputs(doc, def)
	for _, o := range doc.Outputs {
		if o.Format.Value == "incus-vm" && !slices.Contains(def.Boot.Firmware, "uefi") {
			l.problem(o.Format.At, "output incus-vm starts by UEFI, and the image does not")
		}
	}
	for _, t := range doc.Tests {
		timeout := t.Timeout.Value
		if t.Timeout.At == nil {
			timeout = defaultTimeout
		}
		def.Tests = append(def.Tests, Test{Run: t.Run.Value, Expect: t.Expect.Value, Timeout: timeout})
	}
	l.template(doc, def)
	def.entries = sources(l.entries)
	return def
}

// sources are what a build reads, sorted.
func sources(entries map[string]Source) []Source {
	return slices.SortedFunc(maps.Values(entries), func(a, b Source) int { return cmp.Compare(a.Path, b.Path) })
}

// required notes the keys that the whole must have; where they stand does not
// matter.
func (l *loading) required(top *yaml.Node) {
	if l.incomplete {
		return
	}
	advice := map[string]string{
		"version": "version: 1",
		"name":    "name: NAME, of lower-case letters and digits",
		"distro":  "distro: debian",
		"release": "release: bookworm, for one",
		"outputs": "outputs: [qcow2], for one",
	}
	for _, f := range fieldsOf(documentType) {
		if f.required && !present(top, f.name) {
			l.note(Problem{File: l.main.show, Message: f.name + " is missing: write " + advice[f.name]})
		}
	}
}

func present(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// values are the texts of a list, without the refused ones.
func values[R ruled](list []text[R]) []string {
	var out []string
	for _, t := range list {
		if t.Value != "" {
			out = append(out, t.Value)
		}
	}
	return out
}

// unique gives the texts of a list in which none may stand twice.
func unique[R ruled](l *loading, key string, list []text[R]) []string {
	seen := map[string]*yaml.Node{}
	for _, t := range list {
		l.once(seen, t.Value, t.At, key)
	}
	return values(list)
}

// twice notes that something is said again.
func (l *loading) twice(n, first *yaml.Node, key, value string) {
	where := ""
	if src := l.origin[first]; src != nil {
		where = ", first in " + src.show
		if src == l.origin[n] {
			where = ", first"
		}
	}
	l.problem(n, "%s %s is there twice%s on line %d", key, printable(value), where, first.Line)
}

// release checks the name against what the distribution has. With archives of
// one's own any name may be right.
func (l *loading) release(doc *document) {
	misspelt := spell.Nearest(nodeText(doc.Distro.At), distroRule.values) != "" // debian was meant
	if doc.Release.Value == "" || doc.Distro.Value != "debian" && !misspelt || len(doc.Archives) > 0 || slices.Contains(debianReleases, doc.Release.Value) {
		return
	}
	if strings.HasSuffix(doc.Release.Value, "-backports") || strings.HasSuffix(doc.Release.Value, "-security") || strings.HasSuffix(doc.Release.Value, "-updates") {
		base := doc.Release.Value[:strings.LastIndexByte(doc.Release.Value, '-')]
		l.suggest(doc.Release.At, base, "release %s is an addition to a release; write release: %s and name it among the suites of archives", quote(doc.Release.Value), base)
		return
	}
	numbers := map[string]string{"11": "bullseye", "12": "bookworm", "13": "trixie", "14": "forky"}
	major, _, _ := strings.Cut(doc.Release.Value, ".")
	if w, ok := numbers[major]; ok {
		l.suggest(doc.Release.At, w, "release %s is unknown; did you mean %q?", quote(doc.Release.Value), w)
		return
	}
	hint, word := didYouMean(doc.Release.Value, debianReleases)
	l.suggest(doc.Release.At, word, "release %s is unknown%s", quote(doc.Release.Value), hint)
}

func nodeText(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	return n.Value
}

// packages drops what is said twice in the same words, as includes do, and notes
// contradictions and packages of an architecture that an image is not of.
func (l *loading) packages(doc *document, arches []string) []string {
	var out []string
	seen, names := map[string]bool{}, map[string]bool{}
	pins := map[string]text[pkg]{}
	for _, p := range plain(doc.Packages) {
		if p.Value == "" || seen[p.Value] {
			continue
		}
		seen[p.Value] = true
		names[packageName(p.Value)] = true
		out = append(out, p.Value)
		for _, arch := range arches {
			if a := packageArch(p.Value); a != "" && a != arch && !slices.Contains([]string{"native", "any", "all"}, a) {
				l.problem(p.At, "packages %s: an image of %s cannot have packages of %s too; foreign architectures in one image are not supported yet by this version of ingot", quote(p.Value), arch, a)
				break
			}
		}
		name, _, pinned := strings.Cut(p.Value, "=")
		if !pinned {
			continue
		}
		if first, ok := pins[name]; ok {
			l.problem(p.At, "package %s is asked for in two versions: %s and %s", name, quote(first.Value), quote(p.Value))
			continue
		}
		pins[name] = p
	}
	for _, r := range doc.Remove {
		if r.Value != "" && names[r.Value] {
			l.problem(r.At, "package %s is both in packages and in remove", quote(r.Value))
		}
	}
	return out
}

// packageName is the name in a package's token.
func packageName(token string) string {
	if i := strings.IndexAny(token, ":=/"); i >= 0 {
		return token[:i]
	}
	return token
}

// packageArch is the architecture in a package's token, or "".
func packageArch(token string) string {
	rest := token[len(packageName(token)):]
	rest, ok := strings.CutPrefix(rest, ":")
	if i := strings.IndexAny(rest, "=/"); i >= 0 {
		rest = rest[:i]
	}
	if !ok {
		return ""
	}
	return rest
}

func (l *loading) archive(doc *document, a archiveDoc) Archive {
	out := Archive{
		URL: a.URL.Value, Suites: values(a.Suites), Components: values(a.Components),
		CheckValidUntil: a.CheckValidUntil.At == nil || a.CheckValidUntil.Value,
	}
	unique(l, "suite", a.Suites)
	unique(l, "component", a.Components)
	if a.Suites == nil && doc.Release.Value != "" {
		out.Suites = []string{doc.Release.Value}
	}
	if a.Components == nil {
		out.Components = []string{"main"}
	}
	out.Key, _ = l.named("key", a.Key, false)
	return out
}

// groups drops what is said twice in the same words, as includes do, and notes one that is
// used in several ways.
func (l *loading) groups(doc *document, def *Definition) {
	seen := map[string]Group{}
	included := false
	for _, g := range doc.Groups {
		one := Group{Spec: g.Spec.Value, Use: g.Use.or(Include), Purpose: g.Purpose.Value}
		first, there := seen[one.Spec]
		switch {
		case one.Spec == "" || there && first == one:
			continue
		case there:
			l.problem(g.Spec.At, "group %s is there twice, and not in the same way", quote(one.Spec))
			continue
		}
		seen[one.Spec] = one
		included = included || one.Use == Include
		def.Groups = append(def.Groups, one)
	}
	for _, g := range doc.Groups {
		if g.Use.Value == Subtract && !included {
			l.problem(g.Spec.At, "group %s is subtracted, and there is none that includes anything", quote(g.Spec.Value))
		}
	}
}

func (l *loading) accounts(doc *document, def *Definition) {
	names, ids := map[string]*yaml.Node{}, map[uint32]*yaml.Node{}
	for _, u := range doc.Users {
		n := u.Name.Value
		l.once(names, n, u.Name.At, "user")
		l.onceID(ids, u.UID, "uid")
		if u.UID.At != nil && n != "" && (n == "root") != (u.UID.Value == 0) {
			l.problem(u.UID.At, "uid %d of user %s: 0 is root's and only root's", u.UID.Value, n)
		}
		unique(l, "group", u.Groups)
		l.ask(def, "users", n, u.At)
		def.Users = append(def.Users, User{
			Name: n, UID: u.UID.pointer(), Groups: values(u.Groups), Shell: u.Shell.Value, Home: u.Home.Value,
			SSHKeys: values(u.SSHKeys), PasswordHash: u.PasswordHash.Value, Sudo: u.Sudo.Value,
		})
	}
	groups, gids := map[string]*yaml.Node{}, map[uint32]*yaml.Node{}
	for _, g := range doc.UnixGroups {
		l.once(groups, g.Name.Value, g.Name.At, "unix group")
		l.onceID(gids, g.GID, "gid")
		l.ask(def, "unix-groups", g.Name.Value, g.At)
		def.UnixGroups = append(def.UnixGroups, UnixGroup{Name: g.Name.Value, GID: g.GID.pointer()})
	}
}

func (l *loading) once(seen map[string]*yaml.Node, name string, at *yaml.Node, what string) {
	if name == "" || at == nil {
		return
	}
	if first := seen[name]; first != nil {
		l.twice(at, first, what, name)
		return
	}
	seen[name] = at
}

func (l *loading) onceID(seen map[uint32]*yaml.Node, id unixID, what string) {
	if id.At == nil {
		return
	}
	if first := seen[id.Value]; first != nil {
		l.twice(id.At, first, what, fmt.Sprint(id.Value))
		return
	}
	seen[id.Value] = id.At
}

func (l *loading) files(doc *document, def *Definition) {
	seen := map[string]*yaml.Node{}
	plain := map[string]*yaml.Node{} // paths that are surely no directories
	for _, f := range doc.Files {
		where := merged(f.Path.Value, def.Arch)
		switch first := seen[where]; {
		case first == nil:
			l.once(seen, where, f.Path.At, "file")
		case first.Value == f.Path.Value:
			l.twice(f.Path.At, first, "file", f.Path.Value)
		default:
			l.problem(f.Path.At, "file %s is %s in the image, which is there on line %d", quote(f.Path.Value), quote(first.Value), first.Line)
		}
		out := File{Path: f.Path.Value, Owner: f.Owner.or("root"), Group: f.Group.or("root")}
		switch {
		case f.Content.set() && f.Source.set():
			l.problem(f.Source.At, "file %s has both content and source", quote(f.Path.Value))
		case f.Content.set():
			out.Content = &f.Content.Value
			plain[where] = f.Path.At
		case f.Source.set():
			var dir bool
			out.Source, dir = l.named("source", f.Source, true)
			if dir && f.Mode.At != nil {
				l.problem(f.Mode.At, "mode is for a single file, and source %s is a directory, whose files keep whether they are executable", quote(f.Source.Value))
			}
			if out.Source != "" && !dir {
				plain[where] = f.Path.At
			}
		case f.At != nil && f.At.Kind == yaml.MappingNode:
			l.problem(f.At, "%s has neither content nor source", strings.TrimSpace("file "+f.Path.Value))
		}
		if f.Mode.At != nil {
			m := f.Mode.Value
			out.Mode = &m
		}
		l.ask(def, "files", out.Path, f.At)
		def.Files = append(def.Files, out)
	}
	for _, f := range doc.Files {
		where := merged(f.Path.Value, def.Arch)
		if at := plain[where]; at == f.Path.At && where == "/usr"+f.Path.Value && strings.Count(where, "/") == 2 {
			l.problem(at, "file %s would take the place of the link to %s, where the system's programs and libraries are", quote(f.Path.Value), where)
		}
		for p := path.Dir(where); len(p) > 1; p = path.Dir(p) {
			if above := plain[p]; above != nil {
				l.problem(f.Path.At, "file %s lies below %s, which is a file too, on line %d", quote(f.Path.Value), quote(above.Value), above.Line)
				break
			}
		}
	}
}

// merged is a path of an image by the name that it has in /usr, where bin and its like
// are links (Debian's release notes: of every release since bullseye).
func merged(p string, arch []string) string {
	tops := []string{"bin", "sbin", "lib"}
	if slices.Equal(arch, []string{"amd64"}) {
		tops = append(tops, "lib64")
	}
	if top, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/"); slices.Contains(tops, top) {
		return "/usr" + p
	}
	return p
}

func (l *loading) services(doc *document, def *Definition) Services {
	s := doc.Services
	first := map[string]string{}
	for _, part := range []struct {
		key  string
		list []text[unit]
	}{{"enable", plain(s.Enable)}, {"disable", plain(s.Disable)}, {"mask", plain(s.Mask)}} {
		unique(l, part.key, part.list)
		for _, u := range part.list {
			name := unitName(u.Value)
			l.ask(def, "services", u.Value, u.At)
			if other := first[name]; other != "" && other != part.key {
				l.problem(u.At, "unit %s is in both %s and %s", quote(u.Value), other, part.key)
			} else if u.Value != "" {
				first[name] = part.key
			}
		}
	}
	return Services{Enable: values(plain(s.Enable)), Disable: values(plain(s.Disable)), Mask: values(plain(s.Mask))}
}

// unitName is a unit's full name; systemd takes nginx for nginx.service.
func unitName(s string) string {
	for _, suffix := range []string{".service", ".socket", ".timer", ".mount", ".path", ".target", ".automount", ".swap", ".slice", ".device", ".scope"} {
		if strings.HasSuffix(s, suffix) {
			return s
		}
	}
	return s + ".service"
}

func (l *loading) scripts(doc *document, def *Definition) {
	seen := map[string]*yaml.Node{}
	for _, s := range doc.Scripts {
		name, at := s.Name.Value, s.Name.At
		if at == nil && s.Run.Value != "" {
			at = s.Run.At
			base := path.Base(s.Run.Value)
			name = base
			if i := strings.LastIndexByte(base, '.'); i > 0 {
				name = base[:i]
			}
		}
		l.once(seen, name, at, "script")
		out := Script{Name: name, Network: s.Network.Value, After: s.After.or("packages")}
		if out.Run, _ = l.named("run", s.Run, false); out.Run != "" {
			l.starts(s.Run)
		}
		if why, _ := scriptNameRule.refuse(name); why != "" && out.Run != "" && s.Name.At == nil {
			l.problem(at, "run %s makes no good name for the step: give one with name", quote(s.Run.Value))
		}
		for _, r := range s.Reads {
			if p, _ := l.named("reads", r, true); p != "" {
				out.Reads = append(out.Reads, p)
			}
		}
		l.closed(s)
		l.ask(def, "scripts", name, s.At)
		def.Scripts = append(def.Scripts, out)
	}
}

// starts notes a script that the kernel would not start: one that is neither a
// program nor begins with a line that names its interpreter (execve(2)).
func (l *loading) starts(run text[localPath]) {
	rel := beside(l.origin[run.At], run.Value)
	f, err := input.OpenIn(l.root, rel)
	if err != nil {
		l.missing(run.At, "run", run.Value, rel, err)
		return
	}
	defer f.Close()
	start := make([]byte, 256) // of which Linux looks at as much
	n, err := io.ReadFull(f, start)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		l.missing(run.At, "run", run.Value, rel, err)
		return
	}
	if why := unstartable(string(start[:n])); why != "" {
		l.note(Problem{File: path.Join(path.Dir(l.main.show), rel), Line: 1, Message: "script " + quote(run.Value) + " " + why})
	}
}

func unstartable(start string) string {
	line, _, _ := strings.Cut(start, "\n")
	interpreter, ok := strings.CutPrefix(line, "#!")
	switch {
	case strings.HasPrefix(start, "\x7fELF"):
	case strings.HasPrefix(line, "\ufeff#!"):
		return "begins with a byte order mark, which hides its #! line: save it as UTF-8 without one"
	case !ok:
		return "does not begin with #! and an interpreter, so nothing can run it; begin it with #!/bin/sh, for one"
	case strings.HasSuffix(line, "\r"):
		return "has lines that end in CR LF, and there is no interpreter of that name; save it with LF alone"
	case !strings.HasPrefix(strings.TrimLeft(interpreter, " \t"), "/"):
		return "does not name its interpreter by an absolute path; begin it with #!/bin/sh, for one"
	}
	return ""
}
