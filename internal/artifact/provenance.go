package artifact

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"ingot/internal/digest"
	"ingot/internal/distro"
)

// These name, and are not places: what an ingot does with its parameters is in
// docs/reference/papers.md.
const (
	BuildType = "https://ingot.invalid/build/v1"
	BuilderID = "https://ingot.invalid/ingot"
)

// A Statement is an in-toto statement, version 1, that holds a SLSA provenance,
// version 1 (https://slsa.dev/spec/v1.0/provenance). It has no clock: when a
// build ran is in its log.
type Statement struct {
	Type          string     `json:"_type"`
	Subject       []Resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     Predicate  `json:"predicate"`
}

// A Resource is something with a digest.
type Resource struct {
	Name        string                   `json:"name,omitempty"`
	URI         string                   `json:"uri,omitempty"`
	Digest      map[string]digest.Digest `json:"digest"`
	Annotations map[string]string        `json:"annotations,omitempty"`
}

// A Predicate says how the subject was built.
type Predicate struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`
}

// A BuildDefinition is what went in. The same one gives the same subject.
type BuildDefinition struct {
	BuildType            string             `json:"buildType"`
	ExternalParameters   ExternalParameters `json:"externalParameters"`
	InternalParameters   InternalParameters `json:"internalParameters"`
	ResolvedDependencies []Resource         `json:"resolvedDependencies"`
}

// ExternalParameters are what the user asked for.
type ExternalParameters struct {
	Definition digest.Digest `json:"definition"`
	Name       string        `json:"name"`
	Flavor     string        `json:"flavor,omitempty"`
	Arch       string        `json:"arch"`
	Format     string        `json:"format"`
	Distro     string        `json:"distro"`
	Release    string        `json:"release"`
}

// InternalParameters are what the lock made of it.
type InternalParameters struct {
	Lock    digest.Digest `json:"lock"`
	Seal    digest.Digest `json:"seal"`
	Purpose string        `json:"purpose"`
	Epoch   int64         `json:"epoch"`
	// Expired are the archives that were read past their Valid-Until because
	// the user said so.
	Expired []string `json:"expired,omitempty"`
	// Network are the scripts that could use the network, whose doings nothing else here
	// accounts for.
	Network []string `json:"network,omitempty"`
}

// RunDetails say who built.
type RunDetails struct {
	Builder Builder `json:"builder"`
}

// A Builder is ingot.
type Builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version"`
}

// Provenance says what an artifact was built from.
func (i Image) Provenance(o Output) Statement {
	var subject []Resource
	for _, f := range o.Files {
		subject = append(subject, Resource{Name: f.Name, Digest: sha(f.SHA256)})
	}
	return Statement{
		Type:          "https://in-toto.io/Statement/v1",
		Subject:       subject,
		PredicateType: "https://slsa.dev/provenance/v1",
		Predicate: Predicate{
			BuildDefinition: BuildDefinition{
				BuildType: BuildType,
				ExternalParameters: ExternalParameters{
					Definition: i.Lock.Definition, Name: i.Name, Flavor: i.Flavor, Arch: i.Arch, Format: o.Format,
					Distro: i.Lock.Distro, Release: i.Lock.Release,
				},
				InternalParameters:   InternalParameters{i.Lock.Digest(), i.seal(), i.Purpose, i.Lock.Epoch, i.expired(), i.Network},
				ResolvedDependencies: i.dependencies(),
			},
			RunDetails: RunDetails{Builder{BuilderID, map[string]string{"ingot": i.version()}}},
		},
	}
}

func sha(d digest.Digest) map[string]digest.Digest { return map[string]digest.Digest{"sha256": d} }

// dependencies are the packages of the image, those of the tools and of the station, the
// groups and indexes that all were chosen from, what scripts downloaded, and the files that the
// definition names.
func (i Image) dependencies() []Resource {
	out := []Resource{}
	packages := map[digest.Digest]bool{{}: true}
	for _, r := range i.refs() {
		if packages[r.SHA256] {
			continue // came with something else, which is listed
		}
		packages[r.SHA256] = true
		out = append(out, i.packageResource(r, "package"))
	}
	for _, s := range []struct {
		kind string
		refs []distro.Ref
	}{{"tool", i.Lock.Tools}, {"station", i.Lock.Station}} {
		refs := slices.Clone(s.refs)
		slices.SortFunc(refs, func(a, b distro.Ref) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version))
		})
		for _, r := range refs {
			out = append(out, i.packageResource(r, s.kind))
		}
	}
	for _, g := range i.Lock.Groups {
		out = append(out, Resource{Name: g.String(), Digest: sha(g.Lock), Annotations: map[string]string{"kind": "group", "use": g.Use}})
	}
	for _, x := range i.Lock.Indexes {
		out = append(out, Resource{Name: x.Archive + " " + x.Path, Digest: sha(x.SHA256), Annotations: map[string]string{
			"kind": "index", "archive": x.Archive, "suite": x.Suite, "component": x.Component, "arch": x.Arch, "date": strconv.FormatInt(x.Date, 10),
		}})
	}
	for _, d := range i.Lock.Downloads {
		if !packages[d.SHA256] {
			out = append(out, Resource{URI: d.Address, Digest: sha(d.SHA256), Annotations: map[string]string{"kind": "download"}})
		}
	}
	for _, f := range i.Lock.Files {
		if f.Link != "" || f.EmptyDir {
			continue // has no bytes
		}
		out = append(out, Resource{Name: f.Path, Digest: sha(f.SHA256), Annotations: map[string]string{"kind": "file"}})
	}
	return out
}

func (i Image) packageResource(r distro.Ref, kind string) Resource {
	notes := map[string]string{"kind": kind, "archive": r.Archive}
	maps.DeleteFunc(notes, func(_, v string) bool { return v == "" })
	return Resource{Name: r.Name + "=" + r.Version, URI: i.describe(r).Purl, Digest: sha(r.SHA256), Annotations: notes}
}
