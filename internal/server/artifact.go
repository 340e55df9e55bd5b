package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/artifact"
	"ingot/internal/catalog"
	"ingot/internal/fault"
	"ingot/internal/format"
	"ingot/internal/input"
)

// maxPaper bounds a manifest, an SBOM or a provenance, in bytes.
const maxPaper = 64 << 20

// An Artifact is one of this machine's that is to be published.
type Artifact struct {
	Manifest artifact.Manifest
	Dir      string   // where its files and papers lie
	Papers   []string // names of those that are there
}

// Name is what the image is called on a server: the definition's name with its
// flavor.
func (a Artifact) Name() string {
	name, _, _ := strings.Cut(artifact.FileName(a.Manifest.Name, a.Manifest.Flavor, "\x00", ""), "-\x00")
	return name
}

// Files are the artifact's files by the manifest.
func (a Artifact) Files() []artifact.File {
	if len(a.Manifest.Files) > 0 {
		return a.Manifest.Files
	}
	return []artifact.File{{Name: a.Manifest.File, Size: a.Manifest.Size, SHA256: a.Manifest.SHA256}}
}

// Gather finds the artifacts that paths name: files of artifacts, by the manifest
// beside them, and directories with all artifacts in them. Each comes once, in the
// order of formats' names.
func Gather(paths []string) ([]Artifact, error) {
	var out []Artifact
	seen := map[string]bool{}
	add := func(manifest string) error {
		abs, err := filepath.Abs(manifest)
		if err != nil || seen[abs] {
			return err
		}
		seen[abs] = true
		a, err := readManifest(manifest)
		if err == nil {
			out = append(out, a)
		}
		return err
	}
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fault.Newf(fault.NotFound, "there is no artifact %s: %w", p, inner(err)).WithHint("'ingot build --to out' makes artifacts")
		}
		manifests, err := manifestsOf(p, info)
		if err != nil {
			return nil, err
		}
		for _, m := range manifests {
			if err := add(m); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Artifact) int { return strings.Compare(a.Manifest.Format, b.Manifest.Format) })
	return out, nil
}

func inner(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// manifestsOf are the manifests that a path means.
func manifestsOf(p string, info fs.FileInfo) ([]string, error) {
	const hint = "publish what 'ingot build' made, with the papers beside it"
	if one := p + artifact.ManifestSuffix; !info.IsDir() || exists(one) {
		if strings.HasSuffix(p, artifact.ManifestSuffix) {
			return []string{p}, nil
		}
		if exists(one) {
			return []string{one}, nil
		}
	}
	dir := p
	if !info.IsDir() {
		dir = filepath.Dir(p)
	}
	all, err := filepath.Glob(filepath.Join(escape(dir), "*"+artifact.ManifestSuffix))
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		if len(all) == 0 {
			return nil, fault.Newf(fault.NotFound, "there is no artifact in %s", p).WithHint(hint)
		}
		return all, nil
	}
	// One of several files: the manifest lists it.
	for _, m := range all {
		a, err := readManifest(m)
		if err == nil && slices.ContainsFunc(a.Files(), func(f artifact.File) bool { return f.Name == filepath.Base(p) }) {
			return []string{m}, nil
		}
	}
	return nil, fault.Newf(fault.NotFound, "no manifest lies beside %s", p).WithHint(hint)
}

// escape makes a path mean itself in a pattern.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readManifest reads an artifact's manifest and holds it to what a catalog takes.
func readManifest(path string) (Artifact, error) {
	bad := func(format string, args ...any) error {
		return fault.Newf(fault.Verification, "%s: %w", path, fmt.Errorf(format, args...)).WithHint("build the artifact again")
	}
	data, err := input.Read(path, maxPaper)
	if err != nil {
		return Artifact{}, fmt.Errorf("cannot read a manifest: %w", err)
	}
	a := Artifact{Dir: filepath.Dir(path)}
	if err := json.Unmarshal(data, &a.Manifest); err != nil {
		return a, bad("is no manifest: %w", err)
	}
	m := a.Manifest
	if m.Schema != 1 {
		return a, bad("has schema %d, where 1 is known", m.Schema)
	}
	f, ok := format.Lookup(m.Format)
	if ok && f.Dir {
		return a, fault.Newf(fault.Usage, "%s is a directory, which a server cannot offer as a file", filepath.Join(a.Dir, m.File)).
			WithHint("publish an archive of it: the outputs tar.zst, oci or squashfs")
	}
	for _, n := range []string{a.Name(), m.Arch, m.Distro, m.Release, m.Format} {
		if !catalog.IsName(n) {
			return a, bad("%.100q cannot be a name on a server", n)
		}
	}
	base := strings.TrimSuffix(filepath.Base(path), artifact.ManifestSuffix)
	for _, suffix := range []string{artifact.ManifestSuffix, artifact.SBOMSuffix, artifact.ProvenanceSuffix} {
		if exists(filepath.Join(a.Dir, base+suffix)) {
			a.Papers = append(a.Papers, base+suffix)
		}
	}
	for _, f := range a.Files() {
		if !catalog.IsName(f.Name) || f.Size < 0 || f.SHA256.IsZero() {
			return a, bad("%.100q is no file's name, or has no size or digest", f.Name)
		}
	}
	return a, nil
}
