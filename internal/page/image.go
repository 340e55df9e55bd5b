package page

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"ingot/internal/artifact"
	"ingot/internal/catalog"
	"ingot/internal/digest"
)

type imageView struct {
	head
	Name      string
	Image     catalog.Image
	Version   catalog.Version
	Arches    []string
	Channels  []string // that point to the version
	Health    health
	Versions  []versionRow
	Artifacts []artifactView
	Change    *change
	Uses      []use
	Packages  int
	Expired   []string // archives that were out of date when it was built
}

type versionRow struct {
	Version   string
	Published time.Time
	Size      int64
	Share     int // of the largest, in percent
	Channels  []string
	Pinned    bool
	Current   bool // it is the one that is shown
	Health    health
}

type artifactView struct {
	Format string
	Size   int64
	Files  []fileView
	Papers []fileView
}

type fileView struct {
	catalog.File
	Path, Kind string
}

// maxManifest bounds the manifests that are read for a page, and kept how many of them.
const (
	maxManifest = 16 << 20
	kept        = 64
)

// image shows a version of an image.
func (p *Pages) image(h head, c catalog.Catalog, name string, q url.Values) (imageView, error) {
	v := imageView{head: h, Name: name}
	arch := q.Get("arch")
	for _, i := range c.Images {
		if i.Name != name {
			continue
		}
		v.Arches = append(v.Arches, i.Arch)
		if len(v.Arches) == 1 || i.Arch == arch {
			v.Image = i
		}
	}
	if len(v.Arches) == 0 || arch != "" && v.Image.Arch != arch {
		return v, errNone
	}
	v.Version = shown(v.Image)
	if asked := q.Get("version"); asked != "" {
		found, ok := v.Image.Version(asked)
		if !ok {
			return v, errNone
		}
		v.Version = found
	}
	v.Channels, v.Health = pointing(v.Image, v.Version.Version), healthOf(v.Version, h.Now)
	v.versions()
	v.artifacts()
	if m := p.manifest(v.Version); m != nil {
		v.Packages, v.Expired = len(m.Packages), m.Expired
	}
	if n := slices.IndexFunc(v.Image.Versions, func(o catalog.Version) bool { return o.Version == v.Version.Version }); n > 0 {
		v.Change = between(v.Image.Versions[n-1], v.Version, p.manifest(v.Image.Versions[n-1]), p.manifest(v.Version))
	}
	v.Uses = uses(v)
	return v, nil
}

// pointing are the channels that point to a version.
func pointing(i catalog.Image, version string) []string {
	var out []string
	for _, k := range i.Channels {
		if k.Version == version {
			out = append(out, k.Name)
		}
	}
	return out
}

// versions lists them, the newest first.
func (v *imageView) versions() {
	most := int64(1)
	for _, o := range v.Image.Versions {
		most = max(most, o.Size())
	}
	for _, o := range slices.Backward(v.Image.Versions) {
		v.Versions = append(v.Versions, versionRow{
			Version: o.Version, Published: o.Published, Size: o.Size(), Share: int(o.Size() * 100 / most), Channels: pointing(v.Image, o.Version),
			Pinned: o.Pinned, Current: o.Version == v.Version.Version, Health: healthOf(o, v.Now),
		})
	}
}

// artifacts lists what the version has.
func (v *imageView) artifacts() {
	dir := v.Base + "/" + v.Version.Dir(v.Image) + "/"
	for _, a := range v.Version.Artifacts {
		w := artifactView{Format: a.Format}
		for _, f := range a.Files {
			w.Size += f.Size
			w.Files = append(w.Files, fileView{f, dir + f.Name, ""})
		}
		for _, f := range a.Papers {
			kind := "paper"
			switch {
			case strings.HasSuffix(f.Name, artifact.ManifestSuffix):
				kind = "manifest"
			case strings.HasSuffix(f.Name, artifact.SBOMSuffix):
				kind = "SBOM (SPDX)"
			case strings.HasSuffix(f.Name, artifact.ProvenanceSuffix):
				kind = "provenance"
			}
			w.Papers = append(w.Papers, fileView{f, dir + f.Name, kind})
		}
		v.Artifacts = append(v.Artifacts, w)
	}
}

// Sums is where the version's checksums lie, with their signature beside.
func (v imageView) Sums() string { return v.Base + "/" + v.Version.Dir(v.Image) + "/SHA256SUMS" }

// manifest is a version's, of whichever artifact has one; nil if none can be read and believed.
func (p *Pages) manifest(v catalog.Version) *artifact.Manifest {
	for _, a := range v.Artifacts {
		for _, f := range a.Papers {
			if !strings.HasSuffix(f.Name, artifact.ManifestSuffix) || f.Size > maxManifest {
				continue
			}
			p.mu.Lock()
			m, ok := p.manifests[f.SHA256]
			p.mu.Unlock()
			if ok {
				return m
			}
			data, err := p.Source.Read(f.Path(), f.Size)
			if err != nil || digest.Of(data) != f.SHA256 {
				continue
			}
			m = new(artifact.Manifest)
			if json.Unmarshal(data, m) != nil {
				continue
			}
			p.mu.Lock()
			if len(p.manifests) >= kept || p.manifests == nil {
				p.manifests = map[digest.Digest]*artifact.Manifest{}
			}
			p.manifests[f.SHA256] = m
			p.mu.Unlock()
			return m
		}
	}
	return nil
}
