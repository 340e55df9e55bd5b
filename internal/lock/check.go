package lock

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/flavor"
	"ingot/internal/format"
	"ingot/internal/group"
	"ingot/internal/tree"
)

// A form is what a word may look like. Checked by hand, as a lock has ten words a
// package and regular expressions took most of the time of reading one.
type form struct {
	first, rest string // characters beside a-z and 0-9
	upper       bool   // also A-Z
	max         int
}

func (f form) takes(s string) bool {
	if s == "" || len(s) > f.max {
		return false
	}
	for i := range len(s) {
		c := s[i]
		extra := f.rest
		if i == 0 {
			extra = f.first
		}
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', f.upper && c >= 'A' && c <= 'Z', strings.IndexByte(extra, c) >= 0:
		default:
			return false
		}
	}
	return true
}

// Words that any distribution's packages may have, and Debian's own stricter
// rules (Debian policy 5.6.1 and 5.6.12, deb-version(7)).
var (
	anyName    = form{rest: "+._-", upper: true, max: 255}
	anyVersion = form{rest: ".+~:^_-", upper: true, max: 255}
	anyArch    = form{rest: "_-", max: 32}
	debName    = form{rest: "+.-", max: 255}
	debVersion = form{rest: ".+~:-", upper: true, max: 255}
)

// isDebVersion takes [epoch:]upstream[-revision], where the upstream part begins
// with a digit.
func isDebVersion(s string) bool {
	epoch, rest, ok := strings.Cut(s, ":")
	if ok {
		for i := range len(epoch) {
			if epoch[i] < '0' || epoch[i] > '9' {
				return false
			}
		}
		if epoch == "" || len(epoch) > 10 {
			return false
		}
		s = rest
	}
	return debVersion.takes(s) && s[0] >= '0' && s[0] <= '9' && s[len(s)-1] != '-'
}

// isPlain takes visible ASCII without spaces.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= 4096
}

// maxEpoch is the end of the year 9999, the last that dates are written for.
const maxEpoch = 253402300799

// maxSize bounds the size that a lock may claim for one file, in bytes.
const maxSize = 1 << 42

// Check says whether all that the lock says can be true: names, versions,
// architectures and paths are well formed, nothing is there twice, what refers
// to an archive or a set finds it. A lock that was read has passed.
func (l *Lock) Check() error {
	if l.Definition.IsZero() {
		return fmt.Errorf("has no digest of its definition")
	}
	if !anyName.takes(l.Distro) || !anyName.takes(l.Release) {
		return fmt.Errorf("has no proper distribution and release: %q %q", bounded(l.Distro), bounded(l.Release))
	}
	if l.Epoch < 0 || l.Epoch > maxEpoch {
		return fmt.Errorf("has an epoch out of range: %d", l.Epoch)
	}
	archives := map[string]bool{}
	for _, a := range l.Archives {
		if err := a.check(); err != nil {
			return err
		}
		if archives[a.Name] {
			return fmt.Errorf("has archive %s twice", a.Name)
		}
		archives[a.Name] = true
	}
	seen := map[string]bool{}
	for _, i := range l.Indexes {
		if err := i.check(archives); err != nil {
			return err
		}
		key := strings.Join([]string{i.Archive, i.Suite, i.Component, i.Arch, i.Path}, "\x00")
		if seen[key] {
			return fmt.Errorf("has index %q of %s twice", i.Path, i.Archive)
		}
		seen[key] = true
	}
	if err := checkFiles(l.Files); err != nil {
		return err
	}
	labels, err := l.checkGroups()
	if err != nil {
		return err
	}
	sets := map[string]bool{}
	for _, s := range l.Sets {
		name := s.Name()
		if !anyArch.takes(s.Arch) || s.Purpose != Bootstrap && !slices.Contains(format.Purposes(), strings.TrimSuffix(s.Purpose, baseSuffix)) {
			return fmt.Errorf("has a set of unknown kind: %q", bounded(name))
		}
		if sets[name] {
			return fmt.Errorf("has set %s twice", name)
		}
		sets[name] = true
		if err := s.checkWords(); err != nil {
			return fmt.Errorf("has set %s %w", name, err)
		}
		if err := l.checkRefs("set "+name, s.Refs, archives); err != nil {
			return err
		}
		for p, label := range s.Of {
			if !labels[label] {
				return fmt.Errorf("has package %s of group %q, which it does not have", p[0], bounded(label))
			}
		}
	}
	if err := l.checkRefs("tools", l.Tools, archives); err != nil {
		return err
	}
	// The station is of the distribution's own archives, whatever the image's are.
	own := maps.Clone(archives)
	for _, name := range Own {
		own[name] = true
	}
	if err := l.checkRefs("station", l.Station, own); err != nil {
		return err
	}
	sealed := map[string]bool{}
	for _, s := range l.Seals {
		name := s.Name()
		switch {
		case !sets[name]:
			return fmt.Errorf("has a seal of %q, but no such set", bounded(name))
		case sealed[name]:
			return fmt.Errorf("has the seal of %s twice", name)
		case s.SHA256.IsZero():
			return fmt.Errorf("has a seal of %s that says nothing", name)
		}
		sealed[name] = true
	}
	return checkDownloads(l.Downloads)
}

