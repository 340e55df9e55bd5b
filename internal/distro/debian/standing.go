package debian

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/distro"
)

// ErrAsk says that packages on top of a tree would need what only dpkg itself does.
// Nothing has been changed: whoever gets it may run the tree's own apt-get instead.
var ErrAsk = errors.New("this is left to dpkg")

// ask is an ErrAsk with its reason.
func ask(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrAsk)
}

const (
	adminDir       = "var/lib/dpkg/"
	statusPath     = adminDir + "status"
	triggersDir    = adminDir + "triggers/"
	unincorpPath   = triggersDir + "Unincorp"
	diversionsPath = adminDir + "diversions"
)

// A standing is what dpkg's database says of a tree that has packages.
type standing struct {
	installed  []*deb
	residual   map[string]bool   // names of removed packages that left conffiles
	conffiles  map[string]string // by path, the package that has or had it
	diversions []diversion
	overrides  map[string]bool // paths whose metadata the administrator has set
	lists      map[string][]byte
	triggers   triggers
}

// readStanding reads the database, and refuses one that dpkg has to put in order first
// or a dpkg that is told to unpack otherwise than usual.
func (i *installer) readStanding(ctx context.Context) (*standing, error) {
	s := &standing{residual: map[string]bool{}, conffiles: map[string]string{}, overrides: map[string]bool{}}
	texts := map[string][]byte{statusPath: nil, diversionsPath: nil, adminDir + "statoverride": nil, unincorpPath: nil, infoDir + "format": nil, "etc/dpkg/dpkg.cfg": nil, "root/.dpkg.cfg": nil}
	for path := range texts {
		var err error
		if texts[path], err = i.read(ctx, path); err != nil {
			return nil, err
		}
	}
	if string(texts[infoDir+"format"]) != "1\n" {
		return nil, ask("the tree has no database of dpkg's present form")
	}
	if len(strings.TrimSpace(string(texts[unincorpPath]))) > 0 {
		return nil, ask("dpkg has triggers to note")
	}
	updates, err := i.box.List(ctx, adminDir+"updates")
	if err != nil {
		return nil, err
	}
	for _, u := range updates {
		if strings.Trim(u.Name, "0123456789") == "" {
			return nil, ask("dpkg was interrupted")
		}
	}
	configured, err := i.box.Files(ctx, "etc/dpkg/dpkg.cfg.d", "")
	if err != nil {
		return nil, err
	}
	configured["dpkg.cfg"], configured[".dpkg.cfg"] = texts["etc/dpkg/dpkg.cfg"], texts["root/.dpkg.cfg"]
	if err := checkOptions(configured); err != nil {
		return nil, err
	}
	if err := s.readStatus(texts[statusPath]); err != nil {
		return nil, err
	}
	s.diversions = parseDiversions(texts[diversionsPath])
	for line := range strings.Lines(string(texts[adminDir+"statoverride"])) {
		if _, path, ok := strings.Cut(line, " /"); ok {
			s.overrides[strings.TrimSpace(path)] = true
		}
	}
	if s.lists, err = i.box.Files(ctx, strings.TrimSuffix(infoDir, "/"), ".list"); err != nil {
		return nil, err
	}
	named, err := i.box.Files(ctx, strings.TrimSuffix(triggersDir, "/"), "")
	if err != nil {
		return nil, err
	}
	s.triggers.read(named)
	return s, nil
}

// checkOptions refuses options of dpkg that change what unpacking does. Others are dpkg's
// own affair: it reads them when it configures.
func checkOptions(files map[string][]byte) error {
	harmless := []string{"log", "no-debsig", "no-pager", "status-logger", "force-unsafe-io", "force-confold", "force-confdef", "force-confmiss"}
	for name, text := range files {
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			option := line
			if end := strings.IndexAny(line, " \t="); end >= 0 {
				option = line[:end]
			}
			if option != "" && option[0] != '#' && !slices.Contains(harmless, option) {
				return ask("dpkg's configuration (%s) says %s", name, option)
			}
		}
	}
	return nil
}

// readStatus reads dpkg's records of packages.
func (s *standing) readStatus(text []byte) error {
	for stanza := range Stanzas(text) {
		p, err := newDeb(distro.Package{Control: map[string]distro.ControlFile{"control": {Data: stanza}}})
		if err != nil {
			return ask("dpkg's record cannot be read: %v", err)
		}
		p.Ref = distro.Ref{Name: p.control["Package"], Version: p.control["Version"], Arch: p.control["Architecture"]}
		for line := range strings.Lines(p.control["Conffiles"]) {
			if f := strings.Fields(line); len(f) > 0 {
				s.conffiles[strings.TrimPrefix(f[0], "/")] = p.Ref.Name
			}
		}
		status := strings.Fields(p.control["Status"])
		if len(status) != 3 || status[1] != "ok" {
			return ask("package %s is %q", p.Ref.Name, p.control["Status"])
		}
		switch status[2] {
		case "installed":
			s.installed = append(s.installed, p)
		case "config-files":
			s.residual[p.Ref.Name] = true
		case "not-installed":
		default:
			return ask("package %s is %s", p.Ref.Name, status[2])
		}
	}
	if len(s.installed) == 0 {
		return ask("dpkg has no package on record")
	}
	return nil
}

// fresh are the packages that are not installed yet.
func (s *standing) fresh(pkgs []*deb, arch string) ([]*deb, error) {
	byName := map[string][]*deb{}
	for _, q := range s.installed {
		byName[q.Ref.Name] = append(byName[q.Ref.Name], q)
	}
	var out []*deb
next:
	for _, p := range pkgs {
		if err := checkArch(p, arch); err != nil {
			return nil, ask("%v", err)
		}
		if s.residual[p.Ref.Name] {
			return nil, ask("package %s left conffiles when it was removed", p.Ref.Name)
		}
		for _, q := range byName[p.Ref.Name] {
			if q.Ref.Version == p.Ref.Version && q.Ref.Arch == p.Ref.Arch {
				continue next
			}
			return nil, ask("package %s is installed as %s for %s", p.Ref.Name, q.Ref.Version, q.Ref.Arch)
		}
		out = append(out, p)
	}
	return out, nil
}

// relations refuses packages that cannot stand beside what is there, or lack something
// that they depend on.
func (s *standing) relations(fresh []*deb, arch string) error {
	everybody := slices.Concat(s.installed, fresh)
	all := newDirectory(everybody)
	isFresh := set(fresh)
	for _, p := range everybody {
		for _, r := range slices.Concat(p.conflicts, p.breaks) {
			for _, q := range all.targets([][]Relation{r}) {
				if q.Ref.Name != p.Ref.Name && (isFresh[p] || isFresh[q]) {
					return ask("package %s does not go together with %s", p.Ref.Name, q.Ref.Name)
				}
			}
		}
	}
	native := newDirectory(slices.DeleteFunc(everybody, func(p *deb) bool {
		return p.Ref.Arch != arch && p.Ref.Arch != "all" && p.control["Multi-Arch"] != "foreign"
	}))
	for _, p := range fresh {
		for _, group := range slices.Concat(p.preDeps, p.deps) {
			if len(native.targets([][]Relation{group})) == 0 {
				return ask("package %s depends on %s, which is not there", p.Ref.Name, group[0])
			}
		}
	}
	return nil
}
