package lock

import (
	"fmt"
	"regexp"
	"strings"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/tree"
)

// Texts that any distribution's packages may have, and Debian's own stricter
// rules (Debian policy 5.6.1 and 5.6.12, deb-version(7)).
var (
	anyName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+._-]{0,254}$`)
	anyVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+~:^_-]{0,254}$`)
	anyArch    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)
	debName    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	debVersion = regexp.MustCompile(`^([0-9]{1,10}:)?[0-9][A-Za-z0-9.+~:]*(-[A-Za-z0-9.+~:-]*[A-Za-z0-9.+~])?$`)
	plainWord  = regexp.MustCompile(`^[!-~]{1,1000}$`)
)

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
	if !anyName.MatchString(l.Distro) || !anyName.MatchString(l.Release) {
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
	sets := map[string]bool{}
	for _, s := range l.Sets {
		name := s.Arch + " " + s.Purpose
		if !anyArch.MatchString(s.Arch) || s.Purpose != "container" && s.Purpose != "machine" {
			return fmt.Errorf("has a set of unknown kind: %q", bounded(name))
		}
		if sets[name] {
			return fmt.Errorf("has set %s twice", name)
		}
		sets[name] = true
		if err := l.checkRefs("set "+name, s.Refs, archives); err != nil {
			return err
		}
	}
	if err := l.checkRefs("tools", l.Tools, archives); err != nil {
		return err
	}
	sealed := map[string]bool{}
	for _, s := range l.Seals {
		name := s.Arch + " " + s.Purpose
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
	return nil
}

func (a *Archive) check() error {
	if !anyName.MatchString(a.Name) {
		return fmt.Errorf("has an archive with the name %q", bounded(a.Name))
	}
	if !plainWord.MatchString(a.URL) {
		return fmt.Errorf("has archive %s with the address %q", a.Name, bounded(a.URL))
	}
	if len(a.Suites) == 0 {
		return fmt.Errorf("has archive %s without suites", a.Name)
	}
	for _, w := range append(append([]string{}, a.Suites...), a.Components...) {
		if !plainWord.MatchString(w) {
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
	case !plainWord.MatchString(i.Suite) || i.Component != "" && !plainWord.MatchString(i.Component) || i.Arch != "" && !anyArch.MatchString(i.Arch):
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
	if !plainWord.MatchString(p) || strings.ContainsAny(p, `\"`) {
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
	name, version := anyName, anyVersion
	if l.Distro == "debian" || l.Distro == "ubuntu" {
		name, version = debName, debVersion
	}
	for i := range list {
		r := &list[i]
		switch {
		case !anyName.MatchString(r.Name) || !name.MatchString(r.Name):
			return fmt.Errorf("has a package with the name %q in %s", bounded(r.Name), where)
		case !anyVersion.MatchString(r.Version) || !version.MatchString(r.Version):
			return fmt.Errorf("has package %s with the version %q in %s", r.Name, bounded(r.Version), where)
		case !anyArch.MatchString(r.Arch):
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
