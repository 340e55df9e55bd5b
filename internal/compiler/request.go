package compiler

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/format"
	"ingot/internal/plan"
)

// Request is the digest of all that chooses packages in a definition, in all of its
// flavors: two definitions with one request have the same lock but for their files.
func Request(def *definition.Definition) digest.Digest {
	variants := def.Variants()
	if len(variants) == 1 && variants[0].FlavorLabel() == "" {
		return request(variants[0])
	}
	var text strings.Builder
	for _, v := range variants {
		fmt.Fprintf(&text, "%s %s\n", request(v), v.FlavorLabel())
	}
	return digest.Of([]byte(text.String()))
}

// request is that of one variant.
func request(def *definition.Definition) digest.Digest {
	type kernel struct {
		None    bool
		Package string
		Chosen  bool `json:",omitzero"` // where it matters: a live system's default differs
		All     bool `json:",omitzero"`
	}
	data, err := json.Marshal(struct {
		Distro, Release string
		Arch            []string
		Archives        []definition.Archive
		Start           string
		Packages        []string
		Remove          []string
		Recommends      bool
		Purposes        []string
		Formats         []string
		Kernel          kernel
		Boot            definition.Boot
		Implied         []string
		Layout          []string           `json:",omitempty"`
		Station         []string           `json:",omitempty"` // digests
		Listed          []string           `json:",omitempty"` // packages of elements
		Groups          []definition.Group `json:",omitempty"`
	}{
		def.Distro, def.Release, def.Arch, relativeKeys(def), def.Start, def.Packages, def.Remove, def.Recommends, plan.Purposes(def), toolFormats(def),
		kernel{def.Kernel.None, def.Kernel.Package, def.Kernel.Chosen && slices.Contains(plan.Purposes(def), format.Live), def.Kernel.All}, def.Boot, plan.Implied(def),
		plan.LayoutPackages(def), station(def), listed(def), def.Groups,
	})
	if err != nil {
		panic(err) // plain data
	}
	return digest.Of(data)
}

// station is what the packages of a definition's station are.
func station(def *definition.Definition) []string {
	if def.Elements == nil {
		return nil
	}
	var out []string
	for _, r := range def.Elements.Station {
		out = append(out, r.SHA256.String())
	}
	slices.Sort(out) // a lock has them in an order of its own
	return out
}

// listed are the packages of a definition's elements.
func listed(def *definition.Definition) []string {
	if def.Elements == nil {
		return nil
	}
	return slices.Concat(def.Elements.Listed, def.Elements.Packages)
}

// relativeKeys are the archives with keys named relative to the definition: where
// it lies does not matter.
func relativeKeys(def *definition.Definition) []definition.Archive {
	out := slices.Clone(def.Archives)
	for i := range out {
		if out[i].Key != "" {
			out[i].Key = relative(def.Dir, out[i].Key)
		}
	}
	return out
}

func relative(dir, path string) string {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(rel)
}

// toolFormats are the outputs that need tools of their own.
func toolFormats(def *definition.Definition) []string {
	var out []string
	for _, o := range def.Outputs {
		if len(o.Kind().Tools) > 0 {
			out = append(out, o.Format)
		}
	}
	return out
}
