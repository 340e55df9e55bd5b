package repository

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/fault"
	"ingot/internal/lock"
)

// Content lists every blob of a group.
type Content struct {
	Schema     int           `json:"schema"` // 1
	Lock       Blob          `json:"lock"`   // its file, with seals
	Definition Blob          `json:"definition"`
	Main       string        `json:"main"` // the definition's file in it
	Trees      []Tree        `json:"trees"`
	Packages   Blob          `json:"packages"` // what each package is: []Package
	Blobs      []ContentBlob `json:"blobs"`    // packages, downloads
	// Texts are changelogs, which no build needs.
	Texts []Blob `json:"texts"`
}

// A Tree is the file list of one set of the lock.
type Tree struct {
	Arch    string `json:"arch"`
	Purpose string `json:"purpose"`
	Flavor  string `json:"flavor,omitempty"` // of the set
	Files   Blob   `json:"files"`            // the seal's list
	Owners  Blob   `json:"owners"`           // whose each of its lines is: see [Owners]
	Count   int    `json:"count"`            // of files
	Bytes   int64  `json:"bytes"`            // of file contents
	// Found are the packages that the image has, where scripts made them others than the
	// lock's set, and Network the scripts that could use the network: papers say both.
	Found   []Installed `json:"found,omitzero"`
	Network []string    `json:"network,omitempty"`
}

// A ContentBlob is a package as it was signed, or what a script downloaded.
type ContentBlob struct {
	Blob
	Label string `json:"label"`
}

// A Package says what a package of a group is.
type Package struct {
	Blob
	Name          string   `json:"name"`
	Version       string   `json:"version"`
	Arch          string   `json:"arch"`
	Source        string   `json:"source"`
	SourceVersion string   `json:"source_version"`
	Installed     int64    `json:"installed"` // bytes, as the package says
	Purl          string   `json:"purl,omitempty"`
	Maintainer    string   `json:"maintainer,omitempty"`
	Homepage      string   `json:"homepage,omitempty"`
	Summary       string   `json:"summary,omitempty"`
	Licences      []string `json:"licences,omitempty"`
	Conffiles     []string `json:"conffiles,omitempty"`
	Changelog     *Blob    `json:"changelog,omitempty"` // compressed as in the package
}

// Description is the package as papers describe it.
func (p Package) Description() distro.Description {
	return distro.Description{
		Purl: p.Purl, Source: p.Source + " " + p.SourceVersion, Maintainer: p.Maintainer, Homepage: p.Homepage,
		Summary: p.Summary, Licences: p.Licences, Installed: p.Installed,
	}
}

// all are the blobs of a content.
func (c *Content) all() []ContentBlob {
	out := append([]ContentBlob{{c.Lock, "the lock"}, {c.Definition, "the definition"}, {c.Packages, "the list of packages"}}, c.Blobs...)
	for _, t := range c.Trees {
		out = append(out, ContentBlob{t.Files, "a list of files"}, ContentBlob{t.Owners, "a list of owners"})
	}
	for _, b := range c.Texts {
		out = append(out, ContentBlob{b, "a changelog"})
	}
	return out
}

// A Group is a version of a group, read and verified as far as its lock.
type Group struct {
	repository *Repository
	Record     Record
	Statement  Statement
	Content    Content
	Lock       *lock.Lock
}

// Repository is where the group was read.
func (g *Group) Repository() *Repository { return g.repository }

// Load reads a version of a group.
func (r *Repository) Load(ctx context.Context, name string, rec Record) (*Group, error) {
	s, err := r.statement(ctx, name, rec)
	if err != nil {
		return nil, err
	}
	g := &Group{repository: r, Record: rec, Statement: s}
	if err := r.readJSON(ctx, s.Content, "the content of "+g.String(), &g.Content); err != nil {
		return nil, err
	}
	text, err := r.Read(ctx, g.Content.Lock)
	if err != nil {
		return nil, fmt.Errorf("the lock of %s: %w", g, err)
	}
	var sum digest.Digest
	if g.Lock, sum, err = lock.DecodeDigest(text); err != nil {
		return nil, fmt.Errorf("the lock of %s: %w", g, err)
	}
	if sum != s.Lock {
		return nil, fault.Newf(fault.Verification, "the lock of %s has digest %s, its statement says %s", g, sum, s.Lock)
	}
	return g, g.complete()
}

// complete holds the content against the lock: each package, each seal.
func (g *Group) complete() error {
	has := map[Blob]bool{}
	for _, b := range g.Content.Blobs {
		has[b.Blob] = true
	}
	lacks := func(what string) error {
		return fault.Newf(fault.Verification, "the content of %s lacks %s, which its lock names", g, what)
	}
	for _, s := range g.Lock.Sets {
		for _, p := range s.Refs {
			if !has[Blob{p.SHA256, p.Size}] {
				return lacks("package " + p.Name)
			}
		}
	}
	for _, list := range [][]distro.Ref{g.Lock.Tools, g.Lock.Station} {
		for _, p := range list {
			if !has[Blob{p.SHA256, p.Size}] {
				return lacks("package " + p.Name)
			}
		}
	}
	for _, s := range g.Lock.Seals {
		if t, ok := g.Tree(s.Arch, s.Purpose, s.Flavor); !ok || t.Files.SHA256 != s.SHA256 {
			return lacks("the files of " + s.Name())
		}
	}
	return nil
}

// Tree finds the tree of a set.
func (g *Group) Tree(arch, purpose, flavor string) (Tree, bool) {
	for _, t := range g.Content.Trees {
		if t.Arch == arch && t.Purpose == purpose && t.Flavor == flavor {
			return t, true
		}
	}
	return Tree{}, false
}

// String is the group with its version.
func (g *Group) String() string { return g.Statement.Name + "=" + g.Record.Version.String() }

// Packages reads what each package of the group is.
func (g *Group) Packages(ctx context.Context) ([]Package, error) {
	var out []Package
	err := g.repository.readJSON(ctx, g.Content.Packages, "the list of packages of "+g.String(), &out)
	return out, err
}

// Read reads one of the group's blobs.
func (g *Group) Read(ctx context.Context, b Blob) ([]byte, error) { return g.repository.Read(ctx, b) }

// ReadInto reads one of the group's blobs into a buffer, in place of what is there.
func (g *Group) ReadInto(ctx context.Context, b Blob, into *bytes.Buffer) error {
	return g.repository.readInto(ctx, b, into)
}

func (r *Repository) readJSON(ctx context.Context, b Blob, what string, into any) error {
	text, err := r.Read(ctx, b)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fault.Newf(fault.Verification, "%s is none that this ingot understands: %w", what, err).WithHint("use a newer ingot")
	}
	return nil
}

// Size is how many bytes all that the group keeps has.
func (g *Group) Size() int64 {
	var n int64
	for _, b := range g.Content.all() {
		n += b.Size
	}
	return n
}
