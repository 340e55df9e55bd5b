package artifact

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/lock"
	"ingot/internal/tree"
)

// An Image is what all artifacts of one build have in common, as far as papers
// say it.
type Image struct {
	Name    string
	Flavor  string // of the lock's set
	Arch    string // Debian's name
	Purpose string // of the lock's set: "container", "system" or "machine"
	Lock    *lock.Lock
	Tree    tree.Tree
	// Network are the scripts of the definition that could use the network: what they
	// fetched is not locked.
	Network []string
	// Found are the packages that the tree has, where that is not what the lock says
	// alone. Of one whose file is unknown the digest is zero.
	Found []distro.Ref
	// Describe says what a package of the lock is; Tools are described too.
	Describe func(distro.Ref) distro.Description
	Version  string // of the ingot that built
}

// An Output is one artifact: a file, a directory, or several files that belong
// together.
type Output struct {
	Format string // "qcow2", "tar.zst"
	Files  []File // the first gives the papers their names; there is one at least
}

// A File is one of an artifact's.
type File struct {
	Name   string        `json:"file"` // without a directory
	Size   int64         `json:"size"` // bytes
	SHA256 digest.Digest `json:"sha256"`
}

// A Paper is a file that goes beside an artifact.
type Paper struct {
	File string // its name, without a directory
	Data []byte
}

// What papers are called: the artifact's name and one of these.
const (
	ManifestSuffix   = ".manifest.json"
	SBOMSuffix       = ".spdx.json"
	ProvenanceSuffix = ".intoto.json"
)

// FileName is the name of an artifact: NAME[-FLAVOR]-ARCH.EXT. What a file's name
// cannot hold of a flavor becomes "_".
func FileName(name, flavor, arch, ext string) string {
	if flavor != "" {
		name += "-" + strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._+-", r) {
				return r
			}
			return '_'
		}, flavor)
	}
	return name + "-" + arch + "." + ext
}

// Papers are the manifest, the SBOM and the provenance of an artifact.
func (i Image) Papers(o Output) ([]Paper, error) {
	var papers []Paper
	name := o.Files[0].Name
	for _, p := range []struct {
		suffix string
		value  any
	}{
		{ManifestSuffix, i.Manifest(o)},
		{SBOMSuffix, i.SBOM(o)},
		{ProvenanceSuffix, i.Provenance(o)},
	} {
		b, err := marshal(p.value)
		if err != nil {
			return nil, fmt.Errorf("cannot write %s: %w", name+p.suffix, err)
		}
		papers = append(papers, Paper{name + p.suffix, b})
	}
	return papers, nil
}

// marshal writes JSON for people too: indented, a line's end at the end.
func marshal(v any) ([]byte, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return []byte(b.String()), err
}

// refs are the packages in the image, sorted by name, architecture and version.
func (i Image) refs() []distro.Ref {
	refs := slices.Clone(i.Found)
	if s, ok := i.Lock.Set(i.Arch, i.Purpose, i.Flavor); ok && i.Found == nil {
		refs = slices.Clone(s.Refs)
	}
	slices.SortFunc(refs, func(a, b distro.Ref) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version))
	})
	return refs
}

func (i Image) describe(r distro.Ref) distro.Description {
	if i.Describe == nil {
		return distro.Description{}
	}
	return i.Describe(r)
}

// seal is the digest of the tree as the lock records it, or would.
func (i Image) seal() digest.Digest {
	for _, s := range i.Lock.Seals {
		if s.Arch == i.Arch && s.Purpose == i.Purpose && s.Flavor == i.Flavor {
			return s.SHA256
		}
	}
	return i.Tree.Seal()
}

// expired are the archives of which an index was past its date when the lock was
// made.
func (i Image) expired() []string {
	var names []string
	for _, a := range i.Lock.Archives {
		if a.Expired {
			names = append(names, a.Name)
		}
	}
	return names
}

// stamp writes the image's clock.
func (i Image) stamp() string { return time.Unix(i.Lock.Epoch, 0).UTC().Format(time.RFC3339) }
