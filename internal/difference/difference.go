// Package difference says how two versions of a group differ: packages with what their
// changelogs tell, files, sizes, configuration, and which known vulnerabilities went and came.
//
// Everything comes from the two groups as they lie in their repositories; no package is
// unpacked and nothing is built.
package difference

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"ingot/internal/advisory"
	"ingot/internal/digest"
	"ingot/internal/lock"
	"ingot/internal/repository"
)

// A Report is how two groups differ.
type Report struct {
	Schema  int           `json:"schema"` // 1
	Old     string        `json:"old"`    // NAME=VERSION
	New     string        `json:"new"`
	OldLock digest.Digest `json:"old_lock"`
	NewLock digest.Digest `json:"new_lock"`
	// Changes are those of the locks that are no packages of images: the definition, the
	// release, files of the definition, tools.
	Changes  []lock.Change `json:"changes"`
	Packages []Package     `json:"packages"`
	Sources  []Source      `json:"sources"` // whose packages changed
	Trees    []Tree        `json:"trees"`
	Files    []File        `json:"files"`
	Sizes    []Size        `json:"sizes"`
	// Vulnerabilities is there if a feed was given.
	Vulnerabilities *Vulnerabilities `json:"vulnerabilities,omitempty"`
}

// A Package is one that was added, removed or changed.
type Package struct {
	Action  string   `json:"action"` // "added", "removed" or "changed"
	Name    string   `json:"name"`
	Arch    string   `json:"arch"`
	Old     string   `json:"old,omitempty"` // versions
	New     string   `json:"new,omitempty"`
	Source  string   `json:"source"`
	Sets    []string `json:"sets,omitempty"` // where it changed, unless in all
	Note    string   `json:"note,omitempty"`
	OldSize int64    `json:"old_size"` // bytes when installed, as the package says
	NewSize int64    `json:"new_size"`
}

// A Source is a source package of which both groups have packages, of different versions.
type Source struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new"`
	// Entries are those of the changelog between the two, newest first; of a step back,
	// those that are undone.
	Entries []Entry  `json:"entries"`
	CVEs    []string `json:"cves"` // that the entries mention
	Undone  bool     `json:"undone,omitempty"`
	// Unknown says that no changelog tells.
	Unknown bool `json:"unknown,omitempty"`
}

// An Entry is one version in a changelog.
type Entry struct {
	Version string `json:"version"`
	Text    string `json:"text"`
}

// A Tree is a set that both groups have, or one of them.
type Tree struct {
	Name     string `json:"name"`   // "container [is: x86_64]"
	Action   string `json:"action"` // "same", "changed", "added" or "removed"
	OldFiles int    `json:"old_files"`
	NewFiles int    `json:"new_files"`
	OldBytes int64  `json:"old_bytes"`
	NewBytes int64  `json:"new_bytes"`
}

// A File is a path that was added, removed or changed.
type File struct {
	Action  string   `json:"action"`
	Path    string   `json:"path"`
	Owner   string   `json:"owner"`  // deb:NAME, step:NAME; of a removed one, who had it
	Config  bool     `json:"config"` // a configuration file of a package, or below /etc
	OldSize int64    `json:"old_size"`
	NewSize int64    `json:"new_size"`
	Sets    []string `json:"sets,omitempty"` // where, unless in all
}

// A Size is how many bytes an owner's files have, where that changed.
type Size struct {
	Set   string `json:"set"`
	Owner string `json:"owner"`
	Old   int64  `json:"old"`
	New   int64  `json:"new"`
}

// Vulnerabilities are those that a feed knows of the two groups' sources.
type Vulnerabilities struct {
	Feed       string                   `json:"feed"`
	Fixed      []advisory.Vulnerability `json:"fixed"`      // that the old one has, and the new one not
	Introduced []advisory.Vulnerability `json:"introduced"` // the other way round
	Remaining  []advisory.Vulnerability `json:"remaining"`  // that both have
}

// Options say what is looked at.
type Options struct {
	// Takes says which trees count; nil is all.
	Takes func(repository.Tree) bool
	// Feed is what is known of vulnerabilities, or nil; it was read for both groups' sources.
	Feed     *advisory.Feed
	FeedName string
	// Compare orders versions of packages, Changelog reads the changelog of a source.
	Compare   func(a, b string) int
	Changelog func(compressed []byte) ([]Entry, error)
}