// checkGroups gives the labels of the lock's groups.
func (l *Lock) checkGroups() (labels map[string]bool, err error) {
	labels = map[string]bool{}
	for _, g := range l.Groups {
		spec, err := group.ParseSpec(g.Spec)
		if err != nil {
			return nil, fmt.Errorf("has a group that is none: %w", err)
		}
		v, err := group.ParseVersion(g.Version)
		switch {
		case err != nil || v.IsBranch() || v.String() != g.Version:
			return nil, fmt.Errorf("has group %s of a version that is none: %q", spec.Name, bounded(g.Version))
		case !anyName.takes(g.Label) || labels[g.Label]:
			return nil, fmt.Errorf("has group %s twice, or under the label %q", spec.Name, bounded(g.Label))
		case g.Use != definition.Include && g.Use != definition.Patch && g.Use != definition.Subtract:
			return nil, fmt.Errorf("has group %s for a use that is none: %q", spec.Name, bounded(g.Use))
		case g.Lock.IsZero():
			return nil, fmt.Errorf("has group %s without a digest", spec.Name)
		}
		labels[g.Label] = true
	}
	return labels, nil
}

// checkWords checks what a set says beside its packages.
func (s *Set) checkWords() error {
	if f, err := flavor.Parse(s.Flavor); err != nil || f.String() != s.Flavor || len(f.Is())+len(f.Target()) > 0 {
		return fmt.Errorf("of a flavor that is none: %q", bounded(s.Flavor))
	}
	if s.Start != "" && !anyName.takes(s.Start) {
		return fmt.Errorf("with the starting set %q", bounded(s.Start))
	}
	seen := make(map[string]bool, len(s.Asked))
	for _, a := range s.Asked {
		if !isPlain(a) || seen[a] {
			return fmt.Errorf("where package %q was asked for badly or twice", bounded(a))
		}
		seen[a] = true
	}
	return nil
}

func checkDownloads(downloads []Download) error {
	seen := map[string]bool{}
	for _, d := range downloads {
		switch {
		case !isPlain(d.Address) || !strings.HasPrefix(d.Address, "http://") && !strings.HasPrefix(d.Address, "https://"):
			return fmt.Errorf("has a download from %q", bounded(d.Address))
		case d.Size < 0 || d.Size > maxSize:
			return fmt.Errorf("has a download of %d bytes from %s", d.Size, bounded(d.Address))
		case seen[d.Address]:
			return fmt.Errorf("has the download from %s twice", bounded(d.Address))
		}
		seen[d.Address] = true
	}
	return nil
}

