package artifact

import (
	"ingot/internal/digest"
	"ingot/internal/tree"
)

// A Manifest lists what is in an artifact. docs/reference/papers.md is its
// reference.
type Manifest struct {
	Schema     int             `json:"schema"` // 1
	Name       string          `json:"name"`
	Flavor     string          `json:"flavor,omitempty"`
	Arch       string          `json:"arch"`
	Format     string          `json:"format"`
	File       string          `json:"file"`
	Size       int64           `json:"size"` // bytes
	SHA256     digest.Digest   `json:"sha256"`
	Files      []File          `json:"files,omitempty"` // all of them, where the artifact has several
	Distro     string          `json:"distro"`
	Release    string          `json:"release"`
	Epoch      int64           `json:"epoch"` // the image's clock, seconds since 1970
	Lock       digest.Digest   `json:"lock"`
	Definition digest.Digest   `json:"definition"`
	Seal       digest.Digest   `json:"seal"`
	Expired    []string        `json:"expired,omitempty"` // archives whose index was out of date
	Tree       TreeSize        `json:"tree"`
	Packages   []ManifestEntry `json:"packages"`
}

// TreeSize counts what the root file system holds.
type TreeSize struct {
	Bytes       int64 `json:"bytes"` // of file contents; hard links count once
	Files       int   `json:"files"`
	Directories int   `json:"directories"`
	Links       int   `json:"links"` // symbolic and hard
	Devices     int   `json:"devices"`
}

// A ManifestEntry is a package.
type ManifestEntry struct {
	Name      string        `json:"name"`
	Version   string        `json:"version"`
	Arch      string        `json:"arch"`
	Source    string        `json:"source,omitempty"` // source package and its version
	Purl      string        `json:"purl,omitempty"`
	Size      int64         `json:"size,omitzero"`       // of the package file
	Installed int64         `json:"installed,omitempty"` // bytes, as the package says
	SHA256    digest.Digest `json:"sha256,omitzero"`     // of the package file, where it is known
}

// Manifest says what is in an artifact.
func (i Image) Manifest(o Output) Manifest {
	m := Manifest{
		Schema: 1, Name: i.Name, Flavor: i.Flavor, Arch: i.Arch,
		Format: o.Format, File: o.Files[0].Name, Size: o.Files[0].Size, SHA256: o.Files[0].SHA256,
		Distro: i.Lock.Distro, Release: i.Lock.Release, Epoch: i.Lock.Epoch,
		Lock: i.Lock.Digest(), Definition: i.Lock.Definition, Seal: i.seal(), Expired: i.expired(),
		Packages: []ManifestEntry{},
	}
	if len(o.Files) > 1 {
		m.Files = o.Files
	}
	m.Tree.Bytes = i.Tree.Size()
	for e := range i.Tree.All() {
		switch e.Kind {
		case tree.Dir:
			m.Tree.Directories++
		case tree.File:
			m.Tree.Files++
		case tree.Symlink, tree.Hardlink:
			m.Tree.Links++
		case tree.Char, tree.Block, tree.Fifo:
			m.Tree.Devices++
		}
	}
	for _, r := range i.refs() {
		d := i.describe(r)
		m.Packages = append(m.Packages, ManifestEntry{r.Name, r.Version, r.Arch, d.Source, d.Purl, r.Size, d.Installed, r.SHA256})
	}
	return m
}