// Between compares two groups.
func Between(ctx context.Context, before, after *repository.Group, o Options) (*Report, error) {
	r := &Report{
		Schema: 1, Old: before.String(), New: after.String(), OldLock: before.Statement.Lock, NewLock: after.Statement.Lock,
		Changes: []lock.Change{}, Packages: []Package{}, Sources: []Source{}, Trees: []Tree{}, Files: []File{}, Sizes: []Size{},
	}
	var known [2]packages
	for i, g := range []*repository.Group{before, after} {
		list, err := g.Packages(ctx)
		if err != nil {
			return nil, err
		}
		known[i] = index(g, list, o.Takes)
	}
	for _, c := range lock.Changes(before.Lock, after.Lock) {
		if c.Part != "package" && c.Part != "set" {
			r.Changes = append(r.Changes, c)
		}
	}
	r.packages(known[0], known[1], o)
	if err := r.changelogs(ctx, known[1], known[0], after, before, o); err != nil {
		return nil, err
	}
	if err := r.trees(ctx, before, after, known, o); err != nil {
		return nil, err
	}
	if o.Feed != nil {
		r.Vulnerabilities = vulnerabilities(known[0], known[1], o)
	}
	return r, nil
}

// packages are those of a group's sets.
type packages struct {
	by    map[digest.Digest]repository.Package
	sets  map[string]map[string]repository.Package // by set and key
	names []string                                 // of sets
}

// index puts a group's packages into the sets that count.
func index(g *repository.Group, list []repository.Package, takes func(repository.Tree) bool) packages {
	p := packages{by: map[digest.Digest]repository.Package{}, sets: map[string]map[string]repository.Package{}}
	for _, x := range list {
		p.by[x.SHA256] = x
	}
	for _, t := range g.Content.Trees {
		if takes != nil && !takes(t) {
			continue
		}
		name := setName(t)
		set := map[string]repository.Package{}
		of, _ := g.Lock.Set(t.Arch, t.Purpose, t.Flavor)
		for _, ref := range of.Refs {
			set[ref.Name+":"+ref.Arch] = p.by[ref.SHA256]
		}
		p.sets[name] = set
		p.names = append(p.names, name)
	}
	return p
}

func setName(t repository.Tree) string {
	return lock.Set{Arch: t.Arch, Purpose: t.Purpose, Flavor: t.Flavor}.Name()
}

// common are the sets of both.
func common(a, b packages) []string {
	var out []string
	for _, n := range a.names {
		if b.sets[n] != nil {
			out = append(out, n)
		}
	}
	return out
}

// packages compares the sets that both have, and says what changed in several of them once.
func (r *Report) packages(before, after packages, o Options) {
	at := map[string]int{}
	sets := common(before, after)
	add := func(set string, p Package) {
		key := strings.Join([]string{p.Action, p.Name, p.Arch, p.Old, p.New, p.Note}, "\x00")
		i, ok := at[key]
		if !ok {
			i, at[key] = len(r.Packages), len(r.Packages)
			r.Packages = append(r.Packages, p)
		}
		r.Packages[i].Sets = append(r.Packages[i].Sets, set)
	}
	for _, set := range sets {
		a, b := byName(before.sets[set]), byName(after.sets[set])
		for key, old := range a {
			now, ok := b[key]
			switch {
			case !ok:
				add(set, Package{Action: "removed", Name: old.Name, Arch: old.Arch, Old: old.Version, Source: old.Source, OldSize: old.Installed})
			case now.SHA256 != old.SHA256:
				p := Package{Action: "changed", Name: old.Name, Arch: now.Arch, Old: old.Version, New: now.Version, Source: now.Source, OldSize: old.Installed, NewSize: now.Installed}
				switch c := o.Compare(now.Version, old.Version); {
				case c == 0:
					p.Note = "same version, other file"
				case c < 0:
					p.Note = "older"
				}
				add(set, p)
			}
		}
		for key, now := range b {
			if _, ok := a[key]; !ok {
				add(set, Package{Action: "added", Name: now.Name, Arch: now.Arch, New: now.Version, Source: now.Source, NewSize: now.Installed})
			}
		}
	}
	for i := range r.Packages {
		slices.Sort(r.Packages[i].Sets)
		if len(r.Packages[i].Sets) == len(sets) {
			r.Packages[i].Sets = nil
		}
	}
	slices.SortFunc(r.Packages, func(a, b Package) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Old, b.Old), cmp.Compare(a.New, b.New))
	})
}