func (a *Archive) check() error {
	if !anyName.takes(a.Name) {
		return fmt.Errorf("has an archive with the name %q", bounded(a.Name))
	}
	if !isPlain(a.URL) {
		return fmt.Errorf("has archive %s with the address %q", a.Name, bounded(a.URL))
	}
	if len(a.Suites) == 0 {
		return fmt.Errorf("has archive %s without suites", a.Name)
	}
	for _, w := range append(append([]string{}, a.Suites...), a.Components...) {
		if !isPlain(w) {
			return fmt.Errorf("has archive %s with a suite or component %q", a.Name, bounded(w))
		}
	}
	if err := tree.CheckPath(a.Key); err != nil {
		return fmt.Errorf("has archive %s with a bad key: %w", a.Name, err)
	}
	return nil
}

func (i *Index) check(archives map[string]bool) error {
	switch {
	case !archives[i.Archive]:
		return fmt.Errorf("has an index of archive %q, which it does not have", bounded(i.Archive))
	case !isPlain(i.Suite) || i.Component != "" && !isPlain(i.Component) || i.Arch != "" && !anyArch.takes(i.Arch):
		return fmt.Errorf("has an index of %s with a bad suite, component or architecture: %q %q %q", i.Archive, bounded(i.Suite), bounded(i.Component), bounded(i.Arch))
	case i.Date < 0 || i.Date > maxEpoch || i.Size < 0 || i.Size > maxSize || i.SHA256.IsZero():
		return fmt.Errorf("has index %q of %s without a proper date, size and digest", bounded(i.Path), i.Archive)
	}
	if err := checkPlace(i.Path); err != nil {
		return fmt.Errorf("has an index of %s in a bad place: %w", i.Archive, err)
	}
	return nil
}

// checkPlace checks a path below an archive's root: it becomes part of an
// address and of a file's name.
func checkPlace(p string) error {
	if !isPlain(p) || strings.ContainsAny(p, `\"`) {
		return fmt.Errorf("path %q is not one of visible ASCII characters", bounded(p))
	}
	return tree.CheckPath(p)
}

func checkFiles(files []File) error {
	seen := map[string]bool{}
	for _, f := range files {
		if err := tree.CheckPath(f.Path); err != nil {
			return fmt.Errorf("has a bad file: %w", err)
		}
		if f.Path == "" || seen[f.Path] {
			return fmt.Errorf("has file %q twice or without a name", bounded(f.Path))
		}
		seen[f.Path] = true
		isFile := f.Link == "" && !f.EmptyDir
		if f.Link != "" && f.EmptyDir || isFile == f.SHA256.IsZero() || !isFile && f.Executable || len(f.Link) > 4095 {
			return fmt.Errorf("has file %q, which is not one kind of thing", bounded(f.Path))
		}
	}
	return nil
}

func (l *Lock) checkRefs(where string, list []distro.Ref, archives map[string]bool) error {
	seen := make(map[[2]string]bool, len(list))
	debian := l.Distro == "debian" || l.Distro == "ubuntu"
	for i := range list {
		r := &list[i]
		switch {
		case !anyName.takes(r.Name) || debian && (!debName.takes(r.Name) || len(r.Name) < 2):
			return fmt.Errorf("has a package with the name %q in %s", bounded(r.Name), where)
		case !anyVersion.takes(r.Version) || debian && !isDebVersion(r.Version):
			return fmt.Errorf("has package %s with the version %q in %s", r.Name, bounded(r.Version), where)
		case !anyArch.takes(r.Arch):
			return fmt.Errorf("has package %s of architecture %q in %s", r.Name, bounded(r.Arch), where)
		case !archives[r.Archive]:
			return fmt.Errorf("has package %s of archive %q, which it does not have", r.Name, bounded(r.Archive))
		case r.Size <= 0 || r.Size > maxSize || r.SHA256 == digest.Digest{}:
			return fmt.Errorf("has package %s without a proper size and digest in %s", r.Name, where)
		case seen[[2]string{r.Name, r.Arch}]:
			return fmt.Errorf("has package %s:%s twice in %s", r.Name, r.Arch, where)
		}
		if err := checkPlace(r.Location); err != nil {
			return fmt.Errorf("has package %s in a bad place: %w", r.Name, err)
		}
		seen[[2]string{r.Name, r.Arch}] = true
	}
	return nil
}
