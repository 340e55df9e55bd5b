package repository

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/flavor"
	"ingot/internal/lock"
	"ingot/internal/store"
	"ingot/internal/tree"
)

// Built is a lock that was built, with all that was read for it.
type Built struct {
	Definition *definition.Definition
	Lock       *lock.Lock // with seals
	Store      *store.Store
	Trees      []BuiltTree
	Packages   []distro.Unpacked // of the lock's sets, each once
	Contents   *tree.Reader      // reads the packages' files
	Describe   func(distro.Package) distro.Description
	// Changelog says where a package has its changelog: its path, or "".
	Changelog func(distro.Unpacked) string
}

// A BuiltTree is the tree of one set.
type BuiltTree struct {
	Arch, Purpose, Flavor string
	Tree                  tree.Tree
	Found                 []Installed // as in a [Tree]
	Network               []string
}

// declared are the flags and architectures that ingot knows.
var declared = sync.OnceValues(func() (flavor.Declared, error) { return flavor.Read() })

// FlavorOf is the flavor of a set in a group: the definition's, on its architecture as
// flavors call it.
func FlavorOf(arch, text string) (flavor.Flavor, error) {
	d, err := declared()
	if err != nil {
		return flavor.Flavor{}, err
	}
	return flavor.Parse(strings.TrimSpace(text + " is: " + cmp.Or(d.ArchitectureOf(arch), arch)))
}

// Gather makes a candidate of what was built. Every set of the lock must be sealed: a
// version names every file.
func Gather(b Built) (Candidate, error) {
	c := Candidate{Name: b.Definition.Name, Content: Content{Schema: 1, Main: filepath.Base(b.Definition.Inputs[0].Path)}}
	c.Statement.Lock, c.Statement.Definition = b.Lock.Digest(), b.Lock.Definition
	add := func(label string, data []byte) Blob {
		u := UploadOf(label, data)
		c.Uploads = append(c.Uploads, u)
		return u.Blob
	}
	for _, s := range b.Lock.Sets {
		if !s.IsImage() {
			continue
		}
		f, err := FlavorOf(s.Arch, s.Flavor)
		if err != nil {
			return c, err
		}
		if !slices.ContainsFunc(c.Flavors, f.Equal) {
			c.Flavors = append(c.Flavors, f)
		}
		t, err := b.tree(s, add)
		if err != nil {
			return c, err
		}
		c.Content.Trees = append(c.Content.Trees, t)
	}
	c.Content.Lock = add("the lock", lock.Encode(*b.Lock))
	source, err := pack(b.Definition, b.Lock)
	if err != nil {
		return c, err
	}
	c.Content.Definition = add("the definition", source)
	for _, n := range needsOf(b.Lock) {
		c.Content.Blobs = append(c.Content.Blobs, n)
		c.Uploads = append(c.Uploads, Upload{n.Blob, n.Label, fromStore(b.Store, n.Blob)})
	}
	list, err := b.describe(func(text []byte) Blob { return add("a changelog", text) })
	if err != nil {
		return c, err
	}
	seen := map[digest.Digest]bool{}
	for _, p := range list {
		if p.Changelog != nil && !seen[p.Changelog.SHA256] {
			seen[p.Changelog.SHA256] = true
			c.Content.Texts = append(c.Content.Texts, *p.Changelog)
		}
	}
	text, err := json.Marshal(list)
	if err != nil {
		return c, err
	}
	c.Content.Packages = add("the list of packages", text)
	return c, nil
}

// tree lists the files of a set, and holds them against the lock's seal.
func (b *Built) tree(s lock.Set, add func(string, []byte) Blob) (Tree, error) {
	out := Tree{Arch: s.Arch, Purpose: s.Purpose, Flavor: s.Flavor}
	i := slices.IndexFunc(b.Lock.Seals, func(x lock.Seal) bool { return x.Name() == s.Name() })
	j := slices.IndexFunc(b.Trees, func(t BuiltTree) bool {
		return t.Arch == s.Arch && t.Purpose == s.Purpose && t.Flavor == s.Flavor
	})
	if i < 0 || j < 0 {
		return out, fault.Newf(fault.NotFound, "set %s was not built: a version names every file of every set", s.Name()).
			WithHint("run 'ingot build' first, with --all-flavors if there are several")
	}
	t := b.Trees[j].Tree
	out.Found, out.Network = b.Trees[j].Found, b.Trees[j].Network
	files, owners, err := Lists(t)
	if err != nil {
		return out, fmt.Errorf("set %s: %w", s.Name(), err)
	}
	if digest.Of(files) != b.Lock.Seals[i].SHA256 {
		return out, fault.Newf(fault.Verification, "the tree of set %s is not the one that its seal names", s.Name()).WithHint("run 'ingot build' again")
	}
	out.Files, out.Owners = add("a list of files", files), add("a list of owners", owners)
	out.Count, out.Bytes = t.Len(), t.Size()
	return out, nil
}

// needsOf are the packages and downloads of a lock.
func needsOf(l *lock.Lock) []ContentBlob {
	var out []ContentBlob
	add := func(label string, b Blob) {
		if !slices.ContainsFunc(out, func(o ContentBlob) bool { return o.SHA256 == b.SHA256 }) {
			out = append(out, ContentBlob{b, label})
		}
	}
	packages := func(refs []distro.Ref) {
		for _, p := range refs {
			add(p.Name+" "+p.Version+" "+p.Arch, Blob{p.SHA256, p.Size})
		}
	}
	for _, s := range l.Sets {
		packages(s.Refs)
	}
	packages(l.Tools)
	packages(l.Station)
	for _, d := range l.Downloads {
		if !d.SHA256.IsZero() {
			add("download "+d.Address, Blob{d.SHA256, d.Size})
		}
	}
	return out
}

func fromStore(s *store.Store, b Blob) func() (*io.SectionReader, func(), error) {
	return func() (*io.SectionReader, func(), error) {
		f, err := s.OpenVerified(b.SHA256)
		if err != nil {
			return nil, nil, err
		}
		info, err := f.Stat()
		if err != nil {
			_ = f.Close()
			return nil, nil, err
		}
		return io.NewSectionReader(f, 0, info.Size()), func() { _ = f.Close() }, nil
	}
}

// describe says what the packages are, by name, architecture and version.
func (b *Built) describe(text func([]byte) Blob) ([]Package, error) {
	out := []Package{}
	known := map[digest.Digest]Blob{} // of the bytes as they lie in the packages
	for _, u := range b.Packages {
		p := describedAs(u.Ref, b.Describe(u.Package))
		for line := range strings.Lines(string(u.Control["conffiles"].Data)) {
			if w := strings.Fields(line); len(w) > 0 {
				p.Conffiles = append(p.Conffiles, w[len(w)-1])
			}
		}
		if path := b.Changelog(u); path != "" {
			e, ok := u.Tree.Lookup(path)
			if ok && e.Kind == tree.File && e.Content.Size <= maxChangelog {
				blob, ok := known[e.Content.Digest]
				if !ok {
					data, err := b.content(e.Content)
					if err != nil {
						return nil, fmt.Errorf("cannot read the changelog of %s: %w", p.Name, err)
					}
					blob = text(data)
					known[e.Content.Digest] = blob
				}
				p.Changelog = &blob
			}
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Package) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version))
	})
	return out, nil
}

// maxChangelog bounds a changelog, compressed.
const maxChangelog = 16 << 20

func (b *Built) content(c tree.Content) ([]byte, error) {
	r, err := b.Contents.Content(c)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