// byName gives packages by name, with the architecture where there are several: one that
// becomes "all" is the same package.
func byName(set map[string]repository.Package) map[string]repository.Package {
	count := map[string]int{}
	for _, p := range set {
		count[p.Name]++
	}
	out := make(map[string]repository.Package, len(set))
	for key, p := range set {
		if count[p.Name] == 1 {
			key = p.Name
		}
		out[key] = p
	}
	return out
}

// changelogs tells of each source between which versions it went, and what its changelog
// says of that.
func (r *Report) changelogs(ctx context.Context, after, before packages, newer, older *repository.Group, o Options) error {
	type step struct{ source, old, new string }
	steps := map[step]bool{}
	for _, set := range common(before, after) {
		b := byName(after.sets[set])
		for key, old := range byName(before.sets[set]) {
			if now, ok := b[key]; ok && now.Source == old.Source && now.SourceVersion != old.SourceVersion {
				steps[step{now.Source, old.SourceVersion, now.SourceVersion}] = true
			}
		}
	}
	r.Sources = make([]Source, 0, len(steps))
	for s := range steps {
		r.Sources = append(r.Sources, Source{Name: s.source, Old: s.old, New: s.new, Entries: []Entry{}, CVEs: []string{}})
	}
	slices.SortFunc(r.Sources, func(a, b Source) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.New, b.New)) })
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range r.Sources {
		g.Go(func() error {
			s := &r.Sources[i]
			from, to, of, group := s.Old, s.New, after, newer
			if s.Undone = o.Compare(s.New, s.Old) < 0; s.Undone {
				from, to, of, group = s.New, s.Old, before, older
			}
			log := of.changelog(s.Name, to)
			if log == nil {
				s.Unknown = true
				return nil
			}
			text, err := group.Read(ctx, *log)
			if err != nil {
				return err
			}
			all, err := o.Changelog(text)
			if err != nil {
				return fmt.Errorf("the changelog of %s: %w", s.Name, err)
			}
			var told strings.Builder
			for _, e := range all {
				if o.Compare(e.Version, from) > 0 && o.Compare(e.Version, to) <= 0 {
					s.Entries = append(s.Entries, e)
					told.WriteString(e.Text + "\n")
				}
			}
			s.CVEs = append(s.CVEs, advisory.CVEs(told.String())...)
			return nil
		})
	}
	return g.Wait()
}

// changelog is that of a source's version, from whichever of its packages has it.
func (p packages) changelog(source, version string) *repository.Blob {
	var best *repository.Package
	for _, x := range p.by {
		if x.Source == source && x.SourceVersion == version && x.Changelog != nil && (best == nil || x.Name < best.Name) {
			best = &x
		}
	}
	if best == nil {
		return nil
	}
	return best.Changelog
}

// vulnerabilities holds the sources of both groups against a feed.
func vulnerabilities(before, after packages, o Options) *Vulnerabilities {
	out := &Vulnerabilities{Feed: o.FeedName, Fixed: []advisory.Vulnerability{}, Introduced: []advisory.Vulnerability{}, Remaining: []advisory.Vulnerability{}}
	a, b := before.vulnerable(o.Feed), after.vulnerable(o.Feed)
	for key, v := range a {
		if _, ok := b[key]; ok {
			out.Remaining = append(out.Remaining, v)
		} else {
			out.Fixed = append(out.Fixed, v)
		}
	}
	for key, v := range b {
		if _, ok := a[key]; !ok {
			out.Introduced = append(out.Introduced, v)
		}
	}
	for _, list := range [][]advisory.Vulnerability{out.Fixed, out.Introduced, out.Remaining} {
		slices.SortFunc(list, func(x, y advisory.Vulnerability) int {
			return cmp.Or(advisory.Compare(x.ID, y.ID), cmp.Compare(x.Source, y.Source))
		})
	}
	return out
}

// vulnerable are the vulnerabilities of a group's sets by name and source.
func (p packages) vulnerable(f *advisory.Feed) map[[2]string]advisory.Vulnerability {
	out := map[[2]string]advisory.Vulnerability{}
	seen := map[[2]string]bool{}
	for _, set := range p.sets {
		for _, x := range set {
			key := [2]string{x.Source, x.SourceVersion}
			if seen[key] {
				continue
			}
			seen[key] = true
			for _, v := range f.Has(x.Source, x.SourceVersion) {
				out[[2]string{v.ID, v.Source}] = v
			}
		}
	}
	return out
}
